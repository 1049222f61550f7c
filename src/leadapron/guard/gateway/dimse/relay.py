"""Two connections with an association each, and a conversation between them, until either ends.

Everything here happens in the loop's callbacks; `run` only waits. One timer looks at both sides a few times in each of
their bounds: a wait costs no timer of its own. Waits are bounded as things that someone owes: a PDU that was begun, an
answer, a next request, the taking of what is sent, the end of what was cut short. Where the wait is ours (the other
side is congested) nobody is blamed but the one who does not take.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.dimse.conversation import Conversation, Ended, Outcome
from leadapron.guard.gateway.dimse.leg import Leg, Pool
from leadapron.kernel.errors import ProtocolError, WireError
from leadapron.wire.aio.transport import Connection
from leadapron.wire.association.reasons import (
    INVALID_PDU_PARAMETER_VALUE,
    REASON_NOT_SPECIFIED,
    SERVICE_PROVIDER,
    SERVICE_USER,
    UNEXPECTED_PDU,
)
from leadapron.wire.pdu import Abort, encode

LINGER_S: Final = 1.0
"""For a peer to close after our last words."""


class Bounds(Struct, frozen=True):
    """Seconds. ``idle``: until the next request; ``response``: until something of an answer; ``pdu``: for one PDU from
    its first octet, and for the taking of what is sent; ``drain``: for the end of what was cut short."""

    idle: float = 300.0
    response: float = 120.0
    pdu: float = 60.0
    drain: float = 30.0


class End(Struct, frozen=True):
    """``reason`` None: nothing was left undone. ``fault``: whose it was: ``requestor``, ``acceptor``, ``guard`` or
    None."""

    outcome: Outcome | None
    reason: str | None = None
    fault: str | None = None
    error: Exception | None = None


class Relay:
    """``requestor`` and ``acceptor`` are open connections whose associations stand. Await ``run`` once."""

    def __init__(
        self, conversation: Conversation, requestor: Connection, acceptor: Connection, bounds: Bounds, pool: Pool
    ) -> None:
        self.conversation = conversation
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[End] = self._loop.create_future()
        self._connections = requestor, acceptor
        self.requestor, self.acceptor = Leg(pool, requestor.socket), Leg(pool, acceptor.socket)
        self._timer: asyncio.TimerHandle | None = None
        self._turn = min(bounds.idle, bounds.response, bounds.pdu, bounds.drain) / 4
        now = self._loop.time()
        self._marks: dict[Leg, _Mark] = {leg: _Mark(now) for leg in (self.requestor, self.acceptor)}

    async def run(self) -> End:
        """To the end; then both connections are closed, or closing. Cancelled, it aborts both."""
        requestor, acceptor, conversation = self.requestor, self.acceptor, self.conversation
        requestor.other, acceptor.other = acceptor, requestor
        requestor.failed = acceptor.failed = self._failed
        requestor.sink = partial(self._sink, conversation.inward.feed)
        acceptor.sink = partial(self._sink, conversation.outward.feed)
        requestor.stopped = self._inward_stopped
        self._timer = self._loop.call_later(self._turn, self._tick)
        try:
            self._take_over()
            end = await asyncio.shield(self._end)  # a cancellation must not take it for ended
        except asyncio.CancelledError:
            self._stop(End(None, "the guard stopped", "guard"))
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([requestor.closed, acceptor.closed], timeout=2 * LINGER_S)
        return end

    def _take_over(self) -> None:
        """From now on the legs have the connections. One may have ended since its association was agreed on."""
        legs = self.requestor, self.acceptor
        left: dict[Leg, bytes] = {}
        for connection, leg in zip(self._connections, legs, strict=True):
            try:
                left[leg] = connection.hand_over(leg)
            except WireError:
                connection.abort()
                leg.never()
        for leg in legs:
            if leg not in left:
                self._failed(leg, None)
            else:
                leg.start(left[leg])

    # ---- while it lasts ---------------------------------------------------------------------------------------------

    def _sink(self, feed: Callable[[memoryview], int], view: memoryview) -> int:
        conversation = self.conversation
        conversation.now = self._loop.time()
        taken = feed(view)
        outcome = conversation.outcome
        if outcome is not None:
            cut = outcome is not Outcome.RELEASED and conversation.open
            self._stop(End(outcome, f"{outcome.value} before all was answered" if cut else None))
        elif conversation.inward.waiting and conversation.situation.draining is None:
            self._loop.call_soon(self._resume)
        return taken

    def _inward_stopped(self) -> bool:
        return self.conversation.inward.waiting

    def _resume(self) -> None:
        if self._end.done():
            return
        try:
            self.conversation.inward.resume()
        except Exception as error:
            self._failed(self.requestor, error)
            return
        self.acceptor.settle()
        self.requestor.again()

    def _tick(self) -> None:
        self._timer = None
        if self._end.done():
            return
        now = self._loop.time()
        late = self._late(now)
        if late is not None:
            self._stop(late)
            return
        self._timer = self._loop.call_later(self._turn, self._tick)

    def _late(self, now: float) -> End | None:
        """Who has kept us waiting for too long."""
        conversation, bounds = self.conversation, self._bounds
        situation = conversation.situation
        if situation.draining is not None and now - situation.draining > bounds.drain:
            return End(None, f"the acceptor went on for {bounds.drain:g} s after C-CANCEL", "acceptor")
        quiet = bounds.response if situation.awaiting_answer else bounds.idle
        moved = 0.0
        for leg, flow, name in (
            (self.requestor, conversation.inward, "requestor"),
            (self.acceptor, conversation.outward, "acceptor"),
        ):
            mark = self._marks[leg]
            mark.look(leg, flow.pdus, flow.midway or leg.held > 0, now)
            moved = max(moved, mark.moved)
            if leg.congested and now - mark.congested > bounds.pdu:
                return End(None, f"the {name} did not take what is sent for {bounds.pdu:g} s", name)
            blocked = leg.other.congested or flow.waiting
            if mark.begun is not None and not blocked and now - mark.begun > bounds.pdu:
                return End(None, f"the {name} did not end within {bounds.pdu:g} s a PDU that it began", name)
        if now - moved > quiet:
            if situation.awaiting_answer:
                return End(None, f"no answer within {quiet:g} s", "acceptor")
            return End(None, f"no request within {quiet:g} s", "requestor")
        return None

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _failed(self, leg: Leg, error: Exception | None) -> None:
        name = "requestor" if leg is self.requestor else "acceptor"
        if isinstance(error, Ended):
            self._stop(End(None, error.reason, "requestor", error))
        elif isinstance(error, ProtocolError):
            self._stop(End(None, f"the {name} broke the protocol: {error}", name, error))
        elif error is None or isinstance(error, OSError):
            self._stop(End(None, f"the {name} closed the connection", name))
        else:
            self._stop(End(None, f"the guard failed: {type(error).__name__}", "guard", error))

    def _stop(self, end: End) -> None:
        if self._end.done():
            return
        self._end.set_result(end)
        if end.outcome is Outcome.RELEASED:
            # Who asked for release closes (PS3.8 §9.2, Sta13); either may have.
            asked, answered = (self.requestor, self.acceptor) if self.conversation.inward.released else (
                self.acceptor, self.requestor
            )  # fmt: skip
            asked.finish(b"", LINGER_S)
            self._loop.call_soon(answered.finish, None, LINGER_S)
        elif end.outcome is not None:
            for leg in (self.requestor, self.acceptor):
                self._loop.call_soon(leg.finish, b"", LINGER_S)
        else:
            words = encode(_abort(end))
            for leg in (self.requestor, self.acceptor):
                leg.finish(words, LINGER_S)


def _abort(end: End) -> Abort:
    if isinstance(end.error, ProtocolError):
        return Abort(SERVICE_PROVIDER, INVALID_PDU_PARAMETER_VALUE if end.error.offset else UNEXPECTED_PDU)
    if isinstance(end.error, Ended):
        return Abort(SERVICE_USER, REASON_NOT_SPECIFIED)
    return Abort(SERVICE_PROVIDER, REASON_NOT_SPECIFIED)


class _Mark:
    """What one side had done when it was last looked at."""

    __slots__ = ("begun", "congested", "moved", "pdus", "received")

    def __init__(self, now: float) -> None:
        self.received = self.pdus = -1
        self.moved = now
        self.congested = now
        self.begun: float | None = None

    def look(self, leg: Leg, pdus: int, midway: bool, now: float) -> None:
        if leg.received != self.received:
            self.received, self.moved = leg.received, now
        if not leg.congested:
            self.congested = now
        if pdus != self.pdus or not midway:
            self.pdus, self.begun = pdus, now if midway else None
        elif self.begun is None:
            self.begun = now
