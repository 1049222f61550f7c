"""A life of a case, with everything real but the scan itself: its rows are folded, mails go through a mail server."""

from __future__ import annotations

from pathlib import Path

import msgspec
import sqlalchemy as sa

from casework import CLINIC
from leadapron.watch.reach.follow import Followed
from leadapron.watch.reach.notices.model import Sent
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.track.tables import hints
from postroom import US, Bureau, PostRoom


async def test_found_written_to_silent_taken_up_closed_and_open_again(engine: sa.Engine, tmp_path: Path) -> None:
    with PostRoom(tmp_path / "room") as room:
        bureau = Bureau(engine, msgspec.structs.replace(US, smtp=room.place))
        cases, desk = bureau.cases, bureau.desk

        async def approve_and_send(done: Followed) -> str:
            """A person approves the one draft of this round; it goes out. Whom it went to."""
            (id,) = done.drafted
            assert await send() == Sent(), "nothing leaves that nobody has approved"
            desk.approve([id], "ada")
            assert (await send()).sent == (id,)
            assert (await send()).sent == ()
            return desk.get(id).recipient

        async def send() -> Sent:
            return await send_due(engine, bureau.settings, bureau.calendar)

        # Found; a person confirms whose it is.
        bureau.scan(1)
        assert bureau.follow().opened == (1,)
        hint = {"exposure_id": 1, "kind": "abuse-mailbox", "value": "abuse@net.example", "source": "RDAP"}
        with engine.begin() as connection:
            connection.execute(hints.insert().values(**hint, at="2026-11-01T02:30:00Z", state="hint"))
        assert cases.needs_person(cases.get(1))
        cases.confirm(1, CLINIC, "ada")
        assert await approve_and_send(bureau.follow()) == "it@clinic.example"
        assert cases.get(1).state == "notified"

        # Silence. Before each step the server is looked at again.
        for day, mailbox in ((14, "it@clinic.example"), (28, "it@clinic.example"), (42, "abuse@net.example")):
            assert bureau.follow(day) == Followed(retest=(1,))
            bureau.scan(1)
            assert await approve_and_send(bureau.follow()) == mailbox
        assert (cases.get(1).state, cases.get(1).level) == ("escalated", 1)

        # Closed: one proof is not enough, two are. The CERT is not written to any more.
        bureau.calendar.day = 56
        bureau.scan(closed=(1,))
        assert bureau.follow() == Followed(retest=(1,))
        bureau.calendar.day = 57
        bureau.scan(closed=(1,))
        done = bureau.follow()
        assert done.fixed == (1,) and cases.get(1).state == "fixed"
        assert await approve_and_send(done) == "it@clinic.example"
        assert bureau.follow(86.9) == Followed()
        assert bureau.follow(87) == Followed(closed=(1,))

        # Open again: nothing is written before a person has looked.
        bureau.calendar.day = 120
        bureau.scan(1)
        assert bureau.follow() == Followed(reopened=(1,))
        assert bureau.follow(121) == Followed()
        cases.confirm(1, CLINIC, "bob")
        assert await approve_and_send(bureau.follow()) == "it@clinic.example"

        # He has had enough; that holds for ever.
        cases.refuse("mailbox", "it@clinic.example", "mail", "opted out")
        for day in (135, 150, 165, 180):
            bureau.calendar.day = day
            bureau.scan(1)
            assert bureau.follow() == Followed()
        assert await send() == Sent()

        assert [kind for kind in bureau.told(1) if kind != "note"] == [
            *("opened", "confirmed", "drafted", "sent"),
            *("drafted", "sent", "drafted", "sent"),
            *("escalated", "drafted", "sent"),
            *("fixed", "drafted", "sent", "closed"),
            *("reopened", "confirmed", "drafted", "sent", "refused"),
        ]
        assert bureau.notices() == [
            ("first", 0, "sent"),
            ("reminder", 0, "sent"),
            ("reminder", 0, "sent"),
            ("escalation", 1, "sent"),
            ("thanks", 0, "sent"),
            ("first", 0, "sent"),
        ]
        assert [mail["To"] for mail in room.messages()].count("it@clinic.example") == 5
        assert set(room.deliveries().values()) == {1} and len(room.deliveries()) == 6
