"""The console as strangers attack it, and people with a smaller role: each route that the routers have, a new one too.

What was changed is told by the whole content of the database before and after, not by what an answer says.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, urlencode

import httpx2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.async_api import expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from console.held import SMALL, content, harmless
from console.lifelike import fill
from console.looking import browsing
from console.parts import Sending, parts
from console.serving import COOKIE, SCAN, SEND, VIEW, WORK, console
from guard.people.somebody import PASSWORD, Held
from leadapron.cli import up_watch
from leadapron.console.app import Pages
from leadapron.console.first import COOKIE as FIRST
from leadapron.console.pages.desk import Desk
from leadapron.console.parts import Parts
from leadapron.console.settings import Console
from leadapron.guard.audit.look import Look, Wanted
from leadapron.guard.gateway.web.pages import Pages as LoginPages
from leadapron.guard.gateway.web.server import serve_web
from leadapron.guard.identity.people import People
from leadapron.guard.settings import Limits
from leadapron.kernel.clock import SystemClock
from outages import away, impatient
from peers.process import HOST, free_port

OPEN = {
    *("/guard", "/guard/", "/guard/login", "/guard/login/key", "/guard/logout", "/guard/setup", "/guard/setup/factor"),
    *("/guard/oidc", "/guard/oidc/callback", "/guard/static/{name}", "/static/{name}"),
}
"""Where those may come who are nobody yet. What they get there says nothing of what the console holds."""
FORM = {"text": "x", "name": "x", "id": "1", "state": "rejected", "why": "x", "sent": "yes", "organisation": "X"}
FORM |= {"purpose": "first", "kind": "operator", "value": "x", "source": "x", "subject": "x", "body": "x", "level": "1"}
PLACES = ("/", "/exposures", "/exposures/1", "/cases", "/cases/board", "/cases/2", "/notices", "/scans", "/scopes")
GOOD = {"{id:int}": "2", "{hint:int}": "4", "{name:str}": "national", "{name}": "console.css"}
ACTS = ("confirm", "acknowledge", "note", "hold", "release", "close", "escalate", "pause", "resume", "now", "nothing")


def routes() -> list[tuple[str, str]]:
    """Method and path of all that there is, as the routers have it."""
    engine = sa.create_engine("sqlite://")
    pages = Pages(Desk(engine, Parts(), Console(), SystemClock())).app.routes
    with TemporaryDirectory() as home, People(Path(home) / "guard", on_event=lambda event: None) as people:
        log_in = LoginPages(people, emergency=False).app().routes
    found = {
        (method, one.path)
        for one in (*pages, *log_in)
        if isinstance(one, Route)
        for method in one.methods or ()
        if method != "HEAD"
    }
    assert len(found) > 40, "the routers were found"
    return sorted(found)


def concrete(path: str) -> list[str]:
    """Addresses of something that is there."""
    for name, value in GOOD.items():
        path = path.replace(name, value)
    paths = [path.replace("{act:str}", act) for act in ACTS] if "{act:str}" in path else [path]
    assert not [one for one in paths if "{" in one], "a new kind of parameter: say what is there"
    return paths


POSTS = [path for method, path in routes() if method == "POST"]
READS = [path for method, path in routes() if method == "GET"]


async def test_nobody_gets_anything_without_a_session_that_holds(tmp_path: Path, filled: sa.Engine) -> None:
    """Each route and method, for each kind of stranger."""
    async with (
        console(tmp_path, filled, parts(filled, Held(), Sending())) as served,
        console(tmp_path / "other", filled) as other,
    ):
        over, expired, disabled = await served.session("over"), await served.session("old"), await served.session("bad")
        await served.people.logout(over)
        served.people.manage.set_disabled("bad", True, "test")
        served.clock.forward(901)
        cookies = {
            "nobody": "",
            "guessed": f"{COOKIE}={'A' * 43}",
            "changed": f"{COOKIE}={expired[:-1]}{'A' if expired[-1] != 'A' else 'B'}",
            "of another console": f"{COOKIE}={await other.session('over')}",
            "logged out": f"{COOKIE}={over}",
            "expired": f"{COOKIE}={expired}",
            "disabled": f"{COOKIE}={disabled}",
            "a first look guessed": f"{FIRST}={'A' * 43}",
            "under the name that TLS has": f"__Host-leadapron-session={expired}",
            "two": f"{COOKIE}={expired}; {COOKIE}={over}",
        }
        before = content(filled)
        for kind, cookie in cookies.items():
            async with served.client(**({"Cookie": cookie} if cookie else {})) as stranger:
                for method, path in routes():
                    for asked in {method, "HEAD", "POST"} if kind == "nobody" else (method,):
                        served.clock.forward(2)  # refusals have a bound, which is tested elsewhere
                        form = FORM if asked == "POST" else None
                        answer = await stranger.request(asked, concrete(path)[0], data=form)
                        harmless(answer)
                        if path in OPEN:
                            assert "127." not in answer.text.replace(served.base, ""), (kind, path)
                        else:
                            led = answer.headers.get("location", "").startswith("/guard/login")
                            assert (answer.status_code == 303 and led) or answer.status_code in (400, 404), (kind, path)
                            assert "<h1>" not in answer.text or "Log in" in answer.text or path.startswith("/guard/")
        assert content(filled) == before


async def test_with_a_first_look_nothing_can_be_changed(tmp_path: Path, filled: sa.Engine) -> None:
    sending = Sending()
    async with console(tmp_path, filled, parts(filled, Held(), sending)) as served, served.client() as first:
        assert served.running.first is not None
        assert (await first.get(served.running.first)).status_code == 303
        before = content(filled)
        for path in POSTS:
            for one in concrete(path):
                answer = await first.post(one, data=FORM)
                harmless(answer)
                assert path.startswith("/guard") or answer.status_code == 403, (one, answer.status_code)
        for path in READS:
            harmless(await first.get(concrete(path)[0]))
        assert content(filled) == before and sending.asked == 0
        assert not served.people.manage.people()
        assert (await first.get("/")).status_code == 200, "it still looks"


async def test_who_may_only_view_changes_nothing_but_own_views(tmp_path: Path, filled: sa.Engine) -> None:
    sending = Sending()
    async with console(tmp_path, filled, parts(filled, Held(), sending)) as served:
        before = content(filled)
        async with served.client(await served.session("vera", (VIEW,))) as vera:
            for path in POSTS:
                for one in [] if path.startswith("/guard") else concrete(path):
                    answer = await vera.post(one, data=FORM)
                    harmless(answer)
                    assert "/views" in one or answer.status_code == 403, one
        blind = await served.session("nora", (WORK, SEND, SCAN))
        async with served.client(blind) as nora:
            for path in (*POSTS, *READS):
                for one in [] if path.startswith(("/guard", "/static")) else concrete(path):
                    answer = await nora.request("POST" if path in POSTS else "GET", one)
                    assert answer.status_code == 403, "acting takes seeing"
        after = content(filled)
        views = after.pop("views")
        assert len(views) == 1 and "vera" in views[0] and before.pop("views") == []
        assert after == before and sending.asked == 0


FOREIGN: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Sec-Fetch-Site": "", "Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "", "HX-Request": "true", "HX-Current-URL": "/"},
    {"Sec-Fetch-Site": "", "X-Requested-With": "XMLHttpRequest", "Referer": "http://127.0.0.1/"},
)


async def test_no_form_of_another_site_does_anything(tmp_path: Path, filled: sa.Engine) -> None:
    """On each route that changes something, the log-in and the log-out as well."""
    sending = Sending()
    async with console(tmp_path, filled, parts(filled, Held(), sending)) as served:
        session = await served.session()
        before = content(filled)
        for headers in FOREIGN:
            async with served.client(session, **headers) as forger:
                for path in POSTS:
                    assert (await forger.post(concrete(path)[0], data=FORM)).status_code == 403, (headers, path)
        async with served.client(session, **{"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}) as forger:
            for path in POSTS:
                for one in concrete(path):
                    answer = await forger.get(one, params={"_method": "POST", **FORM})
                    harmless(answer)
                    assert answer.status_code in (200, 303, 404), one
            for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"):
                assert (await forger.request(method, "/cases/2/close", data=FORM)).status_code == 405, method
        assert content(filled) == before and sending.asked == 0
        async with served.client(session) as anna:
            assert (await anna.get("/")).status_code == 200, "nobody else logged her out"


# ---- wrong input -----------------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(("", "0", "-1", "x", "None", "NaN", "1e9", "²", "٣", "null", "true", "' OR 1=1 --", '"><script>')),
    st.sampled_from((str(2**31), str(2**63 - 1), str(2**63), str(2**64), "9" * 4400, "%", "_", "\\", "{{7*7}}", "../")),
    st.text(max_size=40),
    st.text(st.characters(max_codepoint=0x2100, categories=("Cc", "Cf", "Zs", "Lo", "Po")), max_size=20),
)
NUMBERS = st.sampled_from(("0", "1", "2", "-1", "007", str(2**63 - 1), str(2**63), "9" * 900, "x", "1.5", "٣", " 2"))
NAMES = st.sampled_from(
    (
        *("text", "state", "country", "product", "severity", "campaign", "order", "page", "due", "polls", "by", "done"),
        *("query", "name", "id", "read", "sent", "why", "subject", "body", "kind", "value", "source", "level", "next"),
        *("organisation", "mailbox", "postal", "person", "language", "purpose", "state", "password", "code", "number"),
    )
)
PAIRS = st.lists(st.tuples(NAMES, WORDS), max_size=8)


async def test_no_input_is_a_fault_of_ours(tmp_path: Path, engine: sa.Engine) -> None:
    """Any route, any number in it, any query, any form, on both databases: an answer that is meant, never a 500."""
    fill(engine, SMALL)
    async with console(tmp_path, engine, parts(engine, Held(), Sending())) as served:
        given_ = {"Cookie": f"{COOKIE}={await served.session()}", "Sec-Fetch-Site": "same-origin"}
        browser = httpx2.Client(base_url=served.base, headers=given_, trust_env=False, timeout=30)
        every = [(method, path) for method, path in routes() if path != "/guard/logout"]

        @settings(max_examples=120, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(every), st.lists(NUMBERS, min_size=2, max_size=2), WORDS, PAIRS, PAIRS, st.data())
        def asked(
            route: tuple[str, str],
            numbers: list[str],
            word: str,
            query: list[tuple[str, str]],
            form: list[tuple[str, str]],
            data: st.DataObject,
        ) -> None:
            method, path = route
            for kind in ("{id:int}", "{hint:int}"):
                path = path.replace(kind, numbers.pop())
            path = path.replace("{act:str}", data.draw(st.sampled_from((*ACTS, word[:60]))))
            path = re.sub(r"\{name(:str)?\}", lambda _: word[:60], path)
            body = urlencode(form).encode() if method == "POST" else None
            harmless(browser.request(method, f"{quote(path)}?{urlencode(query)}", content=body))
            served.clock.forward(5)

        await asyncio.to_thread(asked)
        await asyncio.to_thread(browser.close)


BIG = str(2**63)


@pytest.mark.parametrize(
    "path",
    [
        *(f"/cases/{BIG}", f"/exposures/{BIG}", f"/notices/{BIG}", f"/notices/{BIG}/letter.pdf", f"/cases/{'9' * 900}"),
        *(f"/exposures?page={'9' * 4400}", f"/scans?page={'9' * 4400}&polls={'9' * 3000}", "/cases?page=%C2%B2"),
        *("/exposures?order=--", "/exposures?text=a&text=b&state=no", "/notices?page=99999", "/cases/-1", "/cases/1e3"),
        *("/static/a/b", "/static", "/static/", "/static/nothing.css"),
    ],
)
async def test_what_is_no_number_of_ours_is_not_found(tmp_path: Path, filled: sa.Engine, path: str) -> None:
    async with console(tmp_path, filled, parts(filled, Held())) as served:
        async with served.client(await served.session()) as anna:
            harmless(answer := await anna.get(path))
            assert answer.status_code == (200 if "?" in path else 404), answer.status_code
        async with served.client() as stranger:
            harmless(await stranger.get(path))


async def test_forms_that_say_nothing_do_nothing(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    async with console(tmp_path, engine, parts(engine, Held(), Sending())) as served:  # noqa: SIM117 (a session first)
        async with served.client(await served.session()) as anna:
            before = content(engine)
            for path in (one for one in POSTS if not one.startswith("/guard") and "send" not in one):
                for one in concrete(path):
                    if one.endswith(("/case", "/release", "/retest", "/forget", "/notice")):
                        continue  # the address says all
                    for form in (b"", b"\xff\xfe", b"a=%ff", b"&".join(b"a=%d" % n for n in range(500)), b"{}"):
                        served.clock.forward(5)
                        answer = await anna.post(one, content=form)
                        harmless(answer)
                        assert answer.status_code in (400, 404, 409), (one, form[:9], answer.status_code)
            for path in (f"/exposures/{BIG}/case", f"/exposures/2/hints/{BIG}", f"/exposures/views/{BIG}/forget"):
                assert (await anna.post(path, data={"state": "rejected"})).status_code == 404
            assert content(engine) == before
            many = "&".join(f"text{number}=1" for number in range(400))
            saved = await anna.post("/exposures/views", data={"name": "many", "query": f"state=open&text=%00&{many}"})
            assert saved.headers["location"] == "/exposures?state=open&done=saved"


async def test_views_of_others_are_out_of_reach(tmp_path: Path, filled: sa.Engine) -> None:
    async with (
        console(tmp_path, filled) as served,
        served.client(await served.session("anna")) as anna,
        served.client(await served.session("ben", (VIEW,))) as ben,
    ):
        assert (await anna.post("/exposures/views", data={"name": "mine", "query": "state=open"})).status_code == 303
        before = content(filled)
        for number in (0, 1, 2, 2**62):
            assert (await ben.post(f"/exposures/views/{number}/forget")).status_code == 303, "and says nothing of it"
        assert content(filled) == before


# ---- what a stranger costs -------------------------------------------------------------------------------------------


async def test_guessing_sessions_does_not_fill_the_trail(tmp_path: Path, filled: sa.Engine) -> None:
    """As ``leadapron up`` runs it without a guard: what is beyond the ordinary is counted, and told as a sum."""
    config, home, port = tmp_path / "leadapron.toml", tmp_path / "guard", free_port()
    config.write_text(f'[console]\nlisten = "127.0.0.1:{port}"\n')
    async with AsyncExitStack() as stack:
        await up_watch._console(stack, config, filled, home, Parts(), None, lambda line: None)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as stranger:
            for number in range(200):
                cookie = {"Cookie": f"{COOKIE}={number:043}"}
                assert (await stranger.get("/", headers=cookie)).status_code == 303
    told = [str(message) for _, message in Look(home).newest(Wanted(), 1000)]
    assert len(told) < 40 and "180 further refusals" in "\n".join(told), len(told)


async def test_guessing_the_first_link_is_slowed_down_and_helps_nobody(tmp_path: Path, filled: sa.Engine) -> None:
    async with console(tmp_path, filled) as served, served.client() as stranger:
        answers = [(await stranger.get(f"/first?token={number:043}")).status_code for number in range(310)]
        assert answers[:300] == [403] * 300 and set(answers[301:]) == {429}
        link = str(served.running.first)
        assert (await stranger.post(link)).status_code != 303, "nothing but a link"
        async with served.client() as owner:
            assert (await owner.get(link)).status_code == 303, "who has it is let in all the same"
    async with console(tmp_path, filled) as served, served.client() as stranger:
        served.person()
        assert (await stranger.get(str(served.running.first))).status_code == 403, "there is somebody who can log in"


async def raw(port: int, *requests: bytes) -> bytes:
    """All that comes for these until the line is closed, which it has to be."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(b"".join(requests))
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: +4\r\n\r\ntext",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 99999999999\r\n\r\ntext",
    ],
)
async def test_no_second_request_hides_behind_a_first(tmp_path: Path, filled: sa.Engine, lengths: bytes) -> None:
    async with console(tmp_path, filled, parts(filled, Held())) as served:
        before, port = content(filled), served.running.port
        head = f"Host: {HOST}:{port}\r\nCookie: {COOKIE}={await served.session()}\r\nSec-Fetch-Site: same-origin\r\n"
        hidden = b"POST /cases/2/note HTTP/1.1\r\n" + head.encode() + b"Content-Length: 6\r\n\r\ntext=x"
        said = await raw(port, b"POST /cases/2/nothing HTTP/1.1\r\n", head.encode(), lengths, hidden)
        assert re.match(rb"HTTP/1.1 4\d\d", said) and said.count(b"HTTP/1.1") == 1 and content(filled) == before


@pytest.mark.parametrize(
    "path",
    [
        *("//", "//evil.example/", "/./", "/%2e%2e/x", "/cases%2f2", "/cases%00", "/cases;x", "/cases/2%0d%0aX:x"),
        *("/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/..", "/static/console.css%00.js", "/\\evil.example"),
        *("http://evil.example/", "/guard/static/%252e%252e", "/guard/static/../pages.py", "*"),
    ],
)
async def test_a_path_is_read_in_one_way(tmp_path: Path, filled: sa.Engine, path: str) -> None:
    async with console(tmp_path, filled) as served:
        port = served.running.port
        head = f"Host: {HOST}:{port}\r\nCookie: {COOKIE}={await served.session()}\r\nConnection: close\r\n\r\n"
        said = await raw(port, f"GET {path} HTTP/1.1\r\n{head}".encode())
        assert re.match(rb"HTTP/1.1 40[04]", said) and b"\r\nlocation" not in said and b"import" not in said


async def test_nobody_says_in_a_header_who_we_are(tmp_path: Path, filled: sa.Engine) -> None:
    """Another name that leads here, and what only a proxy of ours might say. Each answer has its headers."""
    async with console(tmp_path, filled) as served:
        session, port = await served.session(), served.running.port
        for host in ("evil.example", f"evil.example:{port}", f"{HOST}.evil.example", f"localhost.:{port}", "0.0.0.0"):
            async with served.client(session, Host=host) as browser:
                assert (await browser.get("/")).status_code in (400, 421), host
        for host in (
            "localhost:x",
            "localhost:99999",
            "localhost:8:8",
            "[::1",
            "[::1]x",
            "a@localhost",
            "localhost/",
            "",
        ):
            async with served.client(session, Host=host) as browser:
                assert (await browser.get("/")).status_code == 400, host
        told = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}
        told |= {"X-Original-URL": "/notices", "X-Rewrite-URL": "/notices", "X-Forwarded-For": "10.9.9.9"}
        async with served.client(session, **told) as browser:
            assert "evil" not in str((await browser.get("/cases/")).headers)
            for path in ("/", "/nothing", "/exposures?order=text", "/notices/4/letter.pdf", "/guard/login", "/a%2fb"):
                answer = await browser.get(path)
                headers = answer.headers
                assert "default-src 'none'" in headers["content-security-policy"], path
                assert "frame-ancestors 'none'" in headers["content-security-policy"], path
                assert "unsafe" not in headers["content-security-policy"], path
                assert headers["cache-control"] == "no-store, private", path
                assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
                assert headers["referrer-policy"] == "same-origin" and "server" not in headers
                assert not [name for name in headers if name.startswith("access-control")]
        async with served.client(**{"HX-Request": "true", "HX-Current-URL": "http://["}) as stranger:
            assert (await stranger.get("/scans")).headers["hx-redirect"] == "/guard/login?next=%2F"


async def test_a_session_is_new_for_each_log_in(tmp_path: Path, filled: sa.Engine) -> None:
    async with console(tmp_path, filled) as served, served.client(await served.session("ben")) as browser:
        planted = browser.headers["Cookie"].partition("=")[2]
        name = served.person()
        form = {"name": name, "password": PASSWORD, "next": "//evil.example"}
        await browser.post("/guard/logout")
        browser.headers["Cookie"] = f"{COOKIE}={planted}"
        done = await browser.post("/guard/login", data=form | {"code": served.digits(name)})
        assert done.status_code == 303 and done.headers["location"] == "/guard/"
        given = re.findall(rf"{COOKIE}=([^;]+)", str(done.headers.get_list("set-cookie")))
        assert given and given[0] != planted
        assert (await browser.get("/")).status_code == 303, "what was planted opens nothing"


# ---- what is away ----------------------------------------------------------------------------------------------------


async def test_while_the_database_is_away_the_console_says_so(tmp_path: Path, engine: sa.Engine) -> None:
    fill(engine, SMALL)
    impatient(engine)
    async with (
        console(tmp_path, engine, parts(engine, Held(), Sending())) as served,
        served.client(await served.session()) as anna,
    ):

        async def said(method: str, path: str, status: int) -> None:
            answer = await anna.request(method, path, data=FORM if method == "POST" else None)
            assert answer.status_code == status, (path, answer.text)
            assert "Traceback" not in answer.text and "SELECT" not in answer.text and "postgresql" not in answer.text
            assert "watch.db" not in answer.text
            if status == 503:
                assert "That did not work" in answer.text

        with away(engine):
            for path in PLACES if engine.dialect.name == "postgresql" else ():
                await said("GET", path, 503)
            answer = await anna.post("/exposures/views", data={"name": "x", "query": ""})
            assert answer.status_code == 503 and "That did not work" in answer.text
            for path in ("/cases/2/note", "/exposures/1/case", "/notices/1/drop", "/notices/1/edit", "/cases/2/notice"):
                await said("POST", path, 503)
            assert (await anna.get("/static/console.css")).status_code == 200
        for path in PLACES:
            await said("GET", path, 200)
        assert (await anna.post("/exposures/views", data={"name": "x", "query": ""})).status_code == 303


async def test_while_people_cannot_be_looked_up_nobody_is_let_in(tmp_path: Path, filled: sa.Engine) -> None:
    async with (
        console(tmp_path, filled) as served,
        served.client(await served.session()) as anna,
    ):
        with contextlib.closing(sqlite3.connect(tmp_path / "guard" / "people.db")) as people:
            people.execute("ALTER TABLE sessions RENAME TO gone")
            form = {"name": "anna", "password": PASSWORD, "code": served.digits("anna")}
            for answer in (
                await anna.get("/"),
                await anna.get("/guard/login"),
                await anna.post("/guard/login", data=form),
            ):
                assert answer.status_code == 503 and "Try again" in answer.text and "people.db" not in answer.text
            people.execute("ALTER TABLE gone RENAME TO sessions")
        assert (await anna.get("/")).status_code == 200


EVIL = """<!DOCTYPE html><title>evil</title>
<iframe name=f src="%(base)s/"></iframe><iframe name=g></iframe><iframe name=h></iframe>
<form id=a target=g method=post action="%(base)s/cases/2/note"><input name=text value=forged></form>
<form id=b target=h method=post action="%(base)s/cases/2/close" enctype="text/plain"><input name=text value=x></form>
<img src="%(base)s/cases/2/close?text=x"><script src="%(base)s/static/console.js"></script>
<script>a.submit(); b.submit();
const body = new URLSearchParams({text: "forged"}), credentials = "include";
const asked = ["no-cors", "cors"].flatMap((mode) => ["GET", "POST"].map((method) =>
  fetch("%(base)s/cases/2/note", {method, mode, credentials, ...(method === "POST" && {body})})));
Promise.allSettled(asked).then((done) => { document.title = done.map((one) => one.value?.type ?? "no").join(" "); });
</script>"""


@pytest.mark.parametrize("name", ["localhost", HOST])
async def test_a_page_elsewhere_in_the_same_browser_does_and_learns_nothing(
    tmp_path: Path, filled: sa.Engine, name: str
) -> None:
    """Of another site, and of another program on this machine, to which the browser sends the cookie as well."""

    async def evil(request: Request) -> Response:
        return HTMLResponse(EVIL % {"base": served.base})

    async with console(tmp_path, filled, parts(filled, Held())) as served, browsing() as browser:
        session, before = await served.session(), content(filled)
        other = await serve_web(Starlette(routes=[Route("/", evil)]), listen=f"{HOST}:0", tls=None, limits=Limits())
        async with other:
            context = await browser.new_context()
            await context.add_cookies([{"name": COOKIE, "value": session, "url": served.base}])
            page = await context.new_page()
            answers: list[tuple[str, int]] = []
            page.on("response", lambda answer: answers.append((answer.url, answer.status)))
            await page.goto(f"http://{name}:{other.port}/", wait_until="load")
            await expect(page).to_have_title(re.compile("no"))
            async with asyncio.timeout(30):
                while len(answers) < 4:
                    await asyncio.sleep(0.05)
            framed = [await frame.content() for frame in page.frames[1:]]
        assert not any("Overview" in text or "127.1." in text for text in framed)
        ours = [(url, status) for url, status in answers if url.startswith(served.base)]
        assert len(ours) >= 3 and {status for _, status in ours} == {403}, ours
        assert content(filled) == before
