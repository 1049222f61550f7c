"""Opening the database: the engine, its settings, the newest tables, and errors that say what to do.

SQLite runs in WAL mode, so that a report can read while a scan writes, and with ``synchronous=FULL``: a commit that
returned is on stable storage (invariant 6), which costs one flush for a batch, not one for a row. The driver is set to
open no transactions of its own, so that BEGIN means BEGIN; without that a migration would not be one transaction.

Alembic costs half a second to import, so the version is looked up first and alembic is only called for a database that
is older than we are. An empty one gets the newest tables at once (a test holds them equal to what the migrations make).
Two processes that open an empty database together both try; the one that comes second fails, looks again, finds the
newest version and goes on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc

from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.paths import DATABASE, data_dir, private_file
from leadapron.watch.track.tables import HEAD, metadata


class DatabaseFailure(Failure):
    """The database failed; what was asked of it may be asked again when it is back. Nothing of it has happened, but
    where the connection ended while a transaction was being committed: that one may have."""


BUSY_TIMEOUT_S = 15.0  # how long we wait for another process that writes; WAL writers hold the lock for milliseconds
LINE: Final = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
"""To PostgreSQL: a network that swallows everything is noticed within half a minute (libpq, §34.1.2)."""
_SECRET = ("password", "sslpassword")  # libpq takes them behind the question mark as well


def open_engine(location: str | Path) -> sa.Engine:
    """Open the database at ``location``, a data directory or an SQLAlchemy URL, and bring its tables up to date.

    Raises ``UsageError`` for a URL that cannot be used, ``Failure`` where the database cannot be opened, is damaged, or
    was written by a newer Lead Apron.
    """
    engine = _engine(location)
    try:
        with failures(engine):
            version = _version(engine)
            if version is None:
                create(engine)
            elif version != HEAD:
                migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _engine(location: str | Path) -> sa.Engine:
    if isinstance(location, Path) or "://" not in location:
        file = data_dir(location) / DATABASE
        private_file(file)
        url = sa.URL.create("sqlite", database=str(file))
    else:
        try:
            url = sa.make_url(location)
        except exc.ArgumentError:
            raise UsageError(
                "the database URL cannot be read; one looks like postgresql+psycopg://user:password@host/name"
            ) from None
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any] = {}
    if sqlite:
        arguments["timeout"] = BUSY_TIMEOUT_S
    elif url.get_backend_name() == "postgresql":
        arguments |= LINE
    try:
        engine = sa.create_engine(url, connect_args=arguments, hide_parameters=True, pool_pre_ping=not sqlite)
    except exc.NoSuchModuleError:
        raise UsageError(
            f"no database is called {url.drivername}; use sqlite:///FILE or postgresql+psycopg://…"
        ) from None
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the database URL wants the driver {error.name}, which is not installed: pip install {error.name}"
        ) from None
    if sqlite:
        sa.event.listen(engine, "connect", _sqlite_connected)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _sqlite_connected(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; see ``_begin``
    # A sighting is 2 kB: seven fit a page of 16 KiB, one a page of the default 4 KiB. Only a new file takes the size.
    for pragma in ("page_size=16384", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _version(engine: sa.Engine) -> str | None:
    """The revision that the database has, or None for an empty one."""
    with engine.connect() as connection:
        if not connection.dialect.has_table(connection, "alembic_version"):
            return None
        value = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return None if value is None else str(value)


def create(engine: sa.Engine) -> None:
    """The newest tables in an empty database, in one transaction, marked as alembic would mark them."""
    mark = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    try:
        with engine.begin() as connection:
            mark.create(connection)
            metadata.create_all(connection)
            connection.execute(mark.insert().values(version_num=HEAD))
    except exc.DBAPIError:
        if _version(engine) != HEAD:  # else another process was faster
            raise


def migrate(engine: sa.Engine) -> None:
    """Bring the tables to ``HEAD`` in one transaction. Raises ``Failure`` where the database is ahead of us."""
    from alembic import command, util
    from alembic.config import Config

    config = Config()
    # '%' is an interpolation mark in alembic's configuration.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with engine.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)
    except exc.DBAPIError:
        if _version(engine) != HEAD:  # else another process was faster
            raise
    except util.CommandError as error:
        raise Failure(
            f"{name(engine)} was written by a newer Lead Apron than this one. Update leadapron, or choose another "
            "data directory with --data DIR"
        ) from error


def name(engine: sa.Engine) -> str:
    """How the database is called in messages: the file, or the URL without its passwords."""
    if engine.url.get_backend_name() == "sqlite":
        return engine.url.database or "the SQLite database in memory"
    return engine.url.difference_update_query(_SECRET).render_as_string(hide_password=True)


@contextmanager
def failures(engine: sa.Engine) -> Iterator[None]:
    """The one seam at which the database's errors become ours, with what to do next."""
    try:
        yield
    except exc.DBAPIError as error:
        raise DatabaseFailure(f"{name(engine)}: {_advice(error)}") from error
    except OSError as error:
        raise DatabaseFailure(f"{name(engine)}: {error.strerror or type(error).__name__}") from error


# SQLite's primary result codes, https://www.sqlite.org/rescode.html
_SQLITE_ADVICE = {
    "SQLITE_FULL": "the disk is full. Free some space; what was committed is safe",
    "SQLITE_IOERR": "the disk gives errors on reading or writing. Look at its space and health; what was committed is "
    "safe as far as the disk is",
    "SQLITE_READONLY": "it may not be written. Mend the permissions of the file and its directory, or choose another "
    "one: --data DIR",
    "SQLITE_CANTOPEN": "it cannot be opened or created. Mend the permissions of the file and its directory, or choose "
    "another one: --data DIR",
    "SQLITE_BUSY": f"another process has held it for {BUSY_TIMEOUT_S:g} s. Wait for that one to end, then try again",
    "SQLITE_LOCKED": "another connection holds it. Wait for that one to end, then try again",
    "SQLITE_NOTADB": "this is no SQLite database. Move it away, or choose another directory: --data DIR",
    "SQLITE_CORRUPT": "the database is damaged. Restore it from a backup, or move it away and scan again",
}


def _advice(error: exc.DBAPIError) -> str:
    code = getattr(error.orig, "sqlite_errorname", None)
    if isinstance(code, str):
        for primary, advice in _SQLITE_ADVICE.items():
            if code.startswith(primary):  # extended codes begin with the primary one: SQLITE_IOERR_WRITE
                return advice
        return f"SQLite answered {code}"
    # A server's message may quote values, so only its class is passed on.
    what = type(error.orig).__name__
    return f"the database server did not do what it was asked ({what}). See that it runs and that we may log in"
