"""What all pages share: the database, the parts that act, who looks, and how an answer is put together.

Reading is done in a thread, for the engine is synchronous and one slow page must not hold up the others. A page that
changes something does it and leads back to a page (303), with the name of what was done in the address: nothing is done
twice by loading a page again, and every page works without a script.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from leadapron.console.pages.once import Once
from leadapron.console.parts import Parts
from leadapron.console.render import page
from leadapron.console.settings import Console
from leadapron.console.visitor import VIEW, Visitor
from leadapron.guard.policy.permission import Permission
from leadapron.kernel.clock import Clock, iso
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.track.database import DatabaseFailure, failures

MAX_FIELDS: Final = 400
MOST_NUMBER: Final = 2**63 - 1
"""Databases have no larger ones, and take a larger one amiss."""
MENU: Final = (
    ("overview", "/", "Overview"),
    ("exposures", "/exposures", "Exposures"),
    ("cases", "/cases", "Cases"),
    ("notices", "/notices", "Notices"),
    ("scans", "/scans", "Scans"),
    ("scopes", "/scopes", "Scopes"),
)

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """An answer in place of the one that was asked for."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.status, self.title, self.text = status, title, text


class Desk:
    def __init__(self, engine: sa.Engine, parts: Parts, settings: Console, clock: Clock) -> None:
        self.engine, self.parts, self.settings, self.clock = engine, parts, settings, clock

    def now(self) -> str:
        return iso(self.clock.now())

    async def read(self, question: Callable[[sa.Connection], T]) -> T:
        return await asyncio.to_thread(self._reading, question)

    def _reading(self, question: Callable[[sa.Connection], T]) -> T:
        with failures(self.engine), self.engine.connect() as connection:
            return question(connection)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        return await asyncio.to_thread(self._writing, work)

    def _writing(self, work: Callable[[sa.Connection], T]) -> T:
        with failures(self.engine), self.engine.begin() as connection:
            return work(connection)

    def show(self, request: Request, menu: str, template: str, status: int = 200, **values: Any) -> Response:
        """A page. ``done`` of the address is a word of `WORDS`, never a text of somebody's."""
        said = values.pop("said", None) or WORDS.get(request.query_params.get("done", ""))
        return page(
            template,
            status,
            visitor=visitor_of(request),
            menu=MENU,
            here=menu,
            said=said,
            problem=values.pop("problem", None),
            **values,
        )


def visitor_of(request: Request) -> Visitor:
    visitor: Visitor = request.state.visitor
    return visitor


def needs(permission: Permission, handler: Handler) -> Handler:
    """For those who may, and may view."""

    async def only(request: Request) -> Response:
        visitor = visitor_of(request)
        if not (visitor.views and visitor.may(permission)) or (visitor.first and request.method == "POST"):
            wanted = permission if visitor.views else VIEW
            raise Refusal(
                403,
                "You may not do that",
                "The first look only shows."
                if visitor.first
                else f"It takes the permission {wanted}. Whoever runs this console grants it: "
                f"leadapron user may {visitor.name} LIST",
            )
        if request.method != "POST":
            return await handler(request)
        sent = f"{request.url.path}\n".encode() + bytes(request.state.form)
        once: Once = request.app.state.once
        return await once(visitor.name, sent, lambda: handler(request))

    return only


def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form; the first of a name counts."""
    fields: dict[str, str] = {}
    for name, value in pairs_of(request):
        fields.setdefault(name, value)
    return fields


def pairs_of(request: Request) -> list[tuple[str, str]]:
    """All of them in order. Nothing where it is no form."""
    body = bytes(request.state.form)
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        return []


def typed(fields: dict[str, str], name: str, most: int, what: str, *, needed: bool = True) -> str:
    """What somebody wrote, without what no keyboard writes. Raises `UsageError` where it is missing or too long."""
    given = fields.get(name, "").replace("\r\n", "\n")
    value = "".join(c for c in given if c >= " " or c in "\n\t").replace("\x7f", "").strip()
    if needed and not value:
        raise UsageError(f"{what} is missing")
    if len(value) > most:
        raise UsageError(f"{what} is longer than {most} characters")
    return value


def number_of(request: Request, name: str = "id") -> int:
    number = int(request.path_params[name])
    if number > MOST_NUMBER:
        raise Refusal(404, "Not found", "There is nothing of that number.")
    return number


def paged(request: Request, size: int) -> int:
    """The offset that the address asks for."""
    text = request.query_params.get("page", "")
    number = int(text[:7]) if text.isascii() and text.isdigit() else 1
    return (max(1, min(number, 100_000)) - 1) * size


def chosen(request: Request, name: str, among: tuple[str, ...]) -> str | None:
    value = request.query_params.get(name, "")
    return value if value in among else None


def to(path: str, done: str | None = None) -> Response:
    return RedirectResponse(path if done is None else f"{path}{'&' if '?' in path else '?'}done={done}", 303)


def told(error: LeadApronError) -> str:
    """What is said where it was refused. A database that is away refuses nothing: that is raised, and said as such."""
    if isinstance(error, DatabaseFailure):
        raise error
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!")) else ".")


WORDS: Final = {
    "retest": "This server is being looked at again. What was seen stands here when it is done.",
    "saved": "The view is saved.",
    "forgotten": "The view is forgotten.",
    "hint": "The owner hint is decided.",
    "opened": "The case is open.",
    "confirmed": "The owner is confirmed.",
    "acknowledged": "It is noted that they answered.",
    "noted": "The note is kept.",
    "held": "Nothing is sent in this case until it is released.",
    "released": "Notices may be sent in this case again.",
    "closed": "The case is closed.",
    "escalated": "The case is escalated.",
    "drafted": "A notice is drafted. Nothing is sent until somebody approves it.",
    "edited": "The notice is changed.",
    "approved": "Approved. Mail goes out with the next sending; a letter is printed and posted by a person.",
    "dropped": "The notice is dropped.",
    "resolved": "It is decided what became of the notice.",
    "sending": "What is approved and due is being sent.",
    "paused": "The campaign pauses. A round that runs comes to its next stop.",
    "resumed": "The campaign goes on.",
    "now": "A round was asked for; it begins when no other runs.",
}
