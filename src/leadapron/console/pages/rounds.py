"""Scans with what runs at this moment, and scopes: what is authorised, by whom, until when."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadapron.console.pages.desk import Desk, Refusal, needs, paged, to, told, visitor_of
from leadapron.console.queries import rounds as asked
from leadapron.console.visitor import SCAN, VIEW
from leadapron.kernel.clock import iso
from leadapron.kernel.errors import LeadApronError, ScopeError
from leadapron.watch.campaign.round import hindrance
from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.measure.record import VERDICTS
from leadapron.watch.scope.file import ScopeFile, parse_scope

POLL_S: Final = 3
POLLS: Final = 200
"""How often a page asks by itself: then somebody has to, else a page left open would keep its session for the day."""
SHOWN: Final = 200
_NAME: Final = re.compile(r"[^/\x00-\x1f]{1,64}")


class Live(Struct, frozen=True, kw_only=True):
    """A scan that runs. ``share`` in per cent."""

    name: str
    started: str
    done: int
    endpoints: int
    share: float
    found: int
    measured: int
    exposed: int
    studies: int
    left: str


class Scope(Struct, frozen=True, kw_only=True):
    """A scope file as it is now, or why it cannot be read; ``used``: by scans so far."""

    file: str
    problem: str | None
    scope: ScopeFile | None
    state: str
    until: str | None
    used: int
    last: str | None


class RoundPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route("/scans", needs(VIEW, self.scans)),
            Route("/scans/{name:str}/{act:str}", needs(SCAN, self.act), methods=["POST"]),
            Route("/scopes", needs(VIEW, self.scopes)),
        ]

    async def scans(self, request: Request) -> Response:
        return await self._scans(request)

    async def _scans(self, request: Request, problem: str | None = None) -> Response:
        offset = paged(request, asked.PAGE)
        rows, total = await self._desk.read(lambda connection: asked.listed(connection, offset))
        campaigns = await asyncio.to_thread(self._as_configured, await self._desk.read(asked.known))
        polls = request.query_params.get("polls", "")
        count = int(polls) if polls.isascii() and polls.isdigit() and len(polls) < 5 else 0
        live = live_of(self._desk.parts.rounds, self._desk.clock.monotonic())
        return self._desk.show(
            request,
            "scans",
            "scans.html",
            200 if problem is None else 409,
            rows=rows,
            total=total,
            offset=offset,
            size=asked.PAGE,
            chosen={},
            campaigns=campaigns,
            live=live,
            polls=count + 1,
            polling=count < POLLS,
            every=POLL_S,
            verdicts=VERDICTS,
            can_act=self._desk.parts.rounds is not None,
            problem=problem,
        )

    def _as_configured(self, known: tuple[asked.Campaign, ...]) -> list[asked.Campaign]:
        """Those of which the database knows, and those of the configuration that never had a round. Reads files."""
        rounds, names = self._desk.parts.rounds, {one.name for one in known}
        ours = {} if rounds is None else {one.name: hindrance(one) for one in rounds.campaigns}
        new = (asked.Campaign(name=name) for name in ours if name not in names)
        return [replace(one, blocked=ours.get(one.name)) for one in (*known, *new)]

    async def act(self, request: Request) -> Response:
        rounds, by = self._desk.parts.rounds, visitor_of(request).by
        name, act = str(request.path_params["name"]), str(request.path_params["act"])
        if rounds is None:
            raise Refusal(409, "Not here", "This console runs no campaigns: 'leadapron up' does.")
        acts: dict[str, tuple[str, Callable[[str, str], Any]]] = {
            "pause": ("paused", rounds.pause),
            "resume": ("resumed", rounds.resume),
            "now": ("now", rounds.now),
        }
        if act not in acts or not _NAME.fullmatch(name):
            raise Refusal(404, "Not found", "There is no such thing to do.")
        done, work = acts[act]
        try:
            await asyncio.to_thread(work, name, by)
        except LeadApronError as error:
            return await self._scans(request, told(error))
        return to("/scans", done)

    async def scopes(self, request: Request) -> Response:
        used = await self._desk.read(asked.authorised)
        rounds = self._desk.parts.rounds
        of_campaigns = () if rounds is None else tuple(one.scope for one in rounds.campaigns if one.scope)
        configured = (*self._desk.settings.scopes, *of_campaigns)
        found = await asyncio.to_thread(_scopes, configured, used, iso(self._desk.clock.now()))
        return self._desk.show(request, "scopes", "scopes.html", found=found, used=used, shown=SHOWN)


def live_of(rounds: Rounds | None, now: float) -> Live | None:
    """What runs now, in numbers."""
    running = None if rounds is None else rounds.progress
    if running is None:
        return None
    progress = running.progress
    left = progress.left(now)
    return Live(
        name=running.name,
        started=running.started,
        done=progress.done,
        endpoints=progress.endpoints,
        share=100 * progress.done / progress.endpoints if progress.endpoints else 0.0,
        found=progress.found,
        measured=progress.measured,
        exposed=progress.exposed,
        studies=progress.studies_so_far,
        left="" if left is None else _duration(left),
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _scopes(configured: tuple[str, ...], used: tuple[asked.Authorised, ...], now: str) -> list[Scope]:
    """The files that are configured, and those that scans named, each once."""
    by_file = {one.file: one for one in reversed(used) if one.file}
    return [_scope(file, by_file.get(file), now) for file in dict.fromkeys((*configured, *by_file))]


def _scope(file: str, used: asked.Authorised | None, now: str) -> Scope:
    scope: ScopeFile | None = None
    problem = None
    try:
        with Path(file).expanduser().open(encoding="utf-8") as opened:
            scope = parse_scope(opened.read((16 << 20) + 1), "scope")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"it cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})"
    except (ScopeError, LeadApronError) as error:
        problem = str(error)
    until = None if scope is None else iso(scope.valid_until)
    state = "unreadable" if until is None else "valid" if until > now else "ended"
    return Scope(
        file=file,
        problem=problem,
        scope=scope,
        state=state,
        until=until,
        used=0 if used is None else used.scans,
        last=None if used is None else used.last,
    )
