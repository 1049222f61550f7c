"""The console that runs: its people, its pages, its listener.

`run_console` is composed into ``leadapron up``. Where the guard runs in the same process its `People` are given, so
that throttling, sessions and the audit trail are one; else the console opens them by itself, in the same directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.console.app import Pages
from leadapron.console.countries import country_name
from leadapron.console.first import FirstLook
from leadapron.console.front import Application, Front
from leadapron.console.map.draw import outlines
from leadapron.console.pages.desk import Desk
from leadapron.console.parts import Parts
from leadapron.console.render import compiled
from leadapron.console.settings import Console, checked
from leadapron.guard.gateway.web.pages import Pages as LoginPages
from leadapron.guard.gateway.web.provider_login import at_provider, provider_name
from leadapron.guard.gateway.web.server import serve_web
from leadapron.guard.gateway.web.strangers import Strangers
from leadapron.guard.identity.people.model import OnEvent
from leadapron.guard.identity.people.passkeys import Site
from leadapron.guard.identity.people.passwords import Hashing
from leadapron.guard.identity.people.people import HASHING, People
from leadapron.guard.settings import Limits
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.kernel.hostport import HostPort
from leadapron.watch.track.owner.domains import registrable

WHAT: Final = "To the console of the watch: what stands open, and what is done about it."
SWEEP_S: Final = 60.0

_log: Final = logging.getLogger(__name__)


class Running(Struct, frozen=True):
    """``url``: where browsers find it. ``first``: the link for a first look, None where somebody can log in."""

    url: str
    port: int
    first: str | None
    people: People


@asynccontextmanager
async def run_console(
    settings: Console,
    *,
    engine: sa.Engine,
    home: Path,
    parts: Parts | None = None,
    people: People | None = None,
    on_event: OnEvent | None = None,
    tell: Callable[[str], None] = lambda line: None,
    clock: Clock | None = None,
    hashing: Hashing = HASHING,
) -> AsyncIterator[Running]:
    """Serve the console on the database behind ``engine`` until the block is left.

    ``home``: the guard's directory (``people.db``, the authority). ``people``: the guard's, where it runs here; else
    ``on_event`` is told what happens to people, for the audit trail. ``tell`` takes lines for who watches it run.
    Raises UsageError for settings that cannot be meant, Failure for a port that is taken.
    """
    settings, clock = checked(settings), clock or SystemClock()
    tls = _tls(settings, home)
    async with AsyncExitStack() as stack:
        if people is None:
            people = stack.enter_context(_people(settings, home, clock, on_event or _logged, hashing))
            stack.push_async_callback(_ended, asyncio.create_task(_sweep(people, tell)))
        everybody = people
        first = FirstLook(clock, lambda: not everybody.manage.people()) if settings.place.loopback else None
        pages = Pages(Desk(engine, parts or Parts(), settings, clock))
        stack.push_async_callback(pages.close)
        front = Front(
            people,
            await _login(settings, people, clock),
            pages.app,
            hosts=settings.hosts,
            sent_back_to=None if settings.oidc is None else settings.hosts[0],
            plain=tls is None,
            first=first,
            strangers=Strangers(clock),
        )
        await asyncio.to_thread(warm)
        await pages.begin()
        server = await serve_web(front, listen=settings.listen, tls=tls, limits=Limits(), where="[console] listen")
        await stack.enter_async_context(server)
        scheme = "http" if tls is None else "https"
        host = settings.names[0] if settings.names else server.host
        url = f"{scheme}://{HostPort(host, server.port)}/"
        token = None if first is None else await asyncio.to_thread(first.link)
        link = None
        tell(f"console: {url}")
        if token is not None:
            link = f"{scheme}://{HostPort(server.host, server.port)}/first?token={token}"
            tell(f"nobody can log in yet; for a first look, once and only to look: {link}")
        yield Running(url, server.port, link, people)


async def _login(settings: Console, people: People, clock: Clock) -> Application:
    if settings.oidc is None:
        return LoginPages(people, what=WHAT, emergency=False).app()
    base = settings.origins(settings.place.port)[0]
    oidc = await at_provider(people, settings.oidc, base, clock, "[console.oidc] or [guard.oidc]")
    return LoginPages(people, oidc=oidc, oidc_name=provider_name(settings.oidc), what=WHAT, emergency=False).app()


def warm() -> None:
    """What the first visitor would wait for: templates, the map, names of countries, the list of public suffixes."""
    compiled()
    outlines()
    country_name("DE")
    registrable("example.org")


def _tls(settings: Console, home: Path) -> SSLContext | None:
    """The operator's certificate, else the guard's; none at all on loopback."""
    if settings.certificate is not None and settings.key is not None:
        from leadapron.wire.aio.tls import server_context

        return server_context(Path(settings.certificate).expanduser(), Path(settings.key).expanduser())
    if settings.plain:
        return None
    from leadapron.guard.identity.contexts import SERVER, web_context
    from leadapron.guard.identity.pairs import paths

    if not paths(home, SERVER)[0].exists():
        raise UsageError(
            f"[console] listens on {settings.place}, which takes a certificate: name certificate and key, "
            "set up a guard ('leadapron init guard'), or listen on 127.0.0.1"
        )
    return web_context(home)


def _people(settings: Console, home: Path, clock: Clock, on_event: OnEvent, hashing: Hashing) -> People:
    return People(
        home,
        clock,
        on_event=on_event,
        site=site_of(settings),
        idle_s=settings.idle_s,
        absolute_s=settings.absolute_s,
        hashing=hashing,
    )


def site_of(settings: Console) -> Site | None:
    """Where security keys are good: the first name that is one, no number."""
    port = settings.place.port
    for host in settings.hosts:
        site = Site(host, settings.origins(port))
        if site.usable and port:
            return site
    return None


def _logged(event: object) -> None:
    _log.info("people: %s", event)


async def _sweep(people: People, tell: Callable[[str], None]) -> None:
    while True:
        try:
            await asyncio.to_thread(people.sweep)
        except LeadApronError as error:
            tell(f"console: {error}")
        await asyncio.sleep(SWEEP_S)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
