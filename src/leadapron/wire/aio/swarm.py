"""Thousands of short conversations on one epoll set that is nested in the asyncio loop.

A scan visits ten thousand endpoints with a dozen octets of work each; a neighbourhood answers from as many addresses.
At that grain one asyncio transport and protocol per connection costs about as much as all the rest. So these
conversations live on an epoll set of their own, and the loop watches just the set's descriptor: asyncio code and swarm
share one thread without knowing of each other. What it costs: Linux only, TCP only (TLS is rare and goes the asyncio
way), and callbacks instead of coroutines.

Sockets are registered once, edge-triggered, for everything. Deadlines lie in a wheel of 50 ms; before any is declared
missed, everything that the kernel already holds is read, so an overrun loop makes answers late but never turns an
answer into silence. An exception in a conversation ends that conversation only (``failed``).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.05
READ_SIZE: Final = 64 * 1024
READS_PER_TURN: Final = 8  # a talkative peer yields to the others after so many reads
MAX_UNSENT: Final = 8 * 1024 * 1024  # beyond this a conversation does not look at Link.unsent: a bug of ours
BATCH: Final = 4096
ACCEPTS_PER_TURN: Final = 256

_EVENTS: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_OUR_FAULT: Final = frozenset(
    (errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EINVAL)
)
_LINGER_RST: Final = struct.pack("ii", 1, 0)
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class End(enum.Enum):
    """How a link came to its end, as told to ``Conversation.ended``."""

    PEER_CLOSED = "the peer closed the connection"
    RESET = "the peer reset the connection"
    CLOSED = "closed by us"


class Conversation:
    """What is said over one link. Subclass and override; callbacks run in the loop's thread and must not block."""

    __slots__ = ()

    def opened(self, link: Link) -> None:
        """The connection stands."""

    def received(self, data: bytes) -> None:
        """Some octets came; never empty."""

    def writable(self) -> None:
        """All that was sent has left our buffer: time to produce more. Called only after a send had to wait."""

    def timed_out(self) -> None:
        """The deadline passed (the connect time-out too). The link still stands; usually close it now."""

    def ended(self, end: End) -> None:
        """The link is gone. Called once; not after ``refused``."""

    def refused(self, error: int) -> None:
        """The connection could not be made; ``error`` is an errno, ETIMEDOUT when nothing came in time."""

    def failed(self, error: Exception) -> None:
        """One of these callbacks raised; the link has been aborted."""


class Link:
    """One TCP connection of a swarm."""

    __slots__ = (
        "_again",
        "_connecting",
        "_conversation",
        "_deadline",
        "_out",
        "_slot",
        "_sock",
        "_spoke",
        "_swarm",
        "local",
        "remote",
        "unsent",
    )

    def __init__(self, swarm: Swarm, sock: socket.socket, conversation: Conversation, connecting: bool) -> None:
        self._swarm = swarm
        self._sock: socket.socket | None = sock
        self._conversation = conversation
        self._connecting = connecting
        self._deadline = 0.0  # 0: none
        self._slot = 0  # where in the wheel this link stands; 0: nowhere
        self._out: deque[bytes | memoryview] | None = None
        self._again = False
        self._spoke = False  # something was sent since the last read
        self.unsent = 0  # octets that wait for the peer
        self.local: tuple[str, int] = ("", 0)
        self.remote: tuple[str, int] = ("", 0)

    @property
    def open(self) -> bool:
        return self._sock is not None

    def send(self, data: bytes) -> None:
        """Send now what the kernel takes, keep the rest; a dead link drops it silently (``ended`` follows)."""
        sock = self._sock
        if sock is None:
            return
        self._spoke = True
        if self._out:
            if self.unsent + len(data) > MAX_UNSENT:
                raise BufferError(f"more than {MAX_UNSENT} octets wait for a slow peer")
            self._out.append(data)
            self.unsent += len(data)
            return
        try:
            sent = sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return  # the reading side learns of the reset and ends the link
        if sent < len(data):
            if self._out is None:
                self._out = deque()
            self._out.append(memoryview(data)[sent:])
            self.unsent = len(data) - sent

    def deadline(self, seconds: float | None) -> None:
        """Call ``timed_out`` when this many seconds have gone by; replaces the earlier deadline, None cancels it."""
        if seconds is None:
            self._deadline = 0.0
        elif self._sock is not None:
            self._swarm._schedule(self, seconds)

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Run ``function`` later unless the link is gone by then."""

        def run() -> None:
            if self._sock is not None:
                self._swarm._guarded(self, function)

        self._swarm.loop.call_later(seconds, run)

    def close(self) -> None:
        """Close at once (FIN); what is unsent is dropped."""
        self._finish(End.CLOSED)

    def abort(self) -> None:
        """Close with RST."""
        if self._sock is not None:
            with contextlib.suppress(OSError):  # already dead
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RST)
            self._finish(End.CLOSED)

    def detach(self) -> socket.socket:
        """Hand the connected socket over to somebody else (TLS, say); the link is gone, ``ended`` is not called."""
        sock = self._sock
        if sock is None:
            raise ValueError("the link is gone already")
        self._sock = None
        self._out = None
        self._deadline = 0.0
        fd = sock.fileno()
        del self._swarm._links[fd]
        self._swarm._epoll.unregister(fd)
        return sock

    def _finish(self, end: End) -> None:
        sock = self._sock
        if sock is None:
            return
        self._sock = None
        self._out = None
        self.unsent = 0
        self._deadline = 0.0
        del self._swarm._links[sock.fileno()]
        sock.close()
        try:
            self._conversation.ended(end)
        except Exception as error:
            self._conversation.failed(error)

    def _refuse(self, error: int) -> None:
        sock = self._sock
        if sock is None:
            return
        self._sock = None
        self._deadline = 0.0
        self._swarm._links.pop(sock.fileno(), None)
        sock.close()
        self._conversation.refused(error)

    def _ready(self, events: int) -> None:
        sock = self._sock
        if sock is None:
            return
        if self._connecting:
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._refuse(error)
                return
            if not events & select.EPOLLOUT:
                return
            self._connecting = False
            self._conversation.opened(self)
            if not events & _READABLE:
                return
        elif self._out and events & select.EPOLLOUT:
            self._flush(sock)
        if events & _READABLE:
            self._read(events)

    def _flush(self, sock: socket.socket) -> None:
        out = self._out
        assert out is not None
        while out:
            try:
                sent = sock.send(out[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return
            self.unsent -= sent
            if sent < len(out[0]):
                out[0] = memoryview(out[0])[sent:]
                return
            out.popleft()
        self._conversation.writable()

    def _read(self, events: int) -> None:
        received = self._conversation.received
        for _ in range(READS_PER_TURN):
            sock = self._sock
            if sock is None:
                return
            try:
                data = sock.recv(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._finish(End.RESET)
                return
            if not data:
                self._finish(End.PEER_CLOSED)
                return
            self._spoke = False
            received(data)
            if _QUICKACK is not None and not self._spoke and self._sock is sock:
                # Peers with Nagle on (most of DCMTK and Orthanc) hold the rest of a message until our delayed ACK
                # comes: 40 ms. What we answer acknowledges by itself.
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            # A short read means that the buffer was empty (epoll(7)), unless a FIN or RST stands behind it.
            if len(data) < READ_SIZE and not events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                return
        self._swarm._read_again(self)


class _Listener:
    __slots__ = ("_swarm", "factory", "sock")

    def __init__(self, swarm: Swarm, sock: socket.socket, factory: Callable[[], Conversation]) -> None:
        self._swarm = swarm
        self.sock = sock
        self.factory = factory

    @property
    def address(self) -> tuple[str, int]:
        name = self.sock.getsockname()
        return name[0], name[1]

    def close(self) -> None:
        if self.sock.fileno() >= 0:
            self._swarm._listeners.pop(self.sock.fileno(), None)
            self.sock.close()

    def _ready(self, events: int) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, remote = self.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._swarm._rest(self)
                    return
                raise
            sock.setblocking(False)
            self._swarm._adopt(sock, (remote[0], remote[1]), self.factory())


class Swarm:
    """An epoll set of links and listeners. Create it inside a running loop; ``close`` ends all of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._links: dict[int, Link] = {}
        self._listeners: dict[int, _Listener] = {}
        self._wheel: dict[int, list[Link]] = {}
        self._hand = int(self.loop.time() / TICK_S)
        self._ticking: asyncio.TimerHandle | None = None
        self._unread: list[Link] = []
        self.loop.add_reader(self._epoll.fileno(), self._poll)

    def __len__(self) -> int:
        """Links that stand or are being made."""
        return len(self._links)

    def connect(self, address: str, port: int, conversation: Conversation, timeout: float) -> Link:
        """Start to connect; ``timeout`` in seconds bounds the connect (then ``refused(ETIMEDOUT)``).

        Raises OSError (EMFILE, EADDRNOTAVAIL …) where our own side can't open a socket; what the peer does comes by
        callback.
        """
        sock = _socket(address)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            error = sock.connect_ex((address, port))
        except BaseException:
            sock.close()
            raise
        link = Link(self, sock, conversation, True)
        link.remote = (address, port)
        if error in (0, errno.EINPROGRESS):
            fd = sock.fileno()
            self._links[fd] = link
            self._epoll.register(fd, _EVENTS)
            self._schedule(link, timeout)
            return link
        if error in _OUR_FAULT:
            sock.close()
            raise OSError(error, os.strerror(error))
        self.loop.call_soon(link._refuse, error)
        return link

    def listen(self, address: str, port: int, factory: Callable[[], Conversation], backlog: int = 512) -> _Listener:
        """Accept connections at ``address``:``port`` (0: any free one; see ``.address``); one conversation each."""
        sock = _socket(address)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what is accepted
            sock.bind((address, port))
            sock.listen(backlog)
        except BaseException:
            sock.close()
            raise
        listener = _Listener(self, sock, factory)
        self._listeners[sock.fileno()] = listener
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return listener

    def close(self) -> None:
        """End every link and listener."""
        for listener in list(self._listeners.values()):
            listener.close()
        for link in list(self._links.values()):
            if link._connecting:
                link._refuse(errno.ECANCELED)
            else:
                link.abort()
        if not self._epoll.closed:
            self.loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _adopt(self, sock: socket.socket, remote: tuple[str, int], conversation: Conversation) -> None:
        link = Link(self, sock, conversation, False)
        link.remote = remote
        local = sock.getsockname()
        link.local = (local[0], local[1])
        self._links[sock.fileno()] = link
        self._guarded(link, lambda: conversation.opened(link))
        if link._sock is not None:
            self._epoll.register(sock.fileno(), _EVENTS)

    def _guarded(self, link: Link, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self._fail(link, error)

    def _fail(self, link: Link, error: Exception) -> None:
        conversation = link._conversation
        link._conversation = Conversation()
        link._connecting = False
        link.abort()
        conversation.failed(error)

    def _poll(self) -> None:
        links, listeners = self._links, self._listeners
        for fd, events in self._epoll.poll(0, BATCH):
            link = links.get(fd)
            if link is not None:
                try:
                    link._ready(events)
                except Exception as error:
                    self._fail(link, error)
            else:
                listener = listeners.get(fd)
                if listener is not None:
                    listener._ready(events)

    def _read_again(self, link: Link) -> None:
        if not link._again:
            link._again = True
            if not self._unread:
                self.loop.call_soon(self._read_unread)
            self._unread.append(link)

    def _read_unread(self) -> None:
        unread, self._unread = self._unread, []
        for link in unread:
            link._again = False
            if link._sock is not None:
                try:
                    # As if a FIN stood behind it: read until the kernel says that there is nothing more.
                    link._read(select.EPOLLRDHUP)
                except Exception as error:
                    self._fail(link, error)

    def _rest(self, listener: _Listener) -> None:
        """Out of descriptors: leave the backlog to the kernel for a moment instead of spinning."""
        fd = listener.sock.fileno()
        self._epoll.modify(fd, 0)

        def resume() -> None:
            if listener.sock.fileno() == fd and not self._epoll.closed:
                self._epoll.modify(fd, select.EPOLLIN)

        self.loop.call_later(0.1, resume)

    def _schedule(self, link: Link, seconds: float) -> None:
        link._deadline = deadline = self.loop.time() + seconds
        slot = int(deadline / TICK_S) + 1
        if not 0 < link._slot <= slot:  # else it is looked at in time anyway, and moved on then
            link._slot = slot
            self._wheel.setdefault(slot, []).append(link)
        if self._ticking is None:
            self._hand = int(self.loop.time() / TICK_S)
            self._ticking = self.loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        now = self.loop.time()
        hand = int(now / TICK_S)
        due = [slot for slot in range(self._hand, hand + 1) if slot in self._wheel]
        self._hand = hand + 1
        if due:
            self._poll()  # what has arrived counts as having arrived in time
        for slot in due:
            for link in self._wheel.pop(slot):
                if link._slot != slot:
                    continue  # it stands elsewhere by now
                link._slot = 0
                deadline = link._deadline
                if deadline == 0.0 or link._sock is None:
                    continue
                if deadline > now:
                    later = max(int(deadline / TICK_S) + 1, self._hand)
                    link._slot = later
                    self._wheel.setdefault(later, []).append(link)
                    continue
                link._deadline = 0.0
                if link._connecting:
                    link._refuse(errno.ETIMEDOUT)
                else:
                    self._guarded(link, link._conversation.timed_out)
        if self._wheel and self._ticking is None:
            self._ticking = self.loop.call_later(TICK_S, self._tick)


def _socket(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_TCP)


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one; gives the number that can be open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
