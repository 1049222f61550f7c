"""From the first release's database, with data in it, to the newest: nothing is lost, and all can be folded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.record import encoded
from leadapron.watch.track import database, migrations
from leadapron.watch.track.exposures.compare import compare
from leadapron.watch.track.exposures.fold import fold_all, unfolded
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.store import Store
from leadapron.watch.track.tables import metadata
from sightings import archive, exact, web

FIRST = "0001"


@pytest.fixture
def empty(location: str) -> Iterator[str]:
    """A database without tables, on either."""
    engine = sa.create_engine(location)
    with engine.begin() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        found.drop_all(connection)
    engine.dispose()
    yield location


def to_first(location: str) -> sa.Engine:
    """The tables as the first release made them: by its own migration."""
    engine = database._engine(location)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, FIRST)
    return engine


SCAN = sa.text(
    "INSERT INTO scans (started_at, finished_at, state, targets, options, seed, position, tally) "
    "VALUES (:at, :at, 'done', :targets, :options, 5, 2, :tally)"
)
SIGHTING = sa.text(
    "INSERT INTO sightings (scan_id, address, port, transport, service, verdict, studies, images, patients, complete, "
    "observed_at, measurement, record) VALUES (:scan, :address, :port, 'tcp', :service, :verdict, :studies, :images, "
    ":patients, :complete, :at, :measurement, :record)"
)


def fill(engine: sa.Engine) -> None:
    """Two scans: an archive that grew, one that closed, a web server."""
    rounds = [
        ("2026-10-01T02:30:00Z", [archive(1, exact(500)), archive(2, exact(700)), web(3)]),
        ("2026-11-01T02:30:00Z", [archive(1, exact(900)), web(3)]),
    ]
    with engine.begin() as connection:
        for number, (at, seen) in enumerate(rounds, 1):
            connection.execute(
                SCAN, {"at": at, "targets": '["127.0.0.0/24"]', "options": "{}", "tally": '{"closed":7}'}
            )
            for measurement in seen:
                dated = msgspec.structs.replace(measurement, observed_at=at)
                record = judged(dated)
                exposed = record.exposed
                connection.execute(
                    SIGHTING,
                    {
                        "scan": number,
                        "address": record.address,
                        "port": record.port,
                        "service": record.service,
                        "verdict": record.verdict,
                        "studies": exposed.studies if exposed else None,
                        "images": exposed.images if exposed else None,
                        "patients": exposed.patients if exposed else None,
                        "complete": exposed.complete if exposed else None,
                        "at": at,
                        "measurement": msgspec.json.encode(dated).decode(),
                        "record": encoded(record),
                    },
                )


def test_the_first_releases_database_goes_up_with_its_data(empty: str) -> None:
    engine = to_first(empty)
    fill(engine)
    with engine.connect() as connection:
        before = [tuple(row) for row in connection.execute(sa.text("SELECT * FROM sightings ORDER BY id"))]
        assert not sa.inspect(connection).has_table("exposures")
    engine.dispose()
    with Store.open(empty) as store:
        assert [scan.tally for scan in store.scans()] == [{"closed": 7}, {"closed": 7}]
        assert [len(list(store.records(number))) for number in (1, 2)] == [3, 2]
    engine = database.open_engine(empty)
    with engine.connect() as connection:
        columns = ", ".join(column.name for column in metadata.tables["sightings"].c if column.name != "archive")
        after = [tuple(row) for row in connection.execute(sa.text(f"SELECT {columns} FROM sightings ORDER BY id"))]
        assert after == before
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert unfolded(engine) == [1, 2]
    engine.dispose()


def test_what_the_first_release_saved_can_be_folded_and_compared(empty: str) -> None:
    engine = to_first(empty)
    fill(engine)
    engine.dispose()
    fold_all(empty)
    engine = database.open_engine(empty)
    read = Exposures(engine)
    assert [(event.kind, event.studies) for event in read.since(0)] == [("opened", 500), ("opened", 700), ("grew", 900)]
    assert {one.last_open for one in read.find()[0]} == {"2026-10-01T02:30:00Z", "2026-11-01T02:30:00Z"}
    changes, both = compare(engine, 1, 2)
    assert [(one.what, one.address) for one in changes] == [("grew", "127.0.0.1"), ("unseen", "127.0.0.2")]
    assert both.unchanged == 0
    engine.dispose()
