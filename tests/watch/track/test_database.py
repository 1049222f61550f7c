"""Opening: migrations, what it costs, and every way in which a database can be unusable."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from leadapron.kernel.errors import Failure, LeadApronError, UsageError
from leadapron.watch.track import database, migrations
from leadapron.watch.track.store import Store
from leadapron.watch.track.tables import HEAD, metadata

NOBODY = 65534


def python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_migrations_make_the_tables_that_the_code_knows(tmp_path: Path) -> None:
    engine = database._engine(tmp_path)
    database.migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        # Comparison does not look at checks, so they are compared by what the database says they are.
        made = _checks(connection)
    engine.dispose()
    fresh = sa.create_engine("sqlite://")
    with fresh.connect() as connection:
        metadata.create_all(connection)
        assert made == _checks(connection) != {}


def _checks(connection: sa.Connection) -> dict[str, str]:
    inspector = sa.inspect(connection)
    return {str(c["name"]): c["sqltext"] for table in metadata.tables for c in inspector.get_check_constraints(table)}


def test_head_is_the_newest_revision() -> None:
    directory = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert directory.get_current_head() == HEAD
    assert directory.get_bases() == ["0001"]


def test_an_empty_or_current_database_opens_without_alembic(tmp_path: Path) -> None:
    program = (
        "import sys; from leadapron.watch.track.store import Store; Store.open(sys.argv[1]).close();"
        "print('alembic' in sys.modules)"
    )
    for _ in range(2):
        assert python(program, tmp_path).stdout == "False\n"


def test_the_file_is_for_its_owner_and_durable(tmp_path: Path) -> None:
    with Store.open(tmp_path / "new" / "data") as store:
        file = tmp_path / "new" / "data" / "leadapron.sqlite"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        with store._engine.connect() as connection:
            settings = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "page_size")
            ]
    assert settings == ["wal", 2, 1, 16384]


def test_several_that_open_an_empty_database_at_once_all_succeed(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        program = "import sys; from leadapron.watch.track.store import Store; print(Store.open(sys.argv[1]).scans())"
        runs = list(pool.map(lambda _: python(program, tmp_path), range(4)))
    assert [(run.stdout, run.stderr) for run in runs] == [("[]\n", "")] * 4


def test_an_empty_database_gets_what_the_migrations_make(tmp_path: Path) -> None:
    made = []
    for directory, bring in ((tmp_path / "a", database.create), (tmp_path / "b", database.migrate)):
        engine = database._engine(directory)
        bring(engine)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT type, name FROM sqlite_master ORDER BY type, name").all()
            made.append(([tuple(row) for row in rows], database._version(engine)))
        engine.dispose()
    assert made[0] == made[1]


@pytest.mark.parametrize("bring", [database.create, database.migrate])
def test_tables_that_break_while_they_are_made_leave_nothing_behind(
    bring: Callable[[sa.Engine], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        if "CREATE INDEX" in statement:
            raise sqlite3.OperationalError("as if the machine had stopped")

    engine = database._engine(tmp_path)
    sa.event.listen(engine, "before_cursor_execute", stopped)
    with pytest.raises((sa.exc.DBAPIError, sqlite3.OperationalError)):
        bring(engine)
    engine.dispose()
    with sqlite3.connect(tmp_path / "leadapron.sqlite") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    Store.open(tmp_path).close()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "leadapron.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Failure, match=r"newer Lead Apron.*Update leadapron"):
        Store.open(tmp_path)


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "leadapron.sqlite"
    file.write_bytes(b"a letter, not a database\n" * 100)
    with pytest.raises(Failure, match=r"leadapron\.sqlite: this is no SQLite database"):
        Store.open(tmp_path)
    assert file.read_bytes().startswith(b"a letter")


def test_a_damaged_database_says_so(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    file = tmp_path / "leadapron.sqlite"
    content = bytearray(file.read_bytes())
    content[100:] = b"\xff" * (len(content) - 100)
    file.write_bytes(content)
    with pytest.raises(Failure, match=r"damaged|no SQLite database"):
        Store.open(tmp_path)


@pytest.mark.parametrize("what", ["directory", "database"])
def test_where_nothing_may_be_written_the_message_says_what_to_do(tmp_path: Path, what: str) -> None:
    place = tmp_path / "data"
    if what == "database":
        Store.open(place).close()
        (place / "leadapron.sqlite").chmod(0o444)
    else:
        place.mkdir()
    place.chmod(0o555)
    for above in (tmp_path, *tmp_path.parents):  # the user nobody has to get there
        if above.stat().st_uid == os.getuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o111)
    program = (
        "import os, sys\n"
        "from leadapron.watch.track.store import Store\n"
        "from leadapron.watch.track import database\n"
        "from leadapron.watch.track.rows import ScanStart\n"
        f"if os.getuid() == 0: os.setuid({NOBODY})\n"
        "try: Store.open(sys.argv[1]).begin_scan(ScanStart(('a',), {}, 1))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    run = python(program, place)
    assert re.match(r"Failure .*leadapron\.sqlite.*--data DIR$", run.stdout), (run.stdout, run.stderr)


def test_a_data_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(Failure, match="cannot make the data directory"):
        Store.open(tmp_path / "data")


@pytest.mark.parametrize(
    ("url", "kind", "says"),
    [
        ("postgres@nowhere://", UsageError, "cannot be read"),
        ("oracel://host/name", UsageError, "no database is called oracel"),
        ("postgresql+pg8000://user:hunter2@127.0.0.1/x", UsageError, "pip install pg8000"),
        ("sqlite:////nonexistent/place/x.sqlite", Failure, "cannot be opened or created"),
    ],
)
def test_urls_that_cannot_be_used(url: str, kind: type[LeadApronError], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        Store.open(url)
    assert "hunter2" not in str(caught.value)


def test_a_url_opens_the_database_that_it_names(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/elsewhere.sqlite").close()
    assert (tmp_path / "elsewhere.sqlite").exists()


class _Died(Exception):
    """What a driver raises when its server has gone; the text quotes a row, as PostgreSQL's DETAIL does."""


def test_a_servers_own_words_do_not_get_into_a_message() -> None:
    engine = sa.create_engine("sqlite://")
    with pytest.raises(Failure) as caught, database.failures(engine):
        raise sa.exc.OperationalError("SELECT", {}, _Died("DETAIL: failing row contains (Meier)"))
    assert "Meier" not in str(caught.value)
    assert "_Died" in str(caught.value)


def test_no_password_stands_in_a_message() -> None:
    engine = sa.create_engine("postgresql+psycopg://u:SECRET@h/d?password=SECRET&sslpassword=SECRET&sslmode=require")
    assert database.name(engine) == "postgresql+psycopg://u:***@h/d?sslmode=require"
