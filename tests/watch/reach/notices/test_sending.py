"""Sending through a real mail server: once, or unsure; put off, refused, limited, objected to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
import trustme

from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.notices import sending
from leadapron.watch.reach.notices.facts import mark, token
from leadapron.watch.reach.notices.model import Sent
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.reach.notices.settings import checked
from leadapron.watch.track.tables import exposures, hints, notices
from postroom import US, Bureau, PostRoom


def through(room: PostRoom, settings: Settings = US, **changes: object) -> Settings:
    return msgspec.structs.replace(settings, smtp=room.place, **changes)


async def go(bureau: Bureau, settings: Settings) -> Sent:
    return await send_due(bureau.engine, settings, bureau.calendar)


async def test_what_is_approved_is_sent_once(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    draft, *approved = bureau.drafts("a@one.example", "b@two.example", "c@three.example")
    bureau.desk.approve([one.id for one in approved], "ada")
    sent = await go(bureau, through(room))
    assert sent == Sent(sent=tuple(one.id for one in approved))
    assert (await go(bureau, through(room))).sent == ()
    assert bureau.state(draft) == "draft"
    assert room.deliveries() == {bureau.desk.get(one.id).message_id: 1 for one in approved}
    for one in approved:
        kept = bureau.desk.get(one.id)
        assert (kept.state, kept.answer, kept.sent_at) == ("sent", "accepted with 250", iso(bureau.calendar.now()))
        assert bureau.cases.get(one.case_id).state == "notified"
        assert bureau.kinds(one) == ["opened", "confirmed", "drafted", "sent"]


async def test_headers(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    (notice,) = bureau.approved("it@clinic.example", person="Dr. Jörg Ünal", language="de", country="DE")
    await go(bureau, through(room))
    (mail,) = room.messages()
    kept = bureau.desk.get(notice.id)
    assert mail["Message-ID"] == kept.message_id
    assert mail["From"].addresses[0].addr_spec == "open-images@cert.example"
    assert mail["To"] == "it@clinic.example"
    assert mail["Reply-To"] == "answers@cert.example"
    assert mail["Subject"] == kept.subject
    assert mail["Auto-Submitted"] == "auto-generated"
    code = mark(notice.case_id, token(str(kept.message_id)))
    assert mail["List-Unsubscribe"].strip() == f"<mailto:optout@cert.example?subject=opt%20out%20{code}>"
    assert mail["Date"].datetime == bureau.calendar.now().replace(microsecond=0)
    assert mail["In-Reply-To"] is None
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert "Guten Tag Dr. Jörg Ünal," in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("    ")) <= 78


async def test_a_reminder_stands_under_the_first(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    (first,) = bureau.approved("it@clinic.example")
    await go(bureau, through(room))
    bureau.calendar.day = 20
    reminder = bureau.desk.draft(first.case_id, "reminder", "ada")
    bureau.desk.approve([reminder.id], "ada")
    await go(bureau, through(room))
    one, two = room.messages()
    assert two["In-Reply-To"] == one["Message-ID"]
    assert two["References"] == one["Message-ID"]
    assert "1 November 2026" in two.get_content()


@pytest.mark.parametrize(
    ("wish", "state", "answer"),
    [
        ("unknown", "failed", "refused with 550 5.1.1"),
        ("spam", "failed", "refused with 554 5.7.1"),
        ("busy", "approved", "put off with 450 4.2.0"),
        ("full", "approved", "put off with 452 4.2.2"),
        ("drop", "unsure", "the connection ended while it was handed over"),
    ],
)
async def test_answers(engine: sa.Engine, room: PostRoom, wish: str, state: str, answer: str) -> None:
    bureau = Bureau(engine)
    notice, other = bureau.approved(f"{wish}@one.example", "b@two.example")
    await go(bureau, through(room))
    kept = bureau.desk.get(notice.id)
    assert (kept.state, kept.answer) == (state, answer)
    assert bureau.state(other) == "sent"
    told = {"failed": "bounced"}.get(state)
    assert bureau.kinds(notice)[3:] == ([told] if told else [])
    with engine.connect() as connection:
        assert "Mustermann" not in str(connection.execute(sa.select(notices)).all())


async def test_put_off_means_later_and_longer_each_time(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    (notice,) = bureau.approved("busy@one.example")
    waits = []
    for _ in range(20):
        sent = await go(bureau, through(room, per_domain=1000))
        kept = bureau.desk.get(notice.id)
        if kept.state == "failed":
            assert sent.failed == (notice.id,)
            break
        assert sent.later == (notice.id,)
        assert (await go(bureau, through(room))).later == ()
        assert kept.not_before is not None
        moment = bureau.calendar.now().fromisoformat(kept.not_before)
        waits.append(moment - bureau.calendar.now())
        bureau.calendar.day += waits[-1] / timedelta(days=1)
    assert waits[0] >= timedelta(minutes=14)
    assert sum(waits, timedelta()) > timedelta(days=4)
    assert kept.state == "failed"
    assert len({kept.message_id}) == 1


async def test_nobody_there_is_no_fault_of_the_notice(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    (notice,) = bureau.approved("a@one.example")
    sent = await go(bureau, msgspec.structs.replace(US, smtp="127.0.0.1:1"))
    assert sent.trouble == "the mail server 127.0.0.1:1 can't be used: nothing listens there"
    kept = bureau.desk.get(notice.id)
    assert (kept.state, kept.tries, kept.claimed_at) == ("approved", 0, None)
    assert (await go(bureau, through(room))).sent == (notice.id,)


async def test_a_server_that_chokes_on_one_does_not_keep_the_others(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    stuck, other = bureau.approved("stall-rcpt@one.example", "b@two.example")
    sent = await go(bureau, through(room, timeout_s=1.0))
    assert sent == Sent(sent=(other.id,), later=(stuck.id,))
    assert bureau.desk.get(stuck.id).answer == "the mail server was lost before it was handed over"


async def test_one_at_which_the_server_closes_does_not_keep_the_others(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    closing, other = bureau.approved("bye@one.example", "b@two.example")
    assert await go(bureau, through(room)) == Sent(sent=(other.id,), later=(closing.id,))
    assert bureau.desk.get(closing.id).answer == "put off with 421"


async def test_limits_hold_for_domains_and_over_restarts(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    boxes = [f"u{number}@big.example" for number in range(5)] + ["x@small.example"]
    bureau.approved(*boxes)
    settings = through(room, per_domain=2)
    sent = await go(bureau, settings)
    assert (len(sent.sent), sent.limited) == (3, 3)
    for minutes in (1, 59):
        bureau.calendar.day = minutes / 1440
        assert (await go(Bureau(engine, calendar=bureau.calendar), settings)).sent == ()
    bureau.calendar.day = 61 / 1440
    assert len((await go(bureau, settings)).sent) == 2
    assert len((await go(bureau, through(room, per_hour=2))).sent) == 0
    bureau.calendar.day = 1
    assert len((await go(bureau, through(room, per_hour=2))).sent) == 1
    assert room.deliveries().total() == 6


async def test_refusals_are_asked_again_at_the_moment_of_sending(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    mailbox, domain, network, closed, kept = bureau.approved(
        "a@one.example", "b@two.example", "c@three.example", "d@four.example", "e@five.example"
    )
    with engine.begin() as connection:  # behind the back of what withdraws drafts
        for kind, value in (("mailbox", "a@one.example"), ("domain", "two.example"), ("network", "127.0.0.3/32")):
            row = {"kind": kind, "value": value, "at": "2026-11-01T00:00:00Z", "by": "ada", "why": "asked"}
            connection.execute(sa.insert(sa.table("refusals", *map(sa.column, row))).values(row))
        connection.execute(sa.text(f"UPDATE cases SET state = 'fixed' WHERE id = {closed.case_id}"))
    sent = await go(bureau, through(room))
    assert sent.sent == (kept.id,)
    assert sorted(sent.dropped) == sorted(one.id for one in (mailbox, domain, network, closed))
    assert "asked" in str(bureau.desk.get(domain.id).answer)


async def test_a_refusal_while_the_envelope_is_written_still_counts(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    (notice,) = bureau.approved("stall-rcpt@one.example")
    round_ = asyncio.create_task(go(bureau, through(room, timeout_s=1.0)))
    await asyncio.to_thread(room.reached, "stall-rcpt")
    bureau.cases.refuse("mailbox", "stall-rcpt@one.example", "ada", "asked on the phone")
    assert (await round_) == Sent(later=(notice.id,))
    bureau.calendar.day = 1
    assert (await go(bureau, through(room))) == Sent(dropped=(notice.id,))
    assert room.messages() == []


async def test_two_senders_never_send_the_same_one(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    approved = bureau.approved(*(f"u{number}@d{number}.example" for number in range(12)))
    settings = through(room)
    rounds = await asyncio.gather(*(go(bureau, settings) for _ in range(3)))
    assert sorted(id for one in rounds for id in one.sent) == sorted(one.id for one in approved)
    assert set(room.deliveries().values()) == {1}
    assert room.deliveries().total() == 12


async def test_limits_hold_for_all_senders_together(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    bureau.approved(*(f"u{number}@big.example" for number in range(10)))
    rounds = await asyncio.gather(*(go(bureau, through(room, per_domain=3)) for _ in range(3)))
    assert sum(len(one.sent) for one in rounds) == room.deliveries().total() == 3


async def test_a_sender_that_is_cancelled_leaves_it_approved_or_unsure(
    engine: sa.Engine, room: PostRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "GRACE_S", 0.1)
    bureau = Bureau(engine)
    for wish, state in (("stall-rcpt", "approved"), ("stall-data", "unsure")):
        if wish == "stall-rcpt":
            before, during = bureau.approved("stall-rcpt@one.example", "stall-data@two.example")
        round_ = asyncio.create_task(go(bureau, through(room)))
        await asyncio.to_thread(room.reached, wish)
        round_.cancel()
        with pytest.raises(asyncio.CancelledError):
            await round_
        assert bureau.state(before if wish == "stall-rcpt" else during) == state
        if wish == "stall-rcpt":
            bureau.desk.drop(before.id, "ada", "not now")


async def test_starttls_is_required_and_its_certificate_checked(engine: sa.Engine, tmp_path: Path) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    certificate, key, ca = tmp_path / "c.pem", tmp_path / "k.pem", tmp_path / "ca.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(ca))
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    bureau = Bureau(engine)
    (notice,) = bureau.approved("a@one.example")
    with PostRoom(tmp_path / "tls", certificate=(certificate, key), login="ada:secret") as room:
        settings = through(room, tls="starttls", user="ada", password_file=str(password))
        unknown = await go(bureau, settings)
        assert "certificate does not hold" in str(unknown.trouble)
        sent = await go(bureau, msgspec.structs.replace(settings, ca=str(ca)))
        assert sent.sent == (notice.id,)
    with PostRoom(tmp_path / "plain") as room:
        plain = await go(bureau, through(room, tls="starttls", ca=str(ca)))
        assert plain.trouble is None  # nothing is due, so nobody is asked
        other = bureau.desk.draft(notice.case_id, "reminder", "ada")
        bureau.desk.approve([other.id], "ada")
        refused = await go(bureau, through(room, tls="starttls", ca=str(ca)))
        assert "no STARTTLS" in str(refused.trouble)
        assert room.messages() == []


def test_no_password_goes_where_others_listen() -> None:
    with pytest.raises(UsageError, match="on this machine"):
        checked(msgspec.structs.replace(US, smtp="mail.example.org:25", tls="none"))


async def test_nothing_goes_while_we_do_not_say_who_we_are(engine: sa.Engine, room: PostRoom) -> None:
    bureau = Bureau(engine)
    bureau.approved("a@one.example")
    for key in ("organisation", "page", "reply_to", "opt_out"):
        with pytest.raises(UsageError, match=key):
            await go(bureau, through(room, **{key: None}))
        with pytest.raises(UsageError, match=key):
            Bureau(engine, msgspec.structs.replace(US, **{key: None})).desk.preview(1)
    assert room.messages() == []


async def test_a_case_from_its_first_notice_to_thanks(engine: sa.Engine, room: PostRoom) -> None:
    """What rules draft over the weeks, approved and sent: each to whom it is for, each once."""
    bureau, settings = Bureau(engine), through(room)
    bureau.scan(1)
    bureau.follow()
    case = bureau.case(1).id
    bureau.cases.confirm(case, Owner(organisation="Clinic", mailbox="it@clinic.example", country="FR"), "ada")
    with engine.begin() as connection:
        connection.execute(exposures.update().values(country="DE"))
        hint = {
            "exposure_id": 1,
            "kind": "abuse-mailbox",
            "value": "abuse@net.example",
            "source": "RDAP",
            "state": "hint",
        }
        connection.execute(hints.insert().values(**hint, at="2026-11-01T00:00:00Z"))
    for day in (0, 14, 28, 42, 56):
        if day:
            bureau.calendar.day = day
            bureau.scan(1)
        bureau.desk.approve(bureau.follow(day).drafted, "ada")
        assert len((await go(bureau, settings)).sent) == 1, day
    for day in (60, 61):
        bureau.calendar.day = day
        bureau.scan(closed=(1,))
    bureau.desk.approve(bureau.follow(61).drafted, "ada")
    await go(bureau, settings)
    said = [(str(mail["To"]), str(mail["Subject"])) for mail in room.messages()]
    assert [to for to, _ in said] == [
        *["it@clinic.example"] * 3,
        "abuse@net.example",
        "certbund@bsi.bund.de",
        "it@clinic.example",
    ]
    assert [subject.split(" ")[0] for _, subject in said] == [
        "Votre",
        "Rappel",
        "Rappel",
        "Offener",
        "Offener",
        "Merci",
    ]
    assert set(room.deliveries().values()) == {1}
    assert "seit dem 1. November 2026" in " ".join(room.messages()[3].get_content().split())  # lines end anywhere
    assert "Schreiben dazu: 4" in room.messages()[4].get_content()
