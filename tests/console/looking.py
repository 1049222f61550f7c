"""Pages in a real Chromium: on a desk and on a phone, light and dark, judged by axe-core.

With CONSOLE_SHOTS set to a directory, pictures are left there.
"""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from browsing import Watched, browsing, each_way
from leadapron.console.browser_parts import part

__all__ = ["Watched", "axe", "browsing", "looked_at"]

AXE = "axe-core/axe.min.js"
GRAVE = ("serious", "critical")


def axe() -> str:
    found = part(AXE)
    if found is None:
        pytest.fail("the browser parts are missing, and these tests look at the pages with them: make setup")
    return found.decode()


async def looked_at(page: Page, name: str) -> None:
    """In each size and light: nothing sticks out sideways, and axe-core finds nothing serious."""
    async for size, scheme in each_way(page, name, "CONSOLE_SHOTS"):
        found = await _faults(page, only="color-contrast" if scheme == "dark" else None)
        assert found == [], f"{name}, {size}, {scheme}: {found}"


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
