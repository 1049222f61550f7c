"""The published page in a real browser: asks for nothing, complains of nothing, and axe-core finds nothing serious."""

from __future__ import annotations

import random
from pathlib import Path

from console.looking import Watched, browsing, looked_at
from leadapron.watch.reach.statistics import page as published
from leadapron.watch.reach.statistics.history import Archive, History, Week
from leadapron.watch.reach.statistics.pack import publish


def history() -> History:
    """Made up, of any size that one likes: what a page looks like doesn't depend on a database."""
    drawn = random.Random(2)
    standing = []
    for number in range(300):
        country = drawn.choice(["US", "US", "IN", "BR", "TR", "DE", "GB", "BA"])
        product = drawn.choice(["DCMTK", "Orthanc", "other software"])
        size = round(drawn.lognormvariate(9, 1.6))
        standing.append(Archive(country, product, "healthcare", {number: (True, size, 30 * size)}))
    weeks = []
    for number in range(40):
        some = standing[: 2 + 7 * number]
        amounts = tuple(one.studies for one in some), tuple(one.images for one in some)
        weeks.append(Week(f"2026-{1 + number // 4:02}-{1 + 7 * (number % 4):02}", len(some), 7, 0, *amounts))
    spans = tuple((day, day % 3 == 0, 4) for day in range(120))
    return History("2026-01-01", "2026-10-28", tuple(standing), tuple(weeks), spans)


async def test_on_a_desk_and_on_a_phone_light_and_dark(tmp_path: Path) -> None:
    file = tmp_path / "statistics.html"
    file.write_text(published.render(publish(history())), "utf-8")
    async with browsing() as browser:
        page = await browser.new_page()
        watched = Watched(page, file.parent.as_uri())
        await page.goto(file.as_uri())
        assert await page.locator("svg.chart").count() == 4
        await page.get_by_text("The figures of this curve").click()
        assert await page.get_by_role("row").filter(has_text="100 to 100").is_visible()
        await looked_at(page, "statistics")
        assert watched.problems == []


async def test_on_paper(tmp_path: Path) -> None:
    file = tmp_path / "statistics.html"
    file.write_text(published.render(publish(history())), "utf-8")
    async with browsing() as browser:
        page = await browser.new_page()
        await page.goto(file.as_uri())
        await page.emulate_media(media="print")
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert (await page.pdf(format="A4"))[:5] == b"%PDF-"
