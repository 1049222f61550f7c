from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.policy.decide import Allowed, Denied, Request
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.reload import Reloading
from leadapron.kernel.errors import UsageError

ECHO = Request(permission=Permission.DICOM_ECHO, address="10.1.2.3", when=datetime(2026, 11, 20, 12, tzinfo=UTC))


class Clock:
    """Far ahead of the files, so that they are settled, unless told otherwise."""

    def __init__(self) -> None:
        self.ahead = timedelta(hours=1)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return 0.0


def table(name: str, *may: str) -> str:
    return f'[[guard.peer]]\nname = "{name}"\nae = "{name}"\nmay = {list(may)!r}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "leadapron.toml"
    path.write_text(table("CT1", "echo") + table("CT2", "echo"))
    return path


def replace(path: Path, text: str) -> None:
    """As an editor does: a new file under the old name."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def test_a_peer_that_is_taken_out_is_denied_its_next_operation(path: Path) -> None:
    policy = Reloading(path, clock=Clock())
    assert isinstance(policy.current.decide("CT2", ECHO), Allowed)
    assert policy.refresh() is None
    replace(path, table("CT1", "echo") + table("MR1", "echo"))
    happened = policy.refresh()
    assert happened is not None
    assert (happened.error, happened.removed, happened.added) == (None, ("CT2",), ("MR1",))
    assert isinstance(policy.current.decide("CT2", ECHO), Denied)
    assert isinstance(policy.current.decide("MR1", ECHO), Allowed)
    assert policy.refresh() is None


def test_a_broken_file_keeps_what_held_and_is_reported_once_for_each_change(path: Path) -> None:
    policy = Reloading(path, clock=Clock())
    before = policy.current
    for text, hint in (
        (table("CT1", "stor"), "leadapron.toml:4: may: there is no operation 'stor'"),
        ("[", "not TOML"),
    ):
        replace(path, text)
        happened = policy.refresh()
        assert happened is not None and happened.error is not None and hint in happened.error
        assert policy.refresh() is None
        os.utime(path, (1, 1))  # touched, not changed
        assert policy.refresh() is None
        assert policy.current is before
    replace(path, table("CT1"))
    happened = policy.refresh()
    assert happened is not None and happened.error is None
    assert isinstance(policy.current.decide("CT1", ECHO), Denied)


def test_a_file_that_is_gone_and_comes_back(path: Path) -> None:
    policy = Reloading(path, clock=Clock())
    text = path.read_text()
    path.unlink()
    happened = policy.refresh()
    assert happened is not None and happened.error is not None and "No such file" in happened.error
    assert policy.refresh() is None
    assert isinstance(policy.current.decide("CT1", ECHO), Allowed)
    replace(path, text)
    happened = policy.refresh()
    assert happened is not None and (happened.error, happened.removed, happened.added) == (None, (), ())


def test_a_change_within_one_tick_of_the_file_system_is_seen(path: Path) -> None:
    """Same inode, size and times: only what the file holds is different."""
    clock = Clock()
    clock.ahead = timedelta()
    policy = Reloading(path, clock=clock)
    stamp = path.stat()
    path.write_text(path.read_text().replace("CT2", "CT3"))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    policy._look = lambda: policy._stamp  # type: ignore[method-assign]  # a file system whose clock stood still
    happened = policy.refresh()
    assert happened is not None and (happened.removed, happened.added) == (("CT2",), ("CT3",))


def test_it_does_not_begin_with_a_broken_file(path: Path) -> None:
    path.write_text("[[guard.peer]]\n")
    with pytest.raises(UsageError, match=r"leadapron.toml:1: the peer has no name"):
        Reloading(path)


@given(st.lists(st.sampled_from(["CT1", "CT2", "CT1 CT2", "", "broken", "gone"]), max_size=12))
def test_what_holds_is_the_last_good_file(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    path = tmp_path_factory.mktemp("policy") / "leadapron.toml"
    path.write_text("")
    policy = Reloading(path, clock=Clock())
    good = ""
    for step in steps:
        if step == "gone":
            path.unlink(missing_ok=True)
        elif step == "broken":
            replace(path, "[[guard.peer]]\n")
        else:
            replace(path, "# who may come in\n" + "".join(table(name, "echo") for name in step.split()))
            good = step
        happened = policy.refresh()
        assert happened is None or (happened.error is not None) is (step in ("broken", "gone"))
        assert [peer.rules.name for peer in policy.current.peers] == good.split()


def test_a_file_that_is_emptied_for_a_moment_shuts_nobody_out(path: Path) -> None:
    before = path.read_text()
    policy = Reloading(path, clock=Clock())
    path.write_text("\n")
    happened = policy.refresh()
    assert happened is not None and "is empty. Until it is mended" in (happened.error or "")
    assert isinstance(policy.current.decide("CT2", ECHO), Allowed)
    path.write_text(before + "# mended\n")
    happened = policy.refresh()
    assert happened is not None and (happened.error, happened.removed) == (None, ())
