"""Notices: read, change, approve, drop, send. Nothing leaves before somebody who may has approved it."""

from __future__ import annotations

import asyncio
import logging
import re
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
    pairs_of,
    to,
    told,
    typed,
    visitor_of,
)
from leadapron.console.queries import cases as asked
from leadapron.console.visitor import SEND, VIEW, WORK
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.reach.notices.store import Notices

AT_ONCE: Final = asked.PAGE
_SUBJECT: Final = 300
_BODY: Final = 50_000
_READ: Final = re.compile(r"([1-9][0-9]{0,17}) ([0-9a-f]{32})")

_log: Final = logging.getLogger(__name__)


class NoticePages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sending: asyncio.Task[Any] | None = None

    def routes(self) -> list[Route]:
        return [
            Route("/notices", needs(VIEW, self.listed)),
            Route("/notices/approve", needs(SEND, self.approve_many), methods=["POST"]),
            Route("/notices/send", needs(SEND, self.send), methods=["POST"]),
            Route("/notices/{id:int}", needs(VIEW, self.one)),
            Route("/notices/{id:int}/letter.pdf", needs(VIEW, self.letter)),
            Route("/notices/{id:int}/edit", needs(WORK, self.edit), methods=["POST"]),
            Route("/notices/{id:int}/approve", needs(SEND, self.approve), methods=["POST"]),
            Route("/notices/{id:int}/drop", needs(WORK, self.drop), methods=["POST"]),
            Route("/notices/{id:int}/resolve", needs(SEND, self.resolve), methods=["POST"]),
        ]

    async def close(self) -> None:
        """Ends a sending that is under way; what it had begun is in the database as such."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def listed(self, request: Request) -> Response:
        return await self._list(request)

    async def _list(self, request: Request, problem: str | None = None) -> Response:
        state = chosen(request, "state", asked.NOTICE_STATES) or "draft"
        offset = paged(request, asked.PAGE)
        counts = await self._desk.read(asked.notice_counts)
        rows = await self._desk.read(lambda connection: asked.notice_list(connection, state, offset))
        return self._desk.show(
            request,
            "notices",
            "notices.html",
            200 if problem is None else 409,
            rows=rows,
            counts=counts,
            state=state,
            total=counts[state],
            offset=offset,
            size=asked.PAGE,
            chosen={"state": state},
            can_act=self._desk.parts.notices is not None,
            can_send=self._desk.parts.send is not None,
            sending=self._sending is not None and not self._sending.done(),
            problem=problem,
        )

    async def one(self, request: Request) -> Response:
        return await self._one(request)

    async def _one(self, request: Request, problem: str | None = None) -> Response:
        number = number_of(request)
        found = await self._desk.read(lambda connection: asked.notice(connection, number))
        if found is None:
            raise Refusal(404, "Not found", "There is no notice of that number.")
        fields = fields_of(request) if problem else {}
        return self._desk.show(
            request,
            "notices",
            "notice.html",
            200 if problem is None else 409,
            found=found,
            subject=fields.get("subject", found.subject),
            body=fields.get("body", found.body),
            can_act=self._desk.parts.notices is not None,
            problem=problem,
        )

    async def letter(self, request: Request) -> Response:
        notices, number = self._notices(), number_of(request)
        try:
            (made,) = await asyncio.to_thread(notices.letter, number)
        except LeadApronError as error:
            return await self._one(request, told(error))
        headers = {"content-disposition": f'attachment; filename="letter-{number}.pdf"'}
        return Response(made, media_type="application/pdf", headers=headers)

    def _notices(self) -> Notices:
        if self._desk.parts.notices is None:
            raise Refusal(409, "Not here", "This console runs without notices.")
        return self._desk.parts.notices

    async def edit(self, request: Request) -> Response:
        notices, number, by = self._notices(), number_of(request), visitor_of(request).by
        fields = fields_of(request)
        try:
            subject = typed(fields, "subject", _SUBJECT, "the subject")
            body = typed(fields, "body", _BODY, "the text")
            await asyncio.to_thread(lambda: notices.edit(number, by, subject=subject, body=body))
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to(f"/notices/{number}", "edited")

    async def approve(self, request: Request) -> Response:
        try:
            await asyncio.to_thread(self._approve, request, str(number_of(request)))
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to("/notices", "approved")

    async def approve_many(self, request: Request) -> Response:
        try:
            await asyncio.to_thread(self._approve, request)
        except LeadApronError as error:
            return await self._list(request, told(error))
        return to("/notices", "approved")

    def _approve(self, request: Request, only: str | None = None) -> None:
        """What goes out is what was on the page: each field ``read`` names a notice and has the mark of its text."""
        notices, by = self._notices(), visitor_of(request).by
        fields = [_READ.fullmatch(text) for name, text in pairs_of(request) if name == "read"]
        given = {field[1]: field[2] for field in fields if field is not None and only in (None, field[1])}
        if not given:
            raise UsageError("choose the notices to approve")
        read = [notices.get(int(number)) for number in list(given)[:AT_ONCE]]
        for notice in read:
            if asked.mark(notice) != given[str(notice.id)]:
                raise UsageError(
                    f"notice {notice.id} was changed after this page was shown to you: nothing is approved; "
                    "read it as it is now"
                )
        notices.approve([notice.id for notice in read], by, as_read=read)

    async def drop(self, request: Request) -> Response:
        notices, number, by = self._notices(), number_of(request), visitor_of(request).by
        try:
            why = typed(fields_of(request), "why", 500, "why it is dropped")
            await asyncio.to_thread(notices.drop, number, by, why)
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to("/notices", "dropped")

    async def resolve(self, request: Request) -> Response:
        notices, number, by = self._notices(), number_of(request), visitor_of(request).by
        sent = fields_of(request).get("sent")
        if sent not in ("yes", "no"):
            return await self._one(request, "Say whether it was sent.")
        try:
            await asyncio.to_thread(notices.resolve, number, sent == "yes", by)
        except LeadApronError as error:
            return await self._one(request, told(error))
        return to(f"/notices/{number}", "resolved")

    async def send(self, request: Request) -> Response:
        send = self._desk.parts.send
        if send is None:
            raise Refusal(409, "Not here", "This console cannot send: see [notices] in the configuration.")
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all(send))
        return to("/notices?state=approved", "sending")

    async def _send_all(self, send: Any) -> None:
        """Beside the answer: a server that takes its time holds up no page. What came of it is in the notices."""
        try:
            await send()
        except LeadApronError as error:
            _log.warning("sending notices: %s", error)
        except Exception:
            _log.exception("sending notices ended in a fault of ours")
