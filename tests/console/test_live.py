"""Rounds that run, seen and steered from the console; and that nothing of a patient gets from a server to a page."""

from __future__ import annotations

import asyncio
import html
import re
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa
from msgspec import structs
from playwright.async_api import expect
from starlette.routing import Route

from canaries import LAB_ROOT, needles, told
from console.looking import Watched, browsing, looked_at
from console.parts import parts
from console.serving import COOKIE, Served, console
from guard.people.somebody import Held
from leadapron.console.app import Pages
from leadapron.console.pages import rounds as pages
from leadapron.console.pages.desk import Desk
from leadapron.console.parts import Parts
from leadapron.console.settings import Console
from leadapron.kernel.clock import SystemClock
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.campaign.settings import Campaign, Watch
from leadapron.watch.track.tables import exposures, scans
from scan.scanning import reserve

BOUND_S = 45.0
PORT = 11112
CANARY = "CANARY7f3a"


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    """Two open archives whose every text is a canary, on a network of their own."""
    second = reserve(1)
    specs = [
        EndpointSpec(f"127.{second}.0.{host}", PORT, "dcmtk", archive=ArchiveSpec(studies=20 + host, seed=host))
        for host in (1, 2)
    ]
    with LabProcess(Population("two", specs), canary=CANARY):
        yield f"127.{second}.0"


@asynccontextmanager
async def running(
    tmp_path: Path, location: str, engine: sa.Engine, campaign: Campaign, clock: Held | None = None
) -> AsyncIterator[Served]:
    clock = clock or Held()
    async with (
        Rounds(location, Watch(campaign=(campaign,)), look_every_s=0.1) as rounds,
        console(tmp_path, engine, structs.replace(parts(engine, clock), rounds=rounds), clock) as served,
    ):
        yield served


async def until(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    end = time.monotonic() + BOUND_S
    while not await holds():
        assert time.monotonic() < end, f"not within {BOUND_S:g} s: {what}"
        await asyncio.sleep(0.05)


async def test_a_round_is_seen_paused_and_asked_for(
    tmp_path: Path, location: str, engine: sa.Engine, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "POLLS", 3)
    slow = Campaign(name="own-one", targets=(f"{network}.0/26",), ports=(PORT,), timeout=3, every="7d", rate=4.0)
    async with running(tmp_path, location, engine, slow) as served, served.client(await served.session()) as anna:

        async def shows(words: str) -> bool:
            return words in (await anna.get("/scans")).text

        await until("it runs", lambda: shows("<progress"))
        page = (await anna.get("/scans?polls=1")).text
        assert "own-one" in page and "of 64" in page and 'hx-get="/scans?polls=2"' in page
        await until("its campaign says so", lambda: shows("Its round runs now"))
        tired = (await anna.get("/scans?polls=3")).text
        assert "hx-get" not in tired.split("</section>")[0] and "Follow it again" in tired
        await until("the campaign is known", lambda: shows("/scans/own-one/pause"))
        assert (await anna.post("/scans/own-one/pause")).headers["location"] == "/scans?done=paused"
        await until("it was stopped", lambda: shows("No round runs at this moment"))
        page = (await anna.get("/scans")).text
        assert "changed by anna" in page and "before somebody resumes it" in page and "Next round" not in page
        refused = await anna.post("/scans/own-one/now")
        assert refused.status_code == 409 and "is paused" in refused.text
        assert (await anna.post("/scans/nothing/now")).status_code == 409
        assert (await anna.post("/scans/own-one/explode")).status_code == 404
        assert (await anna.post("/scans/own-one/resume")).status_code == 303
        await until("it goes on", lambda: shows("<progress"))


async def test_a_campaign_that_cannot_begin_says_why(tmp_path: Path, location: str, engine: sa.Engine) -> None:
    lost = Campaign(name="lost", files=(str(tmp_path / "nothing.txt"),), every="7d")
    async with running(tmp_path, location, engine, lost) as served, served.client(await served.session()) as anna:
        page = (await anna.get("/scans")).text
        assert "No round can begin: there is no file" in page and "nothing.txt" in page


LINK = re.compile(r'(?:href|hx-get|src|action)="(/[^"#]*)')
WHOLE = 400
"""Pages that a walk over all links may come to, each filter and order counted."""


async def walked(anna: httpx2.AsyncClient, begin: tuple[str, ...]) -> dict[str, httpx2.Response]:
    """All that can be read from there by following links, as a person does who tries each."""
    found: dict[str, httpx2.Response] = {}
    waiting = list(begin)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = answer = await anna.get(path)
        assert len(found) < WHOLE
        if answer.headers.get("content-type", "").startswith("text/html"):
            waiting += [html.unescape(link) for link in LINK.findall(answer.text)]
    return found


def readable() -> list[re.Pattern[str]]:
    """The address of each page that there is."""
    engine = sa.create_engine("sqlite://")
    routes = Pages(Desk(engine, Parts(), Console(), SystemClock())).app.routes
    return [one.path_regex for one in routes if isinstance(one, Route) and "GET" in (one.methods or ())]


async def test_nothing_of_a_patient_gets_to_a_page(
    tmp_path: Path, location: str, engine: sa.Engine, network: str
) -> None:
    """Two archives are scanned, and all that a person can do in the console is done with what was found. No page and
    no file that it gives out, no refusal and no header holds a text, a UID or a date of birth of theirs."""
    secrets = {CANARY, LAB_ROOT, *told(f"{network}.1", PORT, CANARY), *told(f"{network}.2", PORT, CANARY)}
    wanted = needles(secrets)
    answers: dict[str, httpx2.Response] = {}
    quick = Campaign(name="own", targets=(f"{network}.1", f"{network}.2"), ports=(PORT,), timeout=3, every="7d")
    clock = Held()
    clock.moment = SystemClock().now()
    async with running(tmp_path, location, engine, quick, clock) as served:
        async with served.client(await served.session()) as anna:

            async def rounds_done(count: int) -> bool:
                with engine.connect() as connection:
                    folded = sa.select(sa.func.count()).where(scans.c.folded_at.is_not(None))
                    return bool(connection.execute(folded).scalar_one() == count)

            async def post(path: str, done: int = 303, **fields: str) -> str:
                answer = answers[f"{path} {fields}"] = await anna.post(path, data=fields)
                assert answer.status_code == done, (path, answer.text)
                return answer.headers.get("location", "")

            await until("it was folded", lambda: rounds_done(1))
            with engine.connect() as connection:
                first, second = connection.execute(sa.select(exposures.c.id).order_by(exposures.c.id)).scalars()

            async def counted() -> bool:
                return "<dd>43</dd>" in (await anna.get("/")).text

            await until("the overview has 21 and 22 studies", counted)  # the one from before may be shown meanwhile
            assert "Look again now" in (await anna.get(f"/exposures/{first}")).text

            notices = []
            for number, reached in ((first, {"mailbox": "it@clinic.example"}), (second, {"postal": "1 Street\nTown"})):
                await post(f"/exposures/{number}/case")
                case = re.search(r"/cases/(\d+)", (await anna.get(f"/exposures/{number}")).text)
                assert case is not None
                owner = {"organisation": "Clinic Example", "language": "en", "country": "GB", **reached}
                await post(f"{case[0]}/confirm", 409, organisation="Clinic", mailbox="nonsense")
                await post(f"{case[0]}/confirm", **owner)
                drafted = (await post(f"{case[0]}/notice", purpose="first")).partition("?")[0]
                mark = re.search(r'name="read" value="([^"]+)"', (await anna.get(drafted)).text)
                assert mark is not None
                notices.append((drafted, mark[1]))
            await post(f"/exposures/{first}/hints", kind="organisation", value="Clinic", source="telephone")
            await post("/exposures/views", name="Open", query="state=open")
            answers |= await walked(anna, ("/", "/guard/login", "/guard/setup", "/guard/account", "/nothing"))
            for path, mark in notices:
                await post(f"{path}/approve", read=mark)
            await post(f"/exposures/{first}/retest")
            await until("it was looked at again", lambda: rounds_done(2))
            await post("/exposures/999/retest", 404)
            await post("/scans/own/pause")
            answers |= {f"{path} later": one for path, one in (await walked(anna, ("/",))).items()}
        async with served.client() as stranger:
            answers |= {f"{path} of a stranger": await stranger.get(path) for path in ("/", "/exposures/1", "/x")}

    paths = {path.partition("?")[0] for path in answers}
    missed = [page.pattern for page in readable() if not any(page.match(path) for path in paths)]
    assert missed == [], "pages that nothing leads to, or that this test does not make"
    letters = [one for path, one in answers.items() if path.endswith("letter.pdf")]
    assert letters and all(one.content.startswith(b"%PDF") for one in letters)
    assert sum("Clinic Example" in one.text for one in answers.values()) > 5, "what a person entered is shown"
    for path, answer in answers.items():
        octets = b"\n".join((answer.content, *unpacked(answer.content), str(answer.headers.multi_items()).encode()))
        assert [form for form, needle in wanted if needle in octets] == [], path
        if answer.headers.get("content-type", "").startswith("text/html"):
            assert not re.search(r"\b(19|20)\d{6}\b", answer.text), "a date as DICOM writes it"


def unpacked(file: bytes) -> list[bytes]:
    """What is packed in a PDF."""
    parts = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", file, re.S) if file.startswith(b"%PDF") else ()
    return [zlib.decompress(part) for part in parts if part[:1] == b"x"]


async def test_live_figures_in_a_browser(tmp_path: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from leadapron.watch.track.database import open_engine

    monkeypatch.setattr(pages, "POLL_S", 1)
    location = f"sqlite:///{tmp_path / 'watch.db'}"
    slow = Campaign(name="own", targets=(f"{network}.0/24",), ports=(PORT,), timeout=3, every="7d", rate=6.0)
    async with running(tmp_path, location, open_engine(location), slow) as served, browsing() as browser:
        context = await browser.new_context()
        session = await served.session()
        await context.add_cookies([{"name": COOKIE, "value": session, "url": served.base}])
        page = await context.new_page()
        watched = Watched(page, served.base)
        await page.goto(f"{served.base}/scans")
        bar = page.get_by_role("progressbar", name="Endpoints done")
        end = time.monotonic() + BOUND_S
        while not await bar.count():
            assert time.monotonic() < end, "no round began"
            await page.reload()
        before = await bar.get_attribute("value")
        await expect(bar).not_to_have_attribute("value", before or "", timeout=20_000)
        await looked_at(page, "scans-live")
        await page.get_by_role("button", name="Pause own").click()
        await expect(page.get_by_role("status")).to_contain_text("The campaign pauses")
        assert watched.problems == []
