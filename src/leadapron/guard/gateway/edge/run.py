"""An edge from its start to its end: queue, line, sender and door, and what they say on the way.

SIGTERM, SIGINT and SIGHUP (its terminal is closed) end it: nobody is let in any more, the association and the delivery
under way have a few seconds each, what waits stays on disk for the next start. A delivery that is broken off by that is
repeated then.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.edge.back import Back
from leadapron.guard.gateway.edge.contexts import Agreements
from leadapron.guard.gateway.edge.conversation import Shared
from leadapron.guard.gateway.edge.credentials import Credentials
from leadapron.guard.gateway.edge.door import Door
from leadapron.guard.gateway.edge.line import Line
from leadapron.guard.gateway.edge.look import data_sets, look
from leadapron.guard.gateway.edge.queue import Queue
from leadapron.guard.gateway.edge.record import Record, Sparing
from leadapron.guard.gateway.edge.sender import Sender
from leadapron.guard.gateway.edge.settings import EdgeSettings
from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.seal import key_file
from leadapron.wire.aio.dialogue import where

QUEUE_KEY: Final = "queue.key"
REPORT_S: Final = 60.0
AFTER_A_BUG_S: Final = 5.0
ENDS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE_S: Final = 5.0
"""For the item under way, and for the device's association, when the edge ends."""

Told = Callable[[str], None]


class Running(Struct, frozen=True):
    """An edge that runs; ``port`` is the one that is listened on."""

    port: int
    queue: Queue
    line: Line


async def run_edge(settings: EdgeSettings, told: Told, *, retry_refused: bool = False) -> None:
    """Until SIGTERM, SIGINT or SIGHUP, which stays ignored where it is (nohup); SIGINT does not: shells have it ignored
    for what they start in the background. Raises `UsageError` and `Failure` where it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = [number for number in ENDS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        async with edge(settings, told, retry_refused=retry_refused):
            await stop.wait()
            told("stopping")
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
    told(_left(settings))


@contextlib.asynccontextmanager
async def edge(
    settings: EdgeSettings,
    told: Told,
    *,
    retry_refused: bool = False,
    sender_options: dict[str, float] | None = None,
    clock: Clock = SystemClock(),  # noqa: B008 (without state)
) -> AsyncIterator[Running]:
    """An edge that runs for as long as the block lasts."""
    told = Sparing(told, clock)
    credentials = Credentials(settings.identity)
    credentials.check_title(settings.calling)
    key = key_file(settings.identity / QUEUE_KEY)
    async with Queue(settings.queue, key, settings.limits, clock) as queue:
        with Record(settings.queue, settings.calling, told, clock) as record:
            if retry_refused and (back := queue.take_back()):
                told(f"{back} refused {data_sets(back)} put back, to be tried again")
            line = Line(settings.host, settings.port, credentials, server_name=settings.server_name, told=told)
            agreements = Agreements(clock)
            sender = Sender(queue, line, told=told, unsupported=agreements.forget, **(sender_options or {}))
            door = Door(settings, Shared(queue, line, agreements, told), record.stranger)
            delivering = asyncio.create_task(_kept(sender.run, told))
            reporting = asyncio.create_task(_kept(_Report(queue, line, credentials, told, clock).run, told))
            try:
                async with door.open() as server, _way_back(settings, credentials, told, record):
                    told(
                        f"listens on {settings.listen_host}:{server.port} for {settings.calling} at "
                        f"{', '.join(sorted(settings.sources))}, which calls {settings.called}"
                    )
                    ends = f"{credentials.not_after:%Y-%m-%d}"
                    told(f"delivers to {line.name} over mutual TLS, with a certificate that ends {ends}")
                    told(_standing(queue, line))
                    yield Running(server.port, queue, line)
            finally:
                sender.stop()
                await asyncio.wait([delivering], timeout=GRACE_S)
                for task in (delivering, reporting):
                    task.cancel()
                await asyncio.gather(delivering, reporting, return_exceptions=True)


@contextlib.asynccontextmanager
async def _way_back(
    settings: EdgeSettings, credentials: Credentials, told: Told, record: Record
) -> AsyncIterator[None]:
    """What the guard delivers goes on to the device, where that is wanted."""
    if settings.receive is None or settings.device is None:
        yield
        return
    tls = credentials.receiving()
    async with Back(settings, settings.receive, settings.device, tls, told, record.stranger).open():
        told(f"takes deliveries from the guard on {settings.receive}, for the device at {settings.device}")
        yield


async def _kept(work: Callable[[], Awaitable[None]], told: Told) -> None:
    """A task that must not fail: a bug of ours is told, and it begins again."""
    while True:
        try:
            return await work()
        except Exception as bug:  # its text may quote a patient's datum; where it was raised cannot
            told(f"this is a bug of ours: {type(bug).__name__} at {where(bug)}")
        await asyncio.sleep(AFTER_A_BUG_S)


class _Report:
    """Says from time to time how the queue stands, and when the certificate ends."""

    def __init__(self, queue: Queue, line: Line, credentials: Credentials, told: Told, clock: Clock) -> None:
        self._queue, self._line, self._credentials, self._told, self._clock = queue, line, credentials, told, clock
        self._said = ""
        self._warned_on = ""

    async def run(self) -> None:
        while True:
            await self._certificate()
            await asyncio.sleep(REPORT_S)
            standing = _standing(self._queue, self._line)
            if standing != self._said or len(self._queue):
                self._told(standing)
            self._said = standing

    async def _certificate(self) -> None:
        self._credentials.context()  # what was put there by hand serves the way back, too
        now = self._clock.now()
        renewed = await self._credentials.renew_if_due(now)
        if renewed is not None:
            self._told(renewed)
        warning = self._credentials.warning(now)
        if warning is not None and self._warned_on != f"{now:%Y-%m-%d}":
            self._warned_on = f"{now:%Y-%m-%d}"
            self._told(warning)


def _standing(queue: Queue, line: Line) -> str:
    state = {None: "not tried yet", True: "up", False: f"down ({line.why})"}[line.up]
    first = queue.first()
    since = "" if first is None else f" since {iso(datetime.fromtimestamp(first.since, UTC))}"
    refused = f", {queue.refusals} refused and set aside" if queue.refusals else ""
    return (
        f"{len(queue)} {data_sets(len(queue))} waiting{since}, {queue.delivered_until_now} delivered{refused}; "
        f"line {state}"
    )


def _left(settings: EdgeSettings) -> str:
    seen = look(settings.queue)
    return f"stopped; {seen.waiting} {data_sets(seen.waiting)} waiting for the next start"
