"""Putting the pages together: one Starlette application behind the front door."""

from __future__ import annotations

import logging
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadapron.console.browser_parts import asset
from leadapron.console.pages.cases import CasePages
from leadapron.console.pages.desk import Desk, Refusal
from leadapron.console.pages.exposures import ExposurePages
from leadapron.console.pages.notices import NoticePages
from leadapron.console.pages.once import Once
from leadapron.console.pages.overview import OverviewPage
from leadapron.console.pages.rounds import RoundPages
from leadapron.kernel.errors import LeadApronError
from leadapron.watch.track.database import DatabaseFailure

AWAY: Final = (
    "The database cannot be used at this moment. Try again in a minute. Why stands in the log of the console, for "
    "whoever runs it."
)
KEEP: Final = "private, max-age=31536000, immutable"  # the address changes with the content

_log: Final = logging.getLogger(__name__)


class Pages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._notices = NoticePages(desk)
        self._overview = OverviewPage(desk)
        self._exposures = ExposurePages(desk)
        parts = (self._overview, self._exposures, CasePages(desk), self._notices, RoundPages(desk))
        routes = [route for part in parts for route in part.routes()]
        self.app = Starlette(
            routes=[*routes, Route("/static/{name}", self.static)],
            exception_handlers={
                404: self.missing,
                405: self.missing,
                Refusal: self.refused,
                LeadApronError: self.failed,
            },
        )

        self.app.state.once = Once(desk.clock)

    async def begin(self) -> None:
        """Make what the first visitor would wait for."""
        await self._overview.begin()

    async def close(self) -> None:
        await self._overview.close()
        await self._exposures.close()
        await self._notices.close()

    async def static(self, request: Request) -> Response:
        found = asset(str(request.path_params["name"]))
        if found is None:
            return Response("Not found", 404, media_type="text/plain")
        return Response(found.content, headers={"content-type": found.kind, "cache-control": KEEP})

    async def missing(self, request: Request, error: Exception) -> Response:
        return self._said(request, 404, "Not found", "There is no such page here.")

    async def refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return self._said(request, error.status, error.title, error.text)

    async def failed(self, request: Request, error: Exception) -> Response:
        """The database is away, or full. Where it is and what to do about it is for whoever runs the console."""
        _log.error("a page could not be made: %s", error)
        text = AWAY if isinstance(error, DatabaseFailure) else str(error)
        return self._said(request, 503, "That did not work", text)

    def _said(self, request: Request, status: int, title: str, text: str) -> Response:
        return self._desk.show(request, "", "said.html", status, title=title, text=text)
