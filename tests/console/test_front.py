"""The front door: who gets in, by what, from where; the first look; sessions that end."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from console.serving import COOKIE, VIEW, Served, console
from guard.people.somebody import PASSWORD
from leadapron.console.first import LASTS_S, FirstLook
from leadapron.console.running import run_console
from leadapron.console.settings import Console, load_console
from leadapron.guard.policy.permission import Permission
from leadapron.kernel.errors import UsageError
from leadapron.watch.track.database import open_engine
from peers.certificates import Certificates
from peers.process import HOST, free_port


@pytest.fixture
def empty(tmp_path: Path) -> sa.Engine:
    return open_engine(f"sqlite:///{tmp_path / 'watch.db'}")


async def test_nobody_gets_in_without_a_session(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty) as served, served.client() as stranger:
        for path in ("/", "/exposures?state=open", "/cases/1", "/nothing/at/all"):
            answer = await stranger.get(path)
            assert answer.status_code == 303 and answer.headers["location"].startswith("/guard/login?next=")
        assert "exposures%3Fstate%3Dopen" in (await stranger.get("/exposures?state=open")).headers["location"]
        posted = await stranger.post("/cases/1/close", data={"text": "x"})
        assert posted.status_code == 303 and posted.headers["location"] == "/guard/login?next=%2F"
        assert (await stranger.get("/guard/emergency")).status_code == 404, "the console has no way in for emergencies"
        assert (await stranger.delete("/")).status_code == 405


async def test_a_part_of_a_page_leads_to_the_log_in_as_a_whole(tmp_path: Path, empty: sa.Engine) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1/scans?page=2"}
    async with console(tmp_path, empty) as served, served.client(**headers) as stranger:
        answer = await stranger.get("/scans?polls=3")
        assert answer.status_code == 401
        assert answer.headers["hx-redirect"] == "/guard/login?next=%2Fscans%3Fpage%3D2"


async def test_log_in_with_password_and_code_and_out(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty) as served, served.client() as browser:
        name = served.person()
        form = {"name": name, "password": PASSWORD, "code": "000000", "next": "/scans"}
        wrong = await browser.post("/guard/login", data=form)
        assert wrong.status_code == 401 and "set-cookie" not in wrong.headers
        done = await browser.post("/guard/login", data=form | {"code": served.digits(name)})
        assert done.status_code == 303 and done.headers["location"] == "/scans"
        cookie = done.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=") and "HttpOnly" in cookie and "SameSite=lax" in cookie
        page = await browser.get("/scans")
        assert page.status_code == 200 and name in page.text
        assert (await browser.get("/guard/")).headers["location"] == "/"
        assert (await browser.get("/guard/account")).status_code == 200
        await browser.post("/guard/logout")
        assert (await browser.get("/scans")).status_code == 303


async def test_a_form_of_another_site_does_nothing(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty) as served:
        session = await served.session()
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "none"},
        ):
            async with served.client(session, **headers) as forger:
                answer = await forger.post("/exposures/views", data={"name": "x", "query": ""})
                assert answer.status_code == 403, headers
        async with httpx2.AsyncClient(base_url=served.base, trust_env=False) as silent:
            answer = await silent.post(
                "/exposures/views", data={"name": "x"}, headers={"Cookie": f"{COOKIE}={session}"}
            )
            assert answer.status_code == 403, "what does not say where it is from"


async def test_a_name_that_leads_here_is_not_ours(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty) as served:
        session = await served.session()
        for host in ("evil.example", f"evil.example:{served.running.port}", "127.0.0.1.evil.example"):
            async with served.client(session, Host=host) as browser:
                assert (await browser.get("/")).status_code == 421
        async with served.client(session, Host="a/b") as browser:
            assert (await browser.get("/")).status_code == 400
        async with served.client(session, Host=f"localhost:{served.running.port}") as browser:
            assert (await browser.get("/")).status_code == 200


async def test_a_session_ends_by_idling_and_in_the_end(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty, idle_s=600, absolute_s=3600) as served:
        session = await served.session()
        async with served.client(session) as browser:
            for _ in range(7):
                served.clock.forward(500)
                assert (await browser.get("/")).status_code == 200
            served.clock.forward(500)
            assert (await browser.get("/")).status_code == 303, "its time is over, however busy it was"
        async with served.client(await served.session()) as browser:
            served.clock.forward(601)
            assert (await browser.get("/")).status_code == 303, "nothing was done for too long"


async def test_what_a_person_may_no_more_ends_with_the_next_request(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty) as served, served.client(await served.session()) as browser:
        assert (await browser.get("/")).status_code == 200
        served.people.manage.set_permissions("anna", (), "test")
        assert (await browser.get("/")).status_code in (303, 403)


# ---- the first look --------------------------------------------------------------------------------------------------


def link(served: Served) -> str:
    assert served.running.first is not None
    return served.running.first.removeprefix(served.base)


async def test_the_first_look_works_once_and_only_looks(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty) as served:
        async with served.client() as first:
            entered = await first.get(link(served))
            assert entered.status_code == 303 and "SameSite=Strict" in entered.headers["set-cookie"]
            page = await first.get("/")
            assert page.status_code == 200 and "First look" in page.text
            for path in ("/cases/1/note", "/notices/approve", "/scans/a/now", "/exposures/views"):
                answer = await first.post(path, data={"text": "x", "name": "x", "id": "1"})
                assert answer.status_code == 403 and "only shows" in answer.text
        async with served.client() as second:
            assert (await second.get(link(served))).status_code == 403
            assert (await second.get("/")).status_code == 303
            assert (await second.get("/first?token=")).status_code == 403
            assert (await second.get("/first")).status_code == 403


async def test_the_first_look_ends_when_somebody_can_log_in(tmp_path: Path, empty: sa.Engine) -> None:
    async with console(tmp_path, empty) as served, served.client() as first:
        await first.get(link(served))
        assert (await first.get("/")).status_code == 200
        served.person()
        assert (await first.get("/")).status_code == 303
    async with console(tmp_path, empty) as again:
        assert again.running.first is None


def test_a_link_and_its_session_end_by_themselves() -> None:
    from guard.people.somebody import Held

    clock, nobody = Held(), True
    look = FirstLook(clock, lambda: nobody)
    old = look.link()
    new = look.link()
    assert old is not None and new is not None and look.enter(old) is None, "the newer link is the one"
    session = look.enter(new)
    assert session is not None and look.holds(session) and not look.holds(session + "x")
    clock.forward(LASTS_S - 1)
    assert look.holds(session)
    clock.forward(1)
    assert not look.holds(session)
    late = look.link()
    clock.forward(LASTS_S)
    assert late is not None and look.enter(late) is None
    nobody = False
    assert look.link() is None


# ---- settings and TLS ------------------------------------------------------------------------------------------------


async def test_tls_with_a_certificate_and_no_first_look_from_outside(
    tmp_path: Path, empty: sa.Engine, certificates: Certificates
) -> None:
    port = free_port()
    settings = Console(
        listen=f"{HOST}:{port}",
        names=("localhost",),
        certificate=str(certificates.server_certificate),
        key=str(certificates.server_key),
    )
    async with run_console(settings, engine=empty, home=tmp_path / "guard") as running:
        assert running.url == f"https://localhost:{port}/"
        context = certificates.plain_client_context(with_certificate=False)
        async with httpx2.AsyncClient(base_url=running.url, verify=context, trust_env=False) as browser:
            answer = await browser.get("guard/login", headers={"Sec-Fetch-Site": "none"})
            assert answer.status_code == 200 and "max-age" in answer.headers["strict-transport-security"]


async def test_what_is_not_loopback_takes_a_certificate(tmp_path: Path, empty: sa.Engine) -> None:
    with pytest.raises(UsageError, match="certificate"):
        async with run_console(Console(listen="0.0.0.0:0", names=("x.example",)), engine=empty, home=tmp_path):
            pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('listen = "nonsense"', "HOST:PORT"),
        ('listen = "0.0.0.0:8484"', "names"),
        ('certificate = "x.pem"', "belong together"),
        ("idle_s = 5", "idle_s"),
        ("listn = 5", "closest"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "leadapron.toml"
    file.write_text(f"[console]\n{text}\n")
    with pytest.raises(UsageError, match=re.escape(said)):
        load_console(file, {})


def test_settings_from_file_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "leadapron.toml"
    file.write_text("")
    assert load_console(file, {}) is None
    file.write_text("[console]\n")
    assert load_console(file, {}) == Console()
    found = load_console(file, {"LEADAPRON_CONSOLE__LISTEN": "127.0.0.1:9000"})
    assert found is not None and found.place.port == 9000 and found.plain
    assert found.origins(9000) == ("http://localhost:9000", "http://127.0.0.1:9000", "http://[::1]:9000")


def test_permissions_are_for_people_and_default_to_nobody() -> None:
    from leadapron.guard.gateway.setup import EVERYTHING

    ours = {one for one in Permission if one.surface == "console"}
    assert {str(one) for one in ours} == {VIEW, "console:work", "console:send", "console:scan"}
    assert all(one.people_only for one in ours)
    assert not ours & set(EVERYTHING), "whoever sets up the guard is not let into the console by that"
