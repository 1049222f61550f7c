"""The pages under ``/guard``: log in and out, set up with a one-time code, break the glass. One's own: ``account``.

Each works as plain HTML with forms; only security keys need the script. A refused login says one thing whatever was
wrong, and how long to wait. ``next`` takes a path of ours and nothing else. What a page needs of the request was
checked by the front door (see ``front``): the path, the size of the form, that a page of ours sent it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from leadapron.guard.gateway.web.account import AccountPages
from leadapron.guard.gateway.web.forms import (
    MAX_FIELDS,
    address_of,
    away,
    cookie_of,
    enter,
    fields_of,
    forget,
    json_text,
    keep,
    malformed,
    not_found,
    person_of,
    sentence,
    spaced,
    to,
    wait_told,
)
from leadapron.guard.gateway.web.render import page, qr, static
from leadapron.guard.gateway.web.target import Malformed
from leadapron.guard.identity.people.enrolment import Begun, Enrolled, NotEnrolled
from leadapron.guard.identity.people.model import (
    LoginRefused,
    PasskeyProof,
    typed_factor,
)
from leadapron.guard.identity.people.oidc import Oidc
from leadapron.guard.identity.people.people import People
from leadapron.guard.identity.people.provider import Unusable
from leadapron.guard.identity.people.requests import DEVICE_COOKIE, OIDC_COOKIE, SESSION_COOKIE
from leadapron.guard.policy.permission import Permission
from leadapron.kernel.errors import LeadApronError, UsageError

NEXT_COOKIE: Final = "__Host-leadapron-next"
HOME: Final = "/guard/"
CALLBACK: Final = "/guard/oidc/callback"
"""Behind the guard's address: what an OpenID provider has to know as the redirect URI."""
ARCHIVE: Final = "To the imaging archive of this practice."
REFUSED: Final = "That did not work. Check name, password and code. A code can be used once."

_NEXT: Final = re.compile(r"/(?![/\\])[A-Za-z0-9._~,()+@!=&?%/:*-]{0,1500}")

Handler = Callable[[Request], Awaitable[Response]]


class Pages:
    """``viewer``: where a person goes who logged in and asked for nothing, None: to the page that says so. ``what``:
    what one logs in to; ``emergency``: whether there is a way in for emergencies."""

    def __init__(
        self,
        people: People,
        *,
        oidc: Oidc | None = None,
        oidc_name: str = "",
        viewer: str | None = None,
        what: str = ARCHIVE,
        emergency: bool = True,
    ):
        self._people, self._oidc, self._oidc_name, self._viewer = people, oidc, oidc_name, viewer
        self._what, self._emergency = what, emergency
        self._account = AccountPages(people)

    def app(self) -> Starlette:
        routes = [
            Route("/guard/", self.home),
            Route("/guard", self.to_home),
            Route("/guard/login", self.login, methods=["GET", "POST"]),
            Route("/guard/login/key", self.key_options, methods=["POST"]),
            Route("/guard/logout", self.logout, methods=["POST"]),
            Route("/guard/setup", self.setup, methods=["GET", "POST"]),
            Route("/guard/setup/factor", self.factor, methods=["POST"]),
            *([Route("/guard/emergency", self.emergency, methods=["GET", "POST"])] if self._emergency else []),
            Route("/guard/oidc", self.oidc_begin),
            Route(CALLBACK, self.oidc_callback),
            *self._account.routes(),
            Route("/guard/static/{name}", self.static),
        ]
        handlers: dict[Any, Any] = {404: not_found, 405: not_found, LeadApronError: away, Malformed: malformed}
        return Starlette(routes=routes, exception_handlers=handlers)

    # ---- being in ----------------------------------------------------------------------------------------------------

    async def to_home(self, request: Request) -> Response:
        return to(HOME)

    async def home(self, request: Request) -> Response:
        person = person_of(self._people, request)
        if person is None:
            return to("/guard/login")
        may = [str(p) for p in Permission if p in person.permissions]
        return page("home.html", person=person, may=may, viewer=self._viewer)

    async def logout(self, request: Request) -> Response:
        token = cookie_of(request, SESSION_COOKIE)
        if token is not None:
            await self._people.logout(token, address_of(request))
        answer = page("left.html")
        forget(answer, SESSION_COOKIE)
        answer.headers["clear-site-data"] = '"cache", "storage"'
        return answer

    # ---- getting in --------------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        form = fields_of(request)
        target = safe_next(form.get("next") or request.query_params.get("next"))
        if request.method == "GET":
            if person_of(self._people, request) is not None:
                return to(target)
            return self._login_page(target)
        name, password, code = (str(form.get(field, "")) for field in ("name", "password", "code"))
        response, challenge = str(form.get("response", "")), str(form.get("challenge", ""))
        factor = PasskeyProof(response, challenge) if response else typed_factor(code)
        device = cookie_of(request, DEVICE_COOKIE)
        done = await self._people.login(name, password, factor, address_of(request), device)
        if isinstance(done, LoginRefused):
            return self._login_page(target, name=name, error=REFUSED, wait=wait_told(done))
        return enter(done, target)

    async def key_options(self, request: Request) -> Response:
        """What the script hands to the browser for a security key; the same for names that nobody has."""
        options = self._people.passkey_options(str(fields_of(request).get("name", "")))
        if options is None:
            return json_text("{}", 404)
        public_key, challenge = options
        return json_text(f'{{"options":{public_key},"challenge":"{challenge}"}}')

    async def emergency(self, request: Request) -> Response:
        if request.method == "GET":
            return page("emergency.html", error=None, who="", reason="")
        form = fields_of(request)
        code, who, reason = (str(form.get(field, "")) for field in ("code", "who", "reason"))
        done = await self._people.break_glass(code, who, reason, address_of(request))
        if isinstance(done, LoginRefused):
            error = "That did not work. The code, who you are and why are all needed; a code works once."
            return page("emergency.html", 401, error=error, who=who[:64], reason=reason[:500])
        return enter(done, self._viewer or HOME)

    async def oidc_begin(self, request: Request) -> Response:
        if self._oidc is None:
            return await not_found(request, None)
        try:
            begun = await self._oidc.begin()
        except Unusable:
            return self._login_page(HOME, error="The provider cannot be reached at this moment.", status=503)
        answer = to(begun.url)
        keep(answer, OIDC_COOKIE, begun.cookie, 600)
        keep(answer, NEXT_COOKIE, quote(safe_next(request.query_params.get("next")), safe=""), 600)
        return answer

    async def oidc_callback(self, request: Request) -> Response:
        cookie = cookie_of(request, OIDC_COOKIE)
        if self._oidc is None:
            return await not_found(request, None)
        query = dict(list(request.query_params.items())[:MAX_FIELDS])
        done = await self._people.login_oidc(self._oidc, cookie or "", query, address_of(request))
        if isinstance(done, LoginRefused):
            answer: Response = self._login_page(
                HOME, error="The provider did not let you in here.", wait=wait_told(done)
            )
        else:
            answer = enter(done, safe_next(unquote(cookie_of(request, NEXT_COOKIE) or "")))
        forget(answer, OIDC_COOKIE)
        forget(answer, NEXT_COOKIE)
        return answer

    # ---- for the first time ------------------------------------------------------------------------------------------

    async def setup(self, request: Request) -> Response:
        if request.method == "GET":
            return page("setup.html", error=None, code="", name="")
        form = fields_of(request)
        code, name, password, again = (str(form.get(field, "")) for field in ("code", "name", "password", "again"))
        if password != again:
            return page("setup.html", 400, error="The two passwords differ.", code=code[:64], name=name[:64])
        try:
            begun = await self._people.enrol(code, name, password, address_of(request))
        except UsageError as error:
            return page("setup.html", 400, error=sentence(str(error)), code=code[:64], name=name[:64])
        if isinstance(begun, NotEnrolled):
            return page("setup.html", 400, error=sentence(begun.reason), code="", name=name[:64])
        return self._factor_page(begun)

    async def factor(self, request: Request) -> Response:
        form = fields_of(request)
        ticket, response = str(form.get("ticket", "")), str(form.get("response", ""))
        done: Enrolled | NotEnrolled
        if response:
            challenge = str(form.get("challenge", ""))
            done = await self._people.enrol_passkey(ticket, response, challenge, address_of(request))
        else:
            done = await self._people.enrol_totp(ticket, str(form.get("code", "")), address_of(request))
        if isinstance(done, NotEnrolled):
            return page("again.html", 400, ticket=ticket[:8192], error=sentence(done.reason))
        return page("enrolled.html", name=done.name, codes=done.recovery_codes)

    async def static(self, request: Request) -> Response:
        found = static(str(request.path_params["name"]))
        return await not_found(request, None) if found is None else found

    # ---- inside ------------------------------------------------------------------------------------------------------

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
            what=self._what,
            emergency=self._emergency,
        )

    @staticmethod
    def _factor_page(begun: Begun) -> Response:
        return page("factor.html", begun=begun, drawing=qr(begun.uri), spaced=spaced(begun.secret))


def safe_next(value: object) -> str:
    """A path of ours, or the first page: never another host, a scheme, or the log-in again."""
    if not isinstance(value, str) or not _NEXT.fullmatch(value) or value.startswith("/guard/"):
        return HOME
    return value
