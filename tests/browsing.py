"""Looking at pages in a real Chromium, on a desk and on a phone, light and dark: what tests of the guard's pages and of
the console share."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright

SIZES = {"desk": (1280, 900), "phone": (360, 740)}


@asynccontextmanager
async def browsing(*arguments: str) -> AsyncIterator[Browser]:
    """Chromium, with command-line ``arguments`` beside those that a test needs anyway."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is not installed, and these tests look at the pages in it: apt-get install -y chromium")
    always = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=[*always, *arguments])
        yield browser
        await browser.close()


class Watched:
    """A page, and what it complained about or asked of others than ``base``."""

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


async def each_way(page: Page, name: str, shots: str) -> AsyncIterator[tuple[str, str]]:
    """The page in each size and light, as ``desk`` or ``phone`` and ``light`` or ``dark``; nothing sticks out sideways.
    Pictures are left in the directory that the variable ``shots`` names. Then it is on a light desk again."""
    for size, (width, height) in SIZES.items():
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            sideways = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert sideways <= 0, f"{name} sticks out by {sideways} at {width}"
            if directory := os.environ.get(shots):
                await page.wait_for_timeout(250)  # charts are drawn anew after a moment
                await page.screenshot(path=f"{directory}/{name}-{size}-{scheme}.png", full_page=True, caret="initial")
            yield size, scheme
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": SIZES["desk"][0], "height": SIZES["desk"][1]})
