"""A real browser at the console: log in, look at each page in each size and light, work without a script."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.async_api import Page, expect

from console.lifelike import Size, fill
from console.looking import Watched, browsing, looked_at
from console.serving import Served, console
from guard.people.somebody import PASSWORD
from leadapron.watch.track.database import open_engine

PAGES = {
    "overview": "/",
    "exposures": "/exposures",
    "exposure": "/exposures/2",
    "cases": "/cases",
    "board": "/cases/board",
    "case": "/cases/2",
    "notices": "/notices",
    "notice": "/notices/1",
    "scans": "/scans",
    "scopes": "/scopes",
    "missing": "/nothing",
}


@pytest.fixture
def filled(tmp_path: Path) -> sa.Engine:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    fill(engine, Size(exposures=150, rounds=20))
    return engine


async def log_in(page: Page, served: Served, name: str) -> None:
    await page.goto(served.base)
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_label("Code").fill(served.digits(name))
    await page.get_by_role("button", name="Log in", exact=True).click()
    served.clock.forward(60)
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_every_page_on_a_desk_and_on_a_phone_light_and_dark(tmp_path: Path, filled: sa.Engine) -> None:
    async with console(tmp_path, filled) as served, browsing() as browser:
        name = served.person()
        page = await browser.new_page()
        watched = Watched(page, served.base)
        await page.goto(served.base)
        await expect(page.get_by_text("To the console of the watch")).to_be_visible()
        await looked_at(page, "login")
        await log_in(page, served, name)
        for title, path in PAGES.items():
            await page.goto(f"{served.base}{path}")
            await looked_at(page, title)
        assert watched.problems == []
