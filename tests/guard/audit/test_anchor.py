"""A trail that is taken away as a whole, or put back as it once was, shows; a new, an old and a pruned one do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from guard.audit.happenings import ALERT, KEY, QUERY
from guard.audit.trails import HeldClock, make, segments
from leadapron.cli import audit
from leadapron.guard.audit import entry, trail
from leadapron.guard.audit.anchor import BASELINE
from leadapron.guard.audit.chain import Chain
from leadapron.guard.audit.place import AuditFailed, Place
from leadapron.guard.audit.prune import prune
from leadapron.guard.audit.trail import Trail, note
from leadapron.guard.audit.verify import Verdict, verify
from leadapron.guard.audit.walk import Good, walk
from peers.process import wait_until

SMALL = 6_000
CHAIN = Chain(KEY)


def again(home: Path) -> Trail:
    return Trail(home, KEY, HeldClock(), "guard", segment_size=SMALL)


def kinds(verdict: Verdict) -> set[str]:
    return {problem.kind for problem in verdict.problems}


def alerts(home: Path) -> list[str]:
    found = [entry.read(CHAIN, one.record)[0] for one in walk(Place(home), CHAIN) if isinstance(one, Good)]
    return [one.text or "" for one in found if "Audit trail damaged" in one.types]


def remove(home: Path) -> None:
    shutil.rmtree(home / "audit")


def put_back(home: Path) -> None:
    remove(home)
    shutil.copytree(home / "older", home / "audit")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Twelve records, an older copy after six, and then a few more, in several files."""
    make(tmp_path, 6, segment_size=SMALL)
    shutil.copytree(tmp_path / "audit", tmp_path / "older")
    with again(tmp_path) as writer:
        for _ in range(14):
            writer.record(QUERY)
    assert verify(tmp_path, KEY).whole and verify(tmp_path, KEY).records == 20
    assert len(segments(tmp_path / "audit")) > 2
    return tmp_path


@pytest.mark.parametrize(
    ("done", "ends"), [(remove, "nothing of it is there"), (put_back, "the trail ends with record 6")]
)
def test_what_was_taken_away_is_found_told_and_never_forgotten(
    home: Path, done: Callable[[Path], None], ends: str
) -> None:
    done(home)
    before = verify(home, KEY)
    assert not before.whole and before.problems[0].kind == "removed"
    assert f"there were 20 records, and {ends}" in before.problems[0].text
    for round in range(3):
        with again(home) as writer:
            assert (writer.found is not None) == (round == 0)
            assert writer.record(ALERT) == 22 + round, "numbers are never given twice"
        after = verify(home, KEY)
        assert not after.whole and "damaged" in kinds(after)
    (told,) = alerts(home)
    assert ends in told and "20 records" in told


def test_another_trail_of_the_same_key_is_another(home: Path) -> None:
    remove(home)
    (home / "audit.anchor").rename(home / "kept")
    with again(home) as writer:
        for _ in range(30):
            writer.record(ALERT)
    (home / "kept").replace(home / "audit.anchor")
    verdict = verify(home, KEY)
    assert not verdict.whole and "record 20 is another one than it was" in verdict.problems[0].text
    with again(home) as writer:
        assert writer.found is not None


def test_one_that_was_changed_is_told(home: Path) -> None:
    data = bytearray((home / "audit.anchor").read_bytes())
    data[20] ^= 1
    (home / "audit.anchor").write_bytes(data)
    assert [problem.file for problem in verify(home, KEY).problems] == ["audit.anchor"]
    with again(home):
        pass
    assert len(alerts(home)) == 1 and kinds(verify(home, KEY)) == {"damaged"}


def test_a_guard_that_ran_had_a_trail(tmp_path: Path) -> None:
    (tmp_path / BASELINE).write_bytes(b"")
    with again(tmp_path) as writer:
        writer.record(QUERY)
        assert writer.found is not None and "has run here before" in writer.found
    assert not verify(tmp_path, KEY).whole


def test_new_old_and_pruned_ones_are_whole(home: Path, tmp_path: Path) -> None:
    clock = HeldClock(datetime(2027, 1, 1, tzinfo=UTC))
    with Trail(home, KEY, clock, "guard", segment_size=SMALL) as writer:  # the anchor stays where it was until the end
        for _ in range(20):
            writer.record(QUERY)
        done = prune(writer.place, CHAIN, clock.now(), lambda event: writer.record(event, durable=True))
        assert done.last > 20 and verify(home, KEY).whole
    with again(home) as writer:
        assert writer.found is None
    assert verify(home, KEY).whole and not alerts(home)
    (home / BASELINE).write_bytes(b"")
    (home / "audit.anchor").unlink()  # a version that had none
    assert verify(home, KEY).whole
    with again(home) as writer:
        assert writer.found is None and (home / "audit.anchor").exists()
    (tmp_path / "new").mkdir()
    with again(tmp_path / "new") as writer:
        assert writer.found is None
        writer.record(QUERY)
    assert verify(tmp_path / "new", KEY).whole


def test_it_follows_while_it_is_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "ANCHOR_S", 0.0)
    before = (home / "audit.anchor").read_bytes()
    with again(home) as writer:
        writer.record(QUERY)
        anchor = home / "audit.anchor"
        wait_until(lambda: anchor.read_bytes() not in (before, b""), "the anchor moves")
        wait_until(lambda: anchor.read_bytes() == CHAIN.position(writer.durable, b"anchor"), "it is at the end")


def test_a_file_that_is_taken_away_while_it_is_written(home: Path) -> None:
    with again(home) as writer:
        writer.record(QUERY, durable=True)
        segments(home / "audit")[-1].unlink()
        writer.record(QUERY)
        wait_until(lambda: any("taken away while" in told for told in alerts(home)), "it goes on elsewhere")
        last = writer.record(ALERT, durable=True)
    assert not verify(home, KEY).whole
    found = [one.record.sequence for one in walk(Place(home), CHAIN) if isinstance(one, Good)]
    assert found[-1] == last


def test_the_directory_goes_while_it_is_written(home: Path) -> None:
    with Trail(home, KEY, HeldClock(), "guard") as writer:
        remove(home)
        writer.record(QUERY)
        wait_until(lambda: not writer.healthy, "it is closed")
        with pytest.raises(AuditFailed):
            writer.record(QUERY)
        (home / "audit").mkdir(mode=0o700)
        wait_until(lambda: writer.healthy and len(segments(home / "audit")) == 1, "it goes on")
        wait_until(lambda: any("taken away while" in told for told in alerts(home)), "it is told")
    assert not verify(home, KEY).whole


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(audit.command, [str(argument) for argument in arguments])
    return (getattr(result.exception, "exit_code", result.exit_code), result.output + str(result.exception or ""))


def test_the_commands_tell_it(tmp_path: Path) -> None:
    home = tmp_path / "guard"
    home.mkdir()
    (home / "guard.key").write_bytes(KEY)
    (home / "guard.key").chmod(0o600)
    for _ in range(3):
        note(home, KEY, QUERY)
    assert run("verify", "--data", tmp_path)[0] == 0
    remove(home)
    code, told = run("verify", "--data", tmp_path)
    assert code == 3 and "DAMAGED" in told and "there were 3 records, and nothing of it is there" in told
    code, told = run("prune", "--older-than", "1", "--data", tmp_path)
    assert code == 1 and "audit verify" in told
    code, told = run("show", "--data", tmp_path)
    assert code == 0 and "MAJOR" in told and "there were 3 records" in told and "Warning" in told
    code, told = run("verify", "--data", tmp_path)
    assert code == 3 and "00000001.audit" in told
