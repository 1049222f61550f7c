"""Asking servers that are not ours: in turn, within a time, up to a size, and not again where nobody answers.

- A server gets so many questions a second and no more, whoever asks; the turn is taken before the time runs.
- A server that failed several times in a row is let be for the rest of the round: offline, a thousand exposures must
  not cost a thousand time-outs. One that says it is asked too much (429, 503) is let be at once.
- Nothing is decompressed, no proxy is taken from the environment, no cookie is kept, no redirect is followed here.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

import httpx2
from msgspec import Struct

from leadapron import __version__
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort

MOST_FAILURES: Final = 3
AGENT: Final = f"leadapron/{__version__} (looks up who to tell of an open medical server)"
_BUSY: Final = (429, 503)


class Unanswered(Exception):
    """A question without an answer that can be used. Its text is ours: nothing that was sent is in it."""


class Answer(Struct, frozen=True):
    """``location``: of a redirect, as sent."""

    status: int
    body: bytes
    kind: str
    location: str | None


class Turns:
    """So many questions a second to each server, and none to one that does not answer."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._down: dict[str, str] = {}

    async def take(self, server: str, queue: str | None = None) -> None:
        """Wait for the next turn; ``queue``: with whom the server shares its turns, None for a rate of its own.
        Raises `Unanswered` at once for a server that was given up."""
        self._refuse(server)
        queue = queue or server
        loop = asyncio.get_running_loop()
        now = loop.time()
        at = max(now, self._next.get(queue, now))
        self._next[queue] = at + self._interval
        if at > now:
            await asyncio.sleep(at - now)
            self._refuse(server)

    def answered(self, server: str) -> None:
        self._failures.pop(server, None)

    def failed(self, server: str, why: str, *, for_good: bool = False) -> Unanswered:
        """Note a failure; gives what to raise."""
        self._failures[server] = self._failures.get(server, 0) + 1
        if for_good or self._failures[server] >= MOST_FAILURES:
            self._down[server] = why
        return Unanswered(why)

    def _refuse(self, server: str) -> None:
        if server in self._down:
            raise Unanswered(self._down[server])


class Client:
    """HTTP, bounded. ``most``: octets of a body; ``within``: seconds for all of it. Close it, or use ``async with``."""

    def __init__(self, turns: Turns, *, within: float, most: int, ca: str | None = None) -> None:
        self._turns, self._within, self._most = turns, within, most
        self._http = httpx2.AsyncClient(
            verify=trust(ca), timeout=within, follow_redirects=False, trust_env=False, headers={"User-Agent": AGENT}
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, url: str, accept: str, *, at: str | None = None, queue: str | None = None) -> Answer:
        """One question. ``at``: the address to connect to, of the host that ``url`` names and whose certificate is
        demanded. ``queue``: as for `Turns.take`. Raises `Unanswered`."""
        target = httpx2.URL(url)
        host = target.host
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        extensions: dict[str, object] = {}
        if at is not None:
            headers["Host"] = str(HostPort(host, target.port)) if target.port else host
            extensions["sni_hostname"] = host
            target = target.copy_with(host=at)
        await self._turns.take(host, queue)
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._within),
                self._http.stream("GET", target, headers=headers, extensions=extensions) as answer,
            ):
                self._http.cookies.clear()
                if answer.status_code in _BUSY:
                    raise self._turns.failed(
                        host, f"{host} asks for a pause (HTTP {answer.status_code})", for_good=True
                    )
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise self._turns.failed(host, f"{host} compresses what it was asked not to")
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > self._most:
                        raise self._turns.failed(host, f"{host} sends more than {self._most:,} octets")
        except TimeoutError:
            raise self._turns.failed(host, f"{host} does not answer within {self._within:g} s") from None
        except httpx2.TimeoutException:
            raise self._turns.failed(host, f"{host} does not answer within {self._within:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise self._turns.failed(host, f"{host} cannot be reached ({type(error).__name__})") from None
        self._turns.answered(host)
        return Answer(
            answer.status_code,
            bytes(body),
            answer.headers.get("content-type", "").partition(";")[0].strip().lower(),
            answer.headers.get("location"),
        )


def trust(ca: str | None) -> ssl.SSLContext:
    """The system's authorities, and those in the file ``ca``. Raises `UsageError` where that cannot be read."""
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cafile=str(Path(ca).expanduser()))
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"[lookups] ca: {ca!a} cannot be read as certificates in PEM ({error.strerror or 'bad PEM'})"
            ) from None
    return context
