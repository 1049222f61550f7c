"""The console as strangers attack it, and people with a smaller role: each route that the routers have, a new one too.

What was changed is told by the whole content of the database before and after, not by what an answer says.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote, urlencode

import httpx2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route

from console.lifelike import Size, fill
from console.parts import Sending, parts
from console.serving import COOKIE, SCAN, SEND, VIEW, WORK, console
from guard.people.somebody import Held
from leadapron.console.app import Pages
from leadapron.console.first import COOKIE as FIRST
from leadapron.console.pages.desk import Desk
from leadapron.console.parts import Parts
from leadapron.console.settings import Console
from leadapron.guard.gateway.web.pages import Pages as LoginPages
from leadapron.guard.identity.people import People
from leadapron.kernel.clock import SystemClock
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import metadata

SMALL = Size(exposures=12, rounds=3)
OPEN = {
    *("/guard", "/guard/", "/guard/login", "/guard/login/key", "/guard/logout", "/guard/setup", "/guard/setup/factor"),
    *("/guard/oidc", "/guard/oidc/callback", "/guard/static/{name}", "/static/{name}"),
}
"""Where those may come who are nobody yet. What they get there says nothing of what the console holds."""
FORM = {"text": "x", "name": "x", "id": "1", "state": "rejected", "why": "x", "sent": "yes", "organisation": "X"}
FORM |= {"purpose": "first", "kind": "operator", "value": "x", "source": "x", "subject": "x", "body": "x", "level": "1"}
GOOD = {"{id:int}": "2", "{hint:int}": "4", "{name:str}": "national", "{name}": "console.css"}
ACTS = ("confirm", "acknowledge", "note", "hold", "release", "close", "escalate", "pause", "resume", "now", "nothing")


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    fill(engine, SMALL)
    yield engine
    engine.dispose()


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


def content(engine: sa.Engine) -> dict[str, list[str]]:
    """All that the database holds."""
    with engine.connect() as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(sa.select(table)))
            for table in metadata.sorted_tables
        }


def harmless(answer: httpx2.Response) -> None:
    """No fault of ours, and nothing of how it is made."""
    assert answer.status_code < 500, (answer.request.url, answer.text[:300])
    assert not re.search(r"Traceback|sqlalchemy|sqlite3?\.|psycopg|SELECT |INSERT |UPDATE ", answer.text)


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
                    for asked in {method, "HEAD", "POST"} if kind in ("nobody", "expired") else (method,):
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
