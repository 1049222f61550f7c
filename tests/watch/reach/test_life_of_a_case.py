"""The life of a case, with real parts: an open Orthanc is found, its owner hinted at, written to, then the operator; it
is closed by the remedy, which a re-test proves; the case ends; it is opened again, and so is the case.

Orthanc, DNS, RDAP and SMTP are servers on loopback; time passes in the database (see ``aging``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.campaign.settings import Campaign, Watch
from leadapron.watch.campaign.upkeep import Upkeep
from leadapron.watch.measure.judge.remedies import remedy
from leadapron.watch.reach.cases.model import Case, Owner
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.notices.model import Notice
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.owner.hints import Hints
from leadapron.watch.track.owner.settings import Lookups
from leadapron.watch.track.owner.suggestion import suggestion
from owners import rows, web
from owners.names import name_server
from peers.loading import load
from peers.process import HOST, Peer, launch, program
from peers.samples import make_studies
from peers.servers import start_orthanc
from postroom import US, PostRoom
from watch.reach.aging import days_pass

OWNER = Owner(organisation="Example Clinic", mailbox="it@clinic.example", language="en", country="DE")
OPERATOR = "abuse@telecom.example.com"


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Peer]:
    with start_orthanc(tmp_path / "orthanc") as peer:
        load(peer, make_studies(tmp_path / "images", 3))
        yield peer


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PostRoom]:
    with PostRoom(tmp_path / "room") as room:
        yield room


class Agency:
    """One person with the whole of it."""

    def __init__(self, engine: sa.Engine, location: str, watch: Watch, upkeep: Upkeep, room: PostRoom) -> None:
        self.engine, self.location, self.watch, self.upkeep, self.room = engine, location, watch, upkeep, room
        self.notices, self.cases = Notices(engine, msgspec.structs.replace(US, smtp=room.place)), Cases(engine, Rules())

    @property
    def case(self) -> Case:
        found, number = self.cases.find()
        assert number == 1
        return found[0]

    async def round(self) -> None:
        """A round of the campaign, and what follows from it."""
        rounds = Rounds(self.location, self.watch, look_every_s=0.05)
        before = rounds.board.posts(["town"])["town"].last_scan
        rounds.now("town", "ada")
        async with rounds, asyncio.timeout(60):
            while rounds.progress is not None or rounds.board.posts(["town"])["town"].last_scan == before:
                await asyncio.sleep(0.05)
        await self.upkeep.turn()

    async def later(self, days: int) -> None:
        days_pass(self.engine, days)
        await self.upkeep.turn()

    async def sends(self, purpose: str, level: int = 0) -> EmailMessage:
        """A person approves the only draft; it arrives once."""
        drafts, number = self.notices.find(state="draft")
        assert number == 1 and (drafts[0].purpose, drafts[0].level) == (purpose, level)
        before = len(self.room.messages())
        await self.upkeep.turn()
        assert len(self.room.messages()) == before, "nothing leaves before it is approved"
        self.notices.approve([drafts[0].id], "ada")
        await self.upkeep.turn()
        await self.upkeep.turn()
        messages = self.room.messages()
        assert len(messages) == before + 1
        assert self.notices.get(drafts[0].id).state == "sent"
        return messages[-1]

    def drafts(self) -> list[Notice]:
        return self.notices.find(state="draft")[0]


@asynccontextmanager
async def agency(engine: sa.Engine, location: str, orthanc: Peer, room: PostRoom) -> AsyncIterator[Agency]:
    watch = Watch(closed_after=1, campaign=(Campaign(name="town", targets=(HOST,), ports=(orthanc.port,)),))
    settings = msgspec.structs.replace(US, smtp=room.place)
    zone = {("1.0.0.127.in-addr.arpa", "PTR"): ["pacs.clinic.example."], ("pacs.clinic.example", "A"): [HOST]}
    with name_server(zone) as dns, web.web_server() as rdap:
        rdap.pages[f"/ip/{HOST}"] = web.json(rows.network("127.0.0.0", "127.0.0.255"))
        lookups = Lookups(inside=True, resolver=dns.address, rdap_base=rdap.base, rdap_rate=100, dns_rate=100)
        upkeep = Upkeep(engine, watch, location, rules=Rules(), notices=settings, lookups=lookups)
        yield Agency(engine, location, watch, upkeep, room)


def restart(orthanc: Peer, *, closed: bool) -> None:
    """Closed as the remedy for Orthanc says it; or as it was."""
    configuration = orthanc.home / "orthanc.json"
    settings = json.loads(configuration.read_text())
    part = remedy("orthanc", "access").parts["settings"]
    filled = part.filled({"name": "ct1", "device": "CT1", "host": HOST, "port": 10104, "aet": "PRAXIS7"})
    if closed:
        (orthanc.home / "open.json").write_text(json.dumps(settings))
        settings |= filled
    else:
        settings = json.loads((orthanc.home / "open.json").read_text())
    configuration.write_text(json.dumps(settings))
    orthanc.stop()
    launch(orthanc, [program("Orthanc"), "--verbose", str(configuration)], also=(orthanc.http_port,))


async def test_from_an_open_server_to_a_closed_case(
    engine: sa.Engine, location: str, orthanc: Peer, room: PostRoom
) -> None:
    async with agency(engine, location, orthanc, room) as us:
        await us.round()
        exposure = Exposures(engine).at(HOST, orthanc.port)
        assert exposure is not None and (exposure.state, exposure.verdict, exposure.studies) == ("open", "exposed", 3)
        hints = Hints(engine).of(exposure.id)
        assert {"reverse-dns", "rdap-organisation", "abuse-mailbox"} <= {hint.kind for hint in hints}
        assert suggestion(hints).operator_mailbox == OPERATOR
        assert us.case.state == "new" and not us.drafts()

        us.cases.confirm(us.case.id, OWNER, "ada")
        await us.upkeep.turn()
        first = await us.sends("first")
        assert first["To"] == OWNER.mailbox and str(orthanc.port) in first.get_content()
        assert us.case.state == "notified"

        await us.later(14)
        reminder = await us.sends("reminder")
        assert reminder["In-Reply-To"] == first["Message-ID"]
        await us.later(14)
        await us.sends("reminder")
        await us.later(14)
        raised = await us.sends("escalation", 1)
        assert raised["To"] == OPERATOR and us.case.state == "escalated"

        restart(orthanc, closed=True)
        await us.round()
        after = Exposures(engine).get(exposure.id)
        assert after.state == "closed" and us.case.state == "fixed"
        thanks = await us.sends("thanks")
        assert thanks["To"] == OWNER.mailbox
        await us.later(31)
        assert us.case.state == "closed"

        restart(orthanc, closed=False)
        await us.round()
        assert Exposures(engine).get(exposure.id).episodes == 2
        assert us.case.state == "reopened"

        assert len(room.messages()) == 5 and set(room.deliveries().values()) == {1}
        told = [step.kind for step in us.cases.steps(us.case.id)]
        for kind in ("opened", "confirmed", "drafted", "sent", "escalated", "fixed", "closed", "reopened"):
            assert kind in told
        assert all(step.by for step in us.cases.steps(us.case.id))


async def test_a_reminder_waits_until_it_is_seen_open(
    engine: sa.Engine, location: str, orthanc: Peer, room: PostRoom
) -> None:
    """Closed by the owner, who does not say so: the re-test before the reminder finds it, and none is written."""
    async with agency(engine, location, orthanc, room) as us:
        await us.round()
        us.cases.confirm(us.case.id, OWNER, "ada")
        await us.upkeep.turn()
        await us.sends("first")
        restart(orthanc, closed=True)
        await us.later(15)
        await us.upkeep.turn()
        assert us.case.state == "fixed"
        assert [draft.purpose for draft in us.drafts()] == ["thanks"]
