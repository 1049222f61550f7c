"""The pages by their HTTP: who gets in, what the cookies are, when a session ends, where one is led afterwards."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oidc_provider_mock import User, run_server_in_thread

from guard.people.somebody import PASSWORD
from guard.web.serving import ALL_WEB, Clock, Recorder, Served, cookie, guarding
from leadapron.guard.gateway.web.pages import CALLBACK, HOME, safe_next
from leadapron.guard.identity.people import Client, People, Provider
from leadapron.guard.identity.people.oidc import Oidc
from leadapron.guard.identity.people.requests import SESSION_COOKIE
from leadapron.kernel.clock import SystemClock, iso
from peers.certificates import Certificates

OURS = {"Sec-Fetch-Site": "same-origin"}
HARMLESS = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "


async def enter(client: httpx2.AsyncClient, served: Served, who: str, **form: str) -> httpx2.Response:
    """Fills in the form of the log-in page."""
    fields = {"name": who, "password": PASSWORD, "code": served.digits(who)} | form
    answer = await client.post("/guard/login", data=fields, headers=OURS)
    served.clock.forward(60)
    return answer


async def test_only_all_three_together_open_the_door(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        name, other = served.person("reader"), served.person("other")
        async with served.client() as client:
            said = set()
            for form in (
                {"password": "not it at all"},
                {"code": ""},
                {"code": "000000"},
                {"code": served.digits(other)},
                {"name": "nobody"},
                {"name": "admin", "password": "admin", "code": ""},
                {"name": "", "password": "", "code": ""},
                {"name": "\x00" * 70_00, "code": "é" * 100},
            ):
                served.forget()
                answer = await enter(client, served, name, **form)
                assert answer.status_code == 401 and "set-cookie" not in answer.headers
                said.add(re.sub(r'value="[^"]*"|<p>Wait [^<]*</p>| autofocus', "", answer.text))
                assert len(served.told) == 1 and not served.told[0].success and served.events == []
                served.clock.forward(3600)
            assert len(said) == 1, "an answer tells what was wrong"
            assert "That did not work" in said.pop()
            answer = await enter(client, served, name)
            assert (answer.status_code, answer.headers["location"]) == (303, HOME)
            assert served.told[-1].success
        assert inner.asked == []


async def test_the_cookies_and_the_end_of_a_session(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        name = served.person("reader")
        async with served.client() as client:
            answer = await enter(client, served, name, next="/dicom-web/studies")
            assert answer.headers["location"] == "/dicom-web/studies"
            for kept in answer.headers.get_list("set-cookie"):
                assert kept.startswith("__Host-leadapron-")
                attributes = {part.strip().lower() for part in kept.split(";")[1:]}
                assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
                assert not any(part.startswith("domain") for part in attributes)
                if kept.startswith(SESSION_COOKIE):
                    assert not any(part.startswith(("max-age", "expires")) for part in attributes)
            session = client.cookies[SESSION_COOKIE]
            client.cookies.clear()
            ask = cookie(session)
            assert (await client.get("/dicom-web/studies", headers=ask)).status_code == 200
            for _ in range(5):  # used now and then, it holds
                served.clock.forward(10 * 60)
                assert (await client.get("/dicom-web/studies", headers=ask)).status_code == 200
            served.clock.forward(16 * 60)  # idle
            assert (await client.get("/dicom-web/studies", headers=ask)).status_code == 401

            session = await served.session(name)
            began = served.clock.now()
            while (served.clock.now() - began).total_seconds() < 10 * 3600 - 700:
                served.clock.forward(600)
                assert (await client.get("/dicom-web/studies", headers=cookie(session))).status_code == 200
            served.clock.forward(650)  # absolute
            assert (await client.get("/dicom-web/studies", headers=cookie(session))).status_code == 401, iso(began)

            session = await served.session(name)
            answer = await client.post("/guard/logout", headers=cookie(session))
            assert answer.status_code == 200 and "Logged out" in answer.text
            assert (await client.get("/dicom-web/studies", headers=cookie(session))).status_code == 401


async def test_what_other_sites_send_to_the_forms_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served:
        name = served.person("reader")
        session = await served.session(name)
        fields = {"name": name, "password": PASSWORD, "code": served.digits(name)}
        async with served.client() as client:
            for path in ("/guard/login", "/guard/logout", "/guard/setup", "/guard/emergency", "/guard/login/key"):
                for headers in (
                    {},
                    {"Sec-Fetch-Site": "cross-site"},
                    {"Sec-Fetch-Site": "same-site"},
                    {"Origin": "https://localhost.evil.example"},
                    {"Origin": "null"},
                ):
                    served.forget()
                    answer = await client.post(
                        path, data=fields, headers=cookie(session) | {"Sec-Fetch-Site": ""} | headers
                    )
                    assert answer.status_code == 403, (path, headers)
                    assert len(served.events) == 1 and served.told == []
            assert (await client.get("/guard/", headers=cookie(session))).status_code == 200  # still in


async def test_each_page_has_the_headers_and_asks_nobody_else(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served:
        session = await served.session(served.person("reader"))
        async with served.client() as client:
            paths = [
                "login",
                "setup",
                "emergency",
                "nothing",
                "",
                "static/pages.css",
                "static/keys.js",
                "static/mark.svg",
            ]
            for path in paths:
                answer = await client.get(f"/guard/{path}", headers=cookie(session) if path == "" else {})
                headers = answer.headers
                assert headers["content-security-policy"].startswith(HARMLESS)
                assert "frame-ancestors 'none'" in headers["content-security-policy"]
                assert "unsafe" not in headers["content-security-policy"]
                assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
                assert "max-age=63072000" in headers["strict-transport-security"]
                assert headers["cross-origin-opener-policy"] == "same-origin"
                assert "camera=()" in headers["permissions-policy"] and "server" not in headers
                assert "no-store" in headers["cache-control"] or path.startswith("static/")
                elsewhere = re.findall(
                    r"""(?:src|href|action|url\()\s*=?\s*["']?(?:https?:)?//[^"')\s]+""", answer.text
                )
                assert elsewhere == [], path
                assert "style=" not in answer.text and "onclick" not in answer.text
            for path in (
                "static/../app.py",
                "static/%2e%2e/app.py",
                "static/pages",
                "static/app.py",
                "static/",
                "login/",
                "x/y",
            ):
                assert (await client.get(f"/guard/{path}")).status_code in (400, 404, 307), path


async def test_what_is_typed_is_escaped(tmp_path: Path, certificates: Certificates) -> None:
    nasty = "\"><script>alert(1)</script>'{{7*7}}"
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served:
        async with served.client() as client:
            pages = [
                await client.post(
                    "/guard/login", data={"name": nasty, "password": "x", "code": "1", "next": nasty}, headers=OURS
                ),
                await client.get(f"/guard/login?next={quote(nasty)}"),
                await client.post(
                    "/guard/setup", data={"code": nasty, "name": nasty, "password": "a", "again": "b"}, headers=OURS
                ),
                await client.post("/guard/setup/factor", data={"ticket": nasty, "code": "1"}, headers=OURS),
                await client.post("/guard/emergency", data={"code": "1", "who": nasty, "reason": nasty}, headers=OURS),
            ]
        for page in pages:
            assert page.status_code < 500 and "<script>alert" not in page.text and "49" not in page.text


async def test_forms_out_of_bounds(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served, served.client() as client:
        assert (await client.post("/guard/login", content=b"a" * 70_000, headers=OURS)).status_code == 413
        for content in (b"\xff\xfe", b"a=%ff", b"&" * 60_000, b"a=1&" * 1000, b"name=%00"):
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            assert (await client.post("/guard/login", content=content, headers=OURS | kind)).status_code == 401
        assert (await client.put("/guard/login", content=b"", headers=OURS)).status_code == 405


async def test_the_emergency_code_opens_once_and_is_told(tmp_path: Path, certificates: Certificates) -> None:
    async with Recorder() as inner, guarding(tmp_path, certificates, inner.url) as served:
        code = served.people.manage.arm(ALL_WEB, "test", label="safe")
        form = {"code": code, "who": "Dr. Night", "reason": "stroke, nobody reachable"}
        async with served.client() as client:
            answer = await client.post("/guard/emergency", data=form | {"reason": ""}, headers=OURS)
            assert answer.status_code == 401
            served.forget()
            answer = await client.post("/guard/emergency", data=form, headers=OURS)
            assert answer.status_code == 303
            assert served.told[-1].alert
            assert "Emergency access" in (await client.get("/guard/")).text
            assert (await client.get("/dicom-web/studies", headers=OURS)).status_code == 200
            again = await client.post("/guard/emergency", data=form, headers=OURS)
            assert again.status_code == 401
            served.clock.forward(5 * 3600)
            assert (await client.get("/dicom-web/studies", headers=OURS)).status_code == 401


async def test_somebody_whom_the_provider_knows(tmp_path: Path, certificates: Certificates) -> None:
    users = [
        User(sub=sub, claims={"email": f"{sub}@praxis.example", "email_verified": True}) for sub in ("anna", "eve")
    ]
    with run_server_in_thread(require_nonce=True, user_claims=users) as provider:
        issuer = f"http://localhost:{provider.server_port}"

        def oidc(people: People, base: str) -> Oidc:
            client = Client(client_id="guard", secret="s", redirect=f"{base}{CALLBACK}")
            return people.oidc(Provider(issuer, SystemClock()), client)

        clock = Clock()
        clock.moment = SystemClock().now()  # the provider's moment
        async with guarding(tmp_path, certificates, "http://127.0.0.1:1", oidc=oidc, clock=clock) as served:
            served.people.manage.add("anna", ALL_WEB, "test", oidc="anna@praxis.example")
            for sub, target in (("anna", "/dicom-web/studies"), ("eve", None)):
                async with served.client() as client:
                    page = await client.get("/guard/login?next=/dicom-web/studies")
                    assert "Continue with localhost" in page.text
                    begun = await client.get("/guard/oidc?next=%2Fdicom-web%2Fstudies")
                    assert begun.status_code == 303 and begun.headers["location"].startswith(issuer)
                    given = httpx2.post(begun.headers["location"], data={"sub": sub}, follow_redirects=False)
                    back = given.headers["location"]
                    assert back.startswith(f"{served.base}{CALLBACK}?")
                    led = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
                    async with served.client() as other:  # one who did not begin it
                        assert (await other.get(back, headers=led)).status_code == 401
                    done = await client.get(back, headers=led)
                    if target is None:
                        assert done.status_code == 401 and SESSION_COOKIE not in client.cookies
                    else:
                        assert (done.status_code, done.headers["location"]) == (303, target)
                        assert "anna" in (await client.get("/guard/")).text
                        assert (await client.get(back, headers=led)).status_code == 401  # once


async def test_a_set_up_secret_makes_one_first_person(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served, served.client() as client:
        form = {"name": "anna", "password": PASSWORD, "again": PASSWORD}
        for code in ("", "0000-0000-0000-0000", "admin"):
            assert (await client.post("/guard/setup", data=form | {"code": code}, headers=OURS)).status_code == 400
        secret = served.people.manage.setup_secret(ALL_WEB, "test")
        begun = await client.post("/guard/setup", data=form | {"code": secret}, headers=OURS)
        assert begun.status_code == 200 and "<svg" in begun.text
        assert served.people.manage.people() == []  # no half-made account


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/%0d%0aSet-Cookie:x",
        "\\\\evil",
        "/\tevil",
        " //evil",
        "/guard/logout",
        "",
        "evil",
        "/a\nb",
        "///evil.example",
        "/ünicode",
        "/" + "a" * 4000,
        None,
        3,
    ],
)
def test_next_leads_nowhere_else(target: object) -> None:
    led = safe_next(target)
    assert led == HOME or (
        led.startswith("/") and not led.startswith(("//", "/\\")) and "\n" not in led and "\r" not in led
    )


@given(st.text(max_size=40), st.sampled_from(["/", "//", "/\\", "https:", ""]))
def test_next_is_always_a_path_of_ours(text: str, start: str) -> None:
    from urllib.parse import urljoin, urlsplit

    led = safe_next(start + text)
    assert urlsplit(urljoin("https://guard.example/guard/login", led)).netloc == "guard.example"
    assert led.isascii() and led.isprintable()
