"""A server: listening sockets, a bound on connections in all and for each address, and one task for each association.

Bounds are kept where a connection is accepted, before TLS and before anything is read, so a flood costs one accept and
one close each. Stopping is graceful: no new connections, a while for associations to end by themselves, then A-ABORT.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final, Self

from msgspec import Struct

from leadapron.kernel.errors import Failure, LimitExceeded
from leadapron.wire.aio.acceptor import attend
from leadapron.wire.aio.service import Service
from leadapron.wire.aio.timeouts import DEFAULT_TIMEOUTS, Timeouts
from leadapron.wire.aio.transport import Connection
from leadapron.wire.pdu import DEFAULT_LIMITS, Limits

BACKLOG: Final = 512
OUT_OF_SOCKETS_S: Final = 0.1  # before accepting again when there are no file descriptors left

_log: Final = logging.getLogger(__name__)


class ServerLimits(Struct, frozen=True):
    """Connections at a time: in all, and from one address. Those above are closed at once."""

    connections: int = 1000
    per_address: int = 100


Attend = Callable[[Connection, str, int], Awaitable[None]]
"""Serves one open connection (after the handshake) of an address and port, to its end."""

Refused = Callable[[str, Exception], None]
"""Told of each address whose connection was not opened, and why: the handshake's error as it was raised (ssl.SSLError,
OSError, TimeoutError), LimitExceeded where there are too many connections. It must not raise."""


class Server:
    """See `serve` and `listen`. ``port`` is the one that is listened on, also where 0 was asked for."""

    def __init__(
        self,
        host: str,
        port: int,
        attend: Attend,
        tls: ssl.SSLContext | None,
        timeouts: Timeouts,
        limits: ServerLimits,
        pdu_limits: Limits,
        grace: float,
        refused: Refused | None = None,
    ) -> None:
        self.host, self.port = host, port
        self.turned_away = 0
        """Connections that were closed because of ``limits``."""
        self._attend = attend
        self._refused = refused
        self._tls = tls
        self._timeouts = timeouts
        self._limits = limits
        self._pdu_limits = pdu_limits
        self._grace = grace
        self._sockets: list[socket.socket] = []
        self._acceptors: list[asyncio.Task[None]] = []
        self._associations: set[asyncio.Task[None]] = set()
        self._by_address: Counter[str] = Counter()
        self._stopped = asyncio.Event()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        return self if self._sockets else await self._start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connections(self) -> int:
        """Connections at this moment."""
        return len(self._associations)

    async def _start(self) -> Self:
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(infos):
                sock = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                sock.setblocking(False)
                self._sockets.append(sock)
        except OSError as error:
            for sock in self._sockets:
                sock.close()
            self._sockets.clear()
            raise Failure(f"cannot listen on port {self.port}: {error.strerror or type(error).__name__}") from None
        self.port = self._sockets[0].getsockname()[1]
        self._acceptors = [asyncio.create_task(self._accept(sock)) for sock in self._sockets]
        return self

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError as error:
                _log.error("cannot accept connections: %s", error.strerror or type(error).__name__)
                await asyncio.sleep(OUT_OF_SOCKETS_S)
                continue
            address, port = str(peer[0]), int(peer[1])
            full = len(self._associations) >= self._limits.connections
            if full or self._by_address[address] >= self._limits.per_address:
                self.turned_away += 1
                sock.close()
                if self._refused is not None:
                    self._refused(address, LimitExceeded("too many connections" + ("" if full else " of this address")))
                continue
            self._by_address[address] += 1
            task = asyncio.create_task(self._connection(sock, address, port))
            self._associations.add(task)
            task.add_done_callback(self._associations.discard)

    async def _connection(self, sock: socket.socket, address: str, port: int) -> None:
        connection = Connection(sock, self._timeouts, self._pdu_limits)
        try:
            if await self._opened(connection, sock, address):
                await self._attend(connection, address, port)
        except Exception as bug:
            _log.error("a connection ended by %s", type(bug).__name__, exc_info=bug)
        finally:
            connection.forget()
            sock.close()
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    async def _opened(self, connection: Connection, sock: socket.socket, address: str) -> bool:
        """Hands the socket to the loop, after the TLS handshake if this is a secure port."""
        options: dict[str, Any] = {}
        if self._tls is not None:
            options = {"ssl_handshake_timeout": self._timeouts.tls, "ssl_shutdown_timeout": self._timeouts.release}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock, ssl=self._tls, **options)
        except OSError as error:  # ssl.SSLError, TimeoutError and resets are all of this kind
            _log.debug("a connection was not opened: %s", type(error).__name__)
            if self._refused is not None:
                # What the loop raises after ``ssl_handshake_timeout``; a peer's own end is a ConnectionResetError.
                late = isinstance(error, ConnectionAbortedError) and error.errno is None
                self._refused(address, TimeoutError("the TLS handshake took too long") if late else error)
            return False
        return True

    async def close(self) -> None:
        """Stops listening, lets associations end for ``grace`` seconds, then aborts what is left."""
        for task in self._acceptors:
            task.cancel()
        await asyncio.gather(*self._acceptors, return_exceptions=True)
        self._acceptors.clear()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        if self._associations and self._grace > 0:
            await asyncio.wait(self._associations, timeout=self._grace)
        for task in self._associations:
            task.cancel()
        if self._associations:
            await asyncio.wait(self._associations)
        self._stopped.set()

    async def wait(self) -> None:
        """Until somebody calls `close`: what a program that only serves does."""
        await self._stopped.wait()


def serve(
    host: str,
    port: int,
    service: Service,
    *,
    tls: ssl.SSLContext | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    limits: ServerLimits = ServerLimits(),  # noqa: B008 (frozen)
    pdu_limits: Limits = DEFAULT_LIMITS,
    grace: float = 5.0,
) -> Server:
    """Serves ``service`` on ``host`` (a name or an address; there is no default) and ``port`` (0: any free one).

    Use it as ``async with serve(…) as server``, or ``server = await serve(…)`` and later ``await server.close()``.
    ``grace``: seconds that associations have to end by themselves when the server closes. Raises Failure when it
    cannot listen.
    """
    return Server(host, port, partial(_attend, service), tls, timeouts, limits, pdu_limits, grace)


async def _attend(service: Service, connection: Connection, address: str, port: int) -> None:
    await attend(connection, service, address, port)


def listen(
    host: str,
    port: int,
    attend: Attend,
    *,
    refused: Refused | None = None,
    tls: ssl.SSLContext | None = None,
    timeouts: Timeouts = DEFAULT_TIMEOUTS,
    limits: ServerLimits = ServerLimits(),  # noqa: B008 (frozen)
    pdu_limits: Limits = DEFAULT_LIMITS,
    grace: float = 5.0,
) -> Server:
    """`serve` for who speaks to connections himself: ``attend`` is given each, and cancelled when the server closes."""
    return Server(host, port, attend, tls, timeouts, limits, pdu_limits, grace, refused)
