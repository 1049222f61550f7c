"""Forwarding the trail to an audit record repository: nothing lost, in order, some of it twice.

The queue is the trail itself: all that is kept beside it is a mark (how far the collector has it). Only what is durable
here is sent, so that the collector never knows a record that we lose in a power cut.

Syslog over TLS has no acknowledgement. What the system took from us may lie in the collector's receive buffer, unread,
and dies with it; TCP's own acknowledgement says no more. What does tell is the end of a connection: we say that we
are done (TLS close_notify, then FIN), and the collector, having read up to there, closes too; one that died or left
octets unread resets it instead. So records travel in *deliveries*: connect, send what there is and what comes within
the next seconds, close in order, wait for the other side's close; only then the mark moves. Whatever goes wrong in
between, all of the delivery is sent again. Messages sent twice have the same sequenceId, time and text.

The connection is made in a thread: blocking TLS tells exactly how a connection ended, asyncio's transports do not.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
import socket
import ssl
import struct
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from msgspec import Struct

from leadapron.guard.audit.chain import Position
from leadapron.guard.audit.syslog import Collector, frame, host_name
from leadapron.guard.audit.tail import Tail
from leadapron.guard.audit.trail import Trail
from leadapron.kernel.files import write_whole

BATCH: Final = 64 << 10


class Settings(Protocol):
    """What a section ``[guard.syslog]`` says."""

    @property
    def address(self) -> str: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def certificate(self) -> str | None: ...
    @property
    def key(self) -> str | None: ...


class Pace(Struct, frozen=True, kw_only=True):
    """Times in seconds. ``linger``: how long a delivery waits for more; ``delivery_octets``: after which it ends in any
    case; ``first_retry`` is doubled after each failure up to ``last_retry``; the others bound each wait."""

    linger: float = 10.0
    delivery_octets: int = 16 << 20
    first_retry: float = 1.0
    last_retry: float = 60.0
    connect: float = 10.0
    send: float = 30.0
    close: float = 15.0
    poll: float = 0.5


class State(Struct, frozen=True):
    """``sent``: the collector has all up to this record. ``trouble``: why it gets nothing now, after so many
    ``failures`` in a row."""

    sent: int
    trouble: str | None = None
    failures: int = 0


class Forwarder:
    """Sends what the trail records to one collector, for as long as `run` is not cancelled.

    ``settings``: see `Collector`; they are read at once. Raises `UsageError` where they are wrong.
    """

    def __init__(self, trail: Trail, settings: Settings, *, pace: Pace | None = None, host: str | None = None) -> None:
        self._trail = trail
        self._pace = pace or Pace()
        self._host = host or host_name()
        collector = Collector(
            address=settings.address, ca=settings.ca, certificate=settings.certificate, key=settings.key
        )
        self._endpoint = collector.endpoint()
        self._context = collector.context()
        self._what = f"forwarder {self._endpoint[0]}:{self._endpoint[1]}".encode()
        self._mark = trail.place.mark(hashlib.sha256(self._what).hexdigest()[:12])
        self._stop = threading.Event()
        self._confirmed = self._read_mark()
        self._state = State(self._confirmed.sequence)

    @property
    def state(self) -> State:
        return self._state

    async def run(self) -> None:
        """Until cancelled; then the delivery that is under way is brought to its end, within ``pace.close``."""
        with ThreadPoolExecutor(1, "audit syslog") as pool:
            work = asyncio.get_running_loop().run_in_executor(pool, self.work)
            try:
                await asyncio.shield(work)
            finally:
                self._stop.set()
                with contextlib.suppress(asyncio.CancelledError):
                    await work

    def stop(self) -> None:
        """Let `work` come to its end."""
        self._stop.set()

    def work(self) -> None:
        """The same without asyncio: until `stop`."""
        wait = self._pace.first_retry
        while not self._stop.is_set():
            if not self._trail.wait_durable(self._confirmed.sequence, self._pace.poll):
                if self._trail.closed:
                    return
                continue
            try:
                self._deliver()
            except OSError as error:
                trouble = _why(error)
                self._state = State(self._confirmed.sequence, trouble, self._state.failures + 1)
                self._stop.wait(wait * random.uniform(0.75, 1.25))
                wait = min(wait * 2, self._pace.last_retry)
            else:
                wait = self._pace.first_retry
                self._state = State(self._confirmed.sequence)

    # ---- one delivery -----------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        """Connect, send, close in order, move the mark. Raises OSError; then nothing counts as sent."""
        pace = self._pace
        tail = Tail(self._trail.place, self._trail.chain, self._confirmed)
        with socket.create_connection(self._endpoint, pace.connect) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._context.wrap_socket(plain, server_hostname=self._endpoint[0]) as secure:
                secure.settimeout(pace.send)
                octets = 0
                end = time.monotonic() + pace.linger
                while octets < pace.delivery_octets:
                    sent = self._send_some(secure, tail)
                    octets += sent
                    if sent:
                        continue
                    left = end - time.monotonic()
                    if left <= 0 or self._stop.is_set() or self._trail.closed:
                        break
                    _refuse_if_gone(secure)
                    self._trail.wait_durable(tail.at.sequence, min(left, pace.poll))
                _close_in_order(secure, pace.close)
        self._confirm(tail.at)

    def _send_some(self, secure: ssl.SSLSocket, tail: Tail) -> int:
        records = tail.read(self._trail.durable.sequence)
        chain = self._trail.chain
        batch: list[bytes] = []
        size = total = 0
        for record in records:
            framed = frame(record.sequence, record.time, chain.open(record), self._host)
            batch.append(framed)
            size += len(framed)
            if size >= BATCH:
                secure.sendall(b"".join(batch))
                total, size = total + size, 0
                batch.clear()
        if batch:
            secure.sendall(b"".join(batch))
        return total + size

    # ---- the mark ---------------------------------------------------------------------------------------------------

    def _read_mark(self) -> Position:
        """How far it was sent. From the beginning if nobody knows: rather twice than never."""
        try:
            found = self._trail.chain.parse_position(self._mark.read_bytes()[:1024], self._what)
        except FileNotFoundError:
            found = None
        return found or self._trail.place.start(self._trail.chain)

    def _confirm(self, at: Position) -> None:
        write_whole(self._mark, self._trail.chain.position(at, self._what))
        self._confirmed = at
        self._state = State(at.sequence)


def _refuse_if_gone(secure: ssl.SSLSocket) -> None:
    """A collector says nothing but its farewell; then what was sent last may be lost. Raises OSError."""
    timeout = secure.gettimeout()
    secure.settimeout(0)
    try:
        secure.recv(1)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return
    finally:
        secure.settimeout(timeout)
    raise ConnectionResetError("the collector ended the connection")


def _close_in_order(secure: ssl.SSLSocket, seconds: float) -> None:
    """Say that we are done and wait until the other side, having read all, is too. Raises OSError if it is not.

    Many collectors close without saying close_notify. Either way what counts is the socket: the other system sends a
    reset if octets were left unread there, or if ours came after its end; else it acknowledges our last one.
    """
    end = time.monotonic() + seconds
    secure.settimeout(seconds)
    try:
        bare: socket.socket = secure.unwrap()
    except OSError as error:  # ssl.SSLError is one
        if isinstance(error, TimeoutError | ConnectionError) or not _is_end(error):
            raise
        bare = secure
    try:
        bare.settimeout(max(0.1, end - time.monotonic()))
        with contextlib.suppress(BrokenPipeError):  # our side is shut already
            bare.shutdown(socket.SHUT_WR)
        while bare.recv(4096):
            if time.monotonic() > end:
                raise TimeoutError
        while _unacknowledged(bare):
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(0.005)
    finally:
        bare.close()


def _is_end(error: OSError) -> bool:
    """Whether TLS only misses the other side's close_notify."""
    if isinstance(error, ssl.SSLEOFError):
        return True
    if isinstance(error, ssl.SSLError):
        return error.reason == "UNEXPECTED_EOF_WHILE_READING"
    return error.errno in (0, None)


def _unacknowledged(plain: socket.socket) -> bool:
    """Whether octets of ours are still on their way. Raises OSError if the connection was reset."""
    error = plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
    (left,) = struct.unpack("i", fcntl.ioctl(plain, termios.TIOCOUTQ, b"\0" * 4))
    return bool(left)


def _why(error: OSError) -> str:
    """In our words: nothing that a stranger sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the collector's certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS with the collector failed: {error.reason or type(error).__name__}"
    if isinstance(error, TimeoutError):
        return "the collector did not answer in time"
    if isinstance(error, socket.gaierror):
        return "the collector's name is not known"
    return error.strerror or type(error).__name__
