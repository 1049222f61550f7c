"""The front door of the console: who asks, whether a page of ours sent it, and which part answers.

It takes requests apart as the guard's own door does, with the guard's parts: a host that is ours (421, which also keeps
out pages elsewhere whose name leads to this machine), a target that can be read in one way only (400), and what a
browser sends with a cookie from our own pages (403, `identity.people.requests`). That holds for each POST: there is
no hidden field that could be forgotten in a form.

Under ``/guard`` stand the guard's pages for logging in and for one's account. Without TLS, on loopback, browsers do not
all take cookies that insist on it, so there they go under a plain name; what is within sees no difference.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote, urlsplit

from leadapron.console.first import COOKIE as FIRST_COOKIE
from leadapron.console.first import LASTS_S, FirstLook
from leadapron.console.visitor import FIRST_VISITOR, Visitor
from leadapron.guard.gateway.web.doors import known
from leadapron.guard.gateway.web.exchange import Exchange, Gone, Message, Receive, Refused, Scope, Send
from leadapron.guard.gateway.web.strangers import Strangers
from leadapron.guard.gateway.web.target import Malformed, Target, parse
from leadapron.guard.identity.people.people import People
from leadapron.guard.identity.people.requests import SESSION_COOKIE, forged
from leadapron.kernel.errors import LeadApronError
from leadapron.kernel.hostport import HostPort

MAX_FORM: Final = 256 * 1024
MAX_HEAD: Final = 16 * 1024
MAX_FIELDS: Final = 100
SECURE_PREFIX: Final = "__Host-leadapron-"
PLAIN_PREFIX: Final = "leadapron-"
LOGIN: Final = "/guard/login"
AWAY: Final = b"This cannot be answered at this moment. Try again in a minute; why stands in the log of the console.\n"

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_log: Final = logging.getLogger(__name__)


class Front:
    """The ASGI application. ``plain``: served without TLS. ``first``: None where there is no first look.
    ``sent_back_to``: the one of our names to which an OpenID provider sends people back; None: there is none."""

    def __init__(
        self,
        people: People,
        login: Application,
        pages: Application,
        *,
        hosts: tuple[str, ...],
        plain: bool,
        first: FirstLook | None,
        strangers: Strangers,
        sent_back_to: str | None = None,
    ) -> None:
        self._people, self._login, self._pages = people, login, pages
        self._sent_back_to = sent_back_to
        self._hosts, self._plain, self._first, self._strangers = frozenset(hosts), plain, first, strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._plain:
            scope, send = _plain_request(scope), _plain_answers(send)
        exchange = Exchange(scope, receive, send)
        try:
            try:
                exchange.check_head(MAX_HEAD, MAX_FIELDS)
                base = self._base(exchange)
                target = parse(exchange.raw_path, exchange.raw_query)
                await self._answer(exchange, scope, target, base)
            except Malformed as error:
                raise Refused(400, str(error)) from None
        except Refused as refused:
            if not exchange.started:
                await exchange.answer(refused.status, None, *refused.headers)
        except Gone:
            return
        except asyncio.CancelledError:
            raise
        except LeadApronError as error:
            _log.error("a request could not be answered: %s", error)
            if not exchange.started:
                await exchange.answer(503, AWAY)
        except Exception as error:
            _log.error("a request ended in an error of ours: %s", type(error).__name__, exc_info=error)
            if not exchange.started:
                await exchange.answer(500)

    def _base(self, exchange: Exchange) -> str:
        """Our own address as the browser called us, which must be one of ours."""
        name, host = exchange.host()
        if name not in self._hosts:
            raise Refused(421, "asked for a host that is not ours")
        return f"{'http' if self._plain else 'https'}://{host}"

    async def _answer(self, exchange: Exchange, scope: Scope, target: Target, base: str) -> None:
        if exchange.method not in ("GET", "HEAD", "POST"):
            raise Refused(405, "a method that our pages do not have", (b"allow", b"GET, HEAD, POST"))
        if reason := forged(exchange.method, exchange.headers, (base,)):
            raise Refused(403, reason)
        first = target.segments[0]
        if first == "first" and len(target.segments) == 1:
            await self._first_look(exchange, target)
        elif target.segments == ("guard", ""):
            await exchange.answer(303, None, (b"location", b"/"))
        elif target.segments == ("guard", "oidc") and (elsewhere := self._elsewhere(base)) is not None:
            asked = exchange.raw_path + (b"?" + exchange.raw_query if exchange.raw_query else b"")
            await exchange.answer(303, None, (b"location", elsewhere.encode() + asked))
        elif first == "guard":
            await self._within(exchange, scope, target, base, self._login, None)
        elif first == "static" and len(target.segments) == 2 and target.segments[1] and exchange.method != "POST":
            await self._within(exchange, scope, target, base, self._pages, None)
        else:
            visitor = self._visitor(exchange)
            if visitor is None:
                await self._turn_away(exchange)
            else:
                await self._within(exchange, scope, target, base, self._pages, visitor)

    def _elsewhere(self, base: str) -> str | None:
        """Where a log-in at the provider has to begin, if not at ``base``: its cookie is for the name to which people
        come back."""
        asked = urlsplit(base)
        if self._sent_back_to in (None, asked.hostname):
            return None
        return f"{asked.scheme}://{HostPort(str(self._sent_back_to), asked.port) if asked.port else self._sent_back_to}"

    async def _within(
        self,
        exchange: Exchange,
        scope: Scope,
        target: Target,
        base: str,
        application: Application,
        visitor: Visitor | None,
    ) -> None:
        """Hand it on: what is within sees the path as it was taken apart, and a body that is bounded."""
        body = await exchange.whole(MAX_FORM) if exchange.method == "POST" else b""
        inner: dict[str, Any] = {**scope, "path": "/" + "/".join(target.segments), "raw_path": b"", "root_path": ""}
        inner["state"] = {"exchange": exchange, "form": body, "base": base, "visitor": visitor, "target": target}
        await application(inner, _nothing, exchange.relay)

    def _visitor(self, exchange: Exchange) -> Visitor | None:
        cookie = exchange.cookie(SESSION_COOKIE)
        person = None if cookie is None else self._people.session(cookie, exchange.address)
        if person is not None:
            return Visitor(name=person.name, permissions=known(person.permissions))
        shown = exchange.cookie(FIRST_COOKIE)
        if self._first is not None and shown is not None and self._first.holds(shown):
            return FIRST_VISITOR
        return None

    async def _first_look(self, exchange: Exchange, target: Target) -> None:
        token = next(iter(target.values("token")), "")
        session = None if self._first is None or exchange.method != "GET" else self._first.enter(token)
        if session is None:
            if not self._strangers.refuse(exchange.address)[0]:
                raise Refused(429, "more refusals than this address may have", (b"retry-after", b"60"))
            await exchange.answer(403, b"This link opens nothing: it works once, and only until somebody can log in.\n")
            return
        secure = "" if self._plain else "; Secure"
        cookie = f"{FIRST_COOKIE}={session}; Path=/; Max-Age={LASTS_S:.0f}; HttpOnly; SameSite=Strict{secure}"
        await exchange.answer(303, None, (b"location", b"/"), (b"set-cookie", cookie.encode()))

    async def _turn_away(self, exchange: Exchange) -> None:
        if not self._strangers.refuse(exchange.address)[0]:
            raise Refused(429, "more refusals than this address may have", (b"retry-after", b"60"))
        partial = exchange.header("hx-request") is not None
        asked = exchange.raw_path + (b"?" + exchange.raw_query if exchange.raw_query else b"")
        if partial:  # the page it stands in, not the part of it
            asked = _within_us(exchange.header("hx-current-url") or "/")
        elif exchange.method != "GET":
            asked = b"/"
        login = f"{LOGIN}?next={quote(asked.decode('ascii'), safe='')}".encode()
        if partial:  # htmx goes there; a redirect would put the page of the log-in into a part of this one
            await exchange.answer(401, None, (b"hx-redirect", login))
        else:
            await exchange.answer(303, None, (b"location", login))


def _within_us(url: str) -> bytes:
    """Path and query of what stands in a browser's address line; the first page for what is no address."""
    try:
        shown = urlsplit(url)
    except ValueError:
        return b"/"
    return f"{shown.path}{'?' + shown.query if shown.query else ''}".encode("ascii", "replace")


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _plain_request(scope: Scope) -> Scope:
    """Cookies under the names that the guard's pages know."""
    headers = []
    for key, value in scope["headers"]:
        if key == b"cookie":
            pairs = [pair.strip() for pair in value.decode("latin-1").split(";")]
            ours = [SECURE_PREFIX + pair[len(PLAIN_PREFIX) :] for pair in pairs if _renamed(pair)]
            others = [pair for pair in pairs if not _renamed(pair) and not pair.startswith(SECURE_PREFIX)]
            value = "; ".join((*ours, *others)).encode("latin-1")
        headers.append((key, value))
    return {**scope, "headers": headers}


def _renamed(pair: str) -> bool:
    return pair.startswith(PLAIN_PREFIX) and not pair.startswith(FIRST_COOKIE)


def _plain_answers(send: Send) -> Send:
    async def plain(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [_plain_header(*header) for header in message["headers"]]}
        await send(message)

    return plain


def _plain_header(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    if key == b"set-cookie" and value.startswith(SECURE_PREFIX.encode()):
        attributes = value.decode("latin-1").replace(SECURE_PREFIX, PLAIN_PREFIX, 1).split(";")
        value = ";".join(one for one in attributes if one.strip().lower() != "secure").encode("latin-1")
    return key, value
