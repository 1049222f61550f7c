"""The HTML report in a real browser: what a person sees, clicks, types and prints."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import ExposedTotal, Summary
from leadapron.watch.report.html import DETAILED, render
from leadapron.watch.report.model import KEEP, Facts, collect
from sightings import about, archive, at_least, exact, refusing, web

FACTS = Facts(
    number=3,
    state="done",
    targets=("127.1.0.0/24",),
    started_at="2026-11-21T20:00:00Z",
    finished_at="2026-11-21T20:00:12Z",
    authorised_by="Dr A. Person",
    scope=None,
    depth="count",
)
MEASURED = (
    archive(1, exact(1503, 48211)),
    archive(2, at_least(120311)),
    archive(3, about(90)),
    archive(4, exact(17, 2400), where="2001:db8:1234:5678:9abc:def0:1234:5678"),
    archive(5, name="<b>bold</b>", uid="1.2.3"),
    refusing(6),
    *(web(n) for n in range(7, 20)),
)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844), "small phone": (320, 640)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("Chromium is not installed, and these tests look at the report in it: apt-get install -y chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


def written(path: Path, measured: tuple[Measurement, ...] = MEASURED) -> Path:
    total = ExposedTotal(3100, 4203, 120311, False)
    summary = Summary(256, {"exposed": 4, "open": 1, "guarded": 1, "other": 13, "closed": 1260}, 4, total, 12.3)
    path.write_text(render(collect(FACTS, ((m, judged(m)) for m in measured), lambda: summary)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield written(Path(directory) / "report.html")


@contextmanager
def shown(browser: Browser, file: Path, *, size: str = "desktop", scheme: str = "light") -> Iterator[Page]:
    """The report in a fresh window; fails if it asks for anything or complains about anything."""
    width, height = WIDTHS[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    asked: list[str] = []
    complaints: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.url == file.as_uri():
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    context.route("**/*", refuse)
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    yield page
    assert asked == []
    assert complaints == []
    context.close()


@pytest.fixture
def page(browser: Browser, file: Path) -> Iterator[Page]:
    with shown(browser, file) as opened:
        yield opened


def column(page: Page, number: int) -> list[str]:
    cells = page.locator(f"#endpoints tbody tr:not([hidden]) > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(WIDTHS))
def test_it_fits_the_window_without_a_complaint(browser: Browser, file: Path, size: str, scheme: str) -> None:
    with shown(browser, file, size=size, scheme=scheme) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "4 endpoints give patient records to any stranger who asks."
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[size][0]
        page.get_by_role("button", name="Open all").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[size][0]
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(part) for part in colour[4:-1].split(",")) < 200) == (scheme == "dark")


def test_the_policy_is_in_force(browser: Browser, file: Path) -> None:
    page = browser.new_page()  # Chromium tells the console of what it blocks, which the other tests don't allow
    page.goto(file.as_uri())
    blocked = page.evaluate(
        """async () => {
            const seen = [];
            document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            return [window.ran === undefined, seen];
        }"""
    )
    assert blocked == [True, ["script-src-elem"]]
    page.close()


def test_the_table_sorts_by_each_column(page: Page) -> None:
    before = column(page, 1)
    assert before[0] == "127.0.0.2:11112"
    heading = page.get_by_role("columnheader", name="Studies")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert column(page, 4)[:4] == ["≥ 120,311", "1,503", "≈ 90", "17"]
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert [text for text in column(page, 4) if text] == ["17", "≈ 90", "1,503", "≥ 120,311"]

    endpoint = page.get_by_role("columnheader", name="Endpoint", exact=True)
    endpoint.get_by_role("button").click()
    expect(endpoint).to_have_attribute("aria-sort", "ascending")
    assert page.locator("th[aria-sort]").count() == 1, "one column sorts at a time"
    addresses = column(page, 1)
    assert addresses[:3] == ["127.0.0.1:11112", "127.0.0.2:11112", "127.0.0.3:11112"]
    assert addresses.index("127.0.0.9:104") < addresses.index("127.0.0.10:104"), "as numbers, not as letters"
    assert addresses[-1].startswith("[2001:db8:"), "IPv6 after IPv4"
    assert sorted(addresses) == sorted(before)

    page.get_by_role("columnheader", name="Verdict").get_by_role("button").click()
    verdicts = column(page, 2)
    assert verdicts == sorted(verdicts, key=["exposed", "open", "guarded", "other"].index)
    page.get_by_role("columnheader", name="Findings").get_by_role("button").click()
    assert column(page, 6)[0].startswith("critical")
    page.get_by_role("columnheader", name="Software").get_by_role("button").click()
    software = [text.lower() for text in column(page, 7)]
    assert software == sorted(software)


def test_the_keyboard_is_enough(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the report")).to_be_focused()
    button = page.get_by_role("columnheader", name="Images").get_by_role("button")
    for _ in range(60):
        page.keyboard.press("Tab")
        if button.evaluate("one => one === document.activeElement"):
            break
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    expect(button).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    assert button.evaluate("one => getComputedStyle(one).outlineStyle") == "solid", "focus can be seen"


def test_the_filter_shows_only_lines_with_all_words(page: Page) -> None:
    filter_ = page.get_by_label("Show only lines with")
    filter_.fill("EXPOSED :11112")
    expect(page.locator("#shown")).to_have_text("4 of 19 shown")
    assert set(column(page, 2)) == {"exposed"}
    page.get_by_role("columnheader", name="Studies").get_by_role("button").click()
    assert len(column(page, 1)) == 4, "sorting keeps the filter"
    filter_.fill("")
    expect(page.locator("#shown")).to_have_text("")
    assert len(column(page, 1)) == 19


def test_a_line_leads_to_its_details(page: Page) -> None:
    name = page.locator("summary .name", has_text="127.0.0.1:11112")
    server = page.locator("details.server", has=name)
    assert not server.evaluate("one => one.open")
    page.locator("#endpoints").get_by_role("link", name="127.0.0.1:11112").click()
    expect(server).to_have_attribute("open", "")
    expect(server.get_by_text("What this device was asked")).to_be_visible()
    remedy = server.locator(".mend a").last
    remedy.click()
    target = page.locator(f"[id='{remedy.get_attribute('href', timeout=1000)[1:]}']")  # type: ignore[index]
    expect(target).to_have_attribute("open", "")
    expect(target).to_be_in_viewport()


def test_details_open_and_close_one_by_one_and_all(page: Page) -> None:
    servers = page.locator("details.server")
    assert servers.count() == 6
    second = servers.nth(1)
    second.locator("> summary").click()
    expect(second).to_have_attribute("open", "")
    page.get_by_role("button", name="Open all").click()
    expect(page.locator("details.server[open]")).to_have_count(6)
    page.get_by_role("button", name="Close all").click()
    expect(page.locator("details.server[open]")).to_have_count(0)


def test_a_link_from_elsewhere_opens_what_it_names(browser: Browser, file: Path) -> None:
    with shown(browser, file) as page:
        page.evaluate("location.hash = '#e3'")
        expect(page.locator("#e3")).to_have_attribute("open", "")


def test_hostile_names_are_shown_as_they_are(page: Page) -> None:
    assert page.locator("b").count() == 0
    expect(page.locator("#endpoints").get_by_text("<b>bold</b>")).to_be_visible()


def test_the_chart_has_a_name_a_description_and_figures(page: Page) -> None:
    chart = page.get_by_role("img", name="Exposed studies by server")
    expect(chart).to_be_visible()
    assert "The largest is 127.0.0.2:11112 with ≥ 120,311 studies" in (chart.locator("desc").text_content() or "")
    page.get_by_text("The chart as a table").click()
    expect(page.locator(".fallback tbody tr")).to_have_count(4)


def test_paper_shows_everything_and_is_put_back(page: Page) -> None:
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("details.server:not([open]), details.server details:not([open])")).to_have_count(0)
    expect(page.locator(".tools")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("details.server[open]")).to_have_count(1)
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_its_script_everything_is_there(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#endpoints tbody tr").count() == 19
    expect(page.locator(".tools")).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(0)
    page.locator("details.server > summary").nth(1).click()
    expect(page.locator("details.server").nth(1).get_by_text("What this device was asked")).to_be_visible()
    context.close()


def test_a_census_still_opens(browser: Browser, tmp_path: Path) -> None:
    measured = (*(archive(n, exact(n + 1)) for n in range(700)), *(web(n) for n in range(700, 20_000)))
    with shown(browser, written(tmp_path / "census.html", measured)) as page:
        assert page.locator("#endpoints tbody tr").count() == KEEP
        said = " ".join(page.locator("p.lead").all_inner_texts())
        assert f"{20_000 - KEEP:,} endpoints are not listed here" in said
        assert f"{700 - DETAILED} more servers have details that are not told here" in said
        page.locator("#endpoints thead button").nth(4).click()
        expect(page.locator("#endpoints th[aria-sort]")).to_have_text("Images")
