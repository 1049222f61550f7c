"""The enrolment service: where a machine that joins redeems its one-time code, and one that is known renews.

``GET /authority`` gives our authority's certificate to anybody; the code tells the joining machine which one to expect.
``POST /enrol`` takes the code's secret and a request for a certificate; ``POST /renew`` takes a request from whoever
shows a certificate that holds. Who gets nothing is not told why: the reason goes to ``on_event``, once for each try.

This is the one listener of the guard that strangers must reach, so it is the smallest: one request for a connection, a
few kilobytes, a few seconds. Guessing is hopeless (128 random bits), so wrong codes count against nobody, and there is
nothing to lock others out with; what is bounded is the work: handshakes a second over all, in fair turns.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct

from leadapron.guard.audit.place import AuditFailed
from leadapron.guard.doors import cannot_listen
from leadapron.guard.gateway.one_request import MAX_HEAD, NoRequest, Request, answer, read_request
from leadapron.guard.gateway.turns import Turns
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.codes import SECRET, where
from leadapron.guard.identity.contexts import enrolment_context, refusal, reload
from leadapron.guard.identity.csr import BadRequest
from leadapron.guard.identity.issuing import Issued, redeem, renew
from leadapron.guard.identity.messages import AUTHORITY, ENROL, RENEW, Chain, Enrol, Renew
from leadapron.guard.identity.registry import Refused, Registry
from leadapron.kernel.errors import LeadApronError
from leadapron.kernel.hostport import HostPort

_log: Final = logging.getLogger(__name__)


class Enrolled(Struct, frozen=True):
    """A code was redeemed, or (``renewal``) a certificate renewed: ``serial`` was issued."""

    address: str
    name: str
    ae: str
    serial: str
    renewal: bool = False


class EnrolmentRefused(Struct, frozen=True):
    """Somebody got nothing. ``reason`` is in our words; nothing that was sent is in it."""

    address: str
    reason: str


class HandshakeFailed(Struct, frozen=True):
    """Somebody did not get as far as asking."""

    address: str
    reason: str


Event = Enrolled | EnrolmentRefused | HandshakeFailed


class Bounds(Struct, frozen=True):
    """``waiting`` and ``active``: connections; ``rate``: handshakes a second in the long run, ``burst`` at once; times
    in seconds."""

    waiting: int = 256
    active: int = 32
    rate: float = 50.0
    burst: int = 20
    handshake_s: float = 5.0
    request_s: float = 10.0


class Enrolment:
    """The running service; see `serve_enrolment`. ``port`` is the one that is listened on."""

    def __init__(
        self,
        home: Path,
        address: str | HostPort,
        registry: Registry,
        authority: Authority,
        on_event: Callable[[Event], None],
        bounds: Bounds,
        healthy: Callable[[], bool],
    ) -> None:
        self.host, self.port = where(address) if isinstance(address, str) else address
        self.turned_away = 0
        """Connections that were closed unheard, because too many others came."""
        self._home, self._registry, self._authority = home, registry, authority
        self._on_event, self._bounds, self._healthy = on_event, bounds, healthy
        self._tls = enrolment_context(home)
        self._sockets: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: Turns[tuple[socket.socket, str]] = Turns(bounds.waiting)
        self._active: Turns[asyncio.Task[None]] = Turns(bounds.active)
        self._someone = asyncio.Event()
        self._untold: set[socket.socket] = set()
        self._deciding: set[asyncio.Task[bytes]] = set()
        self._closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def reload(self) -> None:
        """Take the server certificate that is there now. Raises `Failure`."""
        reload(self._tls, self._home)

    async def start(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(infos):
                listener = socket.create_server(address[:2], family=family, backlog=128)
                listener.setblocking(False)
                self._sockets.append(listener)
        except OSError as error:
            for listener in self._sockets:
                listener.close()
            raise cannot_listen("[guard] enrol", HostPort(self.host, self.port), error) from None
        self.port = self._sockets[0].getsockname()[1]
        self._tasks = [asyncio.create_task(self._accept(listener)) for listener in self._sockets]
        self._tasks.append(asyncio.create_task(self._take_turns()))
        return self

    async def close(self) -> None:
        """Stop at once: whoever was in the middle asks again. What was being decided is told."""
        self._closing = True
        active = self._active.everyone()
        for task in (*self._tasks, *active):
            task.cancel()
        await asyncio.gather(*self._tasks, *active, *self._deciding, return_exceptions=True)
        for listener in self._sockets:
            listener.close()
        for waiting, _ in self._waiting.everyone():
            waiting.close()

    # ---- turns ------------------------------------------------------------------------------------------------------

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as error:
                _log.error("enrolment cannot accept connections: %s", error.strerror or type(error).__name__)
                await asyncio.sleep(0.1)
                continue
            address = str(peer[0])
            gone = self._waiting.add(address, (connection, address))
            if gone is not None:
                self.turned_away += 1
                gone[0].close()
            self._someone.set()

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        due = 0.0
        while True:
            taken = self._waiting.take()
            if taken is None:
                self._someone.clear()
                await self._someone.wait()
                continue
            connection, address = taken
            task = asyncio.create_task(self._connection(connection, address))
            gone = self._active.add(address, task)
            task.add_done_callback(functools.partial(self._active.discard, address))
            if gone is not None:
                gone.cancel()
            now = loop.time()
            due = max(due, now - self._bounds.burst / self._bounds.rate) + 1 / self._bounds.rate
            await asyncio.sleep(max(0.0, due - now))

    # ---- one connection ---------------------------------------------------------------------------------------------

    async def _connection(self, connection: socket.socket, address: str) -> None:
        writer: asyncio.StreamWriter | None = None
        self._untold.add(connection)
        try:
            reader, writer = await self._handshake(connection)
            async with asyncio.timeout(self._bounds.request_s):
                writer.write(await self._answer(reader, writer, connection, address))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except asyncio.CancelledError:
            self._lost(connection, address, writer, "made room for others")
            raise
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            ended = (
                "no request in time" if isinstance(error, TimeoutError) else "the connection ended before its request"
            )
            self._lost(connection, address, writer, refusal(error) if writer is None else ended)
        finally:
            self._untold.discard(connection)
            if writer is not None:
                writer.transport.abort()
            connection.close()

    def _lost(self, connection: socket.socket, address: str, writer: object, reason: str) -> None:
        """The connection ended; tell so unless its try has been told of, or is about to be."""
        if connection in self._untold and not self._closing:
            self._tell(HandshakeFailed(address, reason) if writer is None else EnrolmentRefused(address, reason))

    async def _handshake(self, connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_HEAD, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        async with asyncio.timeout(self._bounds.handshake_s):
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._tls, ssl_handshake_timeout=60.0, ssl_shutdown_timeout=1.0
            )
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: socket.socket, address: str
    ) -> bytes:
        link = writer.get_extra_info("ssl_object")
        try:
            request = await read_request(reader)
        except NoRequest as error:
            self._untold.discard(connection)
            self._refuse(address, f"no request for enrolment ({error.status.value})")
            return answer(error.status)
        self._untold.discard(connection)
        if request.method == "GET" and request.path == AUTHORITY:
            return answer(HTTPStatus.OK, self._authority.pem, "application/x-pem-file")
        # Once it is asked it is seen through and told, whatever becomes of the connection: no certificate goes unheard.
        deciding = asyncio.create_task(self._decide(request, link.getpeercert(True), address))
        self._deciding.add(deciding)
        deciding.add_done_callback(self._deciding.discard)
        return await asyncio.shield(deciding)

    async def _decide(self, request: Request, certificate: bytes | None, address: str) -> bytes:
        """The answer, after what is told of it."""
        if not self._healthy():  # no certificate is issued that cannot be recorded
            self._refuse(address, "the audit trail cannot be written")
            return answer(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            done = await asyncio.to_thread(self._ask, request, certificate, address)
        except (BadRequest, msgspec.MsgspecError):
            self._refuse(address, "request for a certificate that cannot be granted")
            return answer(HTTPStatus.BAD_REQUEST)
        except LeadApronError as error:
            _log.error("enrolment: %s", error)
            self._refuse(address, "our own failure")
            return answer(HTTPStatus.SERVICE_UNAVAILABLE)
        if done is None:
            self._refuse(address, "no request for enrolment (404)")
            return answer(HTTPStatus.NOT_FOUND)
        if isinstance(done, Refused):
            self._refuse(address, done.reason)
            return answer(HTTPStatus.FORBIDDEN)
        row = done.certificate
        self._tell(Enrolled(address, row.name, row.ae, row.serial, renewal=request.path == RENEW))
        return answer(HTTPStatus.OK, msgspec.json.encode(Chain(done.chain.decode("ascii"))))

    def _ask(self, request: Request, certificate: bytes | None, address: str) -> Issued | Refused | None:
        """In a thread: the registry waits for the disk."""
        if request.method != "POST":
            return None
        if request.path == ENROL:
            asked = msgspec.json.decode(request.body, type=Enrol)
            return redeem(self._registry, self._authority, _secret(asked.secret), asked.request.encode(), address)
        if request.path == RENEW:
            identity = self._registry.recognise(certificate)
            if isinstance(identity, Refused):
                return identity
            csr = msgspec.json.decode(request.body, type=Renew).request.encode()
            return renew(self._registry, self._authority, identity, csr)
        return None

    def _refuse(self, address: str, reason: str) -> None:
        self._registry.unknown("", address, reason)
        self._tell(EnrolmentRefused(address, reason))

    def _tell(self, event: Event) -> None:
        try:
            self._on_event(event)
        except AuditFailed as error:
            _log.error("enrolment: %s", error)
        except Exception:
            _log.exception("what enrolment tells was not taken")


def _secret(text: str) -> bytes:
    """What is no secret is one that nobody has."""
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        return b""
    return secret if len(secret) == SECRET else b""


async def serve_enrolment(
    home: Path,
    address: str | HostPort,
    registry: Registry,
    authority: Authority,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    bounds: Bounds | None = None,
    healthy: Callable[[], bool] = lambda: True,
) -> Enrolment:
    """Listen at ``address``: ``host:port``, or a `HostPort`, whose port may be 0 for any. ``on_event`` is called on the
    loop, once for each try that was not just a look at ``/authority``; while ``healthy`` says that it cannot be
    recorded, nobody is enrolled. Raises `Failure`.

    ``async with await serve_enrolment(…) as service: …``
    """
    return await Enrolment(home, address, registry, authority, on_event, bounds or Bounds(), healthy).start()
