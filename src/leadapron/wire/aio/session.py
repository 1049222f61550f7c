"""An association that stands, seen from either side: messages out, messages in, release and abort.

A message is a command, then at most one data set (PS3.7 §6.3.1), which is streamed: chunks are handed on as they are
received, and not reading them stops the peer. Messages never mix, so one is read to its end before the next; what a
caller leaves unread is skipped.

While our side is busy (sending, or in somebody's handler) the peer may still say two things that matter at once:
C-CANCEL and A-ABORT. `Session.look` finds them without waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable
from typing import Final, Self

from leadapron.kernel.errors import LimitExceeded, ProtocolError, WireError
from leadapron.wire.aio.dataset import Buffer, Data, DataSet
from leadapron.wire.aio.transport import Consumer
from leadapron.wire.aio.upper import Indication, Upper
from leadapron.wire.association import machine
from leadapron.wire.association.negotiate import AgreedContext
from leadapron.wire.dimse.command import CCancelRequest, Command, encode_command
from leadapron.wire.dimse.fragments import CommandReceived, DataFragment, Fragmenter, Reassembler, fragment

MAX_IDENTIFIER: Final = 4 * 1024 * 1024
"""Octets of a data set that is read whole. An identifier stays under 64 KiB; a request for storage commitment, or the
end of a procedure step, has some 120 for each image that it names."""

WRITE_SIZE: Final = 256 * 1024  # chunks of an asynchronous source are joined up to this for one write


class Message:
    """One message from the peer: its ``command``, and its data set as an async iterator of chunks.

    A chunk is valid for as long as it is kept; it is a view of one PDU, so who collects many copies them.
    """

    __slots__ = ("_over", "_session", "command", "context")

    def __init__(self, session: Session, context: AgreedContext, command: Command) -> None:
        self._session = session
        self.context = context
        self.command = command
        self._over = not command.has_data_set

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | memoryview:
        if self._over:
            raise StopAsyncIteration
        piece = await self._session.fragment()
        self._over = piece.last
        return piece.data

    async def read(self, limit: int = MAX_IDENTIFIER) -> DataSet:
        """The whole data set. Raises LimitExceeded when it is longer than ``limit`` octets."""
        parts: list[Buffer] = []
        size = 0
        async for chunk in self:
            size += len(chunk)
            if size > limit:
                raise LimitExceeded(f"a data set is longer than the {limit} octets that are read at once")
            parts.append(chunk)
        return DataSet(b"".join(parts), self.context.transfer_syntax)

    async def skip(self) -> None:
        """Reads what is left of the data set and drops it."""
        async for _ in self:
            pass


class Session:
    """Messages over an association. ``max_length`` is what the peer announced (PS3.8 §D.1), 0 for no limit."""

    def __init__(self, upper: Upper, contexts: tuple[AgreedContext, ...], max_length: int) -> None:
        self.upper = upper
        self.connection = upper.connection
        self.timeouts = upper.timeouts
        self.contexts = {context.id: context for context in contexts}
        self.max_length = max_length
        self.failure: WireError | None = None
        """Why the association cannot go on, once that was found out."""
        self.within_message = False
        """A message of ours has begun and not ended: nothing but A-ABORT can be sent."""
        self._events: deque[CommandReceived | DataFragment | machine.ReleaseRequested] = deque()
        self._reassembler = Reassembler()
        self._message: Message | None = None

    # ---- out --------------------------------------------------------------------------------------------------------

    async def send(self, context: AgreedContext, command: Command, data: Data | None = None) -> None:
        """One message, cut to the peer's size; waits when the peer is slower than the source.

        Raises ConnectionLost, TimedOut, AssociationAborted; or what an iterable raises: then the association is lost.
        """
        self.within_message = True
        if isinstance(data, AsyncIterable):
            await self._send_stream(context, command, data)
        else:
            for pdus in fragment(context.id, encode_command(command), data, self.max_length):
                await self.write(pdus)
        self.within_message = False

    async def write(self, pdus: bytes) -> None:
        """Sends whole PDUs, and waits if the peer is slow."""
        self.connection.write(pdus)
        if self.connection.congested:
            await self.drain()

    async def _send_stream(self, context: AgreedContext, command: Command, data: AsyncIterable[Buffer]) -> None:
        cutter = Fragmenter(context.id, self.max_length)
        out = cutter.command(encode_command(command))
        async for chunk in data:
            out += cutter.data(chunk)
            if len(out) >= WRITE_SIZE:
                await self.write(out)
                out = b""
        await self.write(out + cutter.finish())

    async def drain(self) -> None:
        """Until the peer has taken most of what was written, or aborts."""
        try:
            await self.connection.drain()
        except WireError as error:
            self.failure = self.failure or error
            raise
        self.look()

    # ---- in ---------------------------------------------------------------------------------------------------------

    async def receive(self, waiting_for: str, seconds: float) -> Message | None:
        """The next message, its command whole; None if the peer asks for release.

        Raises AssociationAborted, ConnectionLost, TimedOut, ProtocolError.
        """
        if self._message is not None:
            message, self._message = self._message, None
            await message.skip()
        return self._open(await self._next(waiting_for, seconds))

    def look(self) -> CCancelRequest | None:
        """A C-CANCEL-RQ that is here and next in turn, or None; never waits. Raises what `receive` raises.

        Nothing further is taken from the connection before other messages have been read, so the peer is held back.
        """
        while not self._events and self._message is None:
            try:
                told = self.upper.take()
                if told is None:
                    return None
                self._digest(told)
            except WireError as error:
                self.failure = self.failure or error
                raise
        event = self._events[0] if self._events else None
        if isinstance(event, CommandReceived) and isinstance(event.command, CCancelRequest):
            self._events.popleft()
            return event.command
        return None

    async def fragment(self) -> DataFragment:
        """The next piece of the data set under way."""
        piece = await self._next("the rest of a data set", self.timeouts.idle)
        if not isinstance(piece, DataFragment):
            raise ProtocolError("the peer asked for release in the middle of a data set")
        if piece.last:
            self._message = None
        return piece

    async def consume(self, consumer: Consumer, waiting_for: str) -> None:
        """Lets ``consumer`` read the answers to what was just sent, straight from the receive buffer."""
        if self._events or not self._reassembler.idle:
            raise ProtocolError("a message came, and nothing had been asked")
        try:
            await self.connection.consume(consumer, waiting_for, self.timeouts.response, self.timeouts.idle)
        except WireError as error:
            self.failure = self.failure or error
            raise

    def _open(self, event: CommandReceived | DataFragment | machine.ReleaseRequested) -> Message | None:
        if not isinstance(event, CommandReceived):
            return None
        message = Message(self, self.contexts[event.context_id], event.command)
        if event.command.has_data_set:
            self._message = message
        return message

    async def _next(
        self, waiting_for: str, seconds: float
    ) -> CommandReceived | DataFragment | machine.ReleaseRequested:
        try:
            while not self._events:
                self._digest(await self.upper.next(waiting_for, seconds))
        except WireError as error:
            self.failure = self.failure or error
            raise
        return self._events.popleft()

    def _digest(self, told: Indication) -> None:
        if isinstance(told, machine.ReleaseRequested):
            self._events.append(told)
        if not isinstance(told, machine.Data):
            return
        for value in told.pdu.values:
            if value.context_id not in self.contexts:
                raise ProtocolError("a PDV came for a presentation context that was not accepted")
            for event in self._reassembler.feed(value):
                if isinstance(event, CommandReceived | DataFragment):
                    self._events.append(event)
