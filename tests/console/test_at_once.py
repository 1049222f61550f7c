"""Two persons, or one who clicks twice, do the same at once: it is done once."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import sqlalchemy as sa

from console.held import SMALL, counted, harmless
from console.lifelike import fill
from console.parts import parts
from console.serving import console
from guard.people.somebody import Held
from leadapron.console.pages.once import AGAIN_S
from leadapron.console.parts import Parts
from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.campaign.settings import Watch
from leadapron.watch.track.tables import cases, exposures, notices, scans, steps, views


def marks(page: str) -> dict[int, str]:
    return {int(found.split()[0]): found for found in re.findall(r'name="read" value="([^"]+)"', page)}


async def test_two_persons_do_the_same_at_once(tmp_path: Path, engine: sa.Engine) -> None:
    """One of them does it, the other is told."""
    fill(engine, SMALL)
    async with (
        console(tmp_path, engine, parts(engine, Held())) as served,
        served.client(await served.session("anna")) as anna,
        served.client(await served.session("ben")) as ben,
    ):

        async def both(path: str, one: dict[str, str], other: dict[str, str] | None = None) -> list[int]:
            asked = (anna.post(path, data=one), ben.post(path, data=one if other is None else other))
            answers = await asyncio.gather(*asked)
            for answer in answers:
                harmless(answer)
            return sorted(answer.status_code for answer in answers)

        drafts = marks((await anna.get("/notices")).text)
        one, two, *_ = drafts
        assert await both(f"/notices/{one}/approve", {"read": drafts[one]}) == [303, 409]
        assert counted(engine, steps, steps.c.text.like(f"notice {one} approved%")) == 1
        assert await both(f"/notices/{two}/drop", {"why": "no"}, {"why": "never"}) == [303, 409]
        assert counted(engine, steps, steps.c.text.like(f"notice {two} dropped%")) == 1
        with engine.begin() as connection:
            unsure = notices.c.state == "unsure"
            connection.execute(notices.update().where(notices.c.id == two).values(state="unsure"))
        assert await both(f"/notices/{two}/resolve", {"sent": "yes"}, {"sent": "no"}) == [303, 409]
        assert counted(engine, notices, notices.c.id == two, unsure) == 0
        with engine.begin() as connection:
            connection.execute(exposures.update().where(exposures.c.id == 1).values(state="open"))
        assert await both("/exposures/1/case", {}) == [303, 409]
        assert counted(engine, cases, cases.c.exposure_id == 1) == 1
        owners = [{"organisation": f"Clinic {who}", "mailbox": f"it@{who}.example"} for who in ("a", "b")]
        assert await both("/cases/2/confirm", *owners) == [303, 303]
        with engine.connect() as connection:
            owner, mailbox = connection.execute(sa.select(cases.c.owner, cases.c.mailbox).where(cases.c.id == 2)).one()
        assert f'"{mailbox}"' in owner, "one of the two, whole"


async def test_a_form_that_is_sent_twice_is_done_once(tmp_path: Path, engine: sa.Engine) -> None:
    """As by a double click; both times the browser is led to what was done."""
    fill(engine, SMALL)
    async with (
        console(tmp_path, engine, parts(engine, Held())) as served,
        served.client(await served.session()) as anna,
    ):

        async def twice(path: str, **form: str) -> str:
            first, second = await asyncio.gather(*(anna.post(path, data=form) for _ in range(2)))
            late = await anna.post(path, data=form)
            locations = {one.headers.get("location") for one in (first, second, late)}
            assert {first.status_code, second.status_code, late.status_code} == {303}, (path, first.text)
            assert len(locations) == 1
            return str(locations.pop())

        await twice("/cases/2/note", text="Called them.")
        assert counted(engine, steps, steps.c.text == "Called them.") == 1
        await twice("/cases/2/acknowledge", text="They know.")
        assert counted(engine, steps, steps.c.text == "They know.") == 1
        await twice("/cases/2/confirm", organisation="Clinic", mailbox="it@clinic.example", country="us", language="en")
        before = counted(engine, notices)
        assert re.match(r"/notices/\d+", await twice("/cases/2/notice", purpose="first"))
        assert counted(engine, notices) == before + 1
        await twice("/exposures/views", name="Mine", query="state=open")
        assert counted(engine, views) == 1
        again = await anna.post("/cases/2/note", data={"text": "Called them."})
        assert again.status_code == 303 and counted(engine, steps, steps.c.text == "Called them.") == 2, (
            "later is meant"
        )
        served.clock.forward(AGAIN_S)
        await anna.post("/cases/2/note", data={"text": "Called them."})
        assert counted(engine, steps, steps.c.text == "Called them.") == 3, "and so is once more"
        one, two = await asyncio.gather(
            *(anna.post("/exposures/views", data={"name": "Race", "query": f"state={s}"}) for s in ("open", "closed"))
        )
        assert {one.status_code, two.status_code} == {303} and counted(engine, views, views.c.name == "Race") == 1


async def test_a_server_is_looked_at_once_however_many_ask(tmp_path: Path, filled: sa.Engine) -> None:
    location = f"sqlite:///{filled.url.database}"
    async with (
        Rounds(location, Watch(campaign=())) as rounds,
        console(tmp_path, filled, Parts(rounds=rounds)) as served,
        served.client(await served.session("anna")) as anna,
        served.client(await served.session("ben")) as ben,
    ):
        async with rounds._turn:  # as while a round runs
            answers = await asyncio.gather(*(who.post("/exposures/1/retest") for who in (anna, ben, anna, ben)))
        assert {answer.status_code for answer in answers} == {303}, answers[0].text
        async with asyncio.timeout(30):
            while counted(filled, scans, scans.c.folded_at.is_(None)) or counted(filled, scans) == SMALL.rounds:
                await asyncio.sleep(0.05)
        assert counted(filled, scans) == SMALL.rounds + 1
