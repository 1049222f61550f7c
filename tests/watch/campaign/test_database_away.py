"""The database goes away under rounds and upkeep: said once, and all goes on from where it was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from casework import Desk
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.campaign import rounds as module
from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.campaign.settings import Campaign, Watch
from leadapron.watch.campaign.upkeep import Upkeep
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.notices.settings import Notices as NoticeSettings
from leadapron.watch.track.owner.settings import Lookups
from leadapron.watch.track.tables import events, hints, scans, sightings
from outages import away, cut, impatient
from owners.names import name_server
from scan.scanning import reserve

BOUND_S = 60.0
PORT = 11112


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    second = reserve(1)
    open_ones = [
        EndpointSpec(f"127.{second}.7.{host}", PORT, "dcmtk", archive=ArchiveSpec(studies=20, seed=host))
        for host in (1, 6, 11)
    ]
    with LabProcess(Population("three", open_ones)):
        yield f"127.{second}.7"


async def until(what: str, holds: Callable[[], object]) -> None:
    end = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < end, f"not within {BOUND_S:g} s: {what}"
        await asyncio.sleep(0.02)


def rounds_of(location: str, network: str, rate: float, said: list[str]) -> Rounds:
    own = Campaign(name="own", targets=(f"{network}.0/28",), ports=(PORT,), timeout=3, every="7d", rate=rate)
    return Rounds(location, Watch(campaign=(own,)), look_every_s=0.1, say=said.append)


def under_way(rounds: Rounds) -> bool:
    return rounds.progress is not None and rounds.progress.progress.done > 2


def states(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(scans.c.state).order_by(scans.c.id)).scalars())


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
async def test_a_round_goes_on_when_the_server_is_back(
    engine: sa.Engine, location: str, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REST", timedelta(seconds=0.3))
    said: list[str] = []
    async with rounds_of(location, network, 4.0, said) as rounds:
        await until("it runs", lambda: under_way(rounds))
        with away(engine):
            await until("it has failed", lambda: rounds.progress is None)
            await asyncio.sleep(1)
        await until("it was finished", lambda: states(engine) == ["done"])
        await until("it is said", lambda: "the database works again; everything goes on" in said)
    assert sum("is tried again until it works" in line for line in said) == 1, said
    assert any("goes on, " in line for line in said)
    twice = sa.select(sightings.c.address).group_by(sightings.c.address).having(sa.func.count() > 1)
    with engine.connect() as connection:
        assert connection.execute(twice).all() == []
        assert connection.execute(sa.select(events.c.kind)).scalars().all() == ["opened"] * 3


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
async def test_a_pause_is_heard_after_the_database_was_away(engine: sa.Engine, location: str, network: str) -> None:
    async with rounds_of(location, network, 1.0, []) as rounds:
        await until("it runs", lambda: under_way(rounds))
        with away(engine):
            await asyncio.sleep(0.4)
        rounds.pause("own", "a person")
        await until("it was stopped", lambda: rounds.progress is None)
    assert "done" not in states(engine)


async def test_upkeep_says_it_once_and_loses_nothing(engine: sa.Engine, location: str) -> None:
    desk = Desk(impatient(engine))
    desk.scan(1)
    said: list[str] = []
    where = desk_address(engine)
    zone = {(f"{'.'.join(reversed(where.split('.')))}.in-addr.arpa", "PTR"): ["pacs.clinic.example."]}
    with name_server(zone) as dns:
        lookups = Lookups(inside=True, resolver=dns.address, rdap=False, dns_rate=100)
        parts = {"rules": Rules(), "notices": NoticeSettings(), "lookups": lookups}
        upkeep = Upkeep(engine, Watch(), location, say=said.append, clock=desk.calendar, **parts)  # type: ignore[arg-type]
        with away(engine):
            assert [await upkeep.turn() for _ in range(2)] == [False, False]
        assert len(said) == 1 and said[0].endswith("It is tried again until it works"), said
        assert await upkeep.turn()
    assert "the database works again; everything goes on" in said
    with engine.connect() as connection:
        assert "pacs.clinic.example" in connection.execute(sa.select(hints.c.value)).scalars().all()
    assert desk.case(1).state == "new"


def desk_address(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(sa.select(sightings.c.address)).scalar_one())


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
async def test_connections_that_are_cut_are_not_even_noticed(engine: sa.Engine, location: str, network: str) -> None:
    said: list[str] = []
    async with rounds_of(location, network, 8.0, said) as rounds:
        await until("it runs", lambda: under_way(rounds))
        for _ in range(3):
            cut(engine)
            await asyncio.sleep(0.2)
        await until("it was finished", lambda: states(engine) == ["done"])
    with engine.connect() as connection:
        assert connection.execute(sa.select(events.c.kind)).scalars().all() == ["opened"] * 3
