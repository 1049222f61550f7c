"""Removing what is too old: whole files from the front, recorded; the rest verifies, and tampering is still found."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from guard.audit.happenings import KEY, QUERY
from guard.audit.trails import HeldClock, copy, make, segments
from leadapron.cli import audit
from leadapron.guard.audit import entry
from leadapron.guard.audit.chain import Chain
from leadapron.guard.audit.events import Participant, SecurityAlert
from leadapron.guard.audit.look import Look, Wanted
from leadapron.guard.audit.place import BEGIN, AuditFailed, Place
from leadapron.guard.audit.prune import Pruned, prune
from leadapron.guard.audit.tail import Tail
from leadapron.guard.audit.trail import Trail, note
from leadapron.guard.audit.verify import verify
from leadapron.guard.audit.walk import Good, walk
from leadapron.kernel.errors import Failure

SMALL = 6_000
RECORDS = 40
CHAIN = Chain(KEY)
WHO = Participant("local:root", name="uid 0")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("trail"), RECORDS, segment_size=SMALL)


@pytest.fixture
def trail(original: Path, tmp_path: Path) -> Path:
    return copy(original, tmp_path)


def times(directory: Path) -> dict[int, datetime]:
    return {one.record.sequence: one.record.time for one in good(directory)}


def good(directory: Path) -> list[Good]:
    return [one for one in walk(Place(directory.parent), CHAIN) if isinstance(one, Good)]


def cut(directory: Path, before: datetime, **more: bool) -> Pruned:
    def record(event: SecurityAlert) -> None:
        note(directory.parent, KEY, event, source="guard")

    return prune(Place(directory.parent), CHAIN, before, record, WHO, **more)


def middle(directory: Path) -> datetime:
    return sorted(times(directory).values())[RECORDS // 2]


def test_whole_old_files_go_and_the_rest_verifies(trail: Path) -> None:
    before, files = times(trail), segments(trail)
    done = cut(trail, middle(trail))
    after, verdict = times(trail), verify(trail.parent, KEY)
    assert verdict.whole and verdict.removed == done.last == done.records > 0
    assert segments(trail) == files[done.files :] and done.files >= 2
    assert set(after) == set(range(done.last + 1, RECORDS + 2))
    assert all(before[number] < middle_of(before) for number in range(1, done.last + 1))
    assert [number for number in before if number > done.last] == list(range(done.last + 1, RECORDS + 1))
    last = good(trail)[-1]
    told, text = entry.read(CHAIN, last.record)
    assert told.types == ("Audit trail pruned",) and f"records 1 to {done.last} " in (told.text or "")
    assert "local:root" in text
    assert cut(trail, middle_of(before)) == Pruned(), "the second time there is nothing"


def middle_of(moments: dict[int, datetime]) -> datetime:
    return sorted(moments.values())[RECORDS // 2]


def test_the_trail_goes_on_and_is_pruned_again(trail: Path) -> None:
    first = cut(trail, middle(trail))
    clock = HeldClock(datetime(2027, 1, 1, tzinfo=UTC))
    with Trail(trail.parent, KEY, clock, "guard", segment_size=SMALL) as writer:
        for _ in range(20):
            writer.record(QUERY)
    assert verify(trail.parent, KEY).whole
    second = cut(trail, datetime(2027, 1, 1, tzinfo=UTC))
    verdict = verify(trail.parent, KEY)
    assert second.records and verdict.whole and verdict.removed == second.last > first.last


def test_nothing_goes_that_is_young_or_the_last_file(trail: Path, tmp_path: Path) -> None:
    assert cut(trail, min(times(trail).values())) == Pruned()
    done = cut(trail, datetime(2100, 1, 1, tzinfo=UTC))
    assert len(segments(trail)) == 1 or verify(trail.parent, KEY).records > 0
    assert done.records < RECORDS + 1 and verify(trail.parent, KEY).whole


def beginning_gone(directory: Path, old: Path) -> None:
    (directory / "begin").unlink()


def beginning_changed(directory: Path, old: Path) -> None:
    data = bytearray((directory / "begin").read_bytes())
    data[20] ^= 1
    (directory / "begin").write_bytes(data)


def beginning_is_the_head(directory: Path, old: Path) -> None:
    shutil.copy(directory / "head", directory / "begin")


def a_file_more_is_gone(directory: Path, old: Path) -> None:
    segments(directory)[0].unlink()


def the_first_record_is_cut(directory: Path, old: Path) -> None:
    path = segments(directory)[0]
    data = path.read_bytes()
    path.write_bytes(data[:200] + data[600:])


def the_first_file_is_an_older_one(directory: Path, old: Path) -> None:
    shutil.copy(segments(old)[0], segments(directory)[0])


@pytest.mark.parametrize(
    "tamper",
    [
        beginning_gone,
        beginning_changed,
        beginning_is_the_head,
        a_file_more_is_gone,
        the_first_record_is_cut,
        the_first_file_is_an_older_one,
    ],
)
def test_tampering_is_found_as_before(trail: Path, original: Path, tamper: Callable[[Path, Path], None]) -> None:
    cut(trail, middle(trail))
    assert verify(trail.parent, KEY).whole
    tamper(trail, original)
    assert not verify(trail.parent, KEY).whole
    with pytest.raises((Failure, AuditFailed)):
        cut(trail, datetime(2100, 1, 1, tzinfo=UTC))


def test_killed_before_the_files_went_nothing_is_amiss(trail: Path, original: Path) -> None:
    done = cut(trail, middle(trail))
    for path in segments(original)[: done.files]:
        shutil.copy(path, trail)
    assert verify(trail.parent, KEY).whole
    assert min(times(trail)) == done.last + 1
    with Trail(trail.parent, KEY, HeldClock(), "guard") as writer:
        writer.record(QUERY)
    assert verify(trail.parent, KEY).whole
    cut(trail, datetime(2020, 1, 1, tzinfo=UTC))
    assert len(segments(trail)) == len(segments(original)) - done.files


def test_damage_is_evidence_and_stays(trail: Path) -> None:
    files = segments(trail)
    data = bytearray(files[0].read_bytes())
    data[300] ^= 1
    files[0].write_bytes(data)
    with pytest.raises(Failure, match=r"00000001\.audit.*nothing of it is removed"):
        cut(trail, datetime(2100, 1, 1, tzinfo=UTC))
    assert segments(trail) == files and not (trail / "begin").exists()


def test_what_cannot_be_recorded_is_not_done(trail: Path) -> None:
    def fails(event: SecurityAlert) -> None:
        raise AuditFailed("the disk is full")

    files = segments(trail)
    with pytest.raises(AuditFailed):
        prune(Place(trail.parent), CHAIN, middle(trail), fails, WHO)
    assert segments(trail) == files and not (trail / "begin").exists() and verify(trail.parent, KEY).removed == 0


def test_what_a_collector_has_not_got_stays(trail: Path) -> None:
    everything = datetime(2100, 1, 1, tzinfo=UTC)
    assert cut(trail, everything, forwarded=True) == Pruned(held=True), "it has got nothing yet"
    positions = [one.at for one in good(trail)]
    (trail / "sent-0123").write_bytes(CHAIN.position(positions[0], b"forwarded"))
    assert cut(trail, everything).held
    (trail / "sent-0123").write_bytes(CHAIN.position(positions[-1], b"forwarded"))
    assert cut(trail, everything).records


def test_a_new_collector_gets_it_from_the_beginning(trail: Path) -> None:
    done = cut(trail, middle(trail))
    tail = Tail(Place(trail.parent), CHAIN)
    assert tail.read()[0].sequence == done.last + 1 and tail.skipped == 0


def test_beside_a_writer(trail: Path) -> None:
    before = middle(trail)
    with Trail(trail.parent, KEY, HeldClock(), "guard", segment_size=SMALL) as writer:
        done = cut(trail, before)
        assert done.records
        writer.record(QUERY, durable=True)
    assert verify(trail.parent, KEY).whole
    types = [entry.read(CHAIN, one.record)[0].types for one in good(trail)]
    assert types.count(("Audit trail pruned",)) == 1


@given(st.integers(1, 60), st.integers(1, 12_000), st.integers(0, 70), st.integers(0, 70))
def test_never_more_than_what_is_old(records: int, size: int, one: int, two: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        directory = make(Path(home), records, segment_size=size)
        begin = min(times(directory).values())
        for after in (one, two):
            before, moment = times(directory), begin + timedelta(seconds=2 * after)
            done = cut(directory, moment)
            left, verdict = times(directory), verify(Path(home), KEY)
            assert verdict.whole
            assert all(number in left for number, time in before.items() if time >= moment)
            assert sorted(left) == list(range(min(left), max(left) + 1))
            assert len(before) - len([number for number in before if number in left]) == done.records


def test_the_command(tmp_path: Path) -> None:
    from leadapron.kernel.seal import key_file

    home = tmp_path / "guard"
    key = key_file(home / "guard.key")
    make(home, RECORDS, segment_size=SMALL, key=key)  # in 2026, in November
    with Trail(home, key, None, "guard", segment_size=SMALL) as writer:
        writer.record(QUERY)
    runner = CliRunner()
    result = runner.invoke(audit.command, ["prune", "--older-than", "36500", "--data", str(tmp_path)])
    assert result.exit_code == 0 and "Nothing was removed" in result.output
    with pytest.MonkeyPatch.context() as patch:
        later = datetime.now(UTC) + timedelta(days=400)
        patch.setattr(audit, "datetime", type("Later", (datetime,), {"now": classmethod(lambda *_: later)}))
        result = runner.invoke(audit.command, ["prune", "--older-than", "30", "--data", str(tmp_path)])
    assert result.exit_code == 0 and "were removed; the trail begins with record" in result.output
    result = runner.invoke(audit.command, ["verify", "--data", str(tmp_path)])
    assert result.exit_code == 0 and "It begins with record" in result.output
    pairs = list(Look(home).entries(Wanted(types=frozenset({"alert"}))))
    assert any("Audit trail pruned" in one.types and "local:" in text for one, text in pairs)
    assert Place(home).begin.read_bytes() and CHAIN.parse_position(Place(home).begin.read_bytes(), BEGIN) is None
