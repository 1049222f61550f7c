"""A transaction that nobody else of its kind shares: where what is counted decides what is written.

PostgreSQL has advisory locks for that, held until the transaction ends. SQLite has one writer, so a statement that
would write makes this transaction the writer; it must be its first, since a reader that turns writer may be told to
begin again.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from leadapron.watch.track.tables import notices

OURS: Final = 0x4C41  # the first half of the lock's number, apart from other programs in the same database


def alone(connection: sa.Connection, lock: int) -> None:
    """Wait until nobody else holds this lock, and hold it until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(OURS, lock)))
    else:
        connection.execute(notices.update().where(sa.false()).values(tries=notices.c.tries))
