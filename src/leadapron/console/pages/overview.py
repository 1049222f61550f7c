"""The first page. It is made anew when something was folded or a case has changed, and kept until then.

Over 20,000 exposures that takes a tenth of a second, and more on a busy machine. Nobody waits for it longer than
`PATIENCE_S`: who asks meanwhile gets the one before, which says as of when it is. The first one is made before the
console listens. What waits for a person is counted each time.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import sqlalchemy as sa
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadapron.console.countries import country_name, numeric
from leadapron.console.map.draw import Legend, world
from leadapron.console.pages.desk import Desk, needs
from leadapron.console.queries import overview as asked
from leadapron.console.render import percent
from leadapron.console.visitor import VIEW
from leadapron.watch.reach.statistics.survival import Curve, Step

CHART_DAYS: Final = 400
PATIENCE_S: Final = 0.1
START_S: Final = 10.0
AFTER: Final = (30, 60, 90, 180, 365)


class OverviewPage:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._kept: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._making: asyncio.Task[None] | None = None

    def routes(self) -> list[Route]:
        return [Route("/", needs(VIEW, self.overview))]

    async def begin(self) -> None:
        """Make it for whoever comes first, before anybody can come; who comes later waits for a slow one."""
        self._begin()
        assert self._making is not None
        await asyncio.wait({self._making}, timeout=START_S)

    def _begin(self) -> None:
        self._making = asyncio.create_task(self._make())
        self._making.add_done_callback(lambda made: made.cancelled() or made.exception())  # whoever waits raises it

    async def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)

    async def overview(self, request: Request) -> Response:
        version, waiting, drafts = await self._desk.read(_now)
        if self._kept is None or self._kept[0] != version:
            if self._making is None or self._making.done():
                self._begin()
            assert self._making is not None
            done, _ = await asyncio.wait({self._making}, timeout=None if self._kept is None else PATIENCE_S)
            for one in done:
                one.result()
        assert self._kept is not None, "it was made, or why not was raised"
        by = "archive" if request.query_params.get("by") == "archive" else "owner"
        values = self._kept[1] | {"by": by, "waiting": waiting, "drafts": drafts}
        return self._desk.show(request, "overview", "overview.html", **values)

    async def _make(self) -> None:
        version, found = await self._desk.read(
            lambda connection: (asked.version(connection), asked.overview(connection))
        )
        self._kept = (version, await asyncio.to_thread(_values, found))


def _now(connection: sa.Connection) -> tuple[tuple[Any, ...], dict[str, int], int]:
    return asked.version(connection), *asked.waiting(connection)


def _values(found: asked.Overview) -> dict[str, Any]:
    days = found.days[-CHART_DAYS:]
    drawn = _map(found.countries)
    return {
        "found": found,
        "days": days,
        "volume": _volume(days),
        "weekly": {
            "kind": "weeks",
            "x": [one.monday for one in found.weeks],
            "series": [
                {"label": "Opened", "values": [one.opened for one in found.weeks]},
                {"label": "Closed", "values": [one.closed for one in found.weeks]},
            ],
        },
        "fixing": _fixing(found.fix),
        "told": fix_told(found.fix),
        "after": [(day, step_at(found.fix, day)) for day in AFTER if day <= _watched(found.fix)],
        "world": drawn[0] if drawn else None,
        "legend": drawn[1] if drawn else (),
        "top": sum(one.part for one in found.archives),
    }


def _volume(days: tuple[asked.Day, ...]) -> dict[str, Any]:
    return {
        "kind": "volume",
        "x": [one.day for one in days],
        "series": [
            {"label": "Exams", "values": [one.studies for one in days]},
            {"label": "Images", "values": [one.images for one in days]},
        ],
    }


def _fixing(curve: Curve) -> dict[str, Any]:
    return {
        "kind": "fixing",
        "x": [step.day for step in curve.steps],
        "series": [
            {"label": "Still open", "values": [round(100 * step.share, 2) for step in curve.steps]},
            {"label": "Low", "values": [round(100 * step.low, 2) for step in curve.steps]},
            {"label": "High", "values": [round(100 * step.high, 2) for step in curve.steps]},
        ],
    }


def step_at(curve: Curve, day: int) -> Step:
    """What holds ``day`` days after a server was first seen open."""
    return [step for step in curve.steps if step.day <= day][-1]


def _watched(curve: Curve) -> int:
    return curve.steps[-1].day


def fix_told(curve: Curve) -> str:
    """The curve in a sentence."""
    if not curve.closed:
        return "No server was seen closed yet."
    if curve.median is not None:
        days = f"{curve.median} day{'' if curve.median == 1 else 's'}"
        return f"Half of the servers are closed {days} after they were first seen open."
    last = curve.steps[-1]
    return f"After {last.day} days {percent(last.share)} of the servers still stand open."


def _map(countries: tuple[asked.Share, ...]) -> tuple[Markup, tuple[Legend, ...]] | None:
    studies: dict[str, int] = {}
    names: dict[str, str] = {}
    for one in countries:
        if number := numeric(one.name):
            studies[number] = one.studies
            names[number] = country_name(one.name)
    label = "World map of exposed studies by country; the table beside it has the numbers"
    return world(studies, names, label)
