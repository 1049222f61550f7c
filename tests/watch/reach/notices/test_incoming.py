"""Incoming mail: bounces, opt-outs and answers reach the case once; no text of a mail stays; nothing crashes it."""

from __future__ import annotations

import mailbox
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.notices.facts import mark, token
from leadapron.watch.reach.notices.incoming.boxes import LONGEST, messages
from leadapron.watch.reach.notices.incoming.facts import WORDS, understood
from leadapron.watch.reach.notices.incoming.reading import read_mail
from leadapron.watch.reach.notices.message import message
from leadapron.watch.reach.notices.model import Notice, Read
from leadapron.watch.track.tables import metadata, notices
from postroom import US, Bureau

OURS = "<leadapron.7.0123456789abcdef@cert.example>"
CANARY = "Mustermann^Erika 19690412"


class Desk(Bureau):
    """With notices that are out, and a Maildir."""

    def __init__(self, engine: sa.Engine, home: Path) -> None:
        super().__init__(engine)
        self.place = home / "Maildir"
        self.box = mailbox.Maildir(str(self.place), create=True)

    def out(self, *mailboxes: str, state: str = "sent") -> list[Notice]:
        approved = self.approved(*mailboxes)
        with self.engine.begin() as connection:
            for one in approved:
                at = one.approved_at
                values = {"state": state, "sent_at": at if state == "sent" else None, "claimed_at": at, "tries": 1}
                connection.execute(notices.update().where(notices.c.id == one.id).values(values))
                if state == "sent":
                    self.cases.notified(one.case_id, one.id, "ada", connection=connection)
        return [self.desk.get(one.id) for one in approved]

    def read(self, *mails: EmailMessage | bytes) -> Read:
        for mail in mails:
            self.box.add(mail if isinstance(mail, bytes) else mail.as_bytes())
        return read_mail(self.engine, msgspec.structs.replace(US, maildir=str(self.place)), self.calendar)


@pytest.fixture
def desk(engine: sa.Engine, tmp_path: Path) -> Desk:
    return Desk(engine, tmp_path)


def mail(sender: str = "it@clinic.example", subject: str = "Re: your message", **headers: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, "answers@cert.example", subject
    made["Message-ID"] = f"<{abs(hash((sender, subject, *headers.items())))}@clinic.example>"
    for name, value in headers.items():
        del made[name.replace("_", "-")]
        made[name.replace("_", "-")] = value
    made.set_content(f"The patient {CANARY} was on it.\n")
    return made


def report(message_id: str, action: str = "failed", status: str = "5.1.1") -> bytes:
    """A delivery report as Postfix writes it (RFC 3464)."""
    return f"""Return-Path: <>
From: MAILER-DAEMON@mx.example (Mail Delivery System)
To: open-images@cert.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Message-Id: <{action}-{hash(message_id)}@mx.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

The mail system could not deliver. {CANARY}
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; it@clinic.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 {CANARY}

--b
Content-Type: message/rfc822

Message-ID: {message_id}
From: open-images@cert.example
Subject: {CANARY}

text
--b--
""".encode()


def old_bounce(message_id: str, subject: str = "Mail delivery failed: returning message to sender") -> bytes:
    """As Exim and qmail wrote it: plain text, with what came back behind."""
    return f"""From: Mailer-Daemon@mx.example
To: open-images@cert.example
Subject: {subject}
Message-Id: <E1-{hash(message_id + subject)}@mx.example>

A message that you sent could not be delivered to one or more recipients.
  it@clinic.example
    unrouteable address

------ This is a copy of the message, including all the headers. ------
Message-ID: {message_id}
Subject: {CANARY}
""".encode()


def test_bounces(desk: Desk) -> None:
    first, second, third, fourth = desk.out("a@one.example", "b@two.example", "c@three.example", "d@four.example")
    assert desk.read(
        report(str(first.message_id)),
        old_bounce(str(second.message_id)),
        report(str(third.message_id), "delayed", "4.4.1"),
        old_bounce(str(fourth.message_id), "Warning: message 1abc delayed 24 hours"),
        report(OURS),  # none of ours, though it looks like one
    ) == Read(bounces=2, others=3)
    assert [desk.state(one) for one in (first, second, third, fourth)] == ["bounced", "bounced", "sent", "sent"]
    assert desk.desk.get(first.id).answer == "came back with 5.1.1"
    assert desk.kinds(first)[-1] == desk.kinds(second)[-1] == "bounced"
    assert desk.cases.get(first.case_id).state == "confirmed"
    assert desk.read() == Read()  # nothing is read twice


def test_answers(desk: Desk) -> None:
    first, second, third = desk.out("a@one.example", "b@two.example", "c@three.example")
    assert desk.read(
        mail(In_Reply_To=str(first.message_id)),
        mail("boss@two.example", References=f"<x@y> {second.message_id} <z@y>"),
        mail(In_Reply_To=str(third.message_id), Auto_Submitted="auto-replied"),
        mail(In_Reply_To=str(third.message_id), Precedence="bulk"),
        mail("stranger@nowhere.example"),
        mail("stranger@nowhere.example", In_Reply_To=OURS),
    ) == Read(answers=2, others=4)
    assert [desk.kinds(one)[-1] for one in (first, second, third)] == ["answered", "answered", "sent"]
    assert desk.cases.get(first.case_id).state == "acknowledged"


def code(notice: Notice) -> str:
    return mark(notice.case_id, token(str(notice.message_id)))


def test_opt_outs(desk: Desk) -> None:
    notice, other, third = desk.out("it@clinic.example", "it@practice.example", "x@third.example")
    assert desk.read(
        mail("assistant@clinic.example", "Re: x", To="OptOut@cert.example", In_Reply_To=str(notice.message_id)),
        mail("boss@practice.example", f"Opt out {code(other).lower()}"),
        mail("spam@nowhere.example", "no more", To="OptOut@cert.example"),
    ) == Read(refusals=2, doubts=1)
    for box in ("assistant@clinic.example", "it@clinic.example", "it@practice.example", "boss@practice.example"):
        assert desk.cases.refused(None, None, box) is not None
    assert desk.kinds(notice)[-1] == desk.kinds(other)[-1] == "refused"
    assert desk.cases.get(notice.case_id).hold is not None
    for box in ("spam@nowhere.example", "x@third.example"):
        assert desk.cases.refused(None, None, box) is None
    assert desk.kinds(third)[-1] == "sent"


def test_the_code_is_in_each_notice_and_in_its_header(desk: Desk) -> None:
    first, second = desk.drafts("it@clinic.example", "it@practice.example")
    assert code(first) in first.body and code(second) in second.body and code(first)[5:] != code(second)[5:]
    desk.desk.approve([first.id], "ada")
    approved = desk.desk.get(first.id)
    assert approved.message_id == first.message_id
    assert f"subject=opt%20out%20{code(first)}>".encode() in message(approved, US, desk.calendar)


@pytest.mark.parametrize("sender", ["it@clinic.example", "IT+x@Clinic.Example", "boss@clinic.example"])
def test_an_opt_out_in_the_owners_name_is_for_a_person(desk: Desk, sender: str) -> None:
    (notice, other) = desk.out("it@clinic.example", "it@practice.example")
    guessed = f"opt out LA-{notice.case_id}"
    assert desk.read(mail(sender, guessed)).doubts == 1
    case = desk.cases.get(notice.case_id)
    assert desk.cases.refused(None, None, sender, "it@clinic.example") is None
    assert case.hold is not None and desk.cases.needs_person(case)
    assert case.id in [one.id for one in desk.cases.find(attention=True)[0]]
    assert desk.cases.objection(case.id, "reminder", "it@clinic.example") is not None, "until then nothing is written"
    desk.scan(1, studies=900)
    desk.follow(1)
    assert desk.cases.needs_person(desk.cases.get(case.id)), "what scans find does not take it off the list"
    assert desk.kinds(other)[-1] == "sent"

    released = desk.cases.release(case.id, "ada", "they know of no such mail")
    assert released.hold is None and released.trouble is None
    assert desk.read(mail(sender, f"abmelden LA-{notice.case_id}")).doubts == 1
    again = desk.cases.get(case.id)
    assert again.hold is None and desk.cases.needs_person(again), "a second time it is only shown"


def test_an_opt_out_with_a_code_of_ones_own_shuts_out_nobody_else(desk: Desk) -> None:
    mine, theirs = desk.out("me@mail.example", "victim@mail.example")
    assert desk.read(mail("victim@mail.example", f"unsubscribe {code(mine)}")).refusals == 1
    assert desk.cases.refused(None, None, "victim@mail.example") is None
    assert desk.cases.refused(None, None, "me@mail.example") is not None
    assert desk.kinds(theirs)[-1] == "sent"
    assert "another mailbox" in desk.cases.steps(mine.case_id)[-1].text


def test_a_wrong_code_is_none(desk: Desk) -> None:
    (notice,) = desk.out("it@clinic.example")
    for number, said in enumerate((f"LA-{notice.case_id}-00000000", f"{code(notice)}0", f"LA-99-{code(notice)[-8:]}")):
        assert desk.read(mail(f"x{number}@clinic.example", f"opt out {said}")).refusals == 0
    assert desk.cases.refused(None, None, "it@clinic.example") is None


def test_the_code_is_found_in_the_text_too(desk: Desk) -> None:
    (notice,) = desk.out("it@clinic.example")
    quoted = mail("it@clinic.example", "Bitte nicht mehr", To="optout@cert.example")
    quoted.set_content(f"> ... schreiben Sie mit dem Betreff abmelden {code(notice)}\n", charset="utf-8", cte="base64")
    assert desk.read(quoted) == Read(refusals=1)
    assert desk.cases.refused(None, None, "it@clinic.example") is not None


def test_an_answer_and_an_opt_out_to_a_letter(desk: Desk) -> None:
    desk.scan(1, 2)
    desk.follow()
    made = []
    for number in (1, 2):
        owner = Owner(organisation=f"Clinic {number}", postal="Street 1\n12345 Town", country="DE")
        desk.cases.confirm(desk.case(number).id, owner, "ada")
        made.append(desk.desk.draft(desk.case(number).id, "first", "ada"))
    desk.desk.approve([one.id for one in made], "ada")
    for one in made:
        assert code(one) in one.body
        desk.desk.resolve(one.id, True, "ada")
    first, second = made
    assert desk.read(
        mail("somebody@clinic.example", f"{code(first)}: it is closed"),
        mail("boss@practice.example", f"abmelden {code(second)}"),
    ) == Read(answers=1, refusals=1)
    assert desk.cases.get(first.case_id).state == "acknowledged"
    case = desk.cases.get(second.case_id)
    assert case.hold is not None
    with pytest.raises(UsageError, match="for ever"):
        desk.cases.release(case.id, "ada")
    assert desk.cases.refused(None, desk.cases.get(first.case_id).address) is None


def test_opt_outs_in_all_languages(desk: Desk) -> None:
    words = [word for those in WORDS.values() for word in those]
    for number, word in enumerate(words):
        for said in (word, f"{word} LA-1-0a1b2c3d", f"{word} LA-123456789012345678-0a1b2c3d"):
            subject = f"AW: {said.upper() if number % 2 else said}."
            found = understood(mail("u@c.example", subject).as_bytes(), None)
            assert found is not None and found.kind == "refusal", subject
            assert len(found.marks) == (said != word)
    found = understood(mail("q@c.example", "Question: how do we opt out of DICOM?").as_bytes(), None)
    assert found is not None and found.kind == "other"


@pytest.mark.parametrize("what", ["bounce", "answer"])
def test_what_comes_back_had_gone_out(desk: Desk, what: str) -> None:
    (notice,) = desk.out("a@one.example", state="unsure")
    made = mail(In_Reply_To=str(notice.message_id)) if what == "answer" else report(str(notice.message_id))
    desk.read(made)
    assert desk.state(notice) == {"bounce": "bounced", "answer": "sent"}[what]
    assert what == "bounce" or desk.kinds(notice)[-2:] == ["sent", "answered"]


def test_nothing_of_a_mail_stays(desk: Desk) -> None:
    (notice,) = desk.out("a@one.example")
    desk.read(
        report(str(notice.message_id)),
        old_bounce(str(notice.message_id)),
        mail(subject=CANARY, In_Reply_To=str(notice.message_id)),
        mail(f'"{CANARY}" <x@one.example>', "opt out"),
    )
    with desk.engine.connect() as connection:
        for table in metadata.sorted_tables:
            kept = repr(connection.execute(sa.select(table)).all())
            assert "Mustermann" not in kept and "19690412" not in kept


def test_an_mbox_file(desk: Desk, tmp_path: Path) -> None:
    (notice,) = desk.out("a@one.example")
    file = tmp_path / "mbox"
    box = mailbox.mbox(str(file))
    for one in (report(str(notice.message_id)), mail("x@one.example", "unsubscribe").as_bytes()):
        box.add(one)
    box.flush()
    assert read_mail(desk.engine, US, desk.calendar, place=file) == Read(bounces=1, doubts=1)
    assert read_mail(desk.engine, US, desk.calendar, place=file) == Read()


def test_no_mailbox_is_an_error(desk: Desk, tmp_path: Path) -> None:
    for settings, place in ((US, None), (US, tmp_path / "none"), (US, tmp_path)):
        with pytest.raises(UsageError, match="maildir"):
            read_mail(desk.engine, settings, place=place)


def test_a_mail_is_looked_at_within_bounds(tmp_path: Path) -> None:
    box = mailbox.Maildir(str(tmp_path / "Maildir"), create=True)
    box.add(b"Subject: opt out\nFrom: a@b.example\n\n" + b"x" * (3 * LONGEST))
    (octets,) = messages(tmp_path / "Maildir")
    assert len(octets) == LONGEST
    found = understood(octets, None)
    assert found is not None and found.kind == "refusal"
    nested = b"".join(
        b'Content-Type: multipart/report; boundary="b%d"\n\n--b%d\n' % (depth, depth) for depth in range(3000)
    )
    understood(nested, None)
    file = tmp_path / "mbox"
    file.write_bytes(b"From x\n" + b"y" * (3 * LONGEST) + b"\n\nFrom z\nSubject: hello\n\n")
    assert [len(one) <= LONGEST for one in messages(file)] == [True, True]


_HEADERS = st.sampled_from(
    [
        "From",
        "To",
        "Subject",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Content-Type",
        "Auto-Submitted",
        "Return-Path",
    ]
)
_VALUES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            OURS.encode(),
            b"multipart/report; boundary=b",
            b"multipart/report; boundary*0*=utf-8''%ff; boundary*1=x",
            b"message/delivery-status",
            b"text/plain; charset=\xff\xfe",
            b"=?utf-8?b?////?= =?x?q?=ZZ?=",
            b'<<>>,,:;"@@\\',
            b"opt out",
            b"MAILER-DAEMON",
            b"<>",
        ]
    ),
)


@given(st.lists(st.tuples(_HEADERS, _VALUES), max_size=10), st.binary(max_size=300))
def test_no_mail_crashes_it(headers: list[tuple[str, bytes]], body: bytes) -> None:
    lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers)
    found = understood(lines + b"\r\n" + body + b"\r\n--b\r\nAction: failed\r\n" + OURS.encode(), "optout@cert.example")
    assert found is None or found.kind in ("bounce", "refusal", "answer", "other")


@given(st.binary(max_size=2000))
def test_no_octets_crash_it(octets: bytes) -> None:
    understood(octets, "optout@cert.example")


@pytest.mark.parametrize(("to", "kind"), [("images@cert.example", "other"), ("Images+Out@cert.example", "refusal")])
def test_what_stands_behind_a_plus_sign_tells_opt_outs_from_answers(to: str, kind: str) -> None:
    mail = f"From: it@clinic.example\r\nTo: {to}\r\nSubject: hm\r\nMessage-ID: <a@b>\r\n\r\nx"
    found = understood(mail.encode(), "images+out@cert.example")
    assert found is not None and found.kind == kind


def test_what_was_read_is_not_read_again(desk: Desk) -> None:
    for number in range(20):
        desk.box.add(mail(f"u{number}@c.example", f"hello {number}"))
    assert desk.read().others == 20
    (desk.place / "cur" / "broken:2,S").write_bytes(b"Content-Type: multipart/report; boundary=b\n\n--b\n" * 2000)
    assert desk.read() in (Read(others=1), Read(unread=1))
    assert desk.read() == Read()
