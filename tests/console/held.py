"""What the console's database holds, and what an answer must not tell of it."""

from __future__ import annotations

import re

import httpx2
import sqlalchemy as sa

from console.lifelike import Size
from leadapron.watch.track.tables import metadata

SMALL = Size(exposures=12, rounds=3)


def content(engine: sa.Engine) -> dict[str, list[str]]:
    """All that the database holds."""
    with engine.connect() as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(sa.select(table)))
            for table in metadata.sorted_tables
        }


def counted(engine: sa.Engine, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())


def harmless(answer: httpx2.Response) -> None:
    """No fault of ours, and nothing of how it is made."""
    assert answer.status_code < 500, (answer.request.url, answer.text[:300])
    assert not re.search(r"Traceback|sqlalchemy|sqlite3?\.|psycopg|SELECT |INSERT |UPDATE ", answer.text)
