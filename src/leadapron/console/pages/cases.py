"""Cases: a board and a list, and each case with its steps and what can be done in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadapron.console.pages.desk import (
    Desk,
    Refusal,
    chosen,
    fields_of,
    needs,
    number_of,
    paged,
    to,
    told,
    typed,
    visitor_of,
)
from leadapron.console.queries import cases as asked
from leadapron.console.render import LANGUAGES
from leadapron.console.visitor import VIEW, WORK
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.notices.model import PURPOSES
from leadapron.watch.track.owner.suggestion import Suggestion, suggestion

LEVELS: Final = ("the owner", "the network's operator", "the national CERT", "the regulator")
OWNER: Final = ("organisation", "mailbox", "postal", "person", "language", "country")
_LONGEST: Final = 2000

Act = Callable[["CasePages", Cases, int, dict[str, str], str], Any]


class CasePages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route("/cases", needs(VIEW, self.listed)),
            Route("/cases/board", needs(VIEW, self.board)),
            Route("/cases/{id:int}", needs(VIEW, self.one)),
            Route("/cases/{id:int}/notice", needs(WORK, self.draft), methods=["POST"]),
            Route("/cases/{id:int}/{act:str}", needs(WORK, self.act), methods=["POST"]),
        ]

    async def board(self, request: Request) -> Response:
        counts = await self._desk.read(asked.counts)
        columns = await self._desk.read(asked.board)
        return self._desk.show(
            request,
            "cases",
            "board.html",
            counts=counts,
            columns=columns,
            levels=LEVELS,
            most=asked.BOARD,
            now=self._desk.now(),
        )

    async def listed(self, request: Request) -> Response:
        state = chosen(request, "state", asked.STATES)
        order = chosen(request, "order", asked.ORDERS) or "-changed"
        due = request.query_params.get("due") == "1"
        text = request.query_params.get("text", "").strip()[:200]
        offset, now = paged(request, asked.PAGE), self._desk.now()
        counts = await self._desk.read(asked.counts)
        rows, total = await self._desk.read(
            lambda connection: asked.listed(
                connection, state=state, text=text, order=order, now=now, due=due, offset=offset
            )
        )
        return self._desk.show(
            request,
            "cases",
            "cases.html",
            rows=rows,
            total=total,
            offset=offset,
            size=asked.PAGE,
            counts=counts,
            chosen={"state": state, "text": text, "due": "1" if due else "", "order": order},
            levels=LEVELS,
            now=now,
        )

    async def one(self, request: Request) -> Response:
        return await self._one(request)

    async def _one(self, request: Request, problem: str | None = None) -> Response:
        number = number_of(request)
        found = await self._desk.read(lambda connection: asked.case(connection, number))
        if found is None:
            raise Refusal(404, "Not found", "There is no case of that number.")
        typed_: dict[str, str | None] = {name: fields_of(request).get(name) for name in OWNER} if problem else {}
        suggested: Suggestion | None = None
        if self._desk.parts.hints is not None and not found.owner and not problem:
            suggested = suggestion(await asyncio.to_thread(self._desk.parts.hints.of, found.row.exposure_id))
            typed_ = {
                "organisation": suggested.organisation,
                "mailbox": suggested.mailbox,
                "language": suggested.language,
                "country": suggested.country,
            }
        return self._desk.show(
            request,
            "cases",
            "case.html",
            200 if problem is None else 409,
            found=found,
            levels=LEVELS,
            languages=LANGUAGES.items(),
            purposes=PURPOSES,
            can_act=self._desk.parts.cases is not None,
            can_draft=self._desk.parts.notices is not None,
            typed=typed_,
            suggested=suggested,
            problem=problem,
            now=self._desk.now(),
        )

    async def act(self, request: Request) -> Response:
        cases, number, by = self._desk.parts.cases, number_of(request), visitor_of(request).by
        found = ACTS.get(str(request.path_params["act"]))
        if found is None:
            raise Refusal(404, "Not found", "There is no such thing to do.")
        if cases is None:
            raise Refusal(409, "Not here", "This console runs without cases.")
        done, work = found
        try:
            await asyncio.to_thread(work, self, cases, number, fields_of(request), by)
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to(f"/cases/{number}", done)

    async def draft(self, request: Request) -> Response:
        notices, number, by = self._desk.parts.notices, number_of(request), visitor_of(request).by
        purpose = fields_of(request).get("purpose", "first")
        if notices is None or purpose not in PURPOSES:
            raise Refusal(409, "Not here", "This console runs without notices.")
        try:
            made = await asyncio.to_thread(notices.draft, number, purpose, by)
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to(f"/notices/{int(made.id)}", "drafted")

    # ---- what can be done --------------------------------------------------------------------------------------------

    def confirm(self, cases: Cases, number: int, fields: dict[str, str], by: str) -> None:
        given = {name: typed(fields, name, _LONGEST, name, needed=name == "organisation") for name in OWNER}
        owner = Owner(organisation=given.pop("organisation"), **{name: text or None for name, text in given.items()})
        cases.confirm(number, owner, by)

    def acknowledge(self, cases: Cases, number: int, fields: dict[str, str], by: str) -> None:
        cases.acknowledge(number, by, typed(fields, "text", _LONGEST, "what they said"))

    def note(self, cases: Cases, number: int, fields: dict[str, str], by: str) -> None:
        cases.note(number, typed(fields, "text", _LONGEST, "the note"), by)

    def hold(self, cases: Cases, number: int, fields: dict[str, str], by: str) -> None:
        cases.hold(number, typed(fields, "text", _LONGEST, "why nothing shall be sent"), by)

    def release(self, cases: Cases, number: int, fields: dict[str, str], by: str) -> None:
        cases.release(number, by)

    def close(self, cases: Cases, number: int, fields: dict[str, str], by: str) -> None:
        cases.close(number, by, typed(fields, "text", _LONGEST, "why it is closed"))

    def escalate(self, cases: Cases, number: int, fields: dict[str, str], by: str) -> None:
        level = fields.get("level", "")
        if level not in ("1", "2", "3"):
            raise UsageError("choose whom to write to next")
        cases.escalate(number, by, int(level))


ACTS: Final[dict[str, tuple[str, Act]]] = {
    "confirm": ("confirmed", CasePages.confirm),
    "acknowledge": ("acknowledged", CasePages.acknowledge),
    "note": ("noted", CasePages.note),
    "hold": ("held", CasePages.hold),
    "release": ("released", CasePages.release),
    "close": ("closed", CasePages.close),
    "escalate": ("escalated", CasePages.escalate),
}
