"""Many rows at once: statements are compiled once and go to the driver's own ``executemany``.

SQLAlchemy prepares the parameters of each row anew, which takes longer than the database; for a scan that met 20,000
open servers that is a second. Everything is of plain types here, so nothing has to be converted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from leadapron.watch.track.tables import days

_KEY = "b_id"
_LOCK = 0x1EADA920  # PostgreSQL's, for whoever writes exposures and sums


def take_turn(connection: sa.Connection) -> None:
    """Wait until nobody else writes exposures, events or sums; to be called first in a transaction. SQLite has one
    writer: a write that does nothing takes its place, where a transaction that has read could later only fail."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    else:
        connection.execute(days.delete().where(sa.false()))


def add(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> Sequence[int]:
    """Insert rows with the same columns, and give their numbers. The caller sees to it that nobody else adds to this
    table meanwhile: so the numbers behind the last one are these, in order."""
    if not rows:
        return []
    last = connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
    _run(connection, table.insert(), tuple(rows[0]), rows)
    numbers = sa.select(table.c.id).where(table.c.id > last).order_by(table.c.id)
    return connection.execute(numbers).scalars().all()


def change(connection: sa.Connection, table: sa.Table, values: Mapping[int, Mapping[str, Any]]) -> None:
    """Set columns of rows, by their number; rows with the same columns together."""
    batches: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for number, row in values.items():
        names = tuple(sorted(row))
        batches.setdefault(names, []).append({_KEY: number, **row})
    for names, rows in batches.items():
        statement = table.update().where(table.c.id == sa.bindparam(_KEY))
        _run(connection, statement, names, rows)


def _run(
    connection: sa.Connection,
    statement: sa.Insert | sa.Update,
    names: tuple[str, ...],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    compiled = statement.compile(dialect=connection.dialect, column_keys=list(names))
    if compiled.positiontup is not None:
        places = compiled.positiontup
        connection.exec_driver_sql(str(compiled), [tuple([row[name] for name in places]) for row in rows])
    else:
        connection.exec_driver_sql(str(compiled), [dict(row) for row in rows])
