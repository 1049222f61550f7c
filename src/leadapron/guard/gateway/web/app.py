"""Putting the web side together: ``build_app`` makes the ASGI application that ``server.serve_web`` serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from leadapron.guard.audit.events import Participant
from leadapron.guard.gateway.meter import Bounds, ForWeb
from leadapron.guard.gateway.meter import Meter as PeopleMeter
from leadapron.guard.gateway.web.doors import PeopleDoorkeeper
from leadapron.guard.gateway.web.exchange import Receive, Scope, Send
from leadapron.guard.gateway.web.front import Front
from leadapron.guard.gateway.web.inside import Inside
from leadapron.guard.gateway.web.pages import Pages
from leadapron.guard.gateway.web.ports import Doorkeeper, Meter
from leadapron.guard.gateway.web.provider_login import provider_name
from leadapron.guard.gateway.web.proxy import Limits, Proxy
from leadapron.guard.gateway.web.reporting import OnEvent, Reporter
from leadapron.guard.gateway.web.strangers import Strangers
from leadapron.guard.identity.people.oidc import Oidc
from leadapron.guard.identity.people.people import People
from leadapron.guard.settings import Guard
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import UsageError

MAX_RESULTS: Final = 2_000
EXPLORER: Final = "/orthanc/app/explorer.html"


class WebApp:
    """The application, and what it holds open."""

    def __init__(self, front: Front, inside: Inside) -> None:
        self._front, self._inside = front, inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._front(scope, receive, send)

    async def close(self) -> None:
        """Ends the connections to the archive; after the server has closed."""
        await self._inside.close()


def build_app(
    settings: Guard,
    people: People,
    *,
    on_event: OnEvent,
    meter: Meter | None = None,
    oidc: Oidc | None = None,
    clock: Clock | None = None,
    healthy: Callable[[], bool] = lambda: True,
    doorkeeper: Doorkeeper | None = None,
    max_results: int = MAX_RESULTS,
    public: str | None = None,
) -> WebApp:
    """The web side for ``settings``. ``people`` tells its own events (log in, log out, sessions that end); ``on_event``
    gets those of the front door and the proxy. ``meter``: shared with DIMSE where retrievals of both shall count
    together. ``healthy``: whether the audit trail can record; while it can't, nothing reaches the archive.
    ``public``: the guard's address for clients (``https://pacs.example``) where it is not the one they call.

    Raises UsageError where the settings have no web part or no web archive.
    """
    clock = clock or SystemClock()
    if settings.web is None or settings.archive.web is None:
        raise UsageError("the guard's web side needs [guard.web], and in [guard.archive] the key web")
    inside = Inside(
        settings.archive.web,
        settings.archive.web_kind,
        ca=settings.archive.ca,
        response_s=settings.limits.response_s,
    )
    limits = Limits(settings.web.max_request, settings.web.max_response, max_results)
    meter = meter or ForWeb(PeopleMeter(lambda _: Bounds(), clock=clock))
    oidc_name = "" if settings.oidc is None else provider_name(settings.oidc)
    pages = Pages(people, oidc=oidc, oidc_name=oidc_name, viewer=EXPLORER if inside.is_orthanc else None)
    archive = Participant(settings.archive.ae, ae=settings.archive.ae, address=urlsplit(inside.base).hostname)
    reporter = Reporter(on_event, archive, clock)
    front = Front(
        doorkeeper=doorkeeper or PeopleDoorkeeper(people),
        proxy=Proxy(inside, limits, meter, reporter),
        pages=pages.app(),
        hosts=_hosts(settings, public),
        reporter=reporter,
        strangers=Strangers(clock),
        healthy=healthy,
        public=public,
    )
    return WebApp(front, inside)


def _hosts(settings: Guard, public: str | None) -> frozenset[str]:
    """Names that we are asked by."""
    names = frozenset(name.lower() for name in settings.names)
    return names if public is None else names | {urlsplit(public).hostname or ""}
