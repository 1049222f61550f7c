"""One connection: octets in and out of the loop, whole PDUs in and out of the code above.

The loop reads straight into the receive buffer (``BufferedProtocol``), a PDU is cut out when somebody asks for it, and
when the buffer is full reading pauses, so that TCP pushes back on the peer. What it costs: one copy for each PDU, and
none for ``consume``, which shows the buffer itself to a consumer.

TCP_NODELAY is set, and TCP_QUICKACK after each read: peers with Nagle on (most of DCMTK and Orthanc) hold the second
half of a message back until the first is acknowledged, and the kernel delays that by 40 ms unless told each time.

There is one timer for each connection, moved lazily: a wait costs no timer of its own. When it fires while the kernel
already holds octets for us, our loop was late, not the peer; they are read before anything is declared missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from leadapron.kernel.errors import ConnectionLost, LimitExceeded, ProtocolError, TimedOut
from leadapron.wire.aio.buffer import MIN_ROOM, ReceiveBuffer
from leadapron.wire.aio.faults import fault
from leadapron.wire.aio.timeouts import DEFAULT_TIMEOUTS, Timeouts
from leadapron.wire.pdu import DEFAULT_LIMITS, Limits, Pdu, PduType, decode

RAW_BUFFER: Final = 256 * 1024  # for ``consume``: the fewer reads, the cheaper
WRITE_HIGH: Final = 1024 * 1024  # octets waiting to be sent from which ``drain`` waits …
WRITE_LOW: Final = 256 * 1024  # … until there are fewer than these
MAX_DISCARDED: Final = 4 * 1024 * 1024  # octets that are read and dropped after our last word
GRACE_S: Final = 0.05

_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class Consumer(Protocol):
    """Takes octets off the receive buffer, for `Connection.consume`."""

    @property
    def done(self) -> bool:
        """Nothing more is wanted."""
        ...

    def consume(self, view: memoryview, /) -> int:
        """Takes what it can from the front of ``view`` and gives the number of octets; the rest comes again, with more
        behind it. ``view`` is valid only during the call. It may raise a WireError. It must not block."""
        ...


class Connection(asyncio.BufferedProtocol):
    """The asyncio protocol of one connection, and what the layer above calls. Not thread-safe; one reader at a time.

    ``sock`` is the socket below, where there is one to tune.
    """

    def __init__(
        self,
        sock: socket.socket | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.timeouts = timeouts
        self.limits = limits
        self.on_input: Callable[[], None] | None = None
        """Called when a whole PDU is there, or the connection is gone, while nobody waits for it."""
        self.socket = sock
        """The socket below, also when this is over: it is who opened it that closes it."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._socket = sock
        self._buffer = ReceiveBuffer(limits)
        self._reading_paused = self._writing_paused = False
        self._error: Exception | None = None  # why nothing more will come
        self._discarded: int | None = None  # octets dropped, once we have said our last word
        self._closed = self._loop.create_future()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._deadline = self._seconds = self._idle = 0.0
        self._waiting_for = ""
        self._late = False
        self._consumer: Consumer | None = None
        self._refused: Exception | None = None  # what the consumer raised
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ---- what the loop calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH, low=WRITE_LOW)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer.view[self._buffer.tail :]

    def buffer_updated(self, nbytes: int) -> None:
        buffer = self._buffer
        buffer.tail += nbytes
        if self._socket is not None and _QUICKACK is not None:
            with contextlib.suppress(OSError):  # closed in this very moment
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self._discarded is not None:
            self._discard(nbytes)
            return
        if self._consumer is not None:
            if buffer.tail == buffer.size:
                self._yield_turn()
            self._present(self._consumer)
            return
        try:
            if not buffer.make_room():
                self._pause_reading()
            ready = buffer.whole()
        except ProtocolError as error:
            self._fail(error)
            self._pause_reading()
            ready = True
        if ready:
            self._notify()

    def eof_received(self) -> bool:
        self._fail(fault(None, self._waiting_for or "the association"))
        self._notify()
        _wake(self._writer)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._salvage()
        self._fail(fault(exc, self._waiting_for or "the association"))
        for timer in (self._timer, self._linger):
            if timer is not None:
                timer.cancel()
        self._timer = self._linger = None
        self._transport = self._socket = None
        self._writing_paused = False
        if self._consumer is None:
            self._buffer.shrink()
        self._notify()
        _wake(self._writer)
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        _wake(self._writer)

    # ---- reading ----------------------------------------------------------------------------------------------------

    def take(self) -> Pdu | None:
        """The next PDU if all of it is here; never waits. Raises what `receive` raises, once the buffer is used up."""
        try:
            taken = self._buffer.take()
            if taken is None:
                if self._error is not None:
                    raise self._error
                self._resume_reading()
                return None
            pdu_type, body = taken
            self._resume_reading()
            # Data values are slices of the copy that was taken; the other PDUs are read from bytes.
            return decode(pdu_type, memoryview(body) if pdu_type == PduType.P_DATA_TF else body, self.limits)
        except ProtocolError as error:
            self._fail(error)
            self._buffer.clear()
            raise

    async def receive(self, waiting_for: str, seconds: float) -> Pdu:
        """The next PDU, all of it within ``seconds``.

        Raises TimedOut; ConnectionLost or TlsFailed when the connection is gone; ProtocolError or LimitExceeded for
        what PS3.8 does not allow, and from then on the same again.
        """
        pdu = self.take()
        if pdu is not None:
            return pdu
        self._start(waiting_for, seconds)
        while pdu is None:
            await self._wait()
            pdu = self.take()
        self._waiting_for = ""
        return pdu

    async def consume(self, consumer: Consumer, waiting_for: str, first: float, idle: float) -> None:
        """Shows each received buffer to ``consumer``, in the loop's own callback, until it is ``done``.

        It must take something within ``first`` seconds, then again within ``idle`` seconds each time. Raises what the
        consumer raises and what `receive` raises.
        """
        self._buffer.grow(RAW_BUFFER)
        self._consumer, self._refused = consumer, None
        self._start(waiting_for, first)
        self._idle = idle
        try:
            if len(self._buffer):
                self._present(consumer)
            while not consumer.done and self._refused is None:
                if self._error is not None:
                    raise self._error
                self._resume_reading()
                await self._wait()
        finally:
            self._consumer = None
            self._waiting_for = ""
            if self._transport is None:
                self._buffer.shrink()
        refused, self._refused = self._refused, None
        if refused is not None:
            try:
                raise refused
            finally:
                del refused  # an error whose frame holds it keeps the buffer until the collector comes

    def _present(self, consumer: Consumer) -> None:
        """One look of the consumer at the buffer. Its errors go to whoever awaits `consume`."""
        buffer = self._buffer
        if self._refused is None and not consumer.done:
            try:
                with buffer.held() as held:  # an error's frames must not keep the buffer
                    used = consumer.consume(held)
                if used:
                    buffer.drop(used)
                    self._deadline = self._loop.time() + self._idle
                    if self._seconds != self._idle:  # the timer moves later by itself, not earlier
                        self._seconds = self._idle
                        self._set_timer(self._deadline)
                if not consumer.done and buffer.compact() < MIN_ROOM:
                    most = self.limits.p_data + 2 * MIN_ROOM
                    if buffer.size >= most:
                        raise LimitExceeded(f"{len(buffer)} octets, and nothing whole among them")
                    buffer.grow(min(2 * buffer.size, most))
            except Exception as error:
                self._refused = error
                self._fail(error)
        if self._refused is not None or consumer.done:
            if buffer.compact() < MIN_ROOM:
                self._pause_reading()
            _wake(self._reader)

    def _yield_turn(self) -> None:
        """Goes on reading in the loop's next turn: uvloop reads a peer that sends without end up to 32 times in one."""
        self._pause_reading()
        self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        if self._consumer is None:
            self._resume_reading()
            return
        transport, wanted = self._transport, self._refused is None and not self._consumer.done
        if wanted and self._reading_paused and transport is not None and not transport.is_closing():
            self._reading_paused = False
            transport.resume_reading()

    def _discard(self, octets: int) -> None:
        self._buffer.clear()
        self._discarded = (self._discarded or 0) + octets
        if self._discarded > MAX_DISCARDED:
            self._pause_reading()  # a reset now could overtake our last word; the linger's end will do

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            self._reading_paused = True

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None and self._error is None:
            with contextlib.suppress(ProtocolError):  # it is raised when that PDU is asked for
                # What a consumer leaves need not begin with a PDU.
                room = self._buffer.compact() > 0 if self._consumer is not None else self._buffer.make_room()
                if room and not self._transport.is_closing():
                    self._reading_paused = False
                    self._transport.resume_reading()

    def _salvage(self) -> None:
        """What the kernel still holds when a write failed first: the peer's A-ABORT, usually. Plain TCP only."""
        sock = self._socket
        if sock is None or sock.fileno() < 0 or self._error is not None or self._consumer is not None:
            return
        if self.info("ssl_object") is None and self._buffer.compact() >= MIN_ROOM:
            with contextlib.suppress(OSError):
                self._buffer.tail += sock.recv_into(self.get_buffer(-1))

    # ---- waiting ----------------------------------------------------------------------------------------------------

    def _start(self, waiting_for: str, seconds: float) -> None:
        self._waiting_for, self._seconds = waiting_for, seconds
        self._deadline = self._loop.time() + seconds
        self._late = False

    async def _wait(self) -> None:
        """Until something new is here, or the deadline passes: TimedOut."""
        if self._timer is None or self._timer.when() > self._deadline:
            self._set_timer(self._deadline)
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._reader is None or self._reader.done():
            return
        if self._loop.time() < self._deadline:
            self._set_timer(self._deadline)
        elif not self._late and self._readable():
            self._late = True
            self._set_timer(self._loop.time() + GRACE_S)
        else:
            self._reader.set_exception(TimedOut(self._waiting_for, self._seconds))

    def _readable(self) -> bool:
        if self._socket is None or self._reading_paused:
            return False
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _notify(self) -> None:
        if self._reader is not None:
            _wake(self._reader)
        elif self.on_input is not None:
            self.on_input()

    def _fail(self, error: Exception) -> None:
        """The first failure is kept: it is the reason, what follows are its consequences."""
        if self._error is None:
            self._error = error

    # ---- writing ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Hands ``data`` to the loop; `drain` when ``congested``. Raises why there is no connection any more."""
        if self._error is not None or self._transport is None:
            raise self._error or ConnectionLost("the connection is not open")
        self._transport.write(data)

    def last_words(self, data: bytes) -> None:
        """Writes also where nothing can be read any more; dropped if there is no connection, or it is congested."""
        if self._transport is not None and not self._transport.is_closing() and not self._writing_paused:
            self._transport.write(data)

    @property
    def congested(self) -> bool:
        """More than 1 MiB waits to be sent: the peer is slower than we are."""
        return self._writing_paused

    async def drain(self) -> None:
        """Until the peer has taken most of what was written, or the connection is gone. Raises TimedOut."""
        if not self._writing_paused or self._error is not None:
            return
        self._writer = self._loop.create_future()
        timer = self._loop.call_later(self.timeouts.write, self._write_timed_out, self._writer)
        try:
            await self._writer
        finally:
            timer.cancel()
            self._writer = None

    def _write_timed_out(self, writer: asyncio.Future[None]) -> None:
        if not writer.done():
            writer.set_exception(TimedOut("the peer to take what is sent", self.timeouts.write))

    def hand_over(self, protocol: asyncio.BufferedProtocol) -> bytes:
        """Gives the open connection to another protocol, which is told of it (``connection_made``), and what was
        received and not taken. Reading is paused: who takes over resumes it. This one is over.

        Raises why there is no connection any more. Nobody may wait for anything here meanwhile.
        """
        transport = self._transport
        if self._error is not None or transport is None:
            raise self._error or ConnectionLost("the connection is not open")
        self._pause_reading()
        transport.set_protocol(protocol)
        left = bytes(self._buffer.held())
        self._buffer.clear()
        self._fail(ConnectionLost("the connection was handed over"))
        self.connection_lost(None)
        protocol.connection_made(transport)
        return left

    # ---- the end ----------------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Nothing has ended it yet, on either side."""
        return self._transport is not None and self._error is None

    def info(self, name: str) -> Any:
        """``transport.get_extra_info``; None when closed."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def await_close(self, seconds: float) -> None:
        """Leaves the closing to the peer, ``seconds`` at most; what it still sends is dropped. Does not wait.

        Closing at once would answer octets that are still under way with a reset, and a reset overtakes last words.
        """
        self._fail(ConnectionLost("the association has ended"))
        if self._transport is not None and self._linger is None:
            self._discarded = 0
            self._buffer.clear()
            if self._reading_paused:
                self._reading_paused = False
                self._transport.resume_reading()
            self._linger = self._loop.call_later(seconds, self.abort)

    def close(self) -> None:
        """Closes when what was written has left, or else within ``timeouts.release``. Does not wait."""
        self._fail(ConnectionLost("the association has ended"))
        if self._transport is not None:
            self._transport.close()
            if self._linger is None:
                self._linger = self._loop.call_later(self.timeouts.release, self.abort)

    def abort(self) -> None:
        """Drops the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def forget(self) -> None:
        """As `abort`, and nobody will look at it again: what it holds must not wait for the collector of cycles."""
        self.abort()
        self._fail(ConnectionLost("the connection is not open"))
        if self._error is not None:
            self._error.__traceback__ = None  # its frames hold us, and we hold it
        self.on_input = None
        self._buffer.clear()
        self._buffer.shrink()

    async def closed(self, seconds: float) -> None:
        """Until the connection is gone; after ``seconds`` it is dropped."""
        timer = self._loop.call_later(seconds, self.abort)
        try:
            await asyncio.shield(self._closed)
        finally:
            timer.cancel()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
