"""What all pages do with a request: its form, its cookies, where it comes from; and with an answer: where it leads."""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from leadapron.guard.gateway.web.exchange import Exchange
from leadapron.guard.gateway.web.render import page
from leadapron.guard.identity.people.model import LoggedIn, LoginRefused, Person
from leadapron.guard.identity.people.people import People
from leadapron.guard.identity.people.requests import DEVICE_COOKIE, SESSION_COOKIE

MAX_FIELDS: Final = 16
DEVICE_LASTS_S: Final = 90 * 86_400

_log: Final = logging.getLogger(__name__)


def person_of(people: People, request: Request) -> Person | None:
    """Whose session the request shows."""
    token = cookie_of(request, SESSION_COOKIE)
    return None if token is None else people.session(token, address_of(request))


def enter(done: LoggedIn, target: str) -> Response:
    answer = to(target)
    keep(answer, SESSION_COOKIE, done.session_token, None)
    if done.device is not None:
        keep(answer, DEVICE_COOKIE, done.device, DEVICE_LASTS_S)
    return answer


def keep(answer: Response, name: str, value: str, lasts: int | None) -> None:
    """Lax, not Strict: a link in the practice's own system leads here, and the OpenID provider sends people back."""
    answer.set_cookie(name, value, max_age=lasts, path="/", secure=True, httponly=True, samesite="lax")


def forget(answer: Response, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")


def to(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)


def exchange_of(request: Request) -> Exchange:
    exchange: Exchange = request.state.exchange
    return exchange


def address_of(request: Request) -> str:
    return exchange_of(request).address


def cookie_of(request: Request, name: str) -> str | None:
    return exchange_of(request).cookie(name)


def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form; the first of a name counts. Nothing where it is no form."""
    try:
        pairs = parse_qsl(
            bytes(request.state.form).decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        return {}
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def wait_told(refused: LoginRefused) -> str | None:
    seconds = refused.retry_after_s
    if seconds is None:
        return None
    if seconds < 90:
        return f"Wait {max(1, round(seconds))} seconds before you try again."
    return f"Wait {round(seconds / 60)} minutes before you try again."


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!")) else ".")


def spaced(secret: str) -> str:
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))


def json_text(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="application/json")


async def away(request: Request, error: Exception) -> Response:
    """The database of people is away, or the audit trail cannot be written. Why is for whoever reads the log."""
    _log.error("a page could not be answered: %s", error)
    return Response("This cannot be answered at this moment. Try again in a minute.\n", 503, media_type="text/plain")


async def malformed(request: Request, error: Exception) -> Response:
    """Cookies that can be read in two ways, which are looked at here only."""
    return Response("Bad request\n", 400, media_type="text/plain")


async def not_found(request: Request, error: Exception | None) -> Response:
    return page("missing.html", 404)
