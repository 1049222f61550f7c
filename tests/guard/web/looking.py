"""Looking at pages in a real Chromium: on a desk and on a phone, light and dark.

Nothing sticks out, every field has a label, nothing is asked of elsewhere, the policy is not broken. With GUARD_SHOTS
set to a directory, pictures are left there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Browser, Page

import browsing as shared
from guard.web.serving import Served
from peers.certificates import Certificates


@asynccontextmanager
async def browsing(certificates: Certificates) -> AsyncIterator[Browser]:
    certificate = x509.load_pem_x509_certificate(certificates.server_certificate.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    trusted = base64.b64encode(hashlib.sha256(key).digest()).decode()
    # Pinned, so that it is a good certificate for WebAuthn, too.
    async with shared.browsing(f"--ignore-certificate-errors-spki-list={trusted}") as browser:
        yield browser


class Watched(shared.Watched):
    """A page of a guard, and what it complained about or asked of others."""

    def __init__(self, page: Page, served: Served) -> None:
        super().__init__(page, served.base)


async def looked_at(page: Page, name: str) -> None:
    """In each size and light: no sideways scrolling, every field has a label, focus can be seen."""
    async for size, scheme in shared.each_way(page, name, "GUARD_SHOTS"):
        contrast = await page.evaluate(CONTRAST)
        assert contrast == [], f"{name}, {size}, {scheme}: too little contrast: {contrast}"
    unlabelled = await page.evaluate(UNLABELLED)
    assert unlabelled == []
    assert await page.evaluate("document.documentElement.lang") == "en"
    assert await page.locator("main").count() == 1 and await page.locator("h1").count() == 1


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
