"""The writer: what is acknowledged is there, whatever happens next."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from leadapron.kernel.errors import Failure
from leadapron.watch.measure.record import ExposedTotal, Summary
from leadapron.watch.track import writer as writing
from leadapron.watch.track.rows import ScanStart
from leadapron.watch.track.store import Store
from leadapron.watch.track.tables import absences, sightings
from leadapron.watch.track.writer import Writer
from sightings import address, exposed, other

START = ScanStart(("127.1.0.0/24",), {}, 1)
SUMMARY = Summary(256, {"exposed": 3, "closed": 1260}, 3, ExposedTotal(3100, 4203, 120311, False), 12.3)
TESTS = Path(__file__).parents[2]


def test_what_is_put_is_there_after_finish(location: str) -> None:
    pairs = [exposed(n) for n in range(1700)]
    with Writer(location, START) as writer:
        for pair in pairs:
            writer.put(*pair)
        writer.checkpoint(1700, {"closed": 3})
        writer.finish("done", SUMMARY)
        assert writer.saved == 1700
    with Store.open(location) as store:
        scan = store.scan(writer.scan_id)
        assert (scan.state, scan.summary, scan.position, scan.tally) == ("done", SUMMARY, 1700, {"closed": 3})
        assert list(store.records(scan.id)) == [record for _, record in pairs]


def test_closed_endpoints_are_not_saved(location: str) -> None:
    with Writer(location, START) as writer:
        writer.put(*other(1, "closed"))
        writer.put(*other(2, "silent"))
        writer.finish("done")
    with Store.open(location) as store:
        assert [record.address for record in store.records(writer.scan_id)] == ["127.0.0.2"]


def test_absences_go_the_same_way(location: str, engine: sa.Engine) -> None:
    with Writer(location, START) as writer:
        writer.put(*exposed(1), ("127.0.0.9", 104))
        writer.absent("127.0.0.2", 104, "ETIMEDOUT", "2026-11-21T20:00:00Z")
        writer.flush()
        writer.absent("127.0.0.3", 104, "ECONNREFUSED", "2026-11-21T20:00:00Z")
        writer.finish("done")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(absences.c.address, absences.c.error).order_by(absences.c.id)).all()
        assert connection.execute(sa.select(sightings.c.archive)).scalar() == "127.0.0.9:104"
    assert [tuple(row) for row in rows] == [("127.0.0.2", "ETIMEDOUT"), ("127.0.0.3", "ECONNREFUSED")]


def test_flush_returns_when_it_is_on_disk(location: str) -> None:
    with Writer(location, START) as writer:
        for n in range(3):
            writer.put(*exposed(n))
            writer.flush()
            assert writer.saved == n + 1
            with Store.open(location) as store:
                assert len(list(store.records(writer.scan_id))) == n + 1
        writer.checkpoint(99)
        writer.flush()
        writer.flush()  # nothing to do
        with Store.open(location) as store:
            assert store.scan(writer.scan_id).position == 99


def test_sightings_are_saved_without_being_asked_for(location: str) -> None:
    appended = threading.Event()

    class Watched(Store):
        def append(self, *arguments: object) -> None:
            super().append(*arguments)  # type: ignore[arg-type]
            appended.set()

    with Writer(lambda: Watched.open(location), START) as writer:
        writer.put(*exposed(1))
        assert appended.wait(10)


def test_a_scan_is_taken_up_where_it_was_left(location: str) -> None:
    with Writer(location, START) as writer:
        writer.put(*exposed(1))
        writer.checkpoint(1)
        first = writer.scan_id
        writer.finish("stopped")
    with Writer(location, first) as writer:
        assert writer.scan_id == first
        writer.put(*exposed(2))
        writer.finish("done", SUMMARY)
    with Store.open(location) as store:
        assert [record.address for record in store.records(first)] == ["127.0.0.1", "127.0.0.2"]
        assert len(store.scans()) == 1


def test_closing_without_finish_leaves_the_scan_to_be_resumed(location: str) -> None:
    with Writer(location, START) as writer:
        writer.put(*exposed(1))
        writer.checkpoint(8)
    with Store.open(location) as store:
        resume = store.resumable(START.targets)
    assert resume is not None
    assert (resume.scan.state, resume.scan.position, len(resume.recorded)) == ("running", 8, 1)
    with pytest.raises(RuntimeError, match="closed"):
        writer.put(*exposed(2))


def test_starting_a_writer_imports_no_database(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from leadapron.watch.track.writer import Writer, ScanStart\n"
        "print([name for name in ('sqlalchemy', 'alembic') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"


# ---- when the database fails -----------------------------------------------------------------------------------------


class Filling(Store):
    """A store on a disk that is full after a few more pages: SQLite's own limit gives its own SQLITE_FULL."""

    def begin_scan(self, start: ScanStart) -> int:
        number = super().begin_scan(start)
        # The limit belongs to a connection, so there shall be only this one.
        self._engine.dispose()

        def limit(connection: object, _record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
            connection.execute(f"PRAGMA max_page_count={pages + 60}")  # type: ignore[attr-defined]

        from sqlalchemy import event

        event.listen(self._engine, "connect", limit)
        return number


def test_a_full_disk_ends_the_scan_with_advice_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    writer = Writer(lambda: Filling.open(tmp_path), START)
    acknowledged = 0
    with pytest.raises(Failure, match=r"leadapron\.sqlite: the disk is full\. Free some space") as caught:
        for n in range(5000):
            writer.put(*exposed(n))
            if n % 50 == 49:
                writer.checkpoint(n + 1)
                writer.flush()
                acknowledged = n + 1
    assert 100 <= acknowledged < 5000
    assert writer.saved == acknowledged
    assert writer.failure is caught.value
    for call in (writer.flush, writer.close, lambda: writer.finish("done"), lambda: writer.put(*exposed(1))):
        with pytest.raises(Failure, match="the disk is full"):
            call()
    with Store.open(tmp_path) as store:
        assert [r.address for r in store.records(1)] == [address(n) for n in range(acknowledged)]
        resume = store.resumable(START.targets)
    assert resume is not None and resume.scan.position == acknowledged


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from sightings import exposed
from leadapron.watch.track.store import Store
from leadapron.watch.track.writer import Writer, ScanStart
Store.open(sys.argv[1]).close()
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
writer = Writer(sys.argv[1], ScanStart(("127.1.0.0/24",), {}, 1))
try:
    for n in range(5000):
        writer.put(*exposed(n))
        if n % 50 == 49:
            writer.flush()
            print(n + 1, flush=True)
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_disk_that_takes_no_more_octets(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(TESTS)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *numbers, last = run.stdout.splitlines()
    assert last.startswith("DatabaseFailure "), run.stdout
    assert "the disk" in last and "what was committed is safe" in last, run.stdout
    with Store.open(tmp_path) as store:
        assert len(list(store.records(1))) == int(numbers[-1])


def test_a_database_that_cannot_be_opened_is_told_at_the_next_call(tmp_path: Path) -> None:
    (tmp_path / "leadapron.sqlite").write_bytes(b"not a database, really" * 100)
    writer = Writer(tmp_path, START)
    with pytest.raises(Failure, match="no SQLite database"):
        _ = writer.scan_id
    with pytest.raises(Failure, match="no SQLite database"):
        writer.put(*exposed(1))


def test_a_fault_of_our_own_is_a_failure_and_not_a_hang(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Store):
        def append(self, *_: object) -> None:
            raise KeyError("a bug")

    writer = Writer(lambda: Broken.open(tmp_path), START)
    writer.put(*exposed(1))
    with pytest.raises(Failure, match="fault of our own"):
        writer.flush()
    assert "KeyError" in caplog.text


def test_the_first_error_of_a_scan_is_the_one_that_is_heard(tmp_path: Path) -> None:
    class Broken(Store):
        def append(self, *_: object) -> None:
            raise Failure("the second error")

    with pytest.raises(ZeroDivisionError), Writer(lambda: Broken.open(tmp_path), START) as writer:
        writer.put(*exposed(1))
        _ = 1 / 0


def test_a_database_that_hangs_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "PATIENCE_S", 0.2)
    monkeypatch.setattr(writing, "QUEUE_ROWS", 10)
    going = threading.Event()
    taken = threading.Event()

    class Hung(Store):
        def append(self, *arguments: object) -> None:
            taken.set()
            going.wait(30)
            super().append(*arguments)  # type: ignore[arg-type]

    writer = Writer(lambda: Hung.open(tmp_path), START)
    writer.put(*exposed(0))
    assert taken.wait(30)
    with pytest.raises(Failure, match="has not saved what it was given"):
        writer.flush()
    for n in range(1, 11):
        writer.put(*exposed(n))
    with pytest.raises(Failure, match="has not taken a sighting"):
        writer.put(*exposed(11))
    with pytest.raises(Failure, match="has not saved"):
        writer.close()
    monkeypatch.setattr(writing, "PATIENCE_S", 60.0)
    going.set()
    writer.close()
    assert writer.saved == 11, "the one that was refused is not there, all others are"


# ---- kill -9 ---------------------------------------------------------------------------------------------------------

KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from sightings import exposed
from leadapron.watch.track.writer import Writer, ScanStart
writer = Writer(sys.argv[1], ScanStart(("127.1.0.0/24",), {}, 1))
n = 0
while True:
    for _ in range(70):
        writer.put(*exposed(n))
        n += 1
    writer.checkpoint(n)
    if n % 210 == 0:
        writer.flush()
        print(n, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 2, 7])
def test_kill_9_loses_nothing_that_was_acknowledged(location: str, lines: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, location, str(TESTS)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = 0
    for _ in range(lines):
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)  # while it goes on putting
    rest = process.stdout.read().split()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    acknowledged = max([acknowledged, *map(int, rest)])
    with Store.open(location) as store:
        resume = store.resumable(["127.1.0.0/24"])
        assert resume is not None, "a killed scan can be resumed at once"
        found = [record.address for record in store.records(resume.scan.id)]
        assert len(found) >= acknowledged >= 210
        assert found == [address(n) for n in range(len(found))], "no gap, nothing twice"
        assert acknowledged <= resume.scan.position <= len(found), "the position never runs ahead of what is stored"
        assert len(resume.recorded) == len(found)
        with Writer(location, resume.scan.id) as writer:
            writer.put(*exposed(len(found)))
            writer.finish("done")
        assert store.latest().state == "done"  # type: ignore[union-attr]
