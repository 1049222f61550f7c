"""Opening ``people.db``, and what its parts need from it: transactions, keys, seconds.

SQLite in WAL mode, ``synchronous=FULL``: a recovery code that was accepted stays used after a power cut. What may be
lost (when a session was last seen) goes through a second engine that does not wait for the disk, so that a request
does not either. Many processes may have the file open: the command line beside ``up``. Writers begin with BEGIN
IMMEDIATE: what was read in a transaction that writes is still so when it writes.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import exc

from leadapron.guard.identity.kept import Kept
from leadapron.guard.identity.people.tables import VERSION, metadata
from leadapron.kernel.clock import Clock
from leadapron.kernel.errors import Failure
from leadapron.kernel.files import private_directory
from leadapron.kernel.paths import private_file
from leadapron.kernel.seal import Sealer, key_file

DATABASE: Final = "people.db"
KEY: Final = "guard.key"
THROTTLE: Final = "throttle"
BUSY_TIMEOUT_S: Final = 10.0
NOTE_TIMEOUT_S: Final = 0.05
"""A note is made in the middle of a request and not worth waiting for."""


class Store:
    """``sealer`` seals what must be read again; ``digest`` hashes what only has to be recognised."""

    def __init__(self, home: Path, clock: Clock) -> None:
        private_directory(home)
        key = key_file(home / KEY)
        self.clock = clock
        self.sealer = Sealer(key, "people")
        self.throttle = Kept(home / THROTTLE, key, "throttle")
        self._signing = HKDF(hashes.SHA256(), 32, salt=None, info=b"people: recognise").derive(key)
        self._file = home / DATABASE
        private_file(self._file)
        self._engine = _engine(self._file, "FULL", BUSY_TIMEOUT_S)
        self._soft = _engine(self._file, "NORMAL", NOTE_TIMEOUT_S)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()
        self._soft.dispose()

    def now(self) -> int:
        """Seconds since 1970, by the clock that tests can hold."""
        return int(self.clock.now().timestamp())

    def digest(self, purpose: str, secret: str | bytes) -> bytes:
        """HMAC-SHA-256 under a key that is not in the database, one space for each purpose: 32 octets."""
        data = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
        return hmac.digest(self._signing, purpose.encode() + b"\0" + data, sha256)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._failures(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock and is on stable storage afterwards."""
        with self._failures(), self._engine.execution_options(immediate=True).begin() as connection:
            yield connection

    @contextmanager
    def note(self) -> Iterator[sa.Connection]:
        """A transaction that a power cut may undo, and that is left out where another process is writing."""
        with suppress(exc.OperationalError), self._soft.execution_options(immediate=True).begin() as connection:
            yield connection

    def _prepare(self) -> None:
        with self.write() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if found == 0:
                metadata.create_all(connection)
                connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
            elif found != VERSION:
                raise Failure(
                    f"{self._file} was written by another Lead Apron (its tables are version {found}, ours {VERSION}): "
                    "update leadapron"
                )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """The one seam at which the database's errors become ours."""
        try:
            yield
        except exc.DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorname", type(error.orig).__name__)
            raise Failure(
                f"{self._file}: SQLite answered {code}. Look at the disk's space and the file's permissions; what was "
                "done before stands"
            ) from error
        except exc.TimeoutError as error:
            raise Failure(f"{self._file}: too much at once; it works again by itself") from error


def _engine(file: Path, synchronous: str, patience_s: float) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(file)),
        connect_args={"timeout": patience_s},
        pool_timeout=BUSY_TIMEOUT_S,
        hide_parameters=True,
    )

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; see ``begin``
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "begin", begin)
    return engine
