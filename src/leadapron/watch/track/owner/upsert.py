"""Insert rows, or change those that are there: ON CONFLICT, which both databases have and SQLAlchemy spells twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

_MOST_ROWS = 100  # SQLite takes so many parameters in one statement; PostgreSQL no row twice


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    key: Sequence[str],
    change: Sequence[str],
    where: sa.ColumnElement[bool] | None = None,
) -> None:
    """``key`` names the columns that make a row the same, ``change`` those that are then set, where ``where`` holds."""
    for start in range(0, len(rows), _MOST_ROWS):
        some = list(rows[start : start + _MOST_ROWS])
        made = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table).values(some)
        values = {name: made.excluded[name] for name in change}
        connection.execute(made.on_conflict_do_update(index_elements=list(key), set_=values, where=where))
