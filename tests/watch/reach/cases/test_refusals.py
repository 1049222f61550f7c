"""Whoever said no is never written to again: not by a rule, not by a person, whatever happens to the case."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from casework import CLINIC, Desk
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.cases.settings import Rules

REFUSALS = [("mailbox", "IT+pacs@clinic.example"), ("domain", "clinic.example"), ("network", "127.0.0.0/30")]


def quiet(desk: Desk, case_id: int) -> None:
    """Through months of rounds, scans and people's wishes nothing is drafted and nothing may go out."""
    before = desk.notices(case_id)
    assert not {state for _, _, state in before} & {"draft", "approved"}
    for day in (30, 60, 100):
        desk.calendar.day = day
        desk.scan(1)
        assert desk.follow().drafted == ()
        for purpose in ("first", "reminder", "escalation", "thanks"):
            assert desk.cases.objection(case_id, purpose) is not None
        with pytest.raises(UsageError, match="stays on hold for ever"):
            desk.cases.release(case_id, "ada")
    desk.cases.escalate(case_id, "ada", 2)
    assert desk.follow().drafted == ()
    desk.calendar.day = 101
    desk.scan(closed=(1,))
    desk.calendar.day = 102
    desk.scan(closed=(1,))
    assert desk.follow().fixed == (case_id,) and desk.follow().drafted == ()
    desk.calendar.day = 140
    desk.follow()
    assert desk.cases.get(case_id).state == "closed"
    desk.scan(1)
    assert desk.follow().reopened == (case_id,)
    desk.cases.confirm(case_id, CLINIC, "ada")
    assert desk.follow().drafted == () and desk.notices(case_id) == before


@pytest.mark.parametrize(("kind", "value"), REFUSALS)
def test_after_a_notice(kind: str, value: str, engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    assert desk.cases.refuse(kind, value, "mail", "asked to be left alone") == [case.id]  # type: ignore[arg-type]
    after = desk.cases.get(case.id)
    assert after.hold is not None and "asked to be left alone" in after.hold
    assert [(s.kind, s.by) for s in desk.cases.steps(case.id)][-1] == ("refused", "mail")
    quiet(desk, case.id)


@pytest.mark.parametrize(("kind", "value"), REFUSALS)
def test_what_lay_there_for_approval_is_withdrawn(kind: str, value: str, engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    desk.cases.confirm(1, CLINIC, "ada")
    desk.follow()
    assert desk.notices() == [("first", 0, "draft")]
    desk.cases.refuse(kind, value, "ada", "on the telephone")  # type: ignore[arg-type]
    assert desk.notices() == [("first", 0, "dropped")]
    quiet(desk, 1)


@pytest.mark.parametrize(("kind", "value"), REFUSALS)
def test_before_anybody_knew_of_the_case(kind: str, value: str, engine: sa.Engine) -> None:
    desk = Desk(engine)
    assert desk.cases.refuse(kind, value, "ada", "a letter") == []  # type: ignore[arg-type]
    desk.scan(1)
    desk.follow()
    desk.cases.confirm(1, CLINIC, "ada")
    assert desk.told(1)[-1] == "refused" or desk.cases.get(1).hold
    quiet(desk, 1)


@pytest.mark.parametrize(("kind", "value"), REFUSALS)
def test_as_the_configuration_says(kind: str, value: str, engine: sa.Engine) -> None:
    """Somebody who stands in it since yesterday, while a case runs since the day before."""
    desk = Desk(engine)
    desk.notified(1)
    later = Desk(engine, Rules(do_not_contact=(value,)))
    later.calendar.day = 14
    later.scan(1)
    assert later.follow().drafted == ()
    assert "do_not_contact" in (later.cases.get(1).hold or "")
    quiet(later, 1)


def test_others_are_written_to_as_before(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1, 5)
    desk.follow()
    desk.cases.confirm(1, CLINIC, "ada")
    desk.cases.confirm(2, Owner(organisation="Other", mailbox="it@myclinic.example"), "ada")
    for kind, value in REFUSALS:
        assert desk.cases.refuse(kind, value, "ada", "said no") == [1]  # type: ignore[arg-type]
    assert len(desk.follow().drafted) == 1 and desk.notices(1) == []
    assert desk.cases.objection(2, "first") is None
    assert desk.cases.objection(2, "first", "abuse@noc.clinic.example") is not None, "the recipient counts too"
    assert desk.cases.refused(CLINIC, None) and desk.cases.refused(None, "127.0.0.3")
    assert desk.cases.refused(None, "127.0.0.4", "a@b.example") is None


def test_a_refusal_has_a_reason_and_stays_as_it_was_made(engine: sa.Engine) -> None:
    desk = Desk(engine)
    with pytest.raises(UsageError, match="say why"):
        desk.cases.refuse("domain", "clinic.example", "ada", "")
    with pytest.raises(UsageError, match="is no mailbox, but a domain"):
        desk.cases.refuse("mailbox", "clinic.example", "ada", "said no")
    desk.cases.refuse("domain", "clinic.example", "ada", "the first")
    desk.cases.refuse("domain", "CLINIC.example", "bob", "the second")
    assert "the first" in (desk.cases.refused(CLINIC, None) or "")
