"""One connection of a relay: octets out of the loop straight into a flow, and what goes on straight out of it.

All legs of a loop receive into one buffer (`Pool`): between receiving and passing on nothing else runs, so a hundred
associations need no more memory than one, and the buffer stays in the processor's cache. What a flow leaves for later
is copied into the leg's own memory; it is a PDU's header, or what lies behind a command that waits.

A write is tried at once. What the socket does not take still points into the buffer, so then the leg keeps it, and the
pool takes another; the writer is congested, and until it has got rid of all, nothing is read from where it came. So a
slow receiver costs one buffer, and TCP pushes back on the sender.

TCP_NODELAY and TCP_QUICKACK (after each read) are set on both sides: see `wire.aio.transport`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Final, cast

from leadapron.guard.gateway.dimse.messages import Buffer

BUFFER: Final = 256 * 1024
JOINED: Final = 64 * 1024
"""Octets in several parts up to which they are copied into one write; more go out as they are."""
MOST_UNSENT: Final = 256 * 1024
"""Of our own answers to who sends requests and does not read: above this nothing more is read from there."""
BULK: Final = 128 * 1024
"""Octets in one read from which more is under way anyway, and acknowledging at once would only cost (0.2 ms a read)."""
MAX_DISCARDED: Final = 4 * 1024 * 1024
SPARE: Final = 4

_NOTHING: Final = memoryview(b"")
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class Pool:
    """The receive buffer of all legs of one loop, and a few for the next ones that are lent."""

    __slots__ = ("_spare", "view")

    def __init__(self, size: int = BUFFER) -> None:
        self.view = memoryview(bytearray(size))
        self._spare: list[memoryview] = []

    def lend(self) -> memoryview:
        """The buffer, which is still being sent from; the next takes its place."""
        lent = self.view
        self.view = self._spare.pop() if self._spare else memoryview(bytearray(len(lent)))
        return lent

    def give_back(self, lent: list[memoryview]) -> None:
        """Nothing points into them any more. A new one would be filled with zeros first, which costs as much as a
        copy."""
        self._spare += lent[: SPARE - len(self._spare)]
        lent.clear()


class Leg(asyncio.BufferedProtocol):
    """``sink`` takes what is received and gives how much it took; what it raises goes to ``failed``, as does the end of
    the connection (None: the peer closed it). ``other`` is where the sink writes to."""

    def __init__(self, pool: Pool, sock: socket.socket | None) -> None:
        self.sink: Callable[[memoryview], int]
        self.failed: Callable[[Leg, Exception | None], None]
        self.other: Leg
        self.stopped: Callable[[], bool] = bool  # whether nothing more is to be read for now
        self.closed = asyncio.get_running_loop().create_future()
        self.received = 0
        self._pool = pool
        self._socket = sock
        self._transport: asyncio.Transport | None = None
        self._kept = b""  # received, and left by the sink
        self._view = _NOTHING  # what is being received into
        self._lent: list[memoryview] = []  # what is being sent from
        self._wrote = False
        self._reading = False
        self._congested = False
        self._discarding: int | None = None
        self._over = False
        self._linger: asyncio.TimerHandle | None = None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # ---- what the loop calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # What can be sent is sent at once, and anything that can't is congestion. Not 0: TLS takes that for always.
        self._transport.set_write_buffer_limits(high=1, low=0)

    def get_buffer(self, sizehint: int) -> memoryview:
        kept = len(self._kept)
        view = self._pool.view
        if kept > len(view) // 2:  # only where a loop reads on though it was paused
            view = memoryview(bytearray(kept + BUFFER))
        self._view = view
        view[:kept] = self._kept
        return view[kept:]

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        if nbytes < BULK and self._socket is not None and _QUICKACK is not None:
            with contextlib.suppress(OSError):  # closed in this very moment
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self._discarding is not None:
            self._discarding += nbytes
            if self._discarding > MAX_DISCARDED:
                self.abort()
            return
        view, self._view = self._view, _NOTHING
        self._present(view[: len(self._kept) + nbytes])

    def eof_received(self) -> bool:
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._socket = None
        if self._linger is not None:
            self._linger.cancel()
        if not self.closed.done():
            self.closed.set_result(None)
        self._kept = b""
        self._ended(exc)

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False
        if not self.unsent:
            self._pool.give_back(self._lent)
        self.steer()
        self.other.steer()

    # ---- reading ----------------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Octets that were received, and left by the sink."""
        return len(self._kept)

    @property
    def congested(self) -> bool:
        """Something that was written has not left."""
        return self._congested

    def start(self, left: bytes) -> None:
        """Begins with what was received before."""
        self._kept = left
        self.again()

    def again(self) -> None:
        """The sink may take what it left."""
        if self._kept and not self._over:
            kept, self._kept = self._kept, b""
            self._present(memoryview(kept))
        self.steer()

    def _present(self, view: memoryview) -> None:
        if self._over:
            return
        try:
            taken = self.sink(view)
            self._kept = bytes(view[taken:]) if taken < len(view) else b""
        except Exception as error:
            self._kept = b""
            self._ended(error)
        finally:
            self.other.settle()
            self.settle()
        self.steer()

    def steer(self) -> None:
        """Reads if what is read can go on, else not."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        stuck = self._discarding is None and (
            self.other._congested or len(self._kept) > BUFFER // 2 or self.stopped() or self.unsent > MOST_UNSENT
        )
        if stuck and self._reading:
            self._reading = False
            transport.pause_reading()
        elif not stuck and not self._reading:
            self._reading = True
            transport.resume_reading()

    # ---- writing ----------------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, parts: Sequence[Buffer]) -> None:
        """Sends ``parts``; views into the pool's buffer may be among them. Dropped where there is no connection."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._wrote = True
        if len(parts) == 1:
            transport.write(parts[0])
        elif sum(map(len, parts)) <= JOINED:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)

    def settle(self) -> None:
        """After writing: what has not left keeps the buffer."""
        if self._wrote and (self._congested or self.unsent):
            self._lent.append(self._pool.lend())
        self._wrote = False

    # ---- the end ----------------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _ended(self, error: Exception | None) -> None:
        if not self._over:
            self._over = True
            self.failed(self, error)

    def never(self) -> None:
        """There is no connection."""
        self._over = True
        self.closed.set_result(None)

    def finish(self, last_words: bytes | None, seconds: float) -> None:
        """Sends ``last_words`` and leaves the closing to the peer, ``seconds`` at most; what it still sends is dropped.
        None: closes when what was written has left."""
        self._over = True
        self._kept = b""
        transport = self._transport
        if transport is None:
            return
        if self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(seconds, self.abort)
        if transport.is_closing():
            return
        if last_words is None:
            transport.close()
            return
        self._discarding = 0
        if last_words:
            transport.write(last_words)
        self.steer()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
