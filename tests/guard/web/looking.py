"""Looking at pages in a real Chromium: on a desk and on a phone, light and dark.

Nothing sticks out, every field has a label, nothing is asked of elsewhere, the policy is not broken. With GUARD_SHOTS
set to a directory, pictures are left there.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, Page, async_playwright

from guard.web.serving import Served
from peers.certificates import Certificates

SIZES = {"desk": (1280, 800), "phone": (360, 740)}


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


UNLABELLED = """[...document.querySelectorAll('input:not([type=hidden]), textarea')]
  .filter(e => !e.labels.length).map(e => e.name)"""
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


async def authenticator(page: Page) -> None:
    developer = await page.context.new_cdp_session(page)
    await developer.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "usb", "hasResidentKey": False, "hasUserVerification": False}
    await developer.send("WebAuthn.addVirtualAuthenticator", {"options": options})
