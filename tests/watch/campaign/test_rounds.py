"""Rounds of campaigns against simulated servers, on both databases."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.campaign.board import Board
from leadapron.watch.campaign.retest import retest
from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.campaign.settings import Campaign, Watch
from leadapron.watch.track.exposures.fold import Folded
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.store import Scan, Store
from leadapron.watch.track.tables import scans
from scan.scanning import reserve

BOUND_S = 60.0
PORT = 11112


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    """Two open archives on a network of their own, ``127.x.0``."""
    second = reserve(1)
    population = Population(
        "two",
        [
            EndpointSpec(f"127.{second}.0.{host}", PORT, "dcmtk", archive=ArchiveSpec(studies=20 + host, seed=host))
            for host in (1, 2)
        ],
    )
    with LabProcess(population):
        yield f"127.{second}.0"


def campaign(network: str, name: str = "own", **values: object) -> Campaign:
    return Campaign(name=name, targets=(f"{network}.0/28",), ports=(PORT,), timeout=3, **values)  # type: ignore[arg-type]


async def until(what: str, holds: Callable[[], object]) -> None:
    end = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < end, f"not within {BOUND_S:g} s: {what}"
        await asyncio.sleep(0.02)


def all_of(location: str) -> list[Scan]:
    with Store.open(location) as store:
        return store.scans()


def rounds_of(location: str, *campaigns: Campaign, **options: object) -> Rounds:
    return Rounds(location, Watch(campaign=campaigns), look_every_s=0.1, **options)  # type: ignore[arg-type]


async def test_a_round_is_scanned_folded_and_followed(location: str, network: str) -> None:
    followed: list[tuple[int, Folded]] = []
    said: list[str] = []

    def broken(number: int, folded: Folded) -> None:
        raise RuntimeError("not the business of the rounds")

    def follow(number: int, folded: Folded) -> None:
        followed.append((number, folded))

    weekly = campaign(network, every="7d")
    async with rounds_of(location, weekly, after=[broken, follow], say=said.append) as rounds:
        await until("the round was followed up", lambda: followed)
        assert rounds.progress is None
    (scan,) = all_of(location)
    assert (scan.state, scan.start.campaign, scan.start.targets) == ("done", "own", (f"{network}.0/28",))
    ((number, folded),) = followed
    assert (number, folded.number("opened"), folded.standing.open, folded.standing.studies) == (scan.id, 2, 2, 43)
    assert any("RuntimeError" in line for line in said) and any("2 opened; 2 open" in line for line in said)


async def test_due_is_what_is_due(location: str, network: str, engine: sa.Engine) -> None:
    weekly, asked = campaign(network, "weekly", every="7d"), campaign(network, "asked")
    async with rounds_of(location, weekly, asked) as rounds:
        await until("the first round is over", lambda: [s.state for s in all_of(location)] == ["done"])
        await until("the next is planned", lambda: rounds.board.posts(["weekly"])["weekly"].next_at)
        (scan,) = all_of(location)
        planned = datetime.fromisoformat(scan.started_at) + timedelta(days=7)
        assert rounds.board.posts(["weekly"])["weekly"].next_at == iso(planned)
        rounds.now("asked", "a person")
        await until("the second is over", lambda: [s.state for s in all_of(location)] == ["done", "done"])
        post = rounds.board.posts(["asked"])["asked"]
        assert (post.wanted, post.last_scan, post.changed_by) == (False, 2, "a person")
        # Another process says so, in the table alone.
        Board(engine).now("weekly", "another")
        await until("the third is over", lambda: [s.state for s in all_of(location)] == ["done"] * 3)
    assert [s.start.campaign for s in all_of(location)] == ["weekly", "asked", "weekly"]


async def test_a_pause_stops_and_going_on_goes_on(location: str, network: str, engine: sa.Engine) -> None:
    slow = campaign(network, every="7d", rate=2.0)
    async with rounds_of(location, slow) as rounds:
        await until("it runs", lambda: rounds.progress is not None and rounds.progress.progress.done > 0)
        assert rounds.progress is not None and rounds.progress.name == "own"
        Board(engine).pause("own", "a person")
        await until("it was stopped", lambda: [s.state for s in all_of(location)] == ["stopped"])
        with pytest.raises(UsageError, match="is paused"):
            rounds.now("own", "a person")
        await asyncio.sleep(0.5)
        assert rounds.progress is None, "paused is paused"
        rounds.resume("own", "a person")
        await until("it was finished", lambda: [s.state for s in all_of(location)] == ["done"])
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(scans)).scalar() == 1


async def test_the_end_of_the_block_stops_and_the_next_goes_on(location: str, network: str) -> None:
    slow = campaign(network, every="7d", rate=2.0)
    async with rounds_of(location, slow) as rounds:
        await until("it runs", lambda: rounds.progress is not None and rounds.progress.progress.done > 0)
    (scan,) = all_of(location)
    assert scan.state == "stopped" and 0 < scan.position < 16
    async with rounds_of(location, slow):
        await until("it was finished", lambda: [s.state for s in all_of(location)] == ["done"])
    (scan,) = all_of(location)
    assert scan.summary is not None and scan.summary.endpoints["exposed"] == 2


KILLED = """
import asyncio, sys
from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.campaign.settings import Campaign, Watch
async def main():
    own = Campaign(name="own", targets=(sys.argv[2],), ports=(11112,), timeout=3, every="7d", rate=2.0)
    async with Rounds(sys.argv[1], Watch(campaign=(own,)), look_every_s=0.1):
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_round_that_was_killed_is_taken_up(location: str, network: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, location, f"{network}.0/28"], env=os.environ)
    try:
        await until("it has saved something", lambda: any(s.position > 2 for s in all_of(location)))
        slow = campaign(network, every="7d", rate=2.0)
        async with rounds_of(location, slow) as rounds:  # while the other one runs, hands off
            await asyncio.sleep(0.5)
            assert rounds.progress is None
            child.kill()
            child.wait(30)
            await until("it was finished", lambda: [s.state for s in all_of(location)] == ["done"])
    finally:
        child.kill()
        child.wait(30)
    (scan,) = all_of(location)
    assert scan.summary is not None and scan.summary.endpoints["exposed"] == 2


SCOPE = """
authorised_by = "A. Person"
contact = "a@example.org"
valid_until = "{until}"
include = ["198.51.100.0/28"]
"""


async def test_an_expired_scope_is_said_and_the_others_go_on(location: str, network: str, tmp_path: Path) -> None:
    scope = tmp_path / "old.toml"
    scope.write_text(SCOPE.format(until="2020-01-01"))
    old = Campaign(name="old", scope=str(scope), every="1d")
    said: list[str] = []
    async with rounds_of(location, old, campaign(network, every="7d"), say=said.append) as rounds:
        await until("the other was scanned", lambda: [s.state for s in all_of(location)] == ["done"])
        await until("it was said", lambda: any(line.startswith("old: ") for line in said))
        await until("it is put off", lambda: rounds.board.posts(["old"])["old"].next_at)
        await asyncio.sleep(0.4)
    assert sum(line.startswith("old: ") for line in said) == 1, "once, not again and again"
    assert any("has ended; have it renewed" in line for line in said)
    assert [s.start.campaign for s in all_of(location)] == ["own"]


async def test_a_scope_that_moved_on_begins_a_new_round(location: str, network: str, engine: sa.Engine) -> None:
    async with rounds_of(location, campaign(network, every="7d", rate=2.0)) as rounds:
        await until("it runs", lambda: rounds.progress is not None and rounds.progress.progress.done > 0)
    other = Campaign(name="own", targets=(f"{network}.1", f"{network}.2"), ports=(PORT,), timeout=3, every="7d")
    said: list[str] = []
    async with rounds_of(location, other, say=said.append):
        await until("a new one is done", lambda: [s.state for s in all_of(location)] == ["done", "stopped"])
    assert any("cannot go on" in line for line in said)


async def test_a_retest_looks_at_these_alone(location: str, network: str) -> None:
    own = campaign(network, every="7d")
    async with rounds_of(location, own) as rounds:
        await until("the round is over", lambda: [s.state for s in all_of(location)] == ["done"])
        number = await rounds.retest([2])
    newest = all_of(location)[0]
    with Store.open(location) as store:
        looked_at = [(record.address, record.port) for record in store.records(number)]
    assert (newest.id, newest.state, newest.start.campaign, len(looked_at)) == (number, "done", None, 1)
    with pytest.raises(UsageError, match="no exposure 9"):
        await retest(location, [9], Watch())


async def test_a_retest_stays_in_the_scope(location: str, engine: sa.Engine) -> None:
    from sightings import archive, exact
    from watch_folding import round_of  # an exposure that no scan of ours may touch

    round_of(engine, 0, [archive(1, exact(500), where="198.51.100.7")])
    assert Exposures(engine).at("198.51.100.7", PORT) is not None
    with pytest.raises(UsageError, match="nothing that was named may be scanned"):
        await retest(location, [1], Watch())


NIGHT = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)


class Night:
    """A clock that is put forward by hand."""

    def __init__(self, now: datetime) -> None:
        self.moment = now

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return self.moment


async def test_a_time_of_day_is_waited_for(location: str, network: str) -> None:
    at = f"{NIGHT.astimezone():%H:%M}"
    clock = Night(NIGHT - timedelta(hours=1))
    async with rounds_of(location, campaign(network, at=at), clock=clock) as rounds:
        await until("it is planned", lambda: rounds.board.posts(["own"])["own"].next_at)
        assert rounds.board.posts(["own"])["own"].next_at == iso(NIGHT)
        await asyncio.sleep(0.3)
        assert all_of(location) == []
        clock.moment = NIGHT + timedelta(seconds=1)
        await until("it ran", lambda: [s.state for s in all_of(location)] == ["done"])
