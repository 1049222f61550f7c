"""The upper layer of one association over one connection: Table 9-10 of PS3.8 decides, this carries it out.

Every PDU goes through the state machine, save P-DATA on an association that stands, which is the bulk and whose cell
(DT-2) says only "hand it on". What the machine wants done is done here, in its order; what it has to tell the user is
returned, or raised if it is an end. Where it starts the ARTIM timer we have said our last word, and the closing is left
to the peer for a short while.
"""

from __future__ import annotations

import asyncio
from typing import Final

from leadapron.kernel.errors import AssociationAborted, ProtocolError, WireError
from leadapron.wire.aio.transport import Connection
from leadapron.wire.association.machine import (
    Accepted,
    Association,
    CloseTransport,
    Data,
    Effect,
    Rejected,
    Released,
    ReleaseRequested,
    Requested,
    Role,
    Send,
    StartTimer,
)
from leadapron.wire.association.reasons import explain_abort
from leadapron.wire.association.table import State
from leadapron.wire.pdu import Abort, PData, Pdu

LINGER_S: Final = 1.0
"""For the peer to close after an A-ABORT or A-ASSOCIATE-RJ of ours; ``timeouts.release`` if that is shorter."""

Indication = Requested | Accepted | Rejected | Data | ReleaseRequested | Released


class Upper:
    """``machine`` is the state, ``connection`` the octets. Errors that end the association are raised once here."""

    def __init__(self, connection: Connection, role: Role) -> None:
        self.connection = connection
        self.timeouts = connection.timeouts
        self.machine = Association(role, limits=connection.limits)

    @property
    def standing(self) -> bool:
        """The association is established and neither side has begun to end it."""
        return self.machine.state is State.STA6 and self.connection.open

    def do(self, effects: list[Effect]) -> Indication | None:
        """Carries out what the machine wants; gives what it indicates, if that is no abort."""
        told: Indication | None = None
        for effect in effects:
            if isinstance(effect, Send):
                self.connection.last_words(effect.data)
            elif isinstance(effect, CloseTransport):
                self.connection.close()
            elif isinstance(effect, StartTimer):
                if self.machine.state is State.STA13:
                    self.connection.await_close(min(LINGER_S, self.timeouts.release))
            elif isinstance(effect, Indication):
                told = effect
            # The rest needs nothing: the connection is open before there is an Upper, each wait has its own bound
            # instead of a timer to stop, and what an abort means is raised by `next`.
        return told

    async def next(self, waiting_for: str, seconds: float) -> Indication:
        """What the peer says next, within ``seconds``.

        Raises AssociationAborted, ConnectionLost, TlsFailed, TimedOut, ProtocolError, LimitExceeded.
        """
        try:
            pdu = await self.connection.receive(waiting_for, seconds)
        except WireError as error:
            self._lost(error)
            raise
        return self._judge(pdu)

    def take(self) -> Indication | None:
        """What the peer has said already, if all of it is here; never waits. Raises as `next` does."""
        try:
            pdu = self.connection.take()
        except WireError as error:
            self._lost(error)
            raise
        return None if pdu is None else self._judge(pdu)

    def _judge(self, pdu: Pdu) -> Indication:
        if type(pdu) is PData and self.machine.state is State.STA6:
            return Data(pdu)
        told = self.do(self.machine.received(pdu))
        if isinstance(pdu, Abort):
            raise AssociationAborted(pdu.source, pdu.reason, explain_abort(pdu))
        if told is None:
            raise ProtocolError(f"{type(pdu).__name__} came where PS3.8 Table 9-10 does not allow it")
        return told

    def _lost(self, error: WireError) -> None:
        """Tells the machine why nothing was received. A time-out is for the caller to act upon."""
        if isinstance(error, ProtocolError):
            self.do(self.machine.unreadable(error))
        elif not self.connection.open:
            self.do(self.machine.transport_closed())

    async def release(self) -> None:
        """Asks for release and waits for the answer (PS3.8 §7.2), within ``timeouts.release``, then closes.

        Raises as `next` does; what the peer still sends meanwhile is dropped.
        """
        self.do(self.machine.release())
        deadline = asyncio.get_running_loop().time() + self.timeouts.release
        while True:
            left = deadline - asyncio.get_running_loop().time()
            told = await self.next("A-RELEASE-RP", max(left, 0.0))
            if isinstance(told, ReleaseRequested) and self.machine.state is State.STA9:
                self.do(self.machine.respond_release())
            elif isinstance(told, Released):
                if self.machine.state is State.STA12:
                    self.do(self.machine.respond_release())
                break
        await self.connection.closed(self.timeouts.release)

    async def respond_release(self) -> None:
        """Answers A-RELEASE-RQ; the requestor closes the connection, or we do after a while (Sta13)."""
        self.do(self.machine.respond_release())
        await self.connection.closed(self.timeouts.release)

    async def abort(self) -> None:
        """Sends A-ABORT if there is still somebody to hear it, and closes. Never raises, ends within ``LINGER_S``."""
        if self.machine.state not in (State.STA1, State.STA2, State.STA13):
            self.do(self.machine.abort())
        elif self.machine.state is not State.STA13:
            self.connection.abort()
        await self.connection.closed(min(LINGER_S, self.timeouts.release))
