"""Logging in at an OpenID provider, as at the guard, whose settings the console takes where it has none of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from oidc_provider_mock import User, run_server_in_thread
from playwright.async_api import expect

from console.looking import browsing, looked_at
from console.serving import ALL, console
from guard.people.somebody import Held
from leadapron.console.running import run_console
from leadapron.console.settings import Console, load_console
from leadapron.guard.gateway.web.pages import CALLBACK
from leadapron.guard.settings import Oidc
from leadapron.kernel.clock import SystemClock
from leadapron.kernel.errors import UsageError
from leadapron.watch.track.database import open_engine
from peers.process import HOST, free_port
from scan.commanding import command

LED = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def issuer() -> Iterator[str]:
    users = [User(sub=sub, claims={"email": f"{sub}@cert.example", "email_verified": True}) for sub in ("anna", "eve")]
    with run_server_in_thread(require_nonce=True, user_claims=users) as provider:
        yield f"http://localhost:{provider.server_port}"


@pytest.fixture
def empty(tmp_path: Path) -> sa.Engine:
    return open_engine(f"sqlite:///{tmp_path / 'watch.db'}")


@pytest.fixture
def oidc(tmp_path: Path, issuer: str) -> Oidc:
    (tmp_path / "secret").write_text("s\n")
    return Oidc(issuer=issuer, client_id="console", secret_file=str(tmp_path / "secret"))


def now() -> Held:
    clock = Held()
    clock.moment = SystemClock().now()  # the provider's moment
    return clock


async def test_somebody_whom_the_provider_knows_and_we_do(tmp_path: Path, empty: sa.Engine, oidc: Oidc) -> None:
    may = ("--may", "console:view,console:work")
    made = command(tmp_path, "init", "watch", "--target", "127.9.71.0/30", "--data", str(tmp_path / "data"))
    added = command(tmp_path, "user", "add", "anna", "--oidc", "anna@cert.example", *may)
    assert (made.code, added.code) == (0, 0), made.err + added.err
    async with console(tmp_path / "data", empty, clock=now(), oidc=oidc) as served:
        canonical = served.base.replace(HOST, "localhost")
        for sub, known in (("anna", True), ("eve", False)):
            async with served.client() as browser:
                browser.base_url = canonical
                page = await browser.get("/guard/login?next=/scans")
                assert "Continue with localhost" in page.text
                begun = await browser.get("/guard/oidc?next=%2Fscans")
                assert begun.status_code == 303 and begun.headers["location"].startswith(oidc.issuer)
                assert all("Secure" not in cookie for cookie in begun.headers.get_list("set-cookie")), "plain loopback"
                given = httpx2.post(begun.headers["location"], data={"sub": sub}, follow_redirects=False)
                back = given.headers["location"]
                assert back.startswith(f"{canonical}{CALLBACK}?")
                async with served.client() as other:  # one who did not begin it
                    other.base_url = canonical
                    assert (await other.get(back, headers=LED)).status_code == 401
                done = await browser.get(back, headers=LED)
                if known:
                    assert (done.status_code, done.headers["location"]) == (303, "/scans")
                    page = await browser.get("/scans")
                    assert page.status_code == 200 and "anna" in page.text
                    assert (await browser.get(back, headers=LED)).status_code == 401, "once"
                else:
                    assert done.status_code == 401 and "did not let you in" in done.text
                    assert (await browser.get("/scans")).status_code == 303


async def test_the_log_in_begins_where_the_provider_sends_people_back(
    tmp_path: Path, empty: sa.Engine, oidc: Oidc
) -> None:
    async with console(tmp_path, empty, clock=now(), oidc=oidc) as served, served.client() as browser:
        port = served.running.port
        led = await browser.get("/guard/oidc?next=%2Fscans")
        assert led.headers["location"] == f"http://localhost:{port}/guard/oidc?next=%2Fscans"
        assert "set-cookie" not in led.headers
    async with console(tmp_path, empty) as served, served.client() as browser:
        assert (await browser.get("/guard/oidc")).status_code == 404
        assert "Continue with" not in (await browser.get("/guard/login")).text


async def test_in_a_browser_from_a_page_to_the_provider_and_back(tmp_path: Path, empty: sa.Engine, oidc: Oidc) -> None:
    async with console(tmp_path, empty, clock=now(), oidc=oidc) as served, browsing() as browser:
        served.people.manage.add("anna", ALL, "test", oidc="anna@cert.example")
        page = await browser.new_page()
        await page.goto(f"{served.base}/scans")
        await looked_at(page, "login-provider")
        await page.get_by_role("link", name="Continue with localhost").click()
        await page.get_by_role("button", name="anna", exact=True).click()
        await expect(page.get_by_role("heading", name="Scans", exact=True)).to_be_visible()
        await page.get_by_role("link", name="anna").click()
        await expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_the_guards_provider_is_the_consoles_where_it_has_none(tmp_path: Path) -> None:
    guards = '[guard.archive]\nhost = "127.0.0.1"\nae = "PACS"\n[guard.oidc]\nissuer = "https://id.example"\n'
    guards += 'client_id = "guard"\nsecret_file = "guard-secret"\n'
    own = '[console.oidc]\nissuer = "https://id.example"\nclient_id = "console"\nsecret_file = "own-secret"\n'
    file = tmp_path / "leadapron.toml"
    for text, client in ((f"[console]\n{guards}", "guard"), (f"{own}{guards}", "console"), (own, "console")):
        file.write_text(text)
        found = load_console(file, {})
        assert found is not None and found.oidc is not None and found.oidc.client_id == client
    file.write_text('[console]\nlisten = "127.0.0.1:0"\n' + own)
    with pytest.raises(UsageError, match="fixed port"):
        load_console(file, {})


@pytest.mark.parametrize(
    ("issuer_", "secret", "said"),
    [
        ("https://id.example", None, "secret_file.* cannot be read"),
        ("https://id.example", b"\xff\xfe", "secret_file.* holds no text"),
        ("http://id.example", b"s", "issuer: .*https"),
    ],
)
async def test_a_provider_that_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, empty: sa.Engine, issuer_: str, secret: bytes | None, said: str
) -> None:
    file = tmp_path / "secret"
    if secret is not None:
        file.write_bytes(secret)
    settings = Console(listen=f"{HOST}:{free_port()}", oidc=Oidc(issuer=issuer_, client_id="c", secret_file=str(file)))
    with pytest.raises(UsageError, match=said):
        async with run_console(settings, engine=empty, home=tmp_path / "guard"):
            pass
