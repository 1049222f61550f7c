"""Logging in at an OpenID provider: a real one on loopback, and one that does everything wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey
from oidc_provider_mock import User, run_server_in_thread

from guard.people.somebody import HERE, House, MakeHouse, refused
from leadapron.guard.identity.people import Client, Kind, LoggedIn, Provider, Unusable
from leadapron.guard.identity.people import oidc as oidc_module
from leadapron.guard.identity.people import provider as provider_module
from leadapron.guard.identity.people.oidc import Oidc
from leadapron.guard.identity.people.requests import forged
from leadapron.kernel.clock import SystemClock

REDIRECT = "https://guard.example:8443/oidc"


def client(**more: Any) -> Client:
    return Client(**({"client_id": "guard", "secret": "s:e/c", "redirect": REDIRECT} | more))


# ---- a real provider -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    users = [
        User(sub="1", claims={"email": "roentgen@praxis.example", "email_verified": True}),
        User(sub="2", claims={"email": "unverified@praxis.example"}),
        User(sub="3", claims={"email": "stranger@praxis.example", "email_verified": True}),
    ]
    with run_server_in_thread(require_nonce=True, user_claims=users) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def present(make_house: MakeHouse) -> House:
    """A house at the present moment, which is the provider's."""
    house = make_house()
    house.clock.moment = SystemClock().now()
    house.people.manage.add("wilhelm", ("web:query",), "test", oidc="roentgen@praxis.example")
    house.people.manage.add("unproven", ("web:query",), "test", oidc="unverified@praxis.example")
    house.events.clear()
    return house


def at_provider(url: str, sub: str) -> dict[str, str]:
    """What a person does in a browser: choose who to be; the query with which the provider sends them back."""
    answer = httpx2.post(url, data={"sub": sub}, follow_redirects=False)
    assert answer.status_code == 302
    back = answer.headers["location"]
    assert back.startswith(REDIRECT + "?")
    return dict(parse_qsl(urlsplit(back).query))


async def test_a_known_person_gets_in(present: House, issuer: str) -> None:
    oidc = present.people.oidc(Provider(issuer, present.clock), client())
    begun = await oidc.begin()
    asked = parse_qs(urlsplit(begun.url).query)
    assert asked["code_challenge_method"] == ["S256"] and len(asked["code_challenge"][0]) == 43
    assert begun.cookie not in begun.url
    back = at_provider(begun.url, "1")
    done = await present.people.login_oidc(oidc, begun.cookie, back, HERE)
    assert isinstance(done, LoggedIn) and (done.person.name, done.person.how) == ("wilhelm", "oidc")
    assert present.people.session(done.session_token) == done.person
    (event,) = present.events
    assert (event.kind, event.person, event.success, event.how) == (Kind.LOGIN, "wilhelm", True, "oidc")
    assert isinstance(await oidc.finish(begun.cookie, back), str), "the code was redeemed"


@pytest.mark.parametrize(
    ("sub", "reason"), [("3", "we do not"), ("2", "not verified"), ("somebody@new", "not verified")]
)
async def test_who_is_not_known_does_not(present: House, issuer: str, sub: str, reason: str) -> None:
    oidc = present.people.oidc(Provider(issuer, present.clock), client())
    begun = await oidc.begin()
    back = at_provider(begun.url, sub)
    assert reason in refused(await present.people.login_oidc(oidc, begun.cookie, back, HERE))
    assert not present.people.manage.sessions() and not present.events[-1].success


async def test_who_is_disabled_does_not(present: House, issuer: str) -> None:
    present.people.manage.set_disabled("wilhelm", True, "test")
    oidc = present.people.oidc(Provider(issuer, present.clock), client())
    begun = await oidc.begin()
    assert "disabled" in refused(await present.people.login_oidc(oidc, begun.cookie, at_provider(begun.url, "1"), HERE))


async def test_by_another_claim(present: House, issuer: str) -> None:
    present.people.manage.add("by-sub", (), "test", oidc="2")
    oidc = present.people.oidc(Provider(issuer, present.clock), client(claim="sub"))
    begun = await oidc.begin()
    done = await present.people.login_oidc(oidc, begun.cookie, at_provider(begun.url, "2"), HERE)
    assert isinstance(done, LoggedIn) and done.person.name == "by-sub"


async def test_an_answer_fits_one_login_only(present: House, issuer: str) -> None:
    oidc = present.people.oidc(Provider(issuer, present.clock), client())
    mine, theirs = await oidc.begin(), await oidc.begin()
    back = at_provider(theirs.url, "1")
    assert "state" in refused(await present.people.login_oidc(oidc, mine.cookie, back, HERE)), "log in as the attacker"
    swapped = at_provider(mine.url, "1") | {"code": back["code"]}
    assert "another login's" in refused(await present.people.login_oidc(oidc, mine.cookie, swapped, HERE))
    present.clock.forward(oidc_module.LASTS_S + 1)
    late = at_provider(theirs.url, "1")
    assert "too long ago" in refused(await present.people.login_oidc(oidc, theirs.cookie, late, HERE))


@pytest.mark.parametrize(
    "answer", [{}, {"error": "access_denied"}, {"code": ""}, {"code": "wrong"}, {"code": "x" * 9999}]
)
async def test_what_comes_back_without_a_code_is_refused(present: House, issuer: str, answer: dict[str, str]) -> None:
    oidc = present.people.oidc(Provider(issuer, present.clock), client())
    begun = await oidc.begin()
    state = parse_qs(urlsplit(begun.url).query)["state"][0]
    for cookie in (begun.cookie, "", "x", "0" * 64 + ".9", begun.cookie + "0", "ä" * 64 + ".1"):
        refused(await present.people.login_oidc(oidc, cookie, answer | {"state": state}, HERE))
        refused(await present.people.login_oidc(oidc, cookie, answer, HERE))


async def test_a_provider_that_is_away(present: House) -> None:
    from peers.process import free_port

    provider = Provider(f"http://127.0.0.1:{free_port()}", present.clock)
    with pytest.raises(Unusable):
        await present.people.oidc(provider, client()).begin()


@pytest.mark.parametrize(
    "issuer_", ["http://login.example", "ftp://x", "", "https://", "https://x/?a", "http://10.0.0.1"]
)
def test_only_https_beyond_this_machine(issuer_: str) -> None:
    with pytest.raises(Unusable):
        Provider(issuer_, SystemClock())


# ---- one that does everything wrong --------------------------------------------------------------


@dataclass
class Liar:
    """A provider on loopback whose every answer can be replaced. ``claims``: changes to the ID token's."""

    port: int = 0
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "1", "use": "sig", "alg": "ES256"}))
    pages: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "ES256", "kid": "1"})
    sign: Callable[[dict[str, Any]], str] | None = None
    nonce: str = ""
    challenge: str = ""
    now: int = 0
    asked: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str) -> bytes:
        self.asked.append(path)
        if path in self.pages:
            return self.pages[path]()
        if path == "/.well-known/openid-configuration":
            return json.dumps(self.description()).encode()
        if path == "/jwks":
            return json.dumps(KeySet([self.key]).as_dict(private=False)).encode()
        return json.dumps({"id_token": self.token()}).encode()

    def description(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=1",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }

    def token(self) -> str:
        claims = {
            "iss": self.issuer,
            "sub": "1",
            "aud": "guard",
            "exp": self.now + 300,
            "iat": self.now,
            "nonce": self.nonce,
            "email": "roentgen@praxis.example",
            "email_verified": True,
        } | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(self.header, claims, self.key) if self.sign is None else self.sign(claims)


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.forms.append(dict(parse_qsl(body.decode())) | {"authorization": self.headers["authorization"] or ""})
            self._answer()

        def _answer(self) -> None:
            body = made.answer(self.path)
            self.send_response(made.status)
            for name, value in ({"Content-Length": str(len(body))} | made.headers).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # the other side has had enough
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


async def through(present: House, liar: Liar, more: Mapping[str, str] | None = None, **of_client: Any) -> str | None:
    """One login there: None for in, else why not."""
    oidc = present.people.oidc(Provider(liar.issuer, present.clock), client(**of_client))
    return await once(present, liar, oidc, more)


async def once(present: House, liar: Liar, oidc: Oidc, more: Mapping[str, str] | None = None) -> str | None:
    try:
        begun = await oidc.begin()
    except Unusable as error:
        return str(error)
    asked = {name: value for name, (value,) in parse_qs(urlsplit(begun.url).query).items()}
    liar.nonce, liar.now = asked["nonce"], present.people.store.now()
    answer = {"state": asked["state"], "code": "c"} | (more or {})
    liar.challenge = asked["code_challenge"]
    done = await present.people.login_oidc(oidc, begun.cookie, answer, HERE)
    return None if isinstance(done, LoggedIn) else done.reason


async def test_the_liar_can_tell_the_truth(present: House, liar: Liar) -> None:
    assert await through(present, liar) is None
    (form,) = liar.forms
    assert form["grant_type"] == "authorization_code" and form["redirect_uri"] == REDIRECT
    verifier = form["code_verifier"]  # RFC 7636 §4.1 and §4.2
    assert len(verifier) == 43 and liar.challenge == urlsafe_b64encode(sha256(verifier.encode()).digest())[:43].decode()
    assert "client_secret" not in form
    assert httpx2.BasicAuth("guard", "s%3Ae%2Fc")._auth_header == form["authorization"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": None},
        {"aud": ["guard", "another"]},
        {"aud": ["guard", "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"iat": None},
        {"iat": 1},
        {"iat": 1 << 40},
        {"nonce": None},
        {"nonce": "another"},
        {"nonce": 7},
        {"sub": None},
        {"email": None},
        {"email": ["roentgen@praxis.example"]},
        {"email": "\ud800"},
        {"email": "x" * 1000},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": False},
    ],
    ids=str,
)
async def test_a_token_with_anything_wrong_is_refused(present: House, liar: Liar, claims: dict[str, Any]) -> None:
    liar.claims = claims
    assert await through(present, liar)
    assert not present.people.manage.sessions()


async def test_several_audiences_with_us_as_the_party(present: House, liar: Liar) -> None:
    liar.claims = {"aud": ["guard", "another"], "azp": "guard"}
    assert await through(present, liar) is None


async def test_an_operator_can_demand_how_it_authenticates(present: House, liar: Liar) -> None:
    assert await through(present, liar, acr="mfa")
    liar.claims = {"acr": "mfa"}
    assert await through(present, liar, acr="mfa") is None


def unsigned(claims: dict[str, Any]) -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, claims)]
    return ".".join([*parts, ""])


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        lambda claims: jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("s:e/c" * 8), algorithms=["HS256"]),
        lambda claims: jwt.encode({"alg": "ES256", "kid": "1"}, claims, ECKey.generate_key("P-256", {"kid": "1"})),
        lambda claims: jwt.encode({"alg": "ES256", "kid": "2"}, claims, ECKey.generate_key("P-256", {"kid": "2"})),
        lambda claims: "",
        lambda claims: "a.b.c",
        lambda claims: "x" * 40_000,
        lambda claims: "{}",
    ],
)
async def test_a_token_that_is_not_signed_by_the_provider_is_refused(
    present: House, liar: Liar, sign: Callable[[dict[str, Any]], str]
) -> None:
    liar.sign = sign
    assert await through(present, liar)


async def test_new_keys_are_fetched_once_a_minute_at_most(present: House, liar: Liar) -> None:
    oidc = present.people.oidc(Provider(liar.issuer, present.clock), client())
    assert await once(present, liar, oidc) is None
    old = liar.key
    liar.key = ECKey.generate_key("P-256", {"kid": "2", "use": "sig", "alg": "ES256"})
    liar.header = {"alg": "ES256", "kid": "2"}
    assert await once(present, liar, oidc), "within the minute"
    assert await once(present, liar, oidc)
    assert liar.asked.count("/jwks") == 1 and liar.asked.count("/.well-known/openid-configuration") == 1
    present.clock.forward(provider_module.KEYS_AGAIN_S)
    assert await once(present, liar, oidc) is None
    assert liar.asked.count("/jwks") == 2
    liar.key, liar.header = old, {"alg": "ES256", "kid": "1"}
    assert await once(present, liar, oidc), "the old key is gone"


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/.well-known/openid-configuration", b"{}"),
        ("/.well-known/openid-configuration", b"<html>"),
        ("/.well-known/openid-configuration", b"x" * (provider_module.LARGEST_ANSWER + 1)),
        ("/jwks", b"{}"),
        ("/jwks", b'{"keys": []}'),
        ("/jwks", b'{"keys": [{}]}'),
        ("/jwks", b'{"keys": [7]}'),
        ("/jwks", b'{"keys": [{"kty": ' + b"[" * 50_000),
        ("/jwks", b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'),
        ("/jwks", b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "!", "y": "!"}]}'),
        ("/token", b"{}"),
        ("/token", b'{"id_token": 7}'),
        ("/token", b"[" * 100_000),
    ],
)
async def test_what_the_provider_says_is_bounded_and_checked(
    present: House, liar: Liar, path: str, page: bytes
) -> None:
    liar.pages[path] = lambda: page
    assert await through(present, liar)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
async def test_a_description_that_leads_elsewhere_is_refused(
    present: House, liar: Liar, change: dict[str, str]
) -> None:
    liar.pages["/.well-known/openid-configuration"] = lambda: json.dumps(liar.description() | change).encode()
    assert await through(present, liar)
    assert liar.asked == ["/.well-known/openid-configuration"]


async def test_the_answer_may_name_its_provider(present: House, liar: Liar) -> None:
    assert await through(present, liar, {"iss": liar.issuer}) is None
    assert await through(present, liar, {"iss": "https://other.example"})
    described = liar.description() | {"authorization_response_iss_parameter_supported": True}
    liar.pages["/.well-known/openid-configuration"] = lambda: json.dumps(described).encode()
    assert await through(present, liar)
    assert await through(present, liar, {"iss": liar.issuer}) is None


async def test_redirects_compression_and_errors_are_not_followed(present: House, liar: Liar) -> None:
    liar.status, liar.headers = 302, {"Location": f"{liar.issuer}/elsewhere"}
    assert await through(present, liar)
    assert "/elsewhere" not in liar.asked
    liar.status, liar.headers = 200, {"Content-Encoding": "gzip"}
    assert "compresses" in str(await through(present, liar))
    liar.status, liar.headers = 500, {}
    assert await through(present, liar)


async def test_a_provider_that_hangs_is_left(present: House, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    monkeypatch.setattr(provider_module, "ANSWER_WITHIN_S", 0.2)
    liar.pages["/.well-known/openid-configuration"] = lambda: bytes(hang.wait(30))
    try:
        assert await asyncio.wait_for(through(present, liar), 20)
    finally:
        hang.set()


async def test_a_secret_goes_in_the_form_where_the_provider_wants_it_there(present: House, liar: Liar) -> None:
    described = liar.description() | {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    liar.pages["/.well-known/openid-configuration"] = lambda: json.dumps(described).encode()
    assert await through(present, liar) is None
    assert liar.forms[0]["client_secret"] == "s:e/c" and not liar.forms[0]["authorization"]


async def test_a_login_is_finished_once_even_if_the_provider_gives_two_tokens(present: House, liar: Liar) -> None:
    oidc = present.people.oidc(Provider(liar.issuer, present.clock), client())
    begun = await oidc.begin()
    asked = {name: value for name, (value,) in parse_qs(urlsplit(begun.url).query).items()}
    liar.nonce, liar.now = asked["nonce"], present.people.store.now()
    answer = {"state": asked["state"], "code": "c"}
    assert isinstance(await present.people.login_oidc(oidc, begun.cookie, answer, HERE), LoggedIn)
    assert "before" in refused(await present.people.login_oidc(oidc, begun.cookie, answer, HERE))


def test_the_way_back_from_the_provider_is_no_forgery() -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert forged("GET", headers, ("https://guard.example:8443",)) is None
