"""One's own account in a real browser: password, app, security key, token, sessions; on a desk and on a phone."""

from __future__ import annotations

from pathlib import Path

import pyotp
from playwright.async_api import Page, expect

from guard.people.somebody import PASSWORD
from guard.web.looking import Watched, authenticator, browsing, looked_at
from guard.web.serving import Served, guarding
from peers.certificates import Certificates

NEW = "ein ganz neues Wort"


async def code(page: Page, served: Served, name: str, button: str) -> None:
    await page.get_by_label("Code").fill(served.digits(name))
    await page.get_by_role("button", name=button, exact=True).click()
    served.clock.forward(60)


async def log_in(page: Page, served: Served, name: str) -> None:
    await page.goto(f"{served.base}/guard/login")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await code(page, served, name, "Log in")
    await expect(page.get_by_role("heading", name="Logged in")).to_be_visible()


async def test_ones_own_account(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served, browsing(certificates) as browser:
        name = served.person("anna")
        await served.session(name)
        await served.session(name)
        page = await browser.new_page()
        watched = Watched(page, served)
        await authenticator(page)
        await log_in(page, served, name)
        await page.get_by_role("link", name="Your account").click()
        await expect(page.get_by_role("heading", name="Your account")).to_be_visible()

        await page.get_by_role("link", name="Make a token").click()
        await looked_at(page, "confirm")
        await page.get_by_label("Code").fill("000000")
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("alert")).to_contain_text("That did not work")
        await looked_at(page, "confirm-refused")
        await code(page, served, name, "Continue")
        await looked_at(page, "token")
        await page.get_by_label("What it is for").fill("nightly export")
        await page.get_by_label("web:query").check()
        await page.get_by_role("button", name="Make it").click()
        await expect(page.get_by_text("lat_")).to_be_visible()
        await looked_at(page, "token-made")
        await page.get_by_role("link", name="Done").click()
        await expect(page.get_by_text("nightly export")).to_be_visible()

        await page.get_by_role("link", name="Add a security key").click()
        await code(page, served, name, "Continue")
        await looked_at(page, "key")
        await page.get_by_role("button", name="Add the key").click()
        await expect(page.get_by_role("status")).to_contain_text("The key was added")
        assert len(served.people.manage.sessions()) == 1, "the other sessions go on"
        await served.session(name)
        await page.reload()
        await looked_at(page, "account")

        await page.get_by_role("link", name="Another authenticator app").click()
        await page.get_by_role("button", name="Use a security key instead").click()
        await expect(page.get_by_role("heading", name="Set an authenticator app")).to_be_visible()
        await looked_at(page, "app")
        await page.get_by_text("I cannot scan it").click()
        served.secrets[name] = (await page.locator("code.secret").inner_text()).replace(" ", "")
        await page.get_by_label("Six digits").fill(pyotp.TOTP(served.secrets[name]).at(served.clock.now()))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("The app is set")
        served.clock.forward(60)

        await page.get_by_role("link", name="Remove Security key").click()
        await code(page, served, name, "Remove it")
        await expect(page.get_by_text("The last one stays")).to_be_visible()
        await page.get_by_role("link", name="Make new ones").click()
        await code(page, served, name, "Make new codes")
        assert await page.locator(".codes code").count() == 10
        await looked_at(page, "codes")
        await page.get_by_role("link", name="Done").click()

        await page.get_by_role("link", name="Change the password").click()
        await code(page, served, name, "Continue")
        await page.get_by_label("Password of now").fill(PASSWORD)
        await page.get_by_label("New password", exact=True).fill("123")
        await page.get_by_label("New password again").fill("123")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("12 characters")
        await looked_at(page, "password-refused")
        await page.get_by_label("Password of now").fill(PASSWORD)
        await page.get_by_label("New password", exact=True).fill(NEW)
        await page.get_by_label("New password again").fill(NEW)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("password was changed")
        await page.get_by_role("link", name="Revoke token 1").click()
        await code(page, served, name, "Revoke it")
        await expect(page.get_by_text("You have none.")).to_be_visible()
        assert watched.problems == []


async def test_without_a_script(tmp_path: Path, certificates: Certificates) -> None:
    async with guarding(tmp_path, certificates, "http://127.0.0.1:1") as served, browsing(certificates) as browser:
        name = served.person("clara")
        await served.session(name)
        page = await (await browser.new_context(java_script_enabled=False)).new_page()
        await log_in(page, served, name)
        await page.goto(f"{served.base}/guard/account")
        await page.get_by_role("link", name="End all others").click()
        await code(page, served, name, "End them")
        await expect(page.get_by_role("status")).to_contain_text("All your other sessions have ended")
        assert len(served.people.manage.sessions()) == 1
