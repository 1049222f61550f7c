"""One request and its answer on ASGI, with the bounds that the server below does not keep.

Reading and writing each have a pace: a silence is bounded, and over the long run a client must take or give a few
kilobytes in a second, so that nobody holds a place for days with an octet now and then. Only time that is spent
waiting for the client counts. Sizes are counted as they pass, whatever ``Content-Length`` said.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final

from leadapron.guard.gateway.web.headers import DATA, EVERYWHERE, NO_STORE, POLICY, Header
from leadapron.guard.gateway.web.target import Malformed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SILENCE_S: Final = 30.0
WRITE_S: Final = 60.0
GRACE_S: Final = 60.0
LEAST_PER_SECOND: Final = 4096

_LENGTH: Final = re.compile(r"[0-9]{1,19}")
_HOST: Final = re.compile(
    r"([A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?"
)
_COOKIE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
WORDS: Final = {
    400: "Bad request",
    401: "Authentication required",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Too slow",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal error",
    502: "The archive gave no usable answer",
    503: "Busy",
    504: "The archive did not answer in time",
}


class Refused(Exception):
    """The request ends with ``status``. ``reason`` is for the audit trail."""

    def __init__(self, status: int, reason: str, *headers: Header) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers


class Gone(Exception):
    """The client went away, or took nothing for too long. There is nobody to answer."""


class Pace:
    """Time spent waiting for a client, against the octets that moved."""

    def __init__(self) -> None:
        self.octets = 0
        self._waited = 0.0

    @property
    def too_slow(self) -> bool:
        return self._waited > GRACE_S and self.octets < (self._waited - GRACE_S) * LEAST_PER_SECOND

    @contextlib.asynccontextmanager
    async def waiting(self, bound: float) -> AsyncIterator[None]:
        began = time.monotonic()
        try:
            async with asyncio.timeout(bound):
                yield
        finally:
            self._waited += time.monotonic() - began


class Exchange:
    """The request: ``method``, ``header(name)``, ``body()``; the answer: `answer`, or `start` and `write`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.method = str(scope["method"])
        self.raw_path = bytes(scope.get("raw_path") or b"")
        self.raw_query = bytes(scope.get("query_string") or b"")
        client = scope.get("client")
        self.address = str(client[0]) if client else ""
        server = scope.get("server")
        self.port = int(server[1]) if server and server[1] else 443
        """Where we listen."""
        self.started = False
        self.received = Pace()
        self.sent = Pace()
        self._complete = False
        self._ended = False

    def check_head(self, most: int, fields: int) -> None:
        """Raises `Refused`: 431 for a head with too many octets or fields, h11 bounds only what comes in parts; 400 for
        one whose body has two lengths, of which a proxy before us may have taken the other one (RFC 9112 §6.1)."""
        headers = self._scope["headers"]
        if {b"content-length", b"transfer-encoding"} <= {key for key, _ in headers}:
            raise Refused(400, "the body has two lengths", (b"connection", b"close"))
        octets = len(self.raw_path) + len(self.raw_query) + sum(len(key) + len(value) for key, value in headers)
        if octets > most or len(headers) > fields:
            raise Refused(431, "the head is above the bound")

    def header(self, name: str) -> str | None:
        """The one value of a header. `Malformed` where it stands there twice: two readers may choose differently."""
        values = [value for key, value in self._scope["headers"] if key == name.encode()]
        if len(values) > 1:
            raise Malformed(f"the header {name} stands there twice")
        return values[0].decode("latin-1").strip() if values else None

    def host(self) -> tuple[str, str]:
        """What the Host header names, without brackets or port, and all of it; in small letters. Raises `Malformed`."""
        host = (self.header("host") or "").lower()
        match = _HOST.fullmatch(host)
        if match is None or int(match[2] or 0) > 65535:
            raise Malformed("the Host header is none")
        return match[1].strip("[]"), host

    def cookie(self, name: str) -> str | None:
        """The value of a cookie, RFC 6265 §5.4. Raises `Malformed` where there are two of the name."""
        found = None
        for pair in (self.header("cookie") or "").split(";")[:64]:
            key, equals, value = pair.strip().partition("=")
            if equals and key == name and _COOKIE.fullmatch(key):
                if found is not None:
                    raise Malformed("a cookie stands there twice")
                found = value
        return found

    @property
    def length(self) -> int | None:
        """Content-Length, None where there is none. `Malformed` where it is no number."""
        value = self.header("content-length")
        if value is None:
            return None
        if not _LENGTH.fullmatch(value):
            raise Malformed("Content-Length is no number")
        return int(value)

    @property
    def has_body(self) -> bool:
        return self.header("transfer-encoding") is not None or bool(self.length)

    async def body(self, most: int) -> AsyncIterator[bytes]:
        """The body in pieces. Raises `Refused` (413, 408) and `Gone`."""
        length = self.length
        if length is not None and length > most:
            raise Refused(413, "the announced body is above the bound")
        while not self._ended:
            try:
                async with self.received.waiting(SILENCE_S):
                    message = await self._receive()
            except TimeoutError:
                raise Refused(408, "the body came too slowly") from None
            if message["type"] == "http.disconnect":
                raise Gone
            data = bytes(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            self.received.octets += len(data)
            if self.received.octets > most:
                raise Refused(413, "the body is above the bound")
            if self.received.too_slow:
                raise Refused(408, "the body came too slowly")
            if data:
                yield data

    async def whole(self, most: int) -> bytes:
        """A small body at once."""
        parts = [part async for part in self.body(most)]
        return b"".join(parts)

    async def left(self) -> None:
        """Returns when the client has gone; for use once the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def headers(self) -> dict[str, str]:
        """All headers by lower-case names; of one that stands there twice the first."""
        found: dict[str, str] = {}
        for key, value in self._scope["headers"]:
            found.setdefault(key.decode("latin-1").lower(), value.decode("latin-1").strip())
        return found

    async def relay(self, message: Message) -> None:
        """For an ASGI application within: its answer, with the headers that each of ours has."""
        if message["type"] == "http.response.start":
            self.started = True
            named = {key for key, _ in message["headers"]}
            missing = [header for header in (*EVERYWHERE, POLICY, NO_STORE) if header[0] not in named]
            message = {**message, "headers": [*message["headers"], *missing]}
        else:
            self.sent.octets += len(message.get("body", b""))
        await self._put(message)

    async def start(self, status: int, headers: list[Header]) -> None:
        self.started = True
        await self._put({"type": "http.response.start", "status": status, "headers": [*EVERYWHERE, *headers]})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """A piece of the answer; waits until the client has taken most of what came before."""
        if self.method == "HEAD":
            data = b""
        self.sent.octets += len(data)
        await self._put({"type": "http.response.body", "body": data, "more_body": more})
        self._complete = not more

    async def _put(self, message: Message) -> None:
        try:
            async with self.sent.waiting(WRITE_S):
                await self._send(message)
        except (TimeoutError, OSError):
            raise Gone from None
        if self.sent.too_slow:
            raise Gone

    async def answer(
        self,
        status: int,
        body: bytes | None = None,
        *headers: Header,
        kind: bytes = b"text/plain; charset=utf-8",
        policy: bytes = DATA,
    ) -> None:
        """A whole small answer; without ``body`` the plain words for ``status``, which say nothing about why."""
        content = WORDS.get(status, "").encode() if body is None else body
        own = [(b"content-security-policy", policy), NO_STORE, *headers]
        if status not in (204, 303, 304):
            own += [(b"content-type", kind), (b"content-length", str(len(content)).encode())]
        else:
            content = b""
            own.append((b"content-length", b"0")) if status == 303 else None
        if status in (408, 413, 431):  # what is left of the body is not read
            own.append((b"connection", b"close"))
        await self.start(status, own)
        await self.write(content, more=False)
