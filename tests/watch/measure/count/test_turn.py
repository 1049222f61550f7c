"""Large archives counted at once, where the memory is enough for one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fake_archive import FakeArchive, Policy, Study

from leadapron.watch.measure.count.hashes import Memory
from leadapron.watch.measure.count.inquiry import Budget
from leadapron.watch.measure.count.plan import CountOutcome, count
from leadapron.watch.measure.count.turn import Turn
from leadapron.watch.measure.model import Count

PURSE = 4 << 20
STUDIES = 12_000  # 144,000 octets and as many for the patients, in an answer and in the union of all


def archive(number: int, memory: Memory, policy: Policy) -> FakeArchive:
    studies = [
        Study(b"1.2.%d.%d" % (number, n), b"20%02d%02d%02d" % (5 + n % 14, 1 + n % 12, 1 + n % 28), patient=b"P%d" % n)
        for n in range(STUDIES)
    ]
    return FakeArchive(studies, policy, memory=memory)


async def counted(servers: list[FakeArchive], memory: Memory, budget: Budget | None = None) -> list[CountOutcome]:
    return await asyncio.gather(*(count(one, budget, memory=memory) for one in servers))


@pytest.mark.parametrize("limit", [None, 5_000])
async def test_each_is_exact_in_its_turn(limit: int | None) -> None:
    memory = Memory(PURSE)
    servers = [archive(number, memory, Policy(limit=limit)) for number in range(8)]
    for outcome in await counted(servers, memory):
        found = outcome.count
        assert isinstance(found, Count)
        assert (found.studies, found.patients) == (STUDIES, STUDIES)
        assert (found.complete, found.images, found.limit) == (True, STUDIES * 15, limit)
    assert await memory.turn.take(0)  # who counts last gives it back


async def test_one_that_never_ends_costs_the_others_no_more_than_their_wait() -> None:
    memory = Memory(PURSE)
    memory.take(PURSE // 2)
    begun = asyncio.Event()

    class Endless(FakeArchive):
        async def rest(self, wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            begun.set()
            await asyncio.Event().wait()

    ending = asyncio.create_task(count(Endless(archive(9, memory, Policy()).studies, memory=memory), memory=memory))
    await asyncio.wait_for(begun.wait(), 30)
    servers = [archive(number, memory, Policy()) for number in range(2)]
    outcomes = await asyncio.wait_for(counted(servers, memory, Budget(seconds=3)), 60)
    assert all(isinstance(one.count, Count) and one.count.studies > 0.95 * STUDIES for one in outcomes)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert await memory.turn.take(0)


async def test_who_goes_away_while_it_waits_is_passed_over() -> None:
    turn = Turn()
    assert await turn.take(0)
    first, second, third = (asyncio.create_task(turn.take(60)) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    turn.give()
    second.cancel()  # in the moment in which it is given: then it is the third one's
    assert await asyncio.wait_for(third, 5)
    turn.give()
    assert await turn.take(0)
    assert not await turn.take(0.01)
    turn.give()
    assert await turn.take(0)


@pytest.mark.parametrize(
    ("policy", "budget", "at_least"),
    [
        (Policy(), Budget(max_requests=1), STUDIES),  # it cannot be asked a second time: then it is not cut short
        (Policy(dead_after=1), Budget(), 1_000),  # it goes away while we wait
    ],
)
async def test_what_was_seen_before_the_turn_stays_seen(policy: Policy, budget: Budget, at_least: int) -> None:
    memory = Memory(PURSE)
    memory.take(PURSE // 2)
    server = archive(1, memory, policy)
    (outcome,) = await counted([server], memory, budget)
    found = outcome.count
    assert isinstance(found, Count), found
    assert at_least <= found.studies <= STUDIES
    assert (found.complete, found.method) == (False, "lower-bound")
    assert found.note in ("the requests allowed for one device were used up", "the server stopped answering")
    assert found.requests == server.requests and found.answers == server.rows
