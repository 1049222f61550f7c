"""One ``up`` for one database: who comes second is told by whom it is held, and it is free when that one is gone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from leadapron.kernel.errors import UsageError
from leadapron.watch.campaign import instance
from leadapron.watch.campaign.instance import Instance
from leadapron.watch.track.database import open_engine
from outages import away, cut
from watch_folding import Day

BOUND_S = 20.0
HOLDING = """
import asyncio, sys
from leadapron.watch.campaign.instance import Instance
from leadapron.watch.track.database import open_engine
async def main():
    async with Instance(open_engine(sys.argv[1]), print):
        print("held", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "LOOK_EVERY_S", 0.1)


async def until(what: str, holds: Callable[[], object]) -> None:
    end = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < end, f"not within {BOUND_S:g} s: {what}"
        await asyncio.sleep(0.02)


async def test_a_second_is_told_who_holds_it(engine: sa.Engine, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "PATIENCE_S", 0.2)
    second = open_engine(location)
    async with Instance(engine, print) as first:
        assert first.held
        with pytest.raises(
            UsageError, match=rf"runs already on .*: process {os.getpid()} on \S+, since \d{{4}}-\d\d-\d\d .* UTC"
        ):
            await Instance(second, print).__aenter__()
    async with Instance(second, print) as other:
        assert other.held
    second.dispose()


async def test_one_that_is_killed_holds_nothing(engine: sa.Engine, location: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLDING, location], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        taking = asyncio.create_task(Instance(engine, print).__aenter__())
        await asyncio.sleep(0.3)
        assert not taking.done(), "it is waited for a little, as one that ends"
        child.kill()
        first = await taking
        assert first.held
        await first.__aexit__(None, None, None)
    finally:
        child.kill()
        child.wait(30)


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
async def test_a_lock_that_was_lost_is_taken_again(engine: sa.Engine) -> None:
    said: list[str] = []
    async with Instance(engine, said.append) as first:
        assert cut(engine, "leadapron up") == 1
        await until("it is held again", lambda: cut(engine, "leadapron up") == 1)
        with away(engine):
            await until("it is noticed", lambda: not first.held)
            await asyncio.sleep(0.5)
            assert not first.held
        await until("it is held again", lambda: first.held)
    assert len(said) == 2 and "tried again" in said[0] and "works again" in said[1], "once, however long it took"


@pytest.mark.parametrize("location", ["postgresql"], indirect=True)
async def test_who_lost_it_to_another_waits_for_its_end(
    engine: sa.Engine, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "LOOK_EVERY_S", 5.0)  # so that the other one is faster
    said: list[str] = []
    second = open_engine(location)
    async with Instance(engine, said.append) as first:
        other = Instance(second, print, clock=Day(1))  # by another name
        assert cut(engine, "leadapron up") == 1
        async with other:
            monkeypatch.setattr(instance, "LOOK_EVERY_S", 0.1)
            await until("the first knows", lambda: said)
            assert not first.held and "another leadapron up has taken over: process" in said[0]
            await asyncio.sleep(0.5)
            assert len(said) == 1, "once"
        await until("the first goes on", lambda: first.held)
    assert said[1:] == ["the other leadapron up has ended; this one goes on"]
    second.dispose()
