"""A real browser at the guard's pages: set up, log in with code and with key, look at the viewer, log out."""

from __future__ import annotations

import os
from pathlib import Path

import pyotp
from playwright.async_api import BrowserContext, expect

from guard.web.looking import Watched, authenticator, browsing, looked_at
from guard.web.serving import ALL_WEB, guarding
from peers.certificates import Certificates
from peers.loading import rest
from peers.process import Peer

PASSPHRASE = "vier Lampen im Keller"
STUDIES = """fetch('../tools/find', {method: 'POST', body: JSON.stringify({Level: 'Study', Query: {}})})
  .then(answer => answer.json())"""


async def test_from_the_set_up_secret_to_the_viewer_and_out(
    tmp_path: Path, certificates: Certificates, archive: Peer, sample: list[Path]
) -> None:
    for file in sample[:3]:
        rest(archive, "/instances", file.read_bytes())
    url = f"http://127.0.0.1:{archive.http_port}"
    async with guarding(tmp_path, certificates, url, "orthanc") as served, browsing(certificates) as browser:
        secret = served.people.manage.setup_secret(ALL_WEB, "test")
        page = await browser.new_page()
        watched = Watched(page, served)

        await page.goto(f"{served.base}/orthanc/app/explorer.html")
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await looked_at(page, "login")
        await page.get_by_role("link", name="I have a one-time code").click()
        await looked_at(page, "setup")
        await page.get_by_label("One-time code").fill(secret)
        await page.get_by_label("Name").fill("anna")
        await page.get_by_label("Password", exact=True).fill("123")
        await page.get_by_label("Password again").fill("123")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await looked_at(page, "setup-refused")
        await page.get_by_label("Password", exact=True).fill(PASSPHRASE)
        await page.get_by_label("Password again").fill(PASSPHRASE)
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("heading", name="Your second factor")).to_be_visible()
        await looked_at(page, "factor")
        await page.get_by_text("I cannot scan it").click()
        totp = pyotp.TOTP((await page.locator("code.secret").inner_text()).replace(" ", ""))
        await page.get_by_label("Six digits").fill("000000")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await looked_at(page, "factor-refused")
        await page.get_by_label("Six digits").fill(totp.at(served.clock.now()))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Done, anna")).to_be_visible()
        await looked_at(page, "enrolled")
        codes = await page.locator(".codes code").all_inner_texts()
        assert len(codes) == 10
        served.clock.forward(60)

        await page.goto(f"{served.base}/orthanc/app/explorer.html")
        await page.get_by_label("Name").fill("anna")
        await page.get_by_label("Password").fill(PASSPHRASE)
        await page.get_by_label("Code").fill("123456")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("That did not work")
        await looked_at(page, "login-refused")
        await page.get_by_label("Password").fill(PASSPHRASE)
        await page.get_by_label("Code").fill(totp.at(served.clock.now()))
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/orthanc/app/explorer.html")
        await expect(page.get_by_role("heading", name="Lookup studies")).to_be_visible()
        await expect(page.get_by_text("Insecure setup").first).to_be_hidden()
        await page.get_by_role("link", name="All studies").click()
        await expect(page.locator("#all-studies li, #find-studies li").first).to_be_visible()
        if shots := os.environ.get("GUARD_SHOTS"):
            await page.screenshot(path=f"{shots}/explorer.png")
        found = await page.evaluate(STUDIES)
        assert len(found) >= 3

        watched.problems.clear()  # Orthanc Explorer's own are its own
        await page.goto(f"{served.base}/guard/")
        await expect(page.get_by_text("anna")).to_be_visible()
        await looked_at(page, "home")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Logged out")).to_be_visible()
        await looked_at(page, "left")
        await page.goto(f"{served.base}/orthanc/app/explorer.html")
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await page.get_by_role("link", name="Emergency access").click()
        await looked_at(page, "emergency")
        await page.goto(f"{served.base}/guard/nothing")
        await looked_at(page, "missing")
        assert watched.problems == []


async def test_a_security_key_instead_of_a_code(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served, browsing(certificates) as browser:
        secret = served.people.manage.setup_secret(ALL_WEB, "test")
        page = await browser.new_page()
        watched = Watched(page, served)
        await authenticator(page)
        await page.goto(f"{served.base}/guard/setup")
        await page.get_by_label("One-time code").fill(secret)
        await page.get_by_label("Name").fill("ben")
        await page.get_by_label("Password", exact=True).fill(PASSPHRASE)
        await page.get_by_label("Password again").fill(PASSPHRASE)
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_role("button", name="Use a security key instead").click()
        await expect(page.get_by_role("heading", name="Done, ben")).to_be_visible()

        await page.goto(f"{served.base}/guard/login")
        await page.get_by_role("button", name="Use a security key instead").click()
        await expect(page.get_by_role("status")).to_contain_text("Fill in name and password")
        await page.get_by_label("Name").fill("ben")
        await page.get_by_label("Password").fill(PASSPHRASE)
        await page.get_by_role("button", name="Use a security key instead").click()
        await expect(page.get_by_role("heading", name="Logged in")).to_be_visible()
        assert watched.problems == []
        assert served.told[-1].how == "password+webauthn"


async def test_the_pages_work_without_a_script(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served, browsing(certificates) as browser:
        name = served.person("clara")
        context: BrowserContext = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(f"{served.base}/guard/login")
        assert not await page.locator("#with-key").is_visible()
        await page.keyboard.type(name)  # the first field has the focus
        await page.keyboard.press("Tab")
        await page.keyboard.type("grünes Licht im Flur")
        await page.keyboard.press("Tab")
        await page.keyboard.type(served.digits(name))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Logged in")).to_be_visible()
        (kept,) = [one for one in await context.cookies() if one["name"] == "__Host-leadapron-session"]
        assert kept["httpOnly"] and kept["secure"] and kept["sameSite"] == "Lax" and kept["path"] == "/"
