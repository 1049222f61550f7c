"""No case is left without a next step: whatever becomes of a notice, a rule goes on, or a person is shown why not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from casework import CLINIC, PORT, Desk
from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.advice import advice
from leadapron.watch.reach.cases.model import Case, Owner
from leadapron.watch.track.tables import exposures, notices
from postroom import Bureau
from sightings import address, archive, exact
from watch_folding import rejecting, round_of


class Lost(Desk):
    """Nobody at these levels has an address."""

    unreachable: tuple[int, ...] = ()

    def draft(self, case_id: int, purpose: str, by: str, **more: Any) -> Any:
        if more.get("level", 0) in self.unreachable:
            raise UsageError("no abuse mailbox of the network is known: leadapron owner looks it up")
        return super().draft(case_id, purpose, by, **more)


def advised(desk: Desk, case: Case) -> str:
    return advice(desk.engine, desk.cases, [case])[case.id]


def drop(desk: Desk, id: int, state: str = "dropped") -> None:
    """As a sender does to whom somebody objected: without a word to the case."""
    with desk.engine.begin() as connection:
        connection.execute(notices.update().where(notices.c.id == id).values(state=state))


def later(desk: Desk, days: float) -> str:
    return iso(desk.calendar.now() + timedelta(days=days))


def test_a_draft_that_a_person_drops_is_due_again_later(engine: sa.Engine) -> None:
    desk = Bureau(engine)
    (first,) = desk.drafts("it@clinic.example")
    desk.desk.drop(first.id, "ada", "they called, and close it today")
    case = desk.case()
    assert (case.state, case.due, case.due_at) == ("confirmed", "first", later(desk, 14))
    assert advised(desk, case) == "first notice to the owner on 2026-11-15"
    assert desk.follow().drafted == ()
    desk.calendar.day = 14
    desk.scan(1)
    assert desk.follow().drafted == (2,)


def test_each_rung_whose_draft_is_dropped_comes_again_and_none_is_left_out(engine: sa.Engine) -> None:
    desk = Bureau(engine)
    desk.notified(1)
    ways = [("reminder", 0), ("reminder", 0), ("escalation", 2)]
    for purpose, level in ways:
        if level:
            desk.cases.escalate(1, "ada", level)
        else:
            desk.calendar.day += 14
            desk.scan(1)
        (id,) = desk.follow().drafted
        desk.desk.drop(id, "ada", "the text is wrong")
        assert desk.case().due == purpose and desk.case().due_at == later(desk, 14)
        desk.calendar.day += 14
        desk.scan(1)
        (id,) = desk.follow().drafted
        assert desk.notices()[-1] == (purpose, level, "draft")
        desk.send(id)
    after = desk.case()
    assert (after.due, after.level) == (None, 2) and desk.cases.needs_person(after), "the ladder is at its end"


def test_what_a_sender_dropped_comes_back_to_the_ladder(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.calendar.day = 14
    desk.scan(1)
    (id,) = desk.follow().drafted
    drop(desk, id)
    desk.follow()
    assert (desk.case().due, desk.case().due_at) == ("reminder", later(desk, 14))
    assert desk.follow().drafted == ()


def test_released_after_a_sender_was_stopped_by_the_hold(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    desk.cases.confirm(1, CLINIC, "ada")
    (id,) = desk.follow().drafted
    drop(desk, id, "sending")  # taken by a sender, who looks again before it hands it over
    desk.cases.hold(1, "they are on the phone", "ada")
    drop(desk, id)
    desk.cases.release(1, "ada")
    desk.follow()
    assert (desk.case().state, desk.case().due, desk.case().due_at) == ("confirmed", "first", later(desk, 14))


def test_a_level_without_an_address_is_shown_and_passed_over_in_its_time(engine: sa.Engine) -> None:
    desk = Lost(engine)
    desk.unreachable = (1,)
    desk.notified(1)
    for day in (14, 28):
        desk.calendar.day = day
        desk.scan(1)
        desk.send(*desk.follow().drafted)
    for day in (42, 49, 55.9):
        desk.calendar.day = day
        desk.scan(1)
        done = desk.follow()
        assert [problem.case_id for problem in done.problems] == [1] and not done.drafted
        case = desk.case()
        assert (case.level, case.due) == (1, "escalation") and desk.cases.needs_person(case)
        assert "no abuse mailbox" in advised(desk, case)
    desk.calendar.day = 56
    desk.scan(1)
    done = desk.follow()
    assert (done.escalated, len(done.drafted), done.problems) == ((1,), 1, ())
    assert (desk.case().level, desk.case().trouble) == (2, None)
    assert any("nobody at the operator could be written to: no abuse" in step.text for step in desk.cases.steps(1))
    assert desk.notices()[-1] == ("escalation", 2, "draft")


def test_the_last_level_without_an_address_stays_with_a_person(engine: sa.Engine) -> None:
    desk = Lost(engine)
    desk.unreachable = (1, 2)
    desk.notified(1)
    desk.cases.escalate(1, "ada")
    for day in (1, 20, 400):
        desk.calendar.day = day
        desk.scan(1)
        desk.follow()
    case = desk.case()
    assert case.level == 2 and case.trouble is not None and desk.cases.needs_person(case)
    desk.unreachable = ()
    assert len(desk.follow().drafted) == 1, "as soon as somebody can be reached"


def test_an_escalation_that_bounces_is_shown_and_goes_up_in_its_time(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.cases.escalate(1, "ada", 1)
    (id,) = desk.follow().drafted
    desk.send(id)
    desk.calendar.day = 2
    desk.scan(1)
    drop(desk, id, "bounced")
    desk.cases.bounced(1, id, "came back with 5.1.1")
    case = desk.case()
    assert (case.state, case.due, case.trouble) == ("escalated", "raise", "the operator: came back with 5.1.1")
    assert desk.cases.needs_person(case)
    desk.calendar.day = 16
    desk.scan(1)
    assert desk.follow().escalated == (1,)
    assert desk.case().level == 2 and desk.case().trouble is None


def test_a_late_bounce_of_the_owners_notice_leaves_the_ladder_alone(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.cases.escalate(1, "ada", 1)
    (second,) = desk.follow().drafted
    desk.send(second)
    before = desk.case()
    drop(desk, 1, "bounced")
    desk.cases.bounced(1, 1, "came back with 4.4.7")
    after = desk.case()
    assert (after.state, after.due, after.due_at) == ("escalated", "raise", before.due_at)
    assert desk.cases.steps(1)[-1].text == "notice to the owner: came back with 4.4.7"


@pytest.mark.parametrize("written", [False, True])
def test_what_bounces_from_the_owner_before_does_not_stop_the_new_one(engine: sa.Engine, written: bool) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.cases.confirm(1, Owner(organisation="The right one", mailbox="it@right.example"), "ada")
    if written:
        desk.calendar.day = 1.5
        desk.scan(1)
        desk.send(*desk.follow().drafted)
    before = desk.case()
    drop(desk, 1, "bounced")
    desk.cases.bounced(1, 1, "came back with 5.1.1")
    after = desk.case()
    assert (after.state, after.due, after.due_at) == (before.state, before.due, before.due_at)
    assert after.due is not None


def test_a_notice_by_hand_to_another_level_does_not_end_the_ladder(engine: sa.Engine) -> None:
    desk = Bureau(engine)
    desk.notified(1)
    before = desk.case()
    extra = desk.desk.draft(1, "escalation", "ada", level=2, to="cert@cert.example")
    assert (desk.case().due, desk.case().due_at) == (before.due, before.due_at)
    desk.send(extra.id)
    assert (desk.case().due, desk.case().due_at) == (before.due, before.due_at)
    drop(desk, extra.id, "bounced")
    desk.cases.bounced(1, extra.id, "came back")
    assert (desk.case().state, desk.case().due) == ("notified", "reminder")


def test_what_was_proved_closed_is_not_written_about_before_the_next_round(engine: sa.Engine) -> None:
    desk = Bureau(engine)
    (notice,) = desk.approved("it@clinic.example")
    for desk.calendar.day in (1, 2):
        desk.scan(closed=(1,))  # folded; no round of the rules since
    assert desk.case().state == "confirmed"
    assert desk.cases.objection(notice.case_id, "first", notice.recipient) == "scans proved it closed"
    with pytest.raises(UsageError, match="proved it closed"):
        desk.desk.draft(notice.case_id, "reminder", "ada")


def test_nobody_is_thanked_for_what_stands_open_again(engine: sa.Engine) -> None:
    desk = Bureau(engine)
    desk.notified(1)
    for desk.calendar.day in (1, 2):
        desk.scan(closed=(1,))
    (thanks,) = desk.follow().drafted
    desk.desk.approve([thanks], "ada")
    assert desk.cases.objection(1, "thanks") is None
    desk.calendar.day = 3
    desk.scan(1)  # folded; no round of the rules since
    assert desk.case().state == "fixed"
    assert desk.cases.objection(1, "thanks") == "it is not closed any more"
    desk.follow()
    assert desk.notices()[-1] == ("thanks", 0, "dropped")


@pytest.mark.parametrize("closes", [1, 2])
def test_nobody_is_thanked_while_another_door_of_the_archive_stands_open(engine: sa.Engine, closes: int) -> None:
    desk = Desk(engine)
    doors = {(address(2), PORT): (address(1), PORT)}
    round_of(engine, 0, [archive(1, exact(500)), archive(2, exact(500))], doors=doors)
    desk.follow()
    for number, mailbox in ((1, "one@clinic.example"), (2, "two@clinic.example")):
        desk.cases.confirm(desk.case(number).id, Owner(organisation="Clinic", mailbox=mailbox), "ada")
    desk.send(*desk.follow().drafted)
    stays = 3 - closes
    for day in (1, 2):
        desk.calendar.day = day
        round_of(engine, day, [archive(stays, exact(500)), rejecting(address(closes))])
    assert desk.follow().drafted == ()
    case = desk.case(closes)
    assert (case.state, case.due) == ("fixed", "close")
    assert desk.cases.objection(case.id, "thanks") == f"the same archive stands open at {address(stays)}:{PORT}"
    for day in (3, 4):
        desk.calendar.day = day
        round_of(engine, day, [rejecting(address(1)), rejecting(address(2))])
    assert len(desk.follow().drafted) == 1, "now it is closed"


def test_what_a_notice_says_of_earlier_ones_is_about_its_reader_and_this_time(engine: sa.Engine) -> None:
    desk = Bureau(engine)
    desk.notified(1)
    desk.calendar.day = 10
    desk.cases.confirm(1, Owner(organisation="The right one", mailbox="it@right.example"), "ada")
    desk.scan(1)
    desk.send(*desk.follow().drafted)
    desk.calendar.day = 24
    desk.scan(1)
    (reminder,) = desk.follow().drafted
    body = desk.desk.get(reminder).body
    assert "On 11 November 2026 we wrote to you" in body, "the other owner got that of the first"
    for desk.calendar.day in (25, 26):
        desk.scan(closed=(1,))
    desk.follow()
    desk.calendar.day = 200
    desk.scan(1)
    desk.follow()
    desk.cases.confirm(1, Owner(organisation="The right one", mailbox="it@right.example"), "ada")
    assert "11 November 2026" not in desk.desk.preview(1, "reminder").body, "that was before it was closed"


def test_abroad_the_cert_is_the_servers_and_the_law_the_owners(engine: sa.Engine) -> None:
    desk = Bureau(engine)
    desk.notified(1)
    with engine.begin() as connection:
        connection.execute(exposures.update().values(country="FR"))
    cert = desk.desk.preview(1, "escalation", level=2)
    assert cert.recipient == "cert-fr@ssi.gouv.fr" and cert.language == "fr"
    assert "Texte applicable (Allemagne)" in cert.body and "images médicales (France)" in cert.body
    first = desk.desk.preview(1, "first")
    assert first.language == "de" and "Es gilt (Deutschland)" in first.body
    with pytest.raises(UsageError, match="Datenschutzaufsicht"):
        desk.desk.preview(1, "escalation", level=3)
