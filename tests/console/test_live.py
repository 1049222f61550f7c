"""Rounds that run, seen and steered from the console; and that nothing of a patient gets from a server to a page."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.async_api import expect

from console.looking import Watched, browsing, looked_at
from console.serving import COOKIE, Served, console
from leadapron.console.pages import rounds as pages
from leadapron.console.parts import Parts
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
async def running(tmp_path: Path, location: str, engine: sa.Engine, campaign: Campaign) -> AsyncIterator[Served]:
    async with (
        Rounds(location, Watch(campaign=(campaign,)), look_every_s=0.1) as rounds,
        console(tmp_path, engine, Parts(rounds=rounds)) as served,
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
        tired = (await anna.get("/scans?polls=3")).text
        assert "hx-get" not in tired.split("</section>")[0] and "Follow it again" in tired
        await until("the campaign is known", lambda: shows("/scans/own-one/pause"))
        assert (await anna.post("/scans/own-one/pause")).headers["location"] == "/scans?done=paused"
        await until("it was stopped", lambda: shows("No round runs at this moment"))
        assert "changed by anna" in (await anna.get("/scans")).text
        refused = await anna.post("/scans/own-one/now")
        assert refused.status_code == 409 and "is paused" in refused.text
        assert (await anna.post("/scans/nothing/now")).status_code == 409
        assert (await anna.post("/scans/own-one/explode")).status_code == 404
        assert (await anna.post("/scans/own-one/resume")).status_code == 303
        await until("it goes on", lambda: shows("<progress"))


async def test_nothing_of_a_patient_gets_to_a_page(
    tmp_path: Path, location: str, engine: sa.Engine, network: str
) -> None:
    quick = Campaign(name="own", targets=(f"{network}.1", f"{network}.2"), ports=(PORT,), timeout=3, every="7d")
    async with running(tmp_path, location, engine, quick) as served, served.client(await served.session()) as anna:

        async def folded() -> bool:
            with engine.connect() as connection:
                return connection.execute(sa.select(scans.c.folded_at)).scalar() is not None

        await until("it was folded", folded)
        with engine.connect() as connection:
            numbers = connection.execute(sa.select(exposures.c.id)).scalars().all()
        assert len(numbers) == 2
        paths = ["/", "/exposures", "/scans", *(f"/exposures/{number}" for number in numbers)]
        for path in paths:
            text = (await anna.get(path)).text
            assert CANARY.lower() not in text.lower(), path
            assert not re.search(r"\b(19|20)\d{6}\b", text), "a date as DICOM writes it"
        assert re.search(r"<dd>43</dd>", (await anna.get("/")).text), "21 and 22 studies"

        assert "Look again now" in (await anna.get(f"/exposures/{numbers[0]}")).text
        again = await anna.post(f"/exposures/{numbers[0]}/retest")
        assert again.status_code == 303, again.text

        async def looked() -> bool:
            with engine.connect() as connection:
                ended = connection.execute(sa.select(scans.c.id).where(scans.c.folded_at.is_not(None))).scalars().all()
            return len(ended) == 2

        await until("it was looked at again", looked)
        assert (await anna.post("/exposures/999/retest")).status_code in (404, 409)


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
