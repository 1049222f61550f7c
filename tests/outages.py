"""Databases that are away for a while, as they really go: locked by another process, or not to be connected to."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


def impatient(engine: sa.Engine, seconds: float = 0.1) -> sa.Engine:
    """The same SQLite database, whose locks are waited for no longer than this; PostgreSQL as it is."""
    if engine.dialect.name == "sqlite":

        def connected(connection: sqlite3.Connection, _: Any) -> None:
            connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

        sa.event.listen(engine, "connect", connected)
        engine.dispose()
    return engine


@contextmanager
def away(engine: sa.Engine) -> Iterator[None]:
    """Nobody can write to it, and on PostgreSQL all connections have ended, as when the server is restarted."""
    if engine.dialect.name == "sqlite":
        with contextlib.closing(sqlite3.connect(str(engine.url.database), isolation_level=None)) as locking:
            locking.execute("BEGIN IMMEDIATE")
            yield
            locking.execute("ROLLBACK")
        return
    admin = sa.create_engine(engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    name = engine.url.database
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        cut(engine)
        yield
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def cut(engine: sa.Engine, only: str = "") -> int:
    """End all of PostgreSQL's connections to this database, or those of applications named so; how many there were."""
    admin = sa.create_engine(engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    query = sa.text(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = :name AND application_name LIKE :only"
    )
    with admin.connect() as connection:
        return len(connection.execute(query, {"name": engine.url.database, "only": f"{only}%"}).all())
