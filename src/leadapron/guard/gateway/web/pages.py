"""The pages under ``/guard``: log in and out, set up with a one-time code, break the glass.

Each works as plain HTML with forms; only security keys need the script. A refused login says one thing whatever was
wrong, and how long to wait. ``next`` takes a path of ours and nothing else. What a page needs of the request was
checked by the front door (see ``front``): the path, the size of the form, that a page of ours sent it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from leadapron.guard.gateway.web.exchange import Exchange
from leadapron.guard.gateway.web.render import page, qr, static
from leadapron.guard.identity.people.enrolment import Begun, Enrolled, NotEnrolled
from leadapron.guard.identity.people.model import (
    LoggedIn,
    LoginRefused,
    PasskeyProof,
    Person,
    typed_factor,
)
from leadapron.guard.identity.people.oidc import Oidc
from leadapron.guard.identity.people.people import People
from leadapron.guard.identity.people.provider import Unusable
from leadapron.guard.identity.people.requests import DEVICE_COOKIE, OIDC_COOKIE, SESSION_COOKIE
from leadapron.guard.policy.permission import Permission
from leadapron.kernel.errors import UsageError

NEXT_COOKIE: Final = "__Host-leadapron-next"
HOME: Final = "/guard/"
CALLBACK: Final = "/guard/oidc/callback"
"""Behind the guard's address: what an OpenID provider has to know as the redirect URI."""
MAX_FIELDS: Final = 16
DEVICE_LASTS_S: Final = 90 * 86_400
REFUSED: Final = "That did not work. Check name, password and code. A code can be used once."

_NEXT: Final = re.compile(r"/(?![/\\])[A-Za-z0-9._~,()+@!=&?%/:*-]{0,1500}")

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """``viewer``: where a person goes who logged in and asked for nothing, None: to the page that says so."""

    def __init__(self, people: People, *, oidc: Oidc | None = None, oidc_name: str = "", viewer: str | None = None):
        self._people, self._oidc, self._oidc_name, self._viewer = people, oidc, oidc_name, viewer

    def app(self) -> Starlette:
        routes = [
            Route("/guard/", self.home),
            Route("/guard", self.to_home),
            Route("/guard/login", self.login, methods=["GET", "POST"]),
            Route("/guard/login/key", self.key_options, methods=["POST"]),
            Route("/guard/logout", self.logout, methods=["POST"]),
            Route("/guard/setup", self.setup, methods=["GET", "POST"]),
            Route("/guard/setup/factor", self.factor, methods=["POST"]),
            Route("/guard/emergency", self.emergency, methods=["GET", "POST"]),
            Route("/guard/oidc", self.oidc_begin),
            Route(CALLBACK, self.oidc_callback),
            Route("/guard/static/{name}", self.static),
        ]
        return Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})

    # ---- being in ----------------------------------------------------------------------------------------------------

    async def to_home(self, request: Request) -> Response:
        return _to(HOME)

    async def home(self, request: Request) -> Response:
        person = self._person(request)
        if person is None:
            return _to("/guard/login")
        may = [str(p) for p in Permission if p in person.permissions]
        return page("home.html", person=person, may=may, viewer=self._viewer)

    async def logout(self, request: Request) -> Response:
        token = _cookie(request, SESSION_COOKIE)
        if token is not None:
            await self._people.logout(token, _address(request))
        answer = page("left.html")
        _forget(answer, SESSION_COOKIE)
        answer.headers["clear-site-data"] = '"cache", "storage"'
        return answer

    # ---- getting in --------------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        form = _form(request)
        target = safe_next(form.get("next") or request.query_params.get("next"))
        if request.method == "GET":
            if self._person(request) is not None:
                return _to(target)
            return self._login_page(target)
        name, password, code = (str(form.get(field, "")) for field in ("name", "password", "code"))
        response, challenge = str(form.get("response", "")), str(form.get("challenge", ""))
        factor = PasskeyProof(response, challenge) if response else typed_factor(code)
        device = _cookie(request, DEVICE_COOKIE)
        done = await self._people.login(name, password, factor, _address(request), device)
        if isinstance(done, LoginRefused):
            return self._login_page(target, name=name, error=REFUSED, wait=_wait(done))
        return _enter(done, target)

    async def key_options(self, request: Request) -> Response:
        """What the script hands to the browser for a security key; the same for names that nobody has."""
        options = self._people.passkey_options(str(_form(request).get("name", "")))
        if options is None:
            return _json("{}", 404)
        public_key, challenge = options
        return _json(f'{{"options":{public_key},"challenge":"{challenge}"}}')

    async def emergency(self, request: Request) -> Response:
        if request.method == "GET":
            return page("emergency.html", error=None, who="", reason="")
        form = _form(request)
        code, who, reason = (str(form.get(field, "")) for field in ("code", "who", "reason"))
        done = await self._people.break_glass(code, who, reason, _address(request))
        if isinstance(done, LoginRefused):
            error = "That did not work. The code, who you are and why are all needed; a code works once."
            return page("emergency.html", 401, error=error, who=who[:64], reason=reason[:500])
        return _enter(done, self._viewer or HOME)

    async def oidc_begin(self, request: Request) -> Response:
        if self._oidc is None:
            return await _not_found(request, None)
        try:
            begun = await self._oidc.begin()
        except Unusable:
            return self._login_page(HOME, error="The provider cannot be reached at this moment.", status=503)
        answer = _to(begun.url)
        _keep(answer, OIDC_COOKIE, begun.cookie, 600)
        _keep(answer, NEXT_COOKIE, quote(safe_next(request.query_params.get("next")), safe=""), 600)
        return answer

    async def oidc_callback(self, request: Request) -> Response:
        cookie = _cookie(request, OIDC_COOKIE)
        if self._oidc is None:
            return await _not_found(request, None)
        query = dict(list(request.query_params.items())[:MAX_FIELDS])
        done = await self._people.login_oidc(self._oidc, cookie or "", query, _address(request))
        if isinstance(done, LoginRefused):
            answer: Response = self._login_page(HOME, error="The provider did not let you in here.", wait=_wait(done))
        else:
            answer = _enter(done, safe_next(unquote(_cookie(request, NEXT_COOKIE) or "")))
        _forget(answer, OIDC_COOKIE)
        _forget(answer, NEXT_COOKIE)
        return answer

    # ---- for the first time ------------------------------------------------------------------------------------------

    async def setup(self, request: Request) -> Response:
        if request.method == "GET":
            return page("setup.html", error=None, code="", name="")
        form = _form(request)
        code, name, password, again = (str(form.get(field, "")) for field in ("code", "name", "password", "again"))
        if password != again:
            return page("setup.html", 400, error="The two passwords differ.", code=code[:64], name=name[:64])
        try:
            begun = await self._people.enrol(code, name, password, _address(request))
        except UsageError as error:
            return page("setup.html", 400, error=_sentence(str(error)), code=code[:64], name=name[:64])
        if isinstance(begun, NotEnrolled):
            return page("setup.html", 400, error=_sentence(begun.reason), code="", name=name[:64])
        return self._factor_page(begun)

    async def factor(self, request: Request) -> Response:
        form = _form(request)
        ticket, response = str(form.get("ticket", "")), str(form.get("response", ""))
        done: Enrolled | NotEnrolled
        if response:
            challenge = str(form.get("challenge", ""))
            done = await self._people.enrol_passkey(ticket, response, challenge, _address(request))
        else:
            done = await self._people.enrol_totp(ticket, str(form.get("code", "")), _address(request))
        if isinstance(done, NotEnrolled):
            return page("again.html", 400, ticket=ticket[:8192], error=_sentence(done.reason))
        return page("enrolled.html", name=done.name, codes=done.recovery_codes)

    async def static(self, request: Request) -> Response:
        found = static(str(request.path_params["name"]))
        return await _not_found(request, None) if found is None else found

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _person(self, request: Request) -> Person | None:
        cookie = _cookie(request, SESSION_COOKIE)
        return None if cookie is None else self._people.session(cookie, _address(request))

    def _login_page(
        self,
        target: str,
        *,
        name: str = "",
        error: str | None = None,
        wait: str | None = None,
        status: int | None = None,
    ) -> Response:
        return page(
            "login.html",
            status or (200 if error is None else 401),
            next=target,
            name=name[:64],
            error=error,
            wait=wait,
            oidc=None if self._oidc is None else self._oidc_name,
            keys=self._people.passkey_options("") is not None,
        )

    @staticmethod
    def _factor_page(begun: Begun) -> Response:
        return page("factor.html", begun=begun, drawing=qr(begun.uri), spaced=_spaced(begun.secret))


def safe_next(value: object) -> str:
    """A path of ours, or the first page: never another host, a scheme, or the log-in again."""
    if not isinstance(value, str) or not _NEXT.fullmatch(value) or value.startswith("/guard/"):
        return HOME
    return value


def _enter(done: LoggedIn, target: str) -> Response:
    answer = _to(target)
    _keep(answer, SESSION_COOKIE, done.session_token, None)
    if done.device is not None:
        _keep(answer, DEVICE_COOKIE, done.device, DEVICE_LASTS_S)
    return answer


def _keep(answer: Response, name: str, value: str, lasts: int | None) -> None:
    """Lax, not Strict: a link in the practice's own system leads here, and the OpenID provider sends people back."""
    answer.set_cookie(name, value, max_age=lasts, path="/", secure=True, httponly=True, samesite="lax")


def _forget(answer: Response, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")


def _to(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)


def _exchange(request: Request) -> Exchange:
    exchange: Exchange = request.state.exchange
    return exchange


def _address(request: Request) -> str:
    return _exchange(request).address


def _cookie(request: Request, name: str) -> str | None:
    return _exchange(request).cookie(name)


def _form(request: Request) -> dict[str, str]:
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


def _wait(refused: LoginRefused) -> str | None:
    seconds = refused.retry_after_s
    if seconds is None:
        return None
    if seconds < 90:
        return f"Wait {max(1, round(seconds))} seconds before you try again."
    return f"Wait {round(seconds / 60)} minutes before you try again."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!")) else ".")


def _spaced(secret: str) -> str:
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))


def _json(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="application/json")


async def _not_found(request: Request, error: Exception | None) -> Response:
    return page("missing.html", 404)
