"""kill -9 of the edge at every step, and of the far side at any time: what was acknowledged arrives (invariant 6)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from guard.edge.dying import Edges
from guard.edge.edging import (
    CALLED,
    CALLING,
    HOST,
    FarSide,
    configured,
    data_set,
    device,
    digest,
    far_side,
    running,
    store,
    until,
)
from leadapron.guard.gateway.edge.look import look
from leadapron.guard.gateway.edge.settings import EdgeSettings
from leadapron.kernel.errors import WireError
from leadapron.wire.aio.part10 import open_part10
from peers.certificates import Certificates
from peers.process import Peer, free_port, launch, listening

SIZE = 300_000  # two chunks
STEPS = 14  # of one data set; the last ones are of the second


def options(settings: EdgeSettings) -> list[str]:
    return [
        *("--listen", f"{settings.listen_host}:{settings.listen_port}", "--from", HOST),
        *("--calling", CALLING, "--called", CALLED, "--to", f"{settings.host}:{settings.port}"),
        *("--identity", str(settings.identity), "--queue", str(settings.queue), "--reserve", "0"),
    ]


async def stored(settings: EdgeSettings, numbers: range) -> list[int]:
    """What was acknowledged before the edge was gone."""
    acknowledged: list[int] = []
    with contextlib.suppress(WireError):
        async with device(settings) as association:
            for number in numbers:
                assert await store(association, number, SIZE) == 0
                acknowledged.append(number)
    return acknowledged


@pytest.mark.parametrize("line", ["up", "down"])
async def test_the_edge_is_killed_at_every_step(tmp_path: Path, certificates: Certificates, line: str) -> None:
    far, port, acknowledged = FarSide(), free_port(), list[int]()
    deaths = 0
    settings = configured(tmp_path, certificates, port)
    async with contextlib.AsyncExitStack() as stack:
        if line == "up":
            await stack.enter_async_context(far_side(far, certificates, port))
        with Edges(options(settings), tmp_path) as edges:
            for step in range(1, 2 * STEPS):
                await asyncio.to_thread(edges.start, step)
                await until(lambda: listening(settings.listen_port), "the edge listens")
                acknowledged += await stored(settings, range(step * 10, step * 10 + 3))
                await until(lambda: not listening(settings.listen_port), "it reaches its step")
                deaths += await asyncio.to_thread(edges.end) == -signal.SIGKILL
            if line == "down":
                assert look(settings.queue).waiting >= len(acknowledged)
                await stack.enter_async_context(far_side(far, certificates, port))
            await asyncio.to_thread(edges.start)
            # All may be delivered by now: a signal before it listens would end it while it still starts.
            await until(lambda: listening(settings.listen_port), "the edge listens")
            await until(lambda: _all(far, acknowledged), "what was acknowledged is delivered")
            await until(lambda: look(settings.queue).waiting == 0, "nothing is left")
            assert await asyncio.to_thread(edges.end) == 0
    assert deaths == 2 * STEPS - 1 and len(acknowledged) >= 10
    whole = {f"1.2.3.{n}": digest(data_set(n, SIZE)) for n in range(500)}
    assert all(whole[instance] == found for instance, _, found in far.stored)  # nothing half-written was ever sent
    first = list(dict.fromkeys(instance for instance, _, _ in far.stored))
    wanted = [f"1.2.3.{n}" for n in acknowledged]
    assert [instance for instance in first if instance in set(wanted)] == wanted  # in order
    # What the device saw fail may have arrived all the same, at most one for each death, and so may a second copy.
    assert len(far.stored) <= len(acknowledged) + 2 * deaths
    assert not list((settings.queue / "incoming").iterdir())


def _all(far: FarSide, numbers: list[int]) -> bool:
    return {f"1.2.3.{n}" for n in numbers} <= {instance for instance, _, _ in far.stored}


async def test_the_far_side_is_killed_again_and_again(
    tmp_path: Path, certificates: Certificates, storescp: Callable[..., Peer]
) -> None:
    """A real storescp, whose children write straight to files: what it answered Success for is there."""
    chance = random.Random(7)
    peer = storescp("--bit-preserving", "-rc", ae=CALLED, tls=certificates, mutual=True)
    command = cast("list[str]", peer.processes[-1].args)
    settings = configured(tmp_path, certificates, peer.port)
    numbers = range(120)
    async with running(settings) as edge:
        storing = asyncio.create_task(_all_of(settings, numbers))
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            await asyncio.to_thread(peer.stop)  # SIGKILL, children included
            await asyncio.to_thread(launch, peer, command)
        await storing
        await until(lambda: len(edge.queue) == 0, "all are delivered", 60)
        assert edge.queue.refusals == 0
    received = {}
    for path in (peer.home / "received").iterdir():
        with contextlib.suppress(Exception):  # what storescp was writing when it died
            file = open_part10(path)
            received[file.sop_instance] = digest(b"".join(file.chunks()))
    assert received == {f"1.2.3.{n}": digest(data_set(n, 100_000)) for n in numbers}


async def _all_of(settings: EdgeSettings, numbers: range) -> None:
    async with device(settings) as association:
        for number in numbers:
            assert await store(association, number, 100_000) == 0
