"""Days pass: every time that the database holds is moved back, so that to the program more of it has gone by.

So nothing has to be pretended to the real parts, which all read the machine's own clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from leadapron.kernel.clock import iso
from leadapron.watch.track.tables import metadata


def days_pass(engine: sa.Engine, days: int) -> None:
    """``days`` later."""
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            times = [column for column in table.columns if _is_time(column)]
            if not times:
                continue
            keys = list(table.primary_key.columns)
            for row in connection.execute(sa.select(*keys, *times)).mappings().all():
                moved = {
                    column.name: iso(datetime.fromisoformat(row[column.name]) - timedelta(days=days))
                    for column in times
                    if row[column.name] is not None
                }
                if moved:
                    same = sa.and_(*(key == row[key.name] for key in keys))
                    connection.execute(table.update().where(same).values(moved))


def _is_time(column: sa.Column[object]) -> bool:
    """Times are text of 20 characters, and nothing else is."""
    return isinstance(column.type, sa.String) and column.type.length == 20 and column.name not in ("kind", "page")
