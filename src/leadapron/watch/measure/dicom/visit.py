"""One endpoint, from its first touch to a finished measurement.

Most endpoints are finished by the touch alone. The rest is asked further, one association at a time: the titles that
products come with where ours is not known as called, TLS where plain DICOM was hung up on, and then the count.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Final

from msgspec import Struct

from leadapron.kernel.clock import Clock, iso
from leadapron.watch.measure.count.hashes import Fingerprint
from leadapron.watch.measure.dicom import proposal
from leadapron.watch.measure.dicom.ask import Progress, count_endpoint
from leadapron.watch.measure.dicom.tls import touch_tls
from leadapron.watch.measure.dicom.touch import Touch, Touched
from leadapron.watch.measure.model import (
    Accepted,
    Attempt,
    Count,
    CountFailed,
    Depth,
    Echo,
    Failed,
    HungUp,
    Load,
    Malformed,
    Measurement,
    NotDicom,
    Refused,
    Rejected,
    Shapes,
    Tls,
    TlsFailed,
    Transport,
)
from leadapron.wire.aio.swarm import Swarm

TLS_FIRST: Final = frozenset((2762, 443, 8443, 8043))  # registered for DICOM over TLS; HTTPS by custom
TRANSIENT: Final = 2  # A-ASSOCIATE-RJ result "rejected-transient": congestion, local limits
BUSY_PAUSES_S: Final = (1.0, 3.0)  # before asking a busy server again, twice at most
CALLED_NOT_RECOGNIZED: Final = (1, 7)  # A-ASSOCIATE-RJ source and reason, PS3.8 Table 9-21


class Options(Struct, frozen=True):
    """How to visit. Seconds bound each wait (``timeout``) and the counting of one endpoint (``patience``)."""

    depth: Depth = "count"
    timeout: float = 5.0
    max_requests: int = 400
    patience: float = 300.0
    pause: float = 0.05
    called: tuple[str, ...] = ()
    calling: tuple[str, ...] = (proposal.CALLING,)

    def called_titles(self, port: int) -> tuple[str, ...]:
        """The called titles to try in turn, at most three."""
        if self.called:
            return self.called[: proposal.MAX_CALLED]
        return (
            proposal.CALLED,
            *proposal.DEFAULT_CALLED.get(port, proposal.DEFAULT_CALLED[None]),
        )[: proposal.MAX_CALLED]


def our_fault(error: Exception) -> str:
    """Why a visit failed that is no server's doing, in words that quote nobody: an exception's text may hold what a
    server sent, its kind and the name of its errno can't (invariant 2)."""
    name = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    if name is not None:
        return f"no connection could be opened: {name}"
    return f"a bug of ours: {type(error).__name__}"


class Visit:
    """What is known so far of one endpoint."""

    __slots__ = (
        "address",
        "associations",
        "attempts",
        "clock",
        "connections",
        "count",
        "counted",
        "echo",
        "observed",
        "options",
        "port",
        "requests",
        "shapes",
        "started",
    )

    def __init__(self, address: str, port: int, options: Options, clock: Clock, started: float | None = None) -> None:
        self.address = address
        self.port = port
        self.options = options
        self.clock = clock
        self.started = clock.monotonic() if started is None else started
        self.observed = iso(clock.now())
        self.attempts: list[Attempt] = []
        self.echo: Echo | None = None
        self.count: Count | CountFailed | None = None
        self.shapes: Shapes | None = None
        self.counted: Fingerprint | None = None
        self.connections = 0
        self.associations = 0
        self.requests = 0

    def add(self, touched: Touched, transport: Transport, called: str, calling: str, tls: Tls | None = None) -> None:
        """Take in how one attempt ended."""
        self.attempts.append(Attempt(transport, called, calling, touched.outcome, tls))
        self.connections += touched.connected
        self.associations += isinstance(touched.outcome, Accepted)
        self.requests += touched.requests
        if touched.echo is not None:
            self.echo = touched.echo

    def failed(self, reason: str) -> None:
        """Something of ours broke: what is known stays, and this is said."""
        last = self.attempts[-1] if self.attempts else None
        if last is not None and isinstance(last.outcome, Accepted):
            self.count = CountFailed(reason)
        else:
            self.attempts.append(
                Attempt("tcp", self.options.called_titles(self.port)[0], self.options.calling[0], Failed(reason))
            )

    def forget(self) -> None:
        """Drop what was found, not what was asked: it can't be told as it is."""
        self.attempts.clear()
        self.echo = self.count = self.shapes = self.counted = None

    def wants_more(self) -> bool:
        """Whether the last attempt leaves something to ask (see ``deepen``)."""
        if not self.attempts:
            return False
        outcome = self.attempts[-1].outcome
        return (
            self._countable(outcome) or self._other_title(outcome) or self._may_be_tls(outcome) or self._busy(outcome)
        )

    def measurement(self) -> Measurement:
        return Measurement(
            self.address,
            self.port,
            self.options.depth,
            tuple(self.attempts),
            self.observed,
            round(self.clock.monotonic() - self.started, 3),
            Load(self.connections, self.associations, self.requests),
            self.echo,
            self.count,
            self.shapes,
        )

    def _countable(self, outcome: object) -> bool:
        return (
            self.options.depth in ("count", "estimate")
            and isinstance(outcome, Accepted)
            and any(model in outcome.contexts for model in proposal.QUERY_MODELS)
        )

    def _busy(self, outcome: object) -> bool:
        return isinstance(outcome, Rejected) and outcome.result == TRANSIENT

    def _other_title(self, outcome: object) -> bool:
        return isinstance(outcome, Rejected) and (outcome.source, outcome.reason) == CALLED_NOT_RECOGNIZED

    def _may_be_tls(self, outcome: object) -> bool:
        if self.attempts[-1].transport == "tls":
            return False
        return isinstance(outcome, HungUp | Malformed) or outcome == NotDicom("tls")


async def first_over_tls(visit: Visit, swarm: Swarm, sock: socket.socket) -> None:
    """The first attempt where TLS is the custom, on a connected socket; plain afterwards where no TLS is spoken."""
    called, calling = visit.options.called_titles(visit.port)[0], visit.options.calling[0]
    touched, tls = await _touch_tls(visit, called, calling, sock)
    visit.add(touched, "tls", called, calling, tls)
    if isinstance(touched.outcome, TlsFailed) and not touched.outcome.client_certificate_wanted:
        await asyncio.sleep(visit.options.pause)
        plain = await _touch_plain(visit, swarm, called, calling)
        if not isinstance(plain.outcome, HungUp | Refused):  # else the failed handshake says more
            visit.attempts.clear()
            visit.add(plain, "tcp", called, calling)


async def deepen(visit: Visit, swarm: Swarm, progress: Progress) -> None:
    """Ask further what the first attempt left open. Never raises for what a server does."""
    options = visit.options
    first = visit.attempts[-1]
    if first.transport == "tcp" and visit._may_be_tls(first.outcome):
        await asyncio.sleep(options.pause)
        touched, tls = await _touch_tls(visit, first.called, first.calling)
        if isinstance(touched.outcome, TlsFailed) and not touched.outcome.client_certificate_wanted:
            visit.connections += touched.connected  # no TLS either: the plain attempt says what there is
        else:
            visit.add(touched, "tls", first.called, first.calling, tls)
    for pause in BUSY_PAUSES_S:
        last = visit.attempts[-1]
        if not visit._busy(last.outcome):
            break
        await asyncio.sleep(pause)
        visit.attempts.pop()  # what a busy server says later replaces it
        await _again(visit, swarm, last.transport, last.called)
    for called in options.called_titles(visit.port)[1:]:
        last = visit.attempts[-1]
        if not visit._other_title(last.outcome):
            break
        await asyncio.sleep(options.pause)
        await _again(visit, swarm, last.transport, called)
    accepted = next((a for a in visit.attempts if visit._countable(a.outcome)), None)
    if accepted is not None:
        await asyncio.sleep(options.pause)
        await count_endpoint(visit, accepted, progress)


async def _again(visit: Visit, swarm: Swarm, transport: Transport, called: str) -> None:
    """One more attempt over the transport that answered."""
    calling, tls = visit.options.calling[0], None
    if transport == "tls":
        touched, tls = await _touch_tls(visit, called, calling)
    else:
        touched = await _touch_plain(visit, swarm, called, calling)
    visit.add(touched, transport, called, calling, tls)


async def _touch_plain(visit: Visit, swarm: Swarm, called: str, calling: str) -> Touched:
    result: asyncio.Future[Touched] = asyncio.get_running_loop().create_future()

    def done(touched: Touched) -> None:
        if not result.done():
            result.set_result(touched)

    options = visit.options
    touch = Touch(done, called=called, calling=calling, depth=options.depth, timeout=options.timeout)
    swarm.connect(visit.address, visit.port, touch, options.timeout)
    return await result


async def _touch_tls(
    visit: Visit, called: str, calling: str, sock: socket.socket | None = None
) -> tuple[Touched, Tls | None]:
    options = visit.options
    return await touch_tls(
        visit.address,
        visit.port,
        called=called,
        calling=calling,
        depth=options.depth,
        timeout=options.timeout,
        sock=sock,
    )
