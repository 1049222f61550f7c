"""Scans and sightings as they are written and read back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec import structs

from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.measure.record import ExposedTotal, Summary
from leadapron.watch.track.process import still_runs, this_process
from leadapron.watch.track.rows import AbsenceRow, ScanStart, sighting_row
from leadapron.watch.track.store import Store
from leadapron.watch.track.tables import absences, scans, sightings
from sightings import exposed, other

START = ScanStart(
    targets=("127.1.0.0/24", "127.2.0.1"),
    options={"ports": [104, 11112], "depth": "count", "rate": 500.0},
    seed=2**62 + 1,
    authorised_by="A. Person, head of imaging",
    scope={"until": "2027-01-01", "contact": "security@hospital.example"},
)
SUMMARY = Summary(256, {"exposed": 3, "closed": 1260}, 3, ExposedTotal(3100, 4203, 120311, False), 12.3)


class HeldClock:
    def monotonic(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 20, 0, 0, tzinfo=UTC)


@pytest.fixture
def store(location: str) -> Iterator[Store]:
    with Store.open(location, HeldClock()) as opened:
        yield opened


def test_a_scan_comes_back_as_it_was_begun(store: Store) -> None:
    number = store.begin_scan(START)
    scan = store.scan(number)
    assert scan.start == START
    assert (scan.state, scan.started_at, scan.finished_at) == ("running", "2026-11-21T20:00:00Z", None)
    assert (scan.position, scan.tally, scan.summary) == (0, {}, None)


def test_a_finished_scan_has_its_summary(store: Store) -> None:
    number = store.begin_scan(START)
    store.finish(number, "done", SUMMARY)
    scan = store.scan(number)
    assert (scan.state, scan.finished_at, scan.summary) == ("done", "2026-11-21T20:00:00Z", SUMMARY)


def test_scans_are_listed_newest_first(store: Store) -> None:
    assert store.latest() is None
    assert store.scans() == []
    first, second = store.begin_scan(START), store.begin_scan(START)
    assert [scan.id for scan in store.scans()] == [second, first]
    latest = store.latest()
    assert latest is not None and latest.id == second


def test_an_unknown_scan_is_the_users_mistake(store: Store) -> None:
    with pytest.raises(UsageError, match="there is no scan 7"):
        store.scan(7)


def test_sightings_come_back_whole_and_in_order(store: Store) -> None:
    # More than one page of the iterator, and of two scans at once.
    mine, others = store.begin_scan(START), store.begin_scan(START)
    pairs = [exposed(n) if n % 3 else other(n) for n in range(1203)]
    for pair in pairs:
        store.append(mine, [sighting_row(*pair)], None, None)
    store.append(others, [sighting_row(*exposed(9))], None, None)
    assert [(s.measurement, s.record) for s in store.sightings(mine)] == pairs
    assert list(store.records(mine)) == [record for _, record in pairs]
    assert store.verdicts() == {mine: {"exposed": 802, "other": 401}, others: {"exposed": 1}}


def test_the_columns_say_what_the_record_says(store: Store, engine: sa.Engine) -> None:
    number = store.begin_scan(START)
    store.append(number, [sighting_row(*exposed(5)), sighting_row(*other(6))], None, None)
    with engine.connect() as connection:
        query = sa.select(*[c for c in sightings.c if c.name not in ("measurement", "record")]).order_by("id")
        rows = [tuple(row) for row in connection.execute(query)]
    at = "2026-11-21T20:00:00Z"
    assert rows == [
        (1, number, "127.0.0.5", 11112, "tcp", "dicom", "exposed", 1503, 48211, 1200, True, at, None),
        (2, number, "127.0.0.6", 104, "tcp", "http", "other", None, None, None, None, at, None),
    ]


def test_the_database_refuses_closed_endpoints(store: Store) -> None:
    number = store.begin_scan(START)
    with pytest.raises(Failure):
        store.append(number, [sighting_row(*other(1, "closed"))], 10, None)
    assert store.scan(number).position == 0, "one transaction: the position did not move either"


@pytest.mark.parametrize("ended", ["stopped", "failed", None])
def test_a_scan_that_did_not_end_can_be_resumed(store: Store, ended: str | None) -> None:
    number = store.begin_scan(START)
    store.append(number, [sighting_row(*exposed(5)), sighting_row(*other(6))], 42, {"closed": 17})
    if ended == "stopped":
        store.finish(number, "stopped", SUMMARY)
    elif ended == "failed":
        store.finish(number, "failed")
    resume = store.resumable(["127.1.0.0/24", "127.2.0.1"])
    assert resume is not None
    assert resume.scan.id == number
    assert (resume.scan.position, resume.scan.tally, resume.scan.start.seed) == (42, {"closed": 17}, 2**62 + 1)
    assert resume.recorded == {("127.0.0.5", 11112), ("127.0.0.6", 104)}
    store.take_up(number)
    assert store.scan(number).state == "running"


def test_absences_are_kept_and_not_looked_for_again(store: Store, engine: sa.Engine) -> None:
    number = store.begin_scan(START)
    gone: list[AbsenceRow] = [
        {"address": "127.0.0.7", "port": 104, "error": "ECONNREFUSED", "observed_at": "2026-11-21T20:00:00Z"}
    ]
    store.append(number, [sighting_row(*exposed(5), door=("::1", 104))], 2, {"closed": 1}, gone)
    with engine.connect() as connection:
        assert connection.execute(sa.select(absences)).mappings().one() == {"id": 1, "scan_id": number, **gone[0]}
        assert connection.execute(sa.select(sightings.c.archive)).scalar() == "[::1]:104"
    resume = store.resumable(START.targets)
    assert resume is not None and resume.recorded == {("127.0.0.5", 11112), ("127.0.0.7", 104)}


def test_rounds_of_a_campaign_are_found_by_its_name(store: Store) -> None:
    own = structs.replace(START, campaign="city")
    first, _, last = store.begin_scan(own), store.begin_scan(START), store.begin_scan(own)
    assert [scan.id for scan in store.rounds("city")] == [last, first]
    assert [scan.id for scan in store.rounds("city", 1)] == [last]
    assert store.rounds("village") == []
    resume = store.resumable(START.targets, "city")
    assert resume is not None and resume.scan.id == last
    resume = store.resumable(START.targets)
    assert resume is not None and resume.scan.id == last - 1, "somebody's own scan is not a round"


def test_done_scans_and_other_targets_are_not_resumed(store: Store) -> None:
    store.finish(store.begin_scan(START), "done", SUMMARY)
    assert store.resumable(START.targets) is None
    store.begin_scan(START)
    assert store.resumable(["127.2.0.1", "127.1.0.0/24"]) is None
    assert store.resumable(["127.1.0.0/24"]) is None


def test_a_scan_that_another_process_runs_is_left_alone(store: Store, engine: sa.Engine) -> None:
    number = store.begin_scan(START)
    running = subprocess.Popen(["sleep", "60"])
    try:
        host, _, _ = this_process().partition(" ")
        stat = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
        mark = f"{host} {running.pid} {stat[19]}"
        assert still_runs(mark) == running.pid
        with engine.begin() as connection:
            connection.execute(scans.update().values(process=mark))
        with pytest.raises(UsageError, match=f"still runs, as process {running.pid}"):
            store.resumable(START.targets)
        # Who asked before it ran finds out when they would begin.
        with pytest.raises(UsageError, match=f"still runs, as process {running.pid}"):
            store.take_up(number)
        with engine.begin() as connection:
            connection.execute(scans.update().values(campaign="town"))
        with pytest.raises(UsageError, match=f"still runs, as process {running.pid}"):
            store.begin_scan(structs.replace(START, campaign="town"))
        assert len(store.scans()) == 1
        assert store.begin_scan(structs.replace(START, campaign="other")) > number
    finally:
        running.kill()
        running.wait()
    assert still_runs(mark) is None
    resume = store.resumable(START.targets, "town")
    assert resume is not None and resume.scan.id == number
    store.take_up(number)
    assert store.scan(number).process == this_process()
    store.finish(number, "done", SUMMARY)
    with pytest.raises(UsageError, match="has ended scan"):
        store.take_up(number)


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
def test_a_scan_that_another_machine_runs_is_left_alone(store: Store, engine: sa.Engine, location: str) -> None:
    """Whose processes cannot be looked at; the database knows who is connected."""
    town = structs.replace(START, campaign="town")
    with Store.open(location) as there:
        number = there.begin_scan(town)
        with engine.begin() as connection:
            connection.execute(scans.update().values(process="elsewhere 1 5"))
        for begin in (lambda: store.begin_scan(town), lambda: store.take_up(number)):
            with pytest.raises(UsageError, match=f"scan {number} of these targets still runs, on 'elsewhere'"):
                begin()
        there.append(number, [sighting_row(*exposed(5))], 1, None)
    store.take_up(number)
    assert store.scan(number).process == this_process()
    with Store.open(location) as there, pytest.raises(UsageError, match="still runs"):
        there.take_up(number)


@pytest.mark.parametrize(
    "mark",
    [None, "", "elsewhere 1 5", "nonsense", pytest.param(f"{this_process()}0", id="this host, begun at another time")],
)
def test_what_is_not_this_hosts_process_does_not_run(mark: str | None) -> None:
    # The last one is our number with another start: the number was used again.
    assert still_runs(mark) is None


def test_a_row_changed_by_hand_is_a_failure_that_says_so(store: Store, engine: sa.Engine) -> None:
    number = store.begin_scan(START)
    store.append(number, [sighting_row(*exposed(5))], None, None)
    with engine.begin() as connection:
        connection.execute(sightings.update().values(record='{"type":"endpoint"'))
    with pytest.raises(Failure, match="changed by hand"):
        list(store.records(number))


def test_a_report_can_be_read_while_a_scan_writes(store: Store, location: str) -> None:
    number = store.begin_scan(START)
    store.append(number, [sighting_row(*exposed(n)) for n in range(700)], None, None)
    with Store.open(location) as second:
        reading = second.records(number)
        next(reading)
        store.append(number, [sighting_row(*exposed(n)) for n in range(700, 800)], None, None)
        assert sum(1 for _ in reading) == 799
