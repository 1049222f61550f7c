"""The pages under ``/guard/account``: what people see and change of their own account.

The first page lists it. Everything that changes something goes through one page that asks for a factor anew, by code or
by security key, and either does it then, or leads on to a form of its own with the confirmation in it (see
``identity.people.own``). No page but those that a POST gives holds anything that is worth stealing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadapron.guard.gateway.web.account_words import KINDS, WAYS, WORDS, day, which
from leadapron.guard.gateway.web.forms import (
    address_of,
    cookie_of,
    enter,
    fields_of,
    not_found,
    person_of,
    sentence,
    spaced,
    to,
    wait_told,
)
from leadapron.guard.gateway.web.render import page, qr
from leadapron.guard.identity.people.confirmations import Doing
from leadapron.guard.identity.people.model import LoggedIn, LoginRefused, PasskeyProof, Person, typed_factor
from leadapron.guard.identity.people.own import TAKING, Mine, NotDone
from leadapron.guard.identity.people.people import People
from leadapron.guard.identity.people.requests import DEVICE_COOKIE
from leadapron.guard.identity.people.tokens import LONGEST_DAYS
from leadapron.guard.policy.permission import Permission
from leadapron.kernel.errors import UsageError

ACCOUNT: Final = "/guard/account"
LOGIN: Final = "/guard/login"
HOME: Final = "/guard/"
REFUSED: Final = "That did not work. A code can be used once; wait for the next one if you have just used it."
DAYS: Final = 90
_LABEL: Final = 64
_DIGITS: Final = 12


Handler = Callable[[Request, Person, Mine], Awaitable[Response]]


class AccountPages:
    def __init__(self, people: People) -> None:
        self._people, self._own = people, people.own

    def routes(self) -> list[Route]:
        return [
            Route(ACCOUNT, self._for(self.account)),
            Route(f"{ACCOUNT}/confirm", self._for(self.asked)),
            Route(f"{ACCOUNT}/confirm", self._for(self.confirmed), methods=["POST"]),
            Route(f"{ACCOUNT}/password", self._for(self.password), methods=["POST"]),
            Route(f"{ACCOUNT}/app", self._for(self.app), methods=["POST"]),
            Route(f"{ACCOUNT}/key", self._for(self.key), methods=["POST"]),
            Route(f"{ACCOUNT}/token", self._for(self.token), methods=["POST"]),
        ]

    def _for(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Only for people with an account, who are logged in."""

        async def only(request: Request) -> Response:
            person = person_of(self._people, request)
            if person is None:
                return to(LOGIN)
            mine = self._own.mine(person)
            return to(HOME) if mine is None else await handler(request, person, mine)

        return only

    async def account(self, request: Request, person: Person, mine: Mine) -> Response:
        done = _doing(request.query_params.get("done"))
        return page(
            "account.html",
            mine=mine,
            own=person.session,
            done=None if done is None else WORDS[done].done,
            kinds=KINDS,
            ways=WAYS,
            day=day,
        )

    # ---- confirming --------------------------------------------------------------------------------------------------

    async def asked(self, request: Request, person: Person, mine: Mine) -> Response:
        doing, number = _doing(request.query_params.get("do")), _number(request.query_params.get("number"))
        if doing is None or not _there(mine, doing, number, person.session):
            return await not_found(request, None)
        return self._ask(person, mine, doing, number)

    async def confirmed(self, request: Request, person: Person, mine: Mine) -> Response:
        form = fields_of(request)
        doing, number = _doing(form.get("do")), _number(form.get("number"))
        if doing is None:
            return await not_found(request, None)
        code, response = form.get("code", ""), form.get("response", "")
        factor = PasskeyProof(response, form.get("challenge", "")) if response else typed_factor(code)
        source = address_of(request)
        note = await self._own.confirm(
            person, doing, number, factor if response or code else None, source, cookie_of(request, DEVICE_COOKIE)
        )
        if isinstance(note, LoginRefused):
            return self._ask(person, mine, doing, number, error=REFUSED, wait=wait_told(note))
        match doing:
            case Doing.PASSWORD | Doing.TOKEN | Doing.APP | Doing.KEY:
                return self._form(person, mine, doing, note)
            case Doing.CODES:
                codes = await self._own.new_codes(person, note, source)
                if isinstance(codes, tuple):
                    return page("codes.html", codes=codes)
                return self._ask(person, mine, doing, number, error=sentence(codes.reason))
            case Doing.REMOVE:
                return self._ended(doing, await self._own.remove_factor(person, note, source), person, mine)
            case Doing.REVOKE:
                return self._ended(doing, await self._own.revoke_token(person, note, source), person, mine)
            case Doing.END:
                return self._ended(doing, await self._own.end_session(person, note, source), person, mine)
            case Doing.OTHERS:
                return self._ended(doing, await self._own.end_others(person, note, source), person, mine)

    def _ask(
        self,
        person: Person,
        mine: Mine,
        doing: Doing,
        number: int,
        *,
        error: str | None = None,
        wait: str | None = None,
    ) -> Response:
        return page(
            "confirm.html",
            200 if error is None else 401,
            words=WORDS[doing],
            which=which(mine, doing, number),
            doing=doing.value,
            number=number,
            name=person.name,
            confirms=mine.confirms,
            possible=mine.confirms or doing in TAKING,
            keys=mine.keys and any(one.kind == "webauthn" for one in mine.factors),
            error=error,
            wait=wait,
        )

    # ---- forms of their own ------------------------------------------------------------------------------------------

    async def password(self, request: Request, person: Person, mine: Mine) -> Response:
        form = fields_of(request)
        note, new = form.get("note", ""), form.get("password", "")
        if new != form.get("again", ""):
            return self._form(person, mine, Doing.PASSWORD, note, error="The two passwords differ.")
        source, device = address_of(request), cookie_of(request, DEVICE_COOKIE)
        try:
            done = await self._own.change_password(person, note, form.get("old", ""), new, source, device)
        except UsageError as error:
            return self._form(person, mine, Doing.PASSWORD, note, error=sentence(str(error)))
        return self._ended(Doing.PASSWORD, done, person, mine, note)

    async def app(self, request: Request, person: Person, mine: Mine) -> Response:
        form = fields_of(request)
        note = form.get("note", "")
        done = await self._own.set_app(person, note, form.get("code", ""), address_of(request))
        return self._ended(Doing.APP, done, person, mine, note)

    async def key(self, request: Request, person: Person, mine: Mine) -> Response:
        form = fields_of(request)
        note, response, challenge = (form.get(field, "") for field in ("note", "response", "challenge"))
        done = await self._own.add_key(person, note, response, challenge, address_of(request))
        return self._ended(Doing.KEY, done, person, mine, note)

    async def token(self, request: Request, person: Person, mine: Mine) -> Response:
        form = fields_of(request)
        note, label = form.get("note", ""), form.get("label", "")[:_LABEL]
        chosen = [str(one) for one in Permission if f"may:{one}" in form]
        days = _number(form.get("days"))
        try:
            made = await self._own.make_token(person, note, chosen, days, label, address_of(request))
        except UsageError as error:
            return self._form(person, mine, Doing.TOKEN, note, error=sentence(str(error)), filled=form)
        if isinstance(made, NotDone):
            return self._ended(Doing.TOKEN, made, person, mine, note)
        return page("token_made.html", token=made[0], number=made[1], days=days, may=chosen)

    def _form(
        self,
        person: Person,
        mine: Mine,
        doing: Doing,
        note: str,
        *,
        error: str | None = None,
        filled: Mapping[str, str] | None = None,
    ) -> Response:
        """The second page of a change, as long as its confirmation holds; else the first one again."""
        status = 200 if error is None else 400
        if doing is Doing.PASSWORD:
            return page("password.html", status, note=note[:2048], name=person.name, error=error)
        if doing is Doing.TOKEN:
            may = [str(one) for one in Permission if one in mine.permissions]
            given = {"label": "", "days": str(DAYS)} | dict(filled or {})
            return page(
                "token.html",
                status,
                note=note[:2048],
                may=may,
                given=given,
                error=error,
                longest=LONGEST_DAYS,
                width=_LABEL,
            )
        if doing is Doing.APP and (found := self._own.new_app(person, note)) is not None:
            secret, uri, again = found
            return page("app.html", status, note=again, drawing=qr(uri), spaced=spaced(secret), error=error)
        if doing is Doing.KEY and (options := self._own.new_key(person, note)) is not None:
            return page("key.html", status, note=note[:2048], options=options, error=error)
        return self._ask(person, mine, doing, 0, error=error or "That took too long. Confirm it once more.")

    def _ended(
        self, doing: Doing, done: LoggedIn | NotDone | int, person: Person, mine: Mine, note: str | None = None
    ) -> Response:
        """Where a change leads: to the account, or to its form again."""
        where = f"{ACCOUNT}?done={doing.value}"
        if isinstance(done, LoggedIn):
            return enter(done, where)
        if isinstance(done, int):
            return to(where)
        if note is None or done.over:
            return self._ask(person, mine, doing, 0, error=sentence(done.reason))
        return self._form(person, mine, doing, note, error=sentence(done.reason))


def _doing(text: str | None) -> Doing | None:
    return Doing(text) if text in list(Doing) else None


def _number(text: str | None) -> int:
    """A number of a row; 0, which is none's, for what is none."""
    return int(text) if text and len(text) <= _DIGITS and text.isascii() and text.isdigit() else 0


def _there(mine: Mine, doing: Doing, number: int, own: int) -> bool:
    """Whether it can be done at all."""
    match doing:
        case Doing.REMOVE:
            return len(mine.factors) > 1 and any(one.id == number for one in mine.factors)
        case Doing.REVOKE:
            return any(one.id == number for one in mine.tokens)
        case Doing.END:
            return number != own and any(one.id == number for one in mine.sessions)
        case Doing.KEY:
            return mine.keys
    return True
