"""Opening ``identity.db``: SQLite in WAL mode, so that the command line can write while the guard reads.

A commit that returned is on stable storage (``synchronous=FULL``): a revocation must survive a power cut. Whoever
writes begins with ``BEGIN IMMEDIATE`` (`writing`), so that what it read holds when it writes: that is what makes a code
redeemable once, whoever else tries in that moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc

from leadapron.guard.identity.tables import VERSION, metadata
from leadapron.kernel.errors import Failure
from leadapron.kernel.files import private_directory
from leadapron.kernel.paths import private_file

DATABASE: Final = "identity.db"
BUSY_S: Final = 10.0


class Database:
    """The open file. Good for use from several threads, and beside other processes."""

    def __init__(self, home: Path) -> None:
        self.file = private_directory(home) / DATABASE
        private_file(self.file)
        url = sa.URL.create("sqlite", database=str(self.file))
        self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_S}, hide_parameters=True)
        sa.event.listen(self._engine, "connect", _connected)
        sa.event.listen(self._engine, "begin", _begin)
        self._writer = self._engine.execution_options(immediate=True)
        with self.reading() as connection:
            ready = self._version(connection) == VERSION
        if not ready:
            with self.writing() as connection:
                self._prepare(connection)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A snapshot. Raises `Failure` where the database does not do what it should."""
        with self._failures(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that nobody else writes beside; committed at the end, rolled back by an exception."""
        with self._failures(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _prepare(self, connection: sa.Connection) -> None:
        version = self._version(connection)
        if version > VERSION:
            raise Failure(f"{self.file} was written by a newer Lead Apron than this one: update leadapron")
        if version == 0:
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")

    def _version(self, connection: sa.Connection) -> int:
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorname", None) or type(error.orig).__name__
            raise Failure(
                f"{self.file} does not do what it should ({code}): see its permissions, the space on its disk, and "
                "whether another process holds it; else restore it from a backup"
            ) from error


def _connected(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN means BEGIN, see `_begin`
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")
