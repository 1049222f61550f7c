"""The front door: every request comes here first, and nothing else decides whether it gets in.

A request names a host of ours (421), its target can be read in one way only (400), it shows a session or a token
(401), and one that a browser sends with a cookie comes from our own pages (403): `Sec-Fetch-Site`, or `Origin`
where a browser does not say it. What is left goes to the proxy. Only the pages under ``/guard`` are for those who
are nobody yet.

A stranger gets the bare status and no reason, the same for a path that exists and one that doesn't; why stands in
the audit trail, one event for each attempt.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import quote

from leadapron.guard.gateway.web.exchange import Exchange, Gone, Message, Receive, Refused, Scope, Send
from leadapron.guard.gateway.web.ports import Doorkeeper, Nobody, Who
from leadapron.guard.gateway.web.proxy import TOLD, Proxy
from leadapron.guard.gateway.web.reporting import Reporter
from leadapron.guard.gateway.web.strangers import Strangers
from leadapron.guard.gateway.web.target import Malformed, Target, parse
from leadapron.guard.identity.people.requests import SESSION_COOKIE, forged

MAX_FORM: Final = 64 * 1024
MAX_HEAD: Final = 16 * 1024
MAX_FIELDS: Final = 100

_PORT: Final = re.compile(r":[0-9]+$")
_BEARER: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]{1,512})")

_log: Final = logging.getLogger(__name__)


Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Front:
    """The ASGI application. ``pages`` serves ``/guard``; ``hosts``: names that we are asked by, empty means any;
    ``public``: our address for clients, None: as they call us."""

    def __init__(
        self,
        *,
        doorkeeper: Doorkeeper,
        proxy: Proxy,
        pages: Application,
        hosts: frozenset[str],
        reporter: Reporter,
        strangers: Strangers,
        healthy: Callable[[], bool],
        public: str | None = None,
    ) -> None:
        self._doorkeeper, self._proxy, self._pages, self._hosts = doorkeeper, proxy, pages, hosts
        self._reporter, self._strangers, self._healthy, self._public = reporter, strangers, healthy, public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        who: Who | Nobody = Nobody("not looked at")
        try:
            try:
                exchange.check_head(MAX_HEAD, MAX_FIELDS)
                base = self._base(exchange)
                target = parse(exchange.raw_path, exchange.raw_query)
                if target.segments == ("",):
                    await exchange.answer(303, None, (b"location", b"/guard/"))
                    return
                if target.segments[0] == "guard":
                    await self._page(exchange, scope, target, base)
                    return
                who = self._identify(exchange)
                if isinstance(who, Nobody):
                    await self._turn_away(exchange, who)
                    return
                if who.how == "session":
                    self._own_doing(exchange, base)
                if not self._healthy():
                    raise Refused(503, TOLD)  # what cannot be recorded must not happen
                await self._proxy.carry(exchange, who, target, self._outside(exchange, who, base))
            except Malformed as error:
                raise Refused(400, str(error)) from None
        except Refused as refused:
            await self._refuse(exchange, who, refused)
        except Gone:
            return
        except asyncio.CancelledError:
            raise
        except Exception as error:
            _log.error("a request ended in an error of ours: %s", type(error).__name__, exc_info=error)
            if not exchange.started:
                await exchange.answer(500)

    def _base(self, exchange: Exchange) -> str:
        """Our own address as the client called us. It stands in answers, so it must be one of ours."""
        name, host = exchange.host()
        if self._hosts and name not in self._hosts:
            raise Refused(421, "asked for a host that is not ours")
        return f"https://{host}"

    def _outside(self, exchange: Exchange, who: Who, base: str) -> str:
        """Our address for use in answers: the configured one, else as we were called. Programs (dicomweb-client is one)
        leave the port out of ``Host`` though RFC 9110 §7.2 wants it; browsers don't."""
        if self._public is not None:
            return self._public
        if who.how == "token" and exchange.port != 443 and not _PORT.search(base):
            return f"{base}:{exchange.port}"
        return base

    def _identify(self, exchange: Exchange) -> Who | Nobody:
        """Whoever proved who they are: by token if there is an Authorization header, else by session."""
        authorization = exchange.header("authorization")
        if authorization is not None:
            match = _BEARER.fullmatch(authorization)
            if match is None:
                return Nobody("an Authorization header that is no bearer token")
            return self._doorkeeper.token(match[1], exchange.address)
        cookie = exchange.cookie(SESSION_COOKIE)
        if cookie is None:
            return Nobody("neither session nor token")
        return self._doorkeeper.session(cookie, exchange.address)

    @staticmethod
    def _own_doing(exchange: Exchange, base: str) -> None:
        """A browser sends the cookie whoever made it ask; only what our own pages ask for counts."""
        if reason := forged(exchange.method, exchange.headers, (base,)):
            raise Refused(403, reason)

    async def _turn_away(self, exchange: Exchange, nobody: Nobody) -> None:
        if not await self._heard(exchange):
            return
        if not nobody.told:
            self._reporter.stranger(exchange, nobody.reason)
        if _is_navigation(exchange):
            asked = exchange.raw_path + (b"?" + exchange.raw_query if exchange.raw_query else b"")
            login = "/guard/login?next=" + quote(asked.decode("ascii"), safe="")
            await exchange.answer(303, None, (b"location", login.encode()))
            return
        await exchange.answer(401, None, (b"www-authenticate", b'Bearer realm="leadapron"'))

    async def _refuse(self, exchange: Exchange, who: Who | Nobody, refused: Refused) -> None:
        if refused.reason != TOLD:
            if isinstance(who, Nobody) and not await self._heard(exchange):
                return
            known = who if isinstance(who, Who) else None
            self._reporter.refused(exchange, known, f"{refused.status}: {refused.reason}")
        if not exchange.started:
            await exchange.answer(refused.status, None, *refused.headers)

    async def _heard(self, exchange: Exchange) -> bool:
        """Whether a refusal of this address is looked at still; else it is answered here."""
        within, first = self._strangers.refuse(exchange.address)
        if first:
            self._reporter.flood(exchange)
        elif not within:
            self._reporter.stranger(exchange, "more refusals than this address may have")
        if not within:
            await exchange.answer(429, None, (b"retry-after", b"60"), (b"connection", b"close"))
        return within

    async def _page(self, exchange: Exchange, scope: Scope, target: Target, base: str) -> None:
        """Our own pages: what they see is the path as it was taken apart."""
        if exchange.method not in ("GET", "POST"):
            raise Refused(405, "a method that our pages do not have", (b"allow", b"GET, POST"))
        self._own_doing(exchange, base)
        if not self._healthy():  # who logs in would not be recorded
            raise Refused(503, TOLD)
        body = await exchange.whole(MAX_FORM) if exchange.method == "POST" else b""
        inner = {**scope, "path": "/" + "/".join(target.segments), "raw_path": b"", "root_path": ""}
        inner["state"] = {"exchange": exchange, "form": body, "base": base}
        await self._pages(inner, _nothing, exchange.relay)


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _is_navigation(exchange: Exchange) -> bool:
    if exchange.method != "GET":
        return False
    mode = exchange.header("sec-fetch-mode")
    return mode == "navigate" if mode is not None else "text/html" in (exchange.header("accept") or "")
