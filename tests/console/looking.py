"""Pages in a real Chromium: on a desk and on a phone, light and dark, judged by axe-core.

With CONSOLE_SHOTS set to a directory, pictures are left there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright

from leadapron.console.browser_parts import part

SIZES = {"desk": (1280, 900), "phone": (375, 740)}
AXE = "axe-core/axe.min.js"
GRAVE = ("serious", "critical")


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is not installed, and these tests look at the pages in it: apt-get install -y chromium")
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        browser = await playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        await browser.close()


def axe() -> str:
    found = part(AXE)
    if found is None:
        pytest.fail("the browser parts are missing, and these tests look at the pages with them: make setup")
    return found.decode()


class Watched:
    """A page, and what it complained about or asked of others."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._asked(request.url, base))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "status of 4" not in text and "DevTools" not in text:
            self.problems.append(text)

    def _asked(self, url: str, base: str) -> None:
        if not url.startswith((base + "/", "data:", "blob:")):
            self.problems.append(f"asked {url}")


async def looked_at(page: Page, name: str) -> None:
    """In each size and light: nothing sticks out sideways, and axe-core finds nothing serious."""
    for size, (width, height) in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            sideways = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert sideways <= 0, f"{name} sticks out by {sideways} at {width}"
            if shots := os.environ.get("CONSOLE_SHOTS"):
                await page.wait_for_timeout(250)  # charts are drawn anew after a moment
                await page.screenshot(path=f"{shots}/{name}-{size}-{scheme}.png", full_page=True, caret="initial")
            found = await _faults(page, only="color-contrast" if scheme == "dark" else None)
            assert found == [], f"{name}, {size}, {scheme}: {found}"
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": 1280, "height": 900})


async def _faults(page: Page, only: str | None) -> list[str]:
    """What axe-core calls serious or worse. It is put in by the developer's tools, past the page's own policy."""
    if not await page.evaluate("typeof window.axe === 'object'"):
        developer = await page.context.new_cdp_session(page)
        await developer.send("Runtime.evaluate", {"expression": axe()})
        await developer.detach()
    rules = {"runOnly": {"type": "rule", "values": [only]}} if only else {}
    found = await page.evaluate("(rules) => axe.run(document, {resultTypes: ['violations'], ...rules})", rules)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:160]}"
        for one in found["violations"]
        if one["impact"] in GRAVE
        for node in one["nodes"][:3]
    ]
