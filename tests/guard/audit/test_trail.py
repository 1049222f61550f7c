"""The writer keeps its promises: what it acknowledged is there after kill -9, a full disk is told, nobody is let in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.audit.happenings import ALERT, KEY, QUERY
from guard.audit.trails import HeldClock, copy, make, segments
from leadapron.guard.audit import inbox
from leadapron.guard.audit.chain import Chain
from leadapron.guard.audit.entry import Entry, read
from leadapron.guard.audit.events import ApplicationActivity, Participant, UserAuthentication
from leadapron.guard.audit.message import Source, message
from leadapron.guard.audit.place import AuditFailed, Place, as_owner
from leadapron.guard.audit.tail import Tail
from leadapron.guard.audit.trail import Busy, Trail, note
from leadapron.guard.audit.verify import verify
from leadapron.guard.audit.walk import Good, walk
from peers.process import wait_until

WRITER = Path(__file__).with_name("writing.py")
LOGIN = UserAuthentication(person=Participant("anna@practice", None, "127.0.0.20"), login=True, how="passkey")


def entries(home: Path) -> list[Entry]:
    chain = Chain(KEY)
    return [read(chain, found.record)[0] for found in walk(Place(home), chain) if isinstance(found, Good)]


def texts(home: Path) -> list[str]:
    return [entry.text or "" for entry in entries(home)]


# ---- recording ------------------------------------------------------------------------------------------------------


def test_what_is_recorded_is_read_in_order(tmp_path: Path) -> None:
    clock = HeldClock()
    with Trail(tmp_path, KEY, clock, Source("guard", "GUARD")) as trail:
        assert [trail.record(event) for event in (ApplicationActivity(started=True), QUERY, ALERT, LOGIN)] == [
            1,
            2,
            3,
            4,
        ]
    found = entries(tmp_path)
    assert [entry.event for entry in found] == ["application", "query", "alert", "login"]
    assert found[0].parties[0].ae == "GUARD" and found[3].reason == "passkey"
    assert all(earlier.time < later.time for earlier, later in pairwise(found))
    with Trail(tmp_path, KEY, clock) as trail:
        assert trail.record(LOGIN) == 5
    assert verify(tmp_path, KEY).whole


def test_nothing_can_be_read_without_the_key_and_nobody_else_may_look(tmp_path: Path) -> None:
    directory = make(tmp_path, 30, segment_size=3_000)
    for path in directory.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        for canary in (b"CANARY", b"CT1", b"127.0.0", b"Audit", b"110112"):
            assert canary not in path.read_bytes(), path
    assert directory.stat().st_mode & 0o077 == 0


def test_alerts_are_durable_at_once_and_the_others_within_a_second(tmp_path: Path) -> None:
    with Trail(tmp_path, KEY) as trail:
        for event, bound in ((ALERT, 0.25), (QUERY, 1.0)):
            took = []
            for _ in range(3):  # the best of three: the machine is shared
                begin = time.monotonic()
                sequence = trail.record(event)
                assert trail.wait_durable(sequence - 1, 10)
                took.append(time.monotonic() - begin)
            assert min(took) < bound
        assert trail.durable.sequence == 6


def test_durable_means_that_the_head_says_so(tmp_path: Path) -> None:
    with Trail(tmp_path, KEY) as trail:
        for _ in range(3):
            sequence = trail.record(QUERY, durable=True)
            head = Place(tmp_path).read_head(Chain(KEY))
            assert head is not None and head.sequence == sequence


def test_recording_is_cheap(tmp_path: Path) -> None:
    """Under 200 µs: the median, on a machine that does other things too."""
    with Trail(tmp_path, KEY) as trail:
        took = []
        for _ in range(2_000):
            begin = time.perf_counter()
            trail.record(QUERY)
            took.append(time.perf_counter() - begin)
    assert sorted(took)[1_000] < 200e-6


def test_many_threads_at_once(tmp_path: Path) -> None:
    numbers: list[int] = []
    with Trail(tmp_path, KEY, segment_size=50_000) as trail:

        def work(durable: bool) -> None:
            numbers.extend(trail.record(ALERT if n % 10 == 0 else QUERY, durable=durable) for n in range(100))

        threads = [threading.Thread(target=work, args=(index == 0,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(numbers) == list(range(1, 601))
    verdict = verify(tmp_path, KEY)
    assert verdict.whole and verdict.records == 600 and verdict.segments > 5


def test_one_writer_only(tmp_path: Path) -> None:
    with Trail(tmp_path, KEY) as trail:
        with pytest.raises(Busy):
            Trail(tmp_path, KEY, patience=0.1)
        trail.record(QUERY)
    Trail(tmp_path, KEY, patience=0).close()


def test_a_second_writer_waits_for_a_short_one(tmp_path: Path) -> None:
    first = Trail(tmp_path, KEY)
    threading.Timer(0.3, first.close).start()
    with Trail(tmp_path, KEY, patience=20) as second:
        second.record(QUERY)


def test_a_closed_trail_refuses(tmp_path: Path) -> None:
    trail = Trail(tmp_path, KEY)
    trail.close()
    trail.close()
    with pytest.raises(AuditFailed, match="closed"):
        trail.record(QUERY)


# ---- kill -9 --------------------------------------------------------------------------------------------------------


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Twelve runs of a real process on one trail, each killed somewhere in its loop."""
    random = Random(7)
    acknowledged = 0
    for _ in range(12):
        process = subprocess.Popen([sys.executable, WRITER, tmp_path, "forever"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        opened = process.stdout.readline().split()
        assert opened[0] == b"open" and int(opened[1]) >= acknowledged
        time.sleep(random.uniform(0.02, 0.3))
        process.kill()
        said = process.stdout.read().splitlines()
        process.stdout.close()
        assert process.wait(10) == -9
        acknowledged = int(said[-1].split()[0]) if said else int(opened[1])
        verdict = verify(tmp_path, KEY)
        assert verdict.whole, verdict.problems
        assert verdict.records >= acknowledged
        durable = [int(line.split()[0]) for line in said if line.endswith(b"True")]
        head = Place(tmp_path).read_head(Chain(KEY))
        assert head is not None and (not durable or head.sequence >= durable[-1])
    with Trail(tmp_path, KEY) as trail:
        assert trail.written.sequence >= acknowledged > 100
    numbers = Counter(entry.sequence for entry in entries(tmp_path))
    assert set(numbers) == set(range(1, len(numbers) + 1)) and set(numbers.values()) == {1}


@given(st.data())
def test_an_unfinished_record_is_cut_and_told(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        directory = make(home, 4)
        path = segments(directory)[-1]
        end = Place(home).read_head(Chain(KEY))
        assert end is not None
        record = Chain(KEY).record(5, 1, end.hash, b"<AuditMessage/>" * 9)
        cut = data.draw(st.integers(1, len(record) - 1))
        path.write_bytes(path.read_bytes() + record[:cut])
        before = verify(home, KEY)
        assert before.whole and before.unfinished == cut
        with Trail(home, KEY) as trail:
            assert trail.record(QUERY) == 6
        assert verify(home, KEY).whole
        assert f"{cut} octets of an unfinished record were cut behind record 4" in texts(home)[4]


def test_whole_records_behind_the_head_are_kept(tmp_path: Path) -> None:
    """As after a kill between write and flush: the head is older than the records."""
    home = tmp_path
    directory = make(home, 3, segment_size=2_000)
    head = (directory / "head").read_bytes()
    with Trail(home, KEY, segment_size=2_000) as trail:
        for _ in range(5):
            trail.record(QUERY)
    (directory / "head").write_bytes(head)
    assert verify(home, KEY).whole
    with Trail(home, KEY) as trail:
        assert trail.record(QUERY) == 9
    verdict = verify(home, KEY)
    assert verdict.whole and verdict.records == 9


def test_killed_before_the_first_segment(tmp_path: Path) -> None:
    make(tmp_path, 0)
    for path in segments(tmp_path / "audit"):
        path.unlink()
    assert verify(tmp_path, KEY).whole
    with Trail(tmp_path, KEY) as trail:
        assert trail.record(QUERY) == 1
    assert verify(tmp_path, KEY).whole


def test_killed_just_after_a_segment_was_begun(tmp_path: Path) -> None:
    directory = make(tmp_path, 3, segment_size=1)
    last = segments(directory)[-1]
    octets = last.read_bytes()
    head, anchor = (directory / "head").read_bytes(), (tmp_path / "audit.anchor").read_bytes()
    with Trail(tmp_path, KEY, segment_size=1) as trail:
        trail.record(QUERY)
    new = segments(directory)[-1]
    assert new != last and last.read_bytes() == octets
    new.write_bytes(new.read_bytes()[: Chain(KEY).start.offset])
    (directory / "head").write_bytes(head)
    (tmp_path / "audit.anchor").write_bytes(anchor)
    with Trail(tmp_path, KEY) as trail:
        assert trail.record(QUERY) == 4
    verdict = verify(tmp_path, KEY)
    assert verdict.whole and verdict.records == 4 and segments(directory)[-1] == new


# ---- a disk that fails ----------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_service_comes_back(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, WRITER, tmp_path, "small-disk"], stdout=subprocess.PIPE, timeout=60, check=True, text=True
    )
    failed, refused, more, still, again, recorded = done.stdout.splitlines()
    count = int(failed.split()[1])
    assert "healthy=False" in failed and "File too large" in failed and count > 5
    assert refused == more == "refused healthy=False"
    assert still.startswith("still healthy=False")
    assert again == "again healthy=True None"
    verdict = verify(tmp_path, KEY)
    assert verdict.whole and verdict.records == int(recorded.split()[1]) == count + 2
    assert "3 events were refused meanwhile" in texts(tmp_path)[count]


def test_where_nothing_can_be_written_the_trail_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "audit").write_bytes(b"")
    with pytest.raises(AuditFailed, match="cannot write the audit trail"):
        Trail(tmp_path, KEY)


def test_a_bug_in_the_thread_is_no_trail_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Trail(tmp_path, KEY) as trail:

        def bug(*_: object) -> bytes:
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr(trail.chain, "position", bug)
            with pytest.raises(AuditFailed, match="ZeroDivisionError"):
                trail.record(QUERY, durable=True)
        assert not trail.healthy
        with pytest.raises(AuditFailed, match="bug of ours"):
            trail.record(QUERY)
    assert verify(tmp_path, KEY).whole


def test_little_room_is_told_before_it_is_none(tmp_path: Path) -> None:
    make(tmp_path, 1)
    with Trail(tmp_path, KEY, reserve=1 << 60) as trail:
        assert not trail.healthy
        assert trail.error is not None and "are free for the audit trail" in trail.error
        trail.record(QUERY, durable=True)  # what is under way can still be recorded
        trail.reserve = 1
        wait_until(lambda: trail.healthy, "there is room again", 20)
        assert trail.error is None
        trail.record(QUERY)
    found = entries(tmp_path)
    assert [entry.event for entry in found] == ["query", "alert", "query", "alert", "query"]
    assert [entry.types for entry in found if entry.event == "alert"] == [("Storage low",)] * 2
    assert [entry.outcome for entry in found if entry.event == "alert"] == [12, 0]


# ---- other processes ------------------------------------------------------------------------------------------------


def test_a_note_without_a_writer_is_written_at_once(tmp_path: Path) -> None:
    note(tmp_path, KEY, LOGIN)
    assert [entry.event for entry in entries(tmp_path)] == ["login"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for others")
@pytest.mark.parametrize("beside", [False, True])
def test_what_root_notes_belongs_to_who_runs_the_guard(beside: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.chown(home, 65534, 65534)
        with as_owner(home):
            guard = Trail(home, KEY)
            if not beside:
                guard.close()
            assert os.geteuid() == 65534
        note(home, KEY, LOGIN)
        assert (os.geteuid(), os.getegid()) == (0, 0)
        assert {path.stat().st_uid for path in home.rglob("*")} == {65534}
        guard.close()
        assert [entry.event for entry in entries(home)] == ["login"]


def test_notes_beside_a_writer_are_taken_up_in_order(tmp_path: Path) -> None:
    with Trail(tmp_path, KEY) as trail:
        trail.record(QUERY)
        people = [f"p{number}@practice" for number in range(20)]
        for person in people:
            note(tmp_path, KEY, replace(LOGIN, person=Participant(person)))
        wait_until(lambda: trail.durable.sequence == 21, "the notes are recorded", 20)
        wait_until(lambda: not list((tmp_path / "audit" / "inbox").iterdir()), "the inbox is empty", 5)
    assert [entry.parties[0].user for entry in entries(tmp_path)[1:]] == people


def test_a_note_that_comes_when_the_writer_ends_is_found_by_the_next(tmp_path: Path) -> None:
    make(tmp_path, 1)
    when = HeldClock().now()
    inbox.leave(Place(tmp_path), KEY, message(LOGIN, Source("guard"), when))
    with Trail(tmp_path, KEY) as trail:
        assert trail.durable.sequence == 2
    (entry,) = entries(tmp_path)[1:]
    assert entry.event == "login" and entry.time == when and entry.recorded != when


def test_what_is_not_ours_in_the_inbox_is_refused_and_told(tmp_path: Path) -> None:
    make(tmp_path, 1)
    box = tmp_path / "audit" / "inbox"
    box.mkdir()
    (box / "0-forged.event").write_bytes(b"<AuditMessage/>")
    (box / "1-dir.event").mkdir()
    (box / "2-link.event").symlink_to("/etc/passwd")
    (box / "readme").write_text("not looked at")
    inbox.leave(Place(tmp_path), KEY, message(LOGIN, Source("guard"), HeldClock().now()))
    (mine,) = (path for path in box.iterdir() if len(path.name) > 30)
    other = box / "3-moved.event"
    other.write_bytes(mine.read_bytes())  # sealed by us, for another name
    with Trail(tmp_path, KEY) as trail:
        assert trail.healthy
    told = [text for text in texts(tmp_path) if "inbox" in text]
    assert [text.split()[0] for text in sorted(told)] == [
        "0-forged.event",
        "1-dir.event",
        "2-link.event",
        "3-moved.event",
    ]
    assert sorted(path.suffix for path in box.iterdir()) == ["", *[".refused"] * 4]
    assert [entry.event for entry in entries(tmp_path)].count("login") == 1
    assert not mine.exists()


# ---- reading on -----------------------------------------------------------------------------------------------------


@given(st.sampled_from([1_500, 5_000, 64 << 20]), st.lists(st.integers(0, 9), max_size=6))
def test_a_tail_gives_each_record_once(size: int, bursts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as home, Trail(Path(home), KEY, segment_size=size) as trail:
        tail = Tail(trail.place, trail.chain)
        seen: list[int] = []
        for burst in bursts:
            for _ in range(burst):
                trail.record(QUERY)
            while records := tail.read():
                seen += [record.sequence for record in records]
        assert seen == list(range(1, sum(bursts) + 1)) and not tail.skipped


def test_a_tail_takes_records_larger_than_a_chunk(tmp_path: Path) -> None:
    with Trail(tmp_path, KEY) as trail:
        for size in (10, 1_000_000, 10, 900_000, 1_048_576, 10):
            trail.record(replace(QUERY, query=b"q" * size))
        tail = Tail(trail.place, trail.chain)
        seen: list[int] = []
        while records := tail.read():
            seen += [record.sequence for record in records]
        assert seen == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("size", [2_000, 64 << 20])
def test_a_tail_goes_on_behind_damage(tmp_path: Path, size: int) -> None:
    directory = copy(make(tmp_path / "a", 12, segment_size=size), tmp_path / "b")
    path = segments(directory)[0]
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)
    tail = Tail(Place(tmp_path / "b"), Chain(KEY))
    seen: list[int] = []
    while records := tail.read(12):
        seen += [record.sequence for record in records]
    assert len(seen) == 11 and seen[-1] == 12 and tail.skipped == 1
