"""The guard's DIMSE side: the outer door, the back door for what the archive delivers, and their end.

async with serve_guard(settings, registry=…, policy=…, on_event=…, tls=…) as guard:
    await guard.wait()
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from leadapron.guard.doors import cannot_listen
from leadapron.guard.gateway.dimse.back import Back
from leadapron.guard.gateway.dimse.front import Front, Second
from leadapron.guard.gateway.dimse.judge import Registry, Ruling
from leadapron.guard.gateway.dimse.leg import Pool
from leadapron.guard.gateway.dimse.meter import Meter
from leadapron.guard.gateway.dimse.opening import Endpoint, timeouts_of
from leadapron.guard.gateway.dimse.record import OnEvent, turned_away
from leadapron.guard.gateway.meter import ForDimse
from leadapron.guard.gateway.meter import Meter as PeersMeter
from leadapron.guard.identity.contexts import refusal
from leadapron.guard.policy.decide import Policy
from leadapron.guard.settings import Guard
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure, LimitExceeded
from leadapron.kernel.hostport import HostPort, parse_host_port
from leadapron.wire.aio.server import Server, ServerLimits, listen
from leadapron.wire.aio.tls import DirectSession

GRACE_S = 10.0


class Contexts(Struct, frozen=True):
    """TLS. ``outside``: peers come in, mutual. ``peers``: the guard goes to peers. ``archive``: it goes to the archive,
    None for plain. ``back``: the archive comes in, None for plain."""

    outside: ssl.SSLContext
    peers: ssl.SSLContext | None = None
    archive: ssl.SSLContext | None = None
    back: ssl.SSLContext | None = None


class GuardServer:
    """What listens. ``address`` is where peers connect."""

    def __init__(self, doors: tuple[Server, ...]) -> None:
        self._doors = doors

    @property
    def address(self) -> tuple[str, int]:
        return self._doors[0].host, self._doors[0].port

    @property
    def associations(self) -> int:
        """Connections at this moment, both doors."""
        return sum(door.connections for door in self._doors)

    async def wait(self) -> None:
        """Until somebody calls `close`."""
        await self._doors[0].wait()

    async def close(self) -> None:
        """Stops listening, lets associations end within the grace, then aborts what is left."""
        await asyncio.gather(*(door.close() for door in self._doors))


@asynccontextmanager
async def serve_guard(
    settings: Guard,
    *,
    registry: Registry,
    policy: Callable[[], Policy],
    on_event: OnEvent,
    tls: Contexts,
    meter: Meter | None = None,
    clock: Clock | None = None,
    second: Second | None = None,
    healthy: Callable[[], bool] = lambda: True,
    tell: Callable[[str], None] = lambda line: None,
    grace: float = GRACE_S,
) -> AsyncIterator[GuardServer]:
    """Listens as ``settings`` say, until the block is left. Raises Failure where it cannot listen, UsageError
    for a place that is none.

    ``healthy``: whether the audit trail can record; while it can't, no association and no request is let through.
    ``tell``: takes a line for whoever watches the guard run."""
    clock = clock or SystemClock()
    meter = meter or ForDimse(PeersMeter(lambda who: policy().rules(who), clock=clock))
    ruling = Ruling(policy, registry, meter, clock, healthy)
    archive = Endpoint(settings.archive.host, settings.archive.port, tls.archive)
    pool = Pool()
    tls.outside.sslobject_class = DirectSession

    def refused(address: str, error: Exception) -> None:
        reason = "too many connections" if isinstance(error, LimitExceeded) else refusal(error)
        turned_away(on_event, address, reason)
        registry.unknown("", address, reason)

    limits = settings.limits
    host, port = parse_host_port(settings.listen, "[guard] listen")
    front = Front(settings, ruling, archive, on_event, pool, second, tell)
    outer = listen(
        host,
        port,
        front.attend,
        refused=refused,
        tls=tls.outside,
        timeouts=timeouts_of(limits),
        limits=ServerLimits(limits.connections, limits.per_address),
        grace=grace,
    )
    try:
        doors = [await outer]
    except Failure as error:
        raise cannot_listen("[guard] listen", HostPort(host, port), error.__context__) from None
    if settings.archive.back is not None:
        if tls.peers is None:
            raise Failure("what the archive delivers goes to peers over TLS: a context for them is needed")
        host, port = parse_host_port(settings.archive.back, "[guard.archive] back")
        back = Back(settings, ruling, tls.peers, on_event, pool)
        try:
            doors.append(
                await listen(
                    host,
                    port,
                    back.attend,
                    refused=refused,
                    tls=tls.back,
                    timeouts=timeouts_of(limits),
                    limits=ServerLimits(limits.connections, limits.per_address),
                    grace=grace,
                )
            )
        except Failure as error:
            await doors[0].close()
            raise cannot_listen("[guard.archive] back", HostPort(host, port), error.__context__) from None
    guard = GuardServer(tuple(doors))
    try:
        yield guard
    finally:
        await guard.close()
