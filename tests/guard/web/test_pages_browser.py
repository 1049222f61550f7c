"""A real browser at the guard's pages: set up, log in with code and with key, look at the viewer, log out.

The pages are looked at on a desk and on a phone, light and dark: nothing sticks out, nothing is asked of elsewhere, the
policy is not broken. With GUARD_SHOTS set to a directory, pictures are left there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyotp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from guard.web.serving import ALL_WEB, Served, guarding
from peers.certificates import Certificates
from peers.loading import rest
from peers.process import Peer

SIZES = {"desk": (1280, 800), "phone": (360, 740)}
PASSPHRASE = "vier Lampen im Keller"


@asynccontextmanager
async def browsing(certificates: Certificates) -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is not installed, and these tests look at the pages in it: apt-get install -y chromium")
    certificate = x509.load_pem_x509_certificate(certificates.server_certificate.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(key).digest()).decode()
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        arguments.append(f"--ignore-certificate-errors-spki-list={trusted}")  # a good certificate for WebAuthn, too
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()


class Watched:
    """A page, and what it complained about or asked of others."""

    def __init__(self, page: Page, served: Served) -> None:
        self.page, self.problems = page, []  # type: tuple[Page, list[str]]
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._asked(request.url, served.base))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "status of 40" not in text and "DevTools" not in text:
            self.problems.append(text)

    def _asked(self, url: str, base: str) -> None:
        if not url.startswith((base + "/", "data:", "blob:")):
            self.problems.append(f"asked {url}")


async def looked_at(page: Page, name: str) -> None:
    """In each size and light: no sideways scrolling, every field has a label, focus can be seen."""
    for size, (width, height) in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            sideways = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert sideways <= 0, f"{name} sticks out at {width}"
            if shots := os.environ.get("GUARD_SHOTS"):
                await page.screenshot(path=f"{shots}/{name}-{size}-{scheme}.png", full_page=True)
    unlabelled = await page.evaluate(UNLABELLED)
    assert unlabelled == []
    assert await page.evaluate("document.documentElement.lang") == "en"
    assert await page.locator("main").count() == 1 and await page.locator("h1").count() == 1
    contrast = await page.evaluate(CONTRAST)
    assert contrast == [], f"{name}: too little contrast: {contrast}"
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": 1280, "height": 800})


SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNLABELLED = """[...document.querySelectorAll('input:not([type=hidden]), textarea')]
  .filter(e => !e.labels.length).map(e => e.name)"""
STUDIES = """fetch('../tools/find', {method: 'POST', body: JSON.stringify({Level: 'Study', Query: {}})})
  .then(answer => answer.json())"""
# WCAG 2.2 §1.4.3: 4.5 to 1 for text
CONTRAST = """() => {
  const value = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = value(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest('svg')) continue;
    const [a, b] = [light(value(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) bad.push(`${e.tagName} ${e.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


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


async def authenticator(page: Page) -> None:
    developer = await page.context.new_cdp_session(page)
    await developer.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": False}
    await developer.send("WebAuthn.addVirtualAuthenticator", {"options": options})


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
