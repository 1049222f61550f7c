"""The listener: TLS 1.2 and 1.3 with authenticated encryption only, bounds before the handshake, uvicorn behind.

The guard has no plain HTTP, on loopback neither: a redirect to https would first have let the cookie or token out. The
console may be served without TLS (``tls=None``), on loopback only, where nobody is between.
Connections are counted where they are accepted, before TLS and before anything is read, in all and for each
address, as on the DICOM side; a handshake, a request's head, a body and an answer each have their time.

uvicorn's own server is used for the life of requests; it would take the process's signals and listen by itself, so
both are replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

import uvicorn

from leadapron.guard.doors import cannot_listen
from leadapron.guard.gateway.web.protocol import HEAD_S, BoundedProtocol
from leadapron.guard.settings import Limits
from leadapron.kernel.errors import LimitExceeded, ProtocolError, UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port

BACKLOG: Final = 512
MAX_HEAD: Final = 16 * 1024
KEEP_ALIVE_S: Final = 15
GRACE_S: Final = 5
OUT_OF_SOCKETS_S: Final = 0.1

_log: Final = logging.getLogger(__name__)

Refused = Callable[[str, Exception], None]
"""Told of each address whose connection came to no request, and why: the handshake's error as it was raised,
LimitExceeded for too many connections, ProtocolError for what is no HTTP. It must not raise."""


class Listener:
    """Accepts connections within the bounds and hands them to the loop. It looks like an asyncio server to uvicorn."""

    def __init__(
        self,
        sockets: list[socket.socket],
        tls: ssl.SSLContext | None,
        limits: Limits,
        make: Callable[..., BoundedProtocol],
        refused: Refused,
    ) -> None:
        self.sockets = sockets
        self._refused = refused
        self.turned_away = 0
        self._tls, self._limits, self._make = tls, limits, make
        self._by_address: Counter[str] = Counter()
        self._opening: set[asyncio.Task[None]] = set()
        self._tasks = [asyncio.create_task(self._accept(sock)) for sock in sockets]

    @property
    def connections(self) -> int:
        return self._by_address.total()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError as error:
                _log.error("cannot accept connections: %s", error.strerror or type(error).__name__)
                await asyncio.sleep(OUT_OF_SOCKETS_S)
                continue
            address = str(peer[0])
            if self.connections >= self._limits.connections or self._by_address[address] >= self._limits.per_address:
                self.turned_away += 1
                sock.close()
                self._refused(address, LimitExceeded("too many connections"))
                continue
            self._by_address[address] += 1
            task = asyncio.create_task(self._open(sock, address))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, sock: socket.socket, address: str) -> None:
        made: list[BoundedProtocol] = []

        def protocol() -> BoundedProtocol:
            made.append(self._make(lambda: self._ended(address), lambda: self._malformed(address)))
            return made[0]

        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=self._limits.handshake_s if self._tls else None,
                ssl_shutdown_timeout=2.0 if self._tls else None,
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError, TimeoutError and resets are of this kind
            _log.debug("a connection was not opened: %s", type(error).__name__)
            sock.close()
            if not made or made[0].transport is None:  # else connection_lost tells
                self._ended(address)
            if isinstance(error, asyncio.CancelledError):
                raise
            # What the loop raises after ``ssl_handshake_timeout``; a client's own end is a ConnectionResetError.
            late = isinstance(error, ConnectionAbortedError) and error.errno is None
            self._refused(address, TimeoutError("the TLS handshake took too long") if late else error)

    def _malformed(self, address: str) -> None:
        self._refused(address, ProtocolError("what came is no HTTP"))

    def _ended(self, address: str) -> None:
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]

    def close(self) -> None:
        for task in (*self._tasks, *self._opening):
            task.cancel()
        for sock in self.sockets:
            sock.close()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._tasks, *self._opening, return_exceptions=True)


class _Uvicorn(uvicorn.Server):
    """uvicorn with our listener, and with its hands off the process's signals."""

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        tls: ssl.SSLContext | None,
        limits: Limits,
        head_s: float,
        refused: Refused,
    ) -> None:
        super().__init__(config)
        self._given, self._tls, self._limits, self._head_s = sockets, tls, limits, head_s
        self._refused = refused

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        def make(on_end: Callable[[], None], on_malformed: Callable[[], None]) -> BoundedProtocol:
            return BoundedProtocol(self.config, self.server_state, {}, on_end, self._head_s, on_malformed)

        self.listener = Listener(self._given, self._tls, self._limits, make, self._refused)
        self.servers: list[Any] = [self.listener]
        self.started = True


class WebServer:
    """See `serve_web`. ``port`` is the one that is listened on, also where 0 was asked for."""

    def __init__(
        self,
        app: Any,
        listen: str,
        tls: ssl.SSLContext | None,
        limits: Limits,
        head_s: float,
        refused: Refused,
        where: str,
    ) -> None:
        place = parse_host_port(listen, where, any_port=True)
        self.host, self.port = place
        self._where = where
        if tls is None:
            if not place.loopback:
                raise UsageError(f"{where}: without TLS only this machine is served, on 127.0.0.1 or localhost")
        elif not isinstance(tls, ssl.SSLContext) or tls.minimum_version < ssl.TLSVersion.TLSv1_2:
            raise UsageError("pages are served over TLS 1.2 or 1.3 only")
        else:
            tls.set_alpn_protocols(["http/1.1"])
        self._config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=MAX_HEAD,
            limit_concurrency=limits.connections,
        )
        self._tls, self._limits, self._head_s, self._refused = tls, limits, head_s, refused
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """Connections at this moment, those in their handshake among them."""
        return self._server.listener.connections if self._server is not None else 0

    @property
    def turned_away(self) -> int:
        """Connections that were closed because of the limits."""
        return self._server.listener.turned_away if self._server is not None else 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listens; requests are served from now on. Raises Failure where it cannot listen."""
        sockets = await self._listen()
        self.port = sockets[0].getsockname()[1]
        self._config.load()
        self._server = _Uvicorn(self._config, sockets, self._tls, self._limits, self._head_s, self._refused)
        await self._server.startup()
        self._task = asyncio.create_task(self._main(self._server))

    async def _main(self, server: _Uvicorn) -> None:
        await server.main_loop()
        await server.shutdown()

    async def _listen(self) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(infos):
                sock = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                sock.setblocking(False)
                sockets.append(sock)
        except OSError as error:
            for sock in sockets:
                sock.close()
            raise cannot_listen(self._where, HostPort(self.host, self.port), error) from None
        return sockets

    async def close(self) -> None:
        """Stops listening, lets requests end for a few seconds, then cuts them off."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._server = self._task = None

    async def wait(self) -> None:
        """Until somebody calls `close`."""
        if self._task is not None:
            await asyncio.shield(self._task)


async def serve_web(
    app: Any,
    *,
    listen: str,
    tls: ssl.SSLContext | None,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    head_s: float = HEAD_S,
    refused: Refused = lambda address, error: None,
    where: str = "[guard.web] listen",
) -> WebServer:
    """Serves ``app`` on ``listen`` with ``tls`` (`leadapron.wire.aio.tls.server_context`; None: plain, on loopback
    only), within the running loop. ``where``: how the setting is called that says ``listen``.

    Raises UsageError for an address that is none or a context that allows old TLS, Failure where it cannot listen.
    Close it with ``await server.close()``, or use it as ``async with await serve_web(…) as server``.
    """
    server = WebServer(app, listen, tls, limits, head_s, refused, where)
    await server.start()
    return server
