"""What people decide and what mail reports, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from msgspec import structs

from casework import CLINIC, Desk
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.model import STATES, NotAllowed, Owner
from leadapron.watch.reach.cases.settings import Rules


def test_a_person_opens_a_case_once_and_for_what_stands_open(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1, 2)
    assert desk.cases.open_for([1, 2, 99], "ada") == [1, 2]
    assert desk.cases.open_for([1, 2], "ada") == []
    (step,) = desk.cases.steps(1)
    assert (step.kind, step.before, step.after, step.by, step.at) == (
        "opened",
        None,
        "new",
        "ada",
        "2026-11-01T02:30:00Z",
    )
    case = desk.cases.get(1)
    assert (case.state, case.endpoint, case.studies, case.product, case.is_open) == (
        "new",
        "127.0.0.1:11112",
        500,
        "DCMTK",
        True,
    )
    assert desk.cases.of(2) == desk.cases.get(2) and desk.cases.of(99) is None


def test_what_is_closed_calls_for_no_case(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    for desk.calendar.day in (1, 2):
        desk.scan(closed=(1,))
    assert desk.cases.open_for([1], "ada") == []


def test_an_owner_is_confirmed_and_may_turn_out_to_be_another(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    assert (case.state, case.owner, case.mailbox, case.language) == ("notified", CLINIC, "it@clinic.example", "de")
    assert case.due == "reminder"
    other = desk.cases.confirm(case.id, Owner(organisation=" The  Hospital ", postal="Street 1\nTown"), "bob")
    assert (other.state, other.due, other.mailbox, other.reminders) == ("confirmed", "first", None, 0)
    assert other.owner is not None and other.owner.organisation == "The Hospital"
    assert [(s.kind, s.by, s.before, s.after) for s in desk.cases.steps(case.id)] == [
        ("opened", "rule", None, "new"),
        ("confirmed", "ada", "new", "confirmed"),
        ("drafted", "rule", "confirmed", "confirmed"),
        ("sent", "rule", "confirmed", "notified"),
        ("confirmed", "bob", "notified", "confirmed"),
    ]


@pytest.mark.parametrize(
    "owner",
    [
        Owner(organisation="Clinic"),
        Owner(organisation=" ", mailbox="it@clinic.example"),
        Owner(organisation="Clinic\x1b[2J", mailbox="it@clinic.example"),
        Owner(organisation="Clinic", mailbox="it@clinic.example\nBcc: all@clinic.example"),
        Owner(organisation="Clinic", mailbox="IT <it@clinic.example>"),
        Owner(organisation="Clinic", postal="Street 1\n\x07"),
        Owner(organisation="Clinic", postal="\n \n"),
        Owner(organisation="Clinic", postal="x\n" * 11),
        Owner(organisation="Clinic", mailbox="it@straße.example"),
        Owner(organisation="Clinic", mailbox="müller@clinic.example"),
        Owner(organisation="Clinic", mailbox="it@clinic.example", language="german"),
        Owner(organisation="Clinic", mailbox="it@clinic.example", country="Germany"),
        Owner(organisation="Clinic", mailbox="it@clinic.example", person="x" * 201),
    ],
)
def test_an_owner_who_cannot_be_written_to(owner: Owner, engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    with pytest.raises(UsageError, match="owner"):
        desk.cases.confirm(1, owner, "ada")
    assert desk.told(1) == ["opened"]


def test_an_owner_is_kept_as_they_can_be_written_to(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    owner = Owner(
        organisation="Klinik", mailbox=" it@bücher.example ", postal=" Weg 1 \r\n\n 12345 Ort\n", country="de"
    )
    kept = desk.cases.confirm(1, owner, "ada").owner
    assert kept is not None and kept.mailbox == "it@xn--bcher-kva.example"
    assert (kept.postal, kept.country) == ("Weg 1\n12345 Ort", "DE")


def test_steps_that_the_table_has_not_change_nothing(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    before = desk.cases.get(1)
    with pytest.raises(NotAllowed, match="a case that is new can't become acknowledged by a person"):
        desk.cases.acknowledge(1, "ada")
    with pytest.raises(NotAllowed):
        desk.cases.close(1, "rule", "tired of it")
    with pytest.raises(UsageError, match="there is no case 7"):
        desk.cases.note(7, "hello", "ada")
    with pytest.raises(UsageError, match="there is no case 7"):
        desk.cases.steps(7)
    for by in ("", "  ", "x" * 101, "a\x1bb"):
        with pytest.raises(UsageError, match="say who does this"):
            desk.cases.note(1, "hello", by)
    assert desk.cases.get(1) == before and desk.told(1) == ["opened"]


def test_whoever_answered_is_left_alone_for_a_while(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.calendar.day = 10
    after = desk.cases.acknowledge(case.id, "ada", "they called, and are on it")
    assert (after.state, after.due, after.due_at) == ("acknowledged", "reminder", "2026-11-25T02:30:00Z")
    desk.calendar.day = 12
    desk.cases.answered(case.id, "out of office")
    assert desk.cases.get(case.id).due_at == "2026-11-27T02:30:00Z"
    assert [step.by for step in desk.cases.steps(case.id)][-2:] == ["ada", "mail"]


def test_an_answer_takes_back_the_reminder_that_waits_for_approval(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.calendar.day = 14
    desk.scan(1)
    desk.follow()
    assert desk.notices() == [("first", 0, "sent"), ("reminder", 0, "draft")]
    desk.cases.answered(case.id, "we look into it")
    assert desk.notices()[1] == ("reminder", 0, "dropped")
    after = desk.cases.get(case.id)
    assert (after.state, after.due, after.due_at) == ("acknowledged", "reminder", "2026-11-29T02:30:00Z")


def test_what_came_back_needs_a_person_and_counts_once(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    for _ in range(2):
        desk.cases.bounced(case.id, 1, "no such user (550)")
    after = desk.cases.get(case.id)
    assert (after.state, after.due) == ("confirmed", None)
    assert desk.told(case.id).count("bounced") == 1
    assert desk.cases.needs_person(after) and desk.cases.find(attention=True)[1] == 1


def test_a_notice_that_is_told_twice_counts_once(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.calendar.day = 3
    desk.cases.notified(case.id, 1, "rule")
    assert desk.cases.get(case.id) == case and desk.told(case.id).count("sent") == 1


def test_a_case_goes_up_by_hand_to_anybody_above(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    case = desk.cases.escalate(1, "ada", 2, "nobody knows whose it is")
    assert (case.state, case.level, case.due) == ("escalated", 2, "escalation")
    for level in (0, 1, 2, 4, -1):
        with pytest.raises(UsageError, match=r"case 1 is with the CERT; it can be taken to the regulator \(3\)"):
            desk.cases.escalate(1, "ada", level)
    with pytest.raises(UsageError, match="only a person may take a case to the regulator"):
        desk.cases.escalate(1, "rule", 3)
    assert desk.cases.escalate(1, "ada").level == 3
    with pytest.raises(UsageError, match="nobody above"):
        desk.cases.escalate(1, "ada")


def test_the_regulator_is_a_rung_where_somebody_says_so(engine: sa.Engine) -> None:
    desk = Desk(engine, Rules(regulator=70))
    desk.notified(1)
    assert desk.cases.escalate(1, "rule", 3).level == 3


def test_a_case_on_hold_is_released_and_goes_on(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.calendar.day = 14
    desk.scan(1)
    desk.follow()
    held = desk.cases.hold(case.id, "the minister is on the telephone", "ada")
    assert held.hold == "the minister is on the telephone"
    assert desk.notices()[-1] == ("reminder", 0, "dropped")
    assert desk.follow().drafted == () and desk.cases.find(held=True)[1] == 1
    assert desk.cases.objection(case.id, "reminder") == "the case is on hold: the minister is on the telephone"
    assert desk.cases.release(case.id, "ada").hold is None
    assert len(desk.follow().drafted) == 1
    with pytest.raises(UsageError, match="not on hold"):
        desk.cases.release(case.id, "ada")


def test_who_closes_a_case_says_why(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    with pytest.raises(UsageError, match="say why"):
        desk.cases.close(1, "ada", " ")
    assert desk.cases.close(1, "ada", "a test server of ours").state == "closed"
    with pytest.raises(NotAllowed):
        desk.cases.close(1, "ada", "again")


def test_words_of_strangers_are_kept_printable_and_short(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.cases.answered(case.id, "hello\x1b[2J\u202e\r\nthere" + "x" * 5000)
    text = desk.cases.steps(case.id)[-1].text
    assert text.startswith("hello\ufffd[2J\ufffd\nthere") and len(text) == 2000


def test_what_was_drawn_stays_drawn(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    desk.cases.set_arms(1, {"sender": "cert"})
    desk.cases.set_arms(1, {"sender": "hospital", "medium": "letter"})
    assert desk.cases.get(1).arms == {"sender": "cert", "medium": "letter"}


def test_finding(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1, owner=CLINIC)
    desk.scan(2, 3, studies=900)
    desk.follow()
    desk.cases.confirm(3, structs.replace(CLINIC, organisation="100% Röntgen_", mailbox="r@x.example"), "ada")
    found = desk.cases.find
    assert found(order="id")[1] == 3
    assert [case.id for case in found(order="-studies", limit=2)[0]] == [2, 3]
    assert [case.id for case in found(order="id", limit=1, offset=1)[0]] == [2]
    assert [case.id for case in found(state="new")[0]] == [2]
    assert [case.id for case in found(state=["new", "notified"], order="-id")[0]] == [2, 1]
    assert [case.id for case in found(text="röntgen_")[0]] == [3]
    assert [case.id for case in found(text="0%")[0]] == [3] and found(text="R_ntgen")[1] == 0
    assert [case.id for case in found(text="127.0.0.2")[0]] == [2]
    assert found(country="DE")[1] == 0 and found(country="")[1] == 3
    assert [case.id for case in found(due=True)[0]] == [3]
    assert [case.id for case in found(attention=True)[0]] == [2]
    assert {case.id for case in found(attention=False)[0]} == {1, 3}
    assert desk.cases.counts() == {**dict.fromkeys(STATES, 0), "new": 1, "confirmed": 1, "notified": 1}
    with pytest.raises(UsageError, match="no case is ever 'open'"):
        found(state="open")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cannot be put in that order"):
        found(order="owner")
    for case in found()[0]:
        assert desk.cases.needs_person(case) == (case in found(attention=True)[0])
