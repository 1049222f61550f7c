"""What stands open: the list with its filter and saved views, and each exposure with all that is known of it."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadapron.console.pages.desk import (
    Desk,
    Refusal,
    fields_of,
    needs,
    number_of,
    paged,
    to,
    told,
    typed,
    visitor_of,
)
from leadapron.console.queries import exposures as asked
from leadapron.console.visitor import SCAN, VIEW, WORK
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.measure.record import SEVERITIES
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.owner.model import LONGEST

PAGE: Final = 50
REFUSED_S: Final = 1.5
MOST_LOOKS: Final = 8
ORDERS: Final = (
    ("address", "Server"),
    ("country", "Country"),
    ("product", "Software"),
    ("studies", "Studies"),
    ("images", "Images"),
    ("opened_at", "Open since"),
    ("last_open", "Last seen open"),
)
STATES: Final = ("open", "closed")
_KEYS: Final = ("text", "state", "country", "product", "severity", "campaign", "order")
_log: Final = logging.getLogger(__name__)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ORDER: Final = re.compile(r"-?[a-z_]{1,20}")
LABELS: Final = {
    "organisation": "Organisation",
    "mailbox": "Mailbox",
    "reverse-dns": "Reverse DNS",
    "certificate-name": "Name in the certificate",
    "rdap-organisation": "Organisation in RDAP",
    "rdap-network": "Network in RDAP",
    "abuse-mailbox": "Mailbox for abuse",
    "asn": "Autonomous system",
    "operator": "Operator of the network",
    "country": "Country",
    "security-txt": "security.txt",
    "cert": "National CERT",
    "regulator": "Regulator",
}


class ExposurePages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._exposures = Exposures(desk.engine, desk.clock)
        self._looking: dict[int, asyncio.Task[int]] = {}

    async def close(self) -> None:
        """Ends looks that are under way; what they saw by then is kept."""
        looking = list(self._looking.values())
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    def routes(self) -> list[Route]:
        return [
            Route("/exposures", needs(VIEW, self.listed)),
            Route("/exposures/views", needs(VIEW, self.save), methods=["POST"]),
            Route("/exposures/views/{id:int}/forget", needs(VIEW, self.forget), methods=["POST"]),
            Route("/exposures/{id:int}", needs(VIEW, self.one)),
            Route("/exposures/{id:int}/case", needs(WORK, self.open_case), methods=["POST"]),
            Route("/exposures/{id:int}/retest", needs(SCAN, self.retest), methods=["POST"]),
            Route("/exposures/{id:int}/hints/{hint:int}", needs(WORK, self.decide), methods=["POST"]),
            Route("/exposures/{id:int}/hints", needs(WORK, self.add), methods=["POST"]),
        ]

    async def listed(self, request: Request) -> Response:
        return await self._list(request)

    async def _list(self, request: Request, problem: str | None = None) -> Response:
        chosen = filters_of(dict(request.query_params))
        offset = paged(request, PAGE)
        given: dict[str, Any] = {key: value for key, value in chosen.items() if key != "order"}
        order = chosen.get("order", "-studies")
        try:
            rows, total = await asyncio.to_thread(
                lambda: self._exposures.find(**given, order=order, limit=PAGE, offset=offset)
            )
        except UsageError as error:
            raise Refusal(400, "That cannot be asked", told(error)) from None
        name = visitor_of(request).name
        choices = await self._desk.read(asked.choices)
        saved = await self._desk.read(lambda connection: asked.saved(connection, name, "exposures"))
        return self._desk.show(
            request,
            "exposures",
            "exposures.html",
            200 if problem is None else 400,
            rows=rows,
            total=total,
            offset=offset,
            size=PAGE,
            chosen={key: chosen.get(key, "") for key in _KEYS},
            order=order,
            orders=ORDERS,
            states=STATES,
            severities=SEVERITIES,
            choices=choices,
            views=saved,
            address=urlencode(chosen),
            problem=problem,
        )

    async def save(self, request: Request) -> Response:
        fields = fields_of(request)
        query = urlencode(filters_of(dict(parse_qsl(fields.get("query", "")[:2000]))))
        try:
            name = typed(fields, "name", 80, "a name for the view")
        except UsageError as error:
            return await self._list(request, told(error))
        person = visitor_of(request).name
        kept = await self._desk.write(lambda connection: asked.save(connection, person, "exposures", name, query))
        if not kept:
            return await self._list(request, f"You have {asked.MOST_VIEWS} views already; forget one first.")
        return to(f"/exposures?{query}" if query else "/exposures", "saved")

    async def forget(self, request: Request) -> Response:
        number, person = number_of(request), visitor_of(request).name
        await self._desk.write(lambda connection: asked.forget(connection, person, number))
        return to("/exposures", "forgotten")

    async def one(self, request: Request) -> Response:
        return await self._one(request)

    async def _one(self, request: Request, problem: str | None = None) -> Response:
        try:
            found = await asyncio.to_thread(asked.detail, self._desk.engine, number_of(request))
        except UsageError:
            raise Refusal(404, "Not found", "There is no exposure of that number.") from None
        return self._desk.show(
            request,
            "exposures",
            "exposure.html",
            200 if problem is None else 409,
            found=found,
            kinds=LABELS,
            can_decide=self._desk.parts.hints is not None,
            can_open=self._desk.parts.cases is not None,
            can_look=self._desk.parts.rounds is not None,
            problem=problem,
        )

    async def open_case(self, request: Request) -> Response:
        cases, number, by = self._desk.parts.cases, number_of(request), visitor_of(request).by
        if cases is None:
            raise Refusal(409, "Not here", "This console runs without cases.")
        try:
            if not await asyncio.to_thread(cases.open_for, [number], by):
                raise UsageError("a case is opened for what stands open, and once")
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to(f"/exposures/{number}", "opened")

    async def retest(self, request: Request) -> Response:
        """Look at this very server again, inside the scope. What is refused is told; the look itself takes its time."""
        rounds, number = self._desk.parts.rounds, number_of(request)
        if rounds is None:
            raise Refusal(409, "Not here", "This console runs no scans: 'leadapron up' does.")
        if number in self._looking:
            return to(f"/exposures/{number}", "retest")
        if len(self._looking) >= MOST_LOOKS:
            return await self._one(request, f"{MOST_LOOKS} looks are under way already; wait for one to end.")
        task = self._looking[number] = asyncio.create_task(rounds.retest([number]))
        task.add_done_callback(lambda task: self._looked(number, task))
        done, _ = await asyncio.wait({task}, timeout=REFUSED_S)
        error = task.exception() if done and not task.cancelled() else None
        if isinstance(error, LeadApronError):
            return await self._one(request, told(error))
        return to(f"/exposures/{number}", "retest")

    def _looked(self, number: int, task: asyncio.Task[int]) -> None:
        del self._looking[number]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a look from the console: %s", error)

    async def decide(self, request: Request) -> Response:
        hints, number, by = self._desk.parts.hints, number_of(request), visitor_of(request).by
        if hints is None:
            raise Refusal(409, "Not here", "This console cannot decide owner hints.")
        given = fields_of(request).get("state")
        state: Literal["confirmed", "rejected"] = "confirmed" if given == "confirmed" else "rejected"
        try:
            if given != state:
                raise UsageError("say whether the hint is confirmed or rejected")
            hint = number_of(request, "hint")
            if (await asyncio.to_thread(hints.get, hint)).exposure_id != number:
                raise UsageError(f"hint {hint} is about another exposure")
            await asyncio.to_thread(hints.decide, hint, state, by)
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to(f"/exposures/{number}", "hint")

    async def add(self, request: Request) -> Response:
        hints, number, by = self._desk.parts.hints, number_of(request), visitor_of(request).by
        if hints is None:
            raise Refusal(409, "Not here", "This console cannot keep owner hints.")
        try:
            fields = fields_of(request)
            kind = fields.get("kind", "")
            value = typed(fields, "value", LONGEST, "the hint")
            source = typed(fields, "source", LONGEST, "where you know it from")
            await asyncio.to_thread(hints.add, number, kind, value, source, by)
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to(f"/exposures/{number}", "hint")


def filters_of(given: dict[str, str]) -> dict[str, str]:
    """What is asked for, as far as it can be: what no menu offers is left out, not guessed at."""
    plain = {key: _CONTROL.sub("", given.get(key, "")).strip()[:200] for key in _KEYS}
    found = {key: value for key, value in plain.items() if value}
    if found.get("state") not in STATES:
        found.pop("state", None)
    if found.get("severity") not in SEVERITIES:
        found.pop("severity", None)
    if not _ORDER.fullmatch(found.get("order", "-studies")):
        found.pop("order")
    return found
