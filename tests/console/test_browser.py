"""A real browser at the console: log in, look at each page in each size and light, work without a script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.async_api import Page, expect

from console.lifelike import NOTICES, Size, fill
from console.looking import Watched, browsing, looked_at
from console.parts import Sending, parts
from console.serving import Served, console
from guard.people.somebody import PASSWORD, Held
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

PARTS = 4
UNSURE = next(n for n in range(1, 50) if NOTICES[n % len(NOTICES)] == "unsure" and (n - 1) % 3 != 2)


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


@pytest.mark.parametrize("part", range(PARTS))
async def test_every_page_on_a_desk_and_on_a_phone_light_and_dark(tmp_path: Path, filled: sa.Engine, part: int) -> None:
    scope = tmp_path / "scope.toml"
    scope.write_text(
        'authorised_by = "Dr. Example"\ncontact = "cert@example.org"\nvalid_until = 2030-01-31\n'
        'include = ["10.1.0.0/16", "2001:db8::/32", "clinic.example"]\nexclude = ["10.1.9.0/24"]\n'
    )
    async with console(tmp_path, filled, scopes=(str(scope),)) as served, browsing() as browser:
        name = served.person()
        page = await browser.new_page()
        watched = Watched(page, served.base)
        await page.goto(served.base)
        await expect(page.get_by_text("To the console of the watch")).to_be_visible()
        if part == 0:
            await looked_at(page, "login")
        await log_in(page, served, name)
        for title, path in list(PAGES.items())[part::PARTS]:
            await page.goto(f"{served.base}{path}")
            await looked_at(page, title)
        assert watched.problems == []


LABELS = """
const write = CanvasRenderingContext2D.prototype.fillText;
window.written = [];
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
  const { a, b, e, f } = this.getTransform();
  const wide = this.measureText(text).width;
  const left = a * (x - ({ center: wide / 2, right: wide, end: wide }[this.textAlign] || 0)) + e;
  if (text.trim() && !b) written.push({ canvas: this.canvas, text, left, right: left + a * wide, at: y + f });
  return write.call(this, text, x, y, ...more);
};
"""
CLASHES = """() => {
  const shown = written.filter((one) => one.canvas.isConnected);
  const cut = shown.filter((one) => one.left < 0 || one.right > one.canvas.width).map((one) => one.text);
  const same = (one, other) => one.text === other.text && other.left - one.left < 1;
  const beside = (one, other) => one !== other && one.canvas === other.canvas && Math.abs(one.at - other.at) < 4
    && one.left <= other.left && !same(one, other);
  const over = shown.flatMap((one) => shown
    .filter((other) => beside(one, other) && other.left - one.right < 6)
    .map((other) => `${one.text} over ${other.text}`));
  return [shown.length, cut, over];
}"""


@pytest.mark.parametrize("rounds", [2, 9, 53])
async def test_no_label_of_a_chart_is_cut_off_or_lies_over_another(tmp_path: Path, rounds: int) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    fill(engine, Size(exposures=60, rounds=rounds))
    async with console(tmp_path, engine) as served, browsing() as browser:
        page = await browser.new_page()
        await page.add_init_script(LABELS)
        await log_in(page, served, served.person())
        for width in (375, 768, 1024, 1280, 1600):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.goto(served.base)
            await expect(page.locator("#volume canvas")).to_be_visible()
            written, cut, over = await page.evaluate(CLASHES)
            assert written > 10 and cut == [] and over == [], f"at {width}: {cut} {over}"


async def test_acting_in_each_page_with_keys_alone(tmp_path: Path, filled: sa.Engine) -> None:
    clock = Held()
    async with console(tmp_path, filled, parts(filled, clock, Sending()), clock) as served, browsing() as browser:
        name = served.person()
        page = await browser.new_page()
        watched = Watched(page, served.base)
        await log_in(page, served, name)

        await page.goto(f"{served.base}/exposures")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.get_by_label("Search").fill("127.1.0.12")
        await expect(page.get_by_role("status").filter(has_text="exposure")).to_have_text(
            re.compile(r"^\d+ exposures?$")
        )
        await expect(page).to_have_url(re.compile("text=127.1.0.12"))
        await expect(page.locator("#results tbody tr").first).to_contain_text("127.1.0.12")
        await expect(page.get_by_label("Search")).to_be_focused()
        await page.get_by_role("link", name="Country").press("Enter")
        await expect(page.locator("th[aria-sort]")).to_contain_text("Country")
        await page.go_back()
        await expect(page.locator("th[aria-sort]")).to_contain_text("Studies")
        await page.get_by_text("Save this view").click()
        await page.get_by_label("Name").fill("Twelve")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("navigation", name="Saved views")).to_contain_text("Twelve")
        await looked_at(page, "exposures-view")

        await page.goto(f"{served.base}/exposures/3")
        await looked_at(page, "exposure-working")
        first = page.locator("#hints li").first
        await first.get_by_role("button", name=re.compile("^(Confirm|Reject)")).first.press("Enter")
        await expect(first).to_contain_text(f"by {name}")
        assert page.url.endswith("/exposures/3"), "only the part was asked for anew"

        await page.goto(f"{served.base}/cases/9")
        await looked_at(page, "case-new")
        await page.get_by_label("Organisation").fill("Clinic Example")
        await page.get_by_label("Mailbox").fill("it@clinic.example")
        await page.get_by_role("button", name="Confirm the owner").press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("The owner is confirmed")
        await looked_at(page, "case-confirmed")
        await page.get_by_role("button", name="Draft it").press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("A notice is drafted")
        await looked_at(page, "notice-draft")
        await page.get_by_role("button", name="Approve").press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("Approved")
        await looked_at(page, "notices-working")
        await page.goto(f"{served.base}/notices/{UNSURE}")
        await looked_at(page, "notice-unsure")
        assert watched.problems == []


async def test_the_board_on_a_phone_is_a_list_of_states_to_open(tmp_path: Path, filled: sa.Engine) -> None:
    async with console(tmp_path, filled) as served, browsing() as browser:
        page = await browser.new_page()
        await log_in(page, served, served.person())
        await page.set_viewport_size({"width": 375, "height": 740})
        await page.goto(f"{served.base}/cases/board")
        headings = page.get_by_role("heading", level=2)
        assert [re.sub(r" \d+$", "", text) for text in await headings.all_inner_texts()] == [
            *("New", "Confirmed", "Notified", "Acknowledged", "Escalated", "Reopened", "Fixed", "Closed")
        ]
        assert all(re.search(r" \d+$", text) for text in await headings.all_inner_texts()), "with how many there are"
        shown = page.locator(".board li.card:visible")
        few = await shown.count()
        assert 0 < few <= 12, "those of one state"
        closed = page.get_by_role("region", name="Notified").locator("summary")
        await closed.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("region", name="Notified").locator("li.card").first).to_be_visible()
        assert await shown.count() > few
        await looked_at(page, "board-opened")
        await page.set_viewport_size({"width": 1280, "height": 900})
        await expect(page.get_by_role("region", name="Closed").locator("li.card").first).to_be_visible()


async def test_hostile_texts_do_nothing_and_push_nothing_aside(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    fill(engine, Size(exposures=30, rounds=5, hostile=True))
    clock = Held()
    async with console(tmp_path, engine, parts(engine, clock), clock) as served, browsing() as browser:
        page = await browser.new_page()
        watched = Watched(page, served.base)
        page.on("dialog", lambda dialog: watched.problems.append(f"a dialog: {dialog.message}"))
        await log_in(page, served, served.person())
        for title, path in PAGES.items():
            await page.goto(f"{served.base}{path}")
            for width in (1280, 375):
                await page.set_viewport_size({"width": width, "height": 800})
                wide = await page.evaluate(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert wide <= 0, f"{title} sticks out by {wide} at {width}"
        assert watched.problems == []


async def test_without_a_script(tmp_path: Path, filled: sa.Engine) -> None:
    clock = Held()
    async with console(tmp_path, filled, parts(filled, clock), clock) as served, browsing() as browser:
        page = await (await browser.new_context(java_script_enabled=False)).new_page()
        await log_in(page, served, served.person())
        await page.get_by_text("As a table").first.click()
        await expect(page.get_by_role("region", name="Exams and images exposed, by day")).to_be_visible()
        await page.goto(f"{served.base}/exposures")
        await page.get_by_label("State").select_option("closed")
        await page.get_by_role("button", name="Show").click()
        await expect(page).to_have_url(re.compile("state=closed"))
        assert await page.locator("#results .s-open").count() == 0
        await page.get_by_role("link", name="Images").click()
        await expect(page.locator("th[aria-sort=descending]")).to_contain_text("Images")
        await page.goto(f"{served.base}/cases/2")
        await page.get_by_text("Write a note").click()
        await page.get_by_label("Note", exact=True).fill("Called them.")
        await page.get_by_role("button", name="Keep it").click()
        await expect(page.get_by_role("status")).to_contain_text("The note is kept")
        await expect(page.get_by_text("Called them.")).to_be_visible()


async def test_a_first_look_and_a_session_that_ended(tmp_path: Path, filled: sa.Engine) -> None:
    async with console(tmp_path, filled) as served, browsing() as browser:
        page = await browser.new_page()
        assert served.running.first is not None
        await page.goto(served.running.first)
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        await expect(page.locator("#volume canvas")).to_be_visible()
        await page.goto(f"{served.base}/exposures")
        served.person()
        await page.get_by_label("State").select_option("open")
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert "next=%2Fexposures" in page.url
