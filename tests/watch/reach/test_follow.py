"""Rounds of the rules, on both databases: what scans prove, what is due, and what must not be written."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from msgspec import structs

from casework import CLINIC, PORT, Desk
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.advice import advice
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.follow import Followed
from leadapron.watch.track.tables import cases, exposures
from sightings import about, address, archive, exact
from watch_folding import round_of, with_certificate

NOTHING = Followed()


def test_what_is_exposed_becomes_a_case_and_what_is_open_does_not(engine: sa.Engine) -> None:
    desk = Desk(engine)
    round_of(engine, 0, [archive(1, exact(500)), archive(2), archive(3, about(90))])
    assert desk.follow().opened == (1, 2)
    assert desk.follow() == NOTHING
    assert {case.address for case in desk.cases.find()[0]} == {"127.0.0.1", "127.0.0.3"}


def test_as_the_configuration_says(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(2)])
    assert Desk(engine, Rules(open=())).follow() == NOTHING
    assert len(Desk(engine, Rules(open=("open", "exposed"), severity="critical")).follow().opened) == 1
    assert len(Desk(engine, Rules(open=("open", "exposed"))).follow().opened) == 1


def test_many_new_ones_at_once(engine: sa.Engine) -> None:
    desk = Desk(engine)
    round_of(engine, 0, [archive(number, exact(500)) for number in range(1, 1202)])
    assert len(desk.follow().opened) == 1201
    assert desk.cases.counts()["new"] == 1201 and desk.follow() == NOTHING


def test_the_whole_ladder(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    assert desk.follow(13.9) == NOTHING
    ways = [(14, "reminder", 0), (28, "reminder", 0), (42, "escalation", 1), (56, "escalation", 2)]
    for day, purpose, level in ways:
        desk.calendar.day = day
        desk.scan(1)
        done = desk.follow()
        assert (len(done.drafted), len(done.escalated)) == (1, level > 0)
        assert desk.notices()[-1] == (purpose, level, "draft")
        assert desk.follow() == NOTHING, "one draft is enough, until a person has looked at it"
        desk.send(*done.drafted)
        assert desk.follow() == NOTHING
    after = desk.cases.get(case.id)
    assert (after.state, after.level, after.due) == ("escalated", 2, None)
    desk.calendar.day = 400
    desk.scan(1)
    assert desk.follow() == NOTHING and desk.cases.needs_person(after), "the regulator is for a person"


def test_what_was_sent_late_moves_all_that_follows(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.calendar.day = 14
    desk.scan(1)
    (reminder,) = desk.follow().drafted
    desk.calendar.day = 24
    desk.send(reminder)
    assert desk.cases.get(case.id).due_at == "2026-12-09T02:30:00Z"  # day 38: fourteen later, not four


def test_no_reminder_before_a_re_test_showed_that_it_is_still_open(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    assert desk.follow(14) == Followed(retest=(case.exposure_id,))
    assert desk.follow(14.5) == NOTHING, "asked for once a day"
    assert desk.follow(15) == Followed(retest=(case.exposure_id,)), "it did not answer"
    desk.calendar.day = 15.1
    desk.scan(1)
    assert len(desk.follow().drafted) == 1


def test_no_reminder_while_a_proof_waits_for_the_next(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.calendar.day = 13
    desk.scan(1)
    desk.calendar.day = 13.5
    desk.scan(closed=(1,))
    assert desk.follow(14) == Followed(retest=(case.exposure_id,))
    desk.calendar.day = 14.1
    desk.scan(closed=(1,))
    assert desk.follow() == Followed(fixed=(case.id,), drafted=(2,))
    assert desk.notices() == [("first", 0, "sent"), ("thanks", 0, "draft")]


def test_what_was_not_seen_lately_is_looked_at_before_the_first_notice_too(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1)
    desk.follow()
    desk.calendar.day = 5
    desk.cases.confirm(1, CLINIC, "ada")
    assert desk.follow() == Followed(retest=(1,))


def test_re_tests_are_asked_for_in_portions_and_each_gets_its_turn(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leadapron.watch.reach.follow.MOST_RETESTS", 2)
    desk = Desk(engine)
    desk.scan(1, 2, 3)
    desk.follow()
    desk.calendar.day = 5
    for id in (1, 2, 3):
        desk.cases.confirm(id, CLINIC, "ada")
    assert [desk.follow().retest for _ in range(3)] == [(1, 2), (3,), ()]


def test_a_server_that_never_answers_again_ends_on_the_list_of_those_who_need_a_person(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    for day in (14, 15, 16, 17):
        assert desk.follow(day).retest == (case.exposure_id,)
        assert not desk.cases.needs_person(desk.cases.get(case.id))
    desk.calendar.day = 17.1
    assert desk.cases.needs_person(desk.cases.get(case.id))


def test_closed_in_time_thanked_and_closed(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    for desk.calendar.day in (5, 6):
        desk.scan(closed=(1,))
    (thanks,) = desk.follow().drafted
    fixed = desk.cases.get(case.id)
    assert (fixed.state, fixed.due, fixed.due_at) == ("fixed", "close", "2026-12-07T02:30:00Z")
    desk.send(thanks)
    assert desk.follow(35) == NOTHING
    assert desk.follow(36) == Followed(closed=(case.id,))
    assert [(s.kind, s.by, s.after) for s in desk.cases.steps(case.id)][-4:] == [
        ("fixed", "scan", "fixed"),
        ("drafted", "rule", "fixed"),
        ("sent", "rule", "fixed"),
        ("closed", "rule", "closed"),
    ]
    assert "proved closed by scan 3, 2026-11-07" in [step.text for step in desk.cases.steps(case.id)]


def test_nobody_is_thanked_who_was_not_written_to_or_does_not_want_it(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.scan(2)
    desk.follow()
    for desk.calendar.day in (1, 2):
        desk.scan(closed=(2,))
    assert desk.follow() == Followed(fixed=(2,))
    quiet = Desk(engine, Rules(thanks=False))
    for quiet.calendar.day in (3, 4):
        quiet.scan(closed=(1,))
    assert quiet.follow() == Followed(fixed=(1,))
    assert [case.due for case in quiet.cases.find()[0]] == ["close", "close"]


def test_what_lay_there_for_approval_goes_when_it_is_fixed(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.calendar.day = 14
    desk.scan(1)
    desk.follow()
    for desk.calendar.day in (15, 16):
        desk.scan(closed=(1,))
    desk.follow()
    assert desk.notices()[1:] == [("reminder", 0, "dropped"), ("thanks", 0, "draft")]
    assert desk.cases.objection(1, "reminder") == "the case is fixed"


def test_open_again_a_person_looks_first(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    for desk.calendar.day in (1, 2):
        desk.scan(closed=(1,))
    desk.follow()
    desk.calendar.day = 3
    desk.scan(1)
    assert desk.follow() == Followed(reopened=(case.id,))
    again = desk.cases.get(case.id)
    assert (again.state, again.due, again.owner) == ("reopened", None, CLINIC)
    assert desk.notices()[-1] == ("thanks", 0, "dropped"), "no thanks for a server that stands open"
    assert desk.cases.needs_person(again) and desk.follow() == NOTHING
    desk.cases.confirm(case.id, CLINIC, "ada")
    assert len(desk.follow().drafted) == 1


def test_what_grew_is_noted_and_changes_nothing(engine: sa.Engine) -> None:
    desk = Desk(engine)
    (case,) = desk.notified(1)
    desk.calendar.day = 1
    desk.scan(1, studies=1500)
    desk.calendar.day = 2
    desk.scan(1, studies=900)
    assert desk.follow() == NOTHING
    assert [(s.kind, s.text) for s in desk.cases.steps(case.id)][-2:] == [
        ("grew", "from 500 to 1,500 studies: scan 2, 2026-11-02"),
        ("shrank", "from 1,500 to 900 studies: scan 3, 2026-11-03"),
    ]
    after = desk.cases.get(case.id)
    assert (after.state, after.due, after.due_at) == (case.state, case.due, case.due_at)


def moved(desk: Desk, *, sure: bool) -> None:
    """A server that goes from the first address to the second on the third day."""
    first, second = archive(1, exact(500)), archive(2, exact(500))
    if sure:
        first, second = with_certificate(first, "ab"), with_certificate(second, "ab")
    round_of(desk.engine, 0, [first])
    desk.follow()
    desk.cases.confirm(1, CLINIC, "ada")
    desk.send(*desk.follow().drafted)
    desk.calendar.day = 3
    round_of(desk.engine, 3, [second], {(address(1), PORT): "ECONNREFUSED"})


def test_a_server_that_moved_takes_its_case_along(engine: sa.Engine) -> None:
    desk = Desk(engine)
    moved(desk, sure=True)
    assert desk.follow() == Followed(moved=(1,))
    case = desk.cases.get(1)
    assert (case.state, case.address, case.due, case.owner) == ("notified", "127.0.0.2", "reminder", CLINIC)
    assert desk.cases.steps(1)[-1].text == "from 127.0.0.1:11112 to 127.0.0.2:11112, seen 2026-11-04 in scan 2"
    assert desk.cases.find()[1] == 1 and desk.follow() == NOTHING
    for desk.calendar.day in (4, 5):
        desk.scan(closed=(2,))
    assert desk.follow().fixed == (1,), "events at its new address are its own"
    desk.scan(1)
    assert desk.follow().opened == (2,), "whatever stands at its old address is another case"


def test_a_guess_is_marked_and_looked_at_by_a_person_before_anything_is_written(engine: sa.Engine) -> None:
    desk = Desk(engine)
    moved(desk, sure=False)
    assert desk.follow() == Followed(moved=(1,))
    case = desk.cases.get(1)
    assert (case.state, case.address, case.due) == ("reopened", "127.0.0.2", None)
    assert desk.cases.steps(1)[-1].text.startswith("perhaps, a guess by its behaviour: from 127.0.0.1:11112")
    assert desk.cases.needs_person(case)


def test_a_draft_that_names_the_old_address_is_written_anew(engine: sa.Engine) -> None:
    desk = Desk(engine)
    round_of(engine, 0, [with_certificate(archive(1, exact(500)), "ab")])
    desk.follow()
    desk.cases.confirm(1, CLINIC, "ada")
    desk.follow()
    desk.calendar.day = 1
    round_of(engine, 1, [with_certificate(archive(2, exact(500)), "ab")], {(address(1), PORT): "ECONNREFUSED"})
    desk.follow()
    assert desk.notices() == [("first", 0, "dropped"), ("first", 0, "draft")]


def test_a_move_to_where_a_case_is_already(engine: sa.Engine) -> None:
    desk = Desk(engine)
    moved(desk, sure=True)
    desk.cases.open_for([2], "bob")
    assert desk.follow() == NOTHING
    assert desk.cases.get(1).address == "127.0.0.1" and desk.cases.get(2).address == "127.0.0.2"
    assert desk.cases.steps(1)[-1].text.endswith("where case 2 is about it")


def test_an_owner_of_several_gets_one_notice_a_day(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1, 2, 3)
    desk.follow()
    for id, mailbox in ((1, "it@clinic.example"), (2, "IT+pacs@Clinic.example"), (3, "other@clinic.example")):
        desk.cases.confirm(id, structs.replace(CLINIC, mailbox=mailbox), "ada")
    done = desk.follow()
    assert (done.drafted, done.waiting) == ((1, 2), (2,))
    assert desk.follow().waiting == (2,), "while the first waits for approval"
    desk.send(1, 2)
    assert desk.follow(0.9).waiting == (2,), "and for a day after it went"
    assert desk.follow(1.1).drafted == (3,)
    desk.send(3)
    assert [desk.cases.get(id).due_at for id in (1, 2, 3)] == [
        "2026-11-15T02:30:00Z",
        "2026-11-16T04:54:00Z",
        "2026-11-15T02:30:00Z",
    ]


def test_letters_and_those_above_do_not_wait_for_each_other(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.scan(1, 2, 3, 4)
    desk.follow()
    for id in (1, 2):
        desk.cases.confirm(id, Owner(organisation="Clinic", postal="Street 1\nTown"), "ada")
    for id in (3, 4):
        desk.cases.escalate(id, "ada", 2)
    assert len(desk.follow().drafted) == 4


class Mute(Desk):
    """A desk that can't write: no organisation is named, no mailbox known."""

    def draft(self, *arguments: object, **options: object) -> None:  # type: ignore[override]
        raise UsageError("[notices] lacks organisation")


def test_what_a_rule_could_not_do_is_told_and_tried_again(engine: sa.Engine) -> None:
    desk = Mute(engine)
    desk.scan(1)
    desk.follow()
    desk.cases.confirm(1, CLINIC, "ada")
    before = desk.cases.get(1)
    for _ in range(2):
        (problem,) = desk.follow().problems
        assert (problem.case_id, problem.why) == (1, "[notices] lacks organisation")
    after = desk.cases.get(1)
    assert after.trouble == "[notices] lacks organisation" and desk.cases.needs_person(after)
    assert structs.replace(after, trouble=None) == before and desk.told(1) == ["opened", "confirmed"]
    assert advice(engine, desk.cases, [after]) == {
        1: "first notice to the owner cannot be written: [notices] lacks organisation"
    }
    assert len(Desk(engine).follow().drafted) == 1
    assert desk.cases.get(1).trouble is None


def test_a_draft_that_a_person_made_is_the_one(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.calendar.day = 14
    desk.scan(1)
    with engine.begin() as connection:
        desk.draft(1, "reminder", "ada", connection=connection)
        connection.execute(cases.update().values(due="reminder", due_at="2026-11-15T02:30:00Z"))
    assert desk.follow() == NOTHING
    assert [purpose for purpose, _, _ in desk.notices()] == ["first", "reminder"]
    assert desk.cases.get(1).due is None


def test_a_case_that_a_person_closed_stays_closed_while_nothing_changes(engine: sa.Engine) -> None:
    desk = Desk(engine)
    desk.notified(1)
    desk.cases.close(1, "ada", "their lawyer says it is meant to be open")
    for day in (14, 28, 60):
        desk.calendar.day = day
        desk.scan(1)
        assert desk.follow() == NOTHING
    for desk.calendar.day in (61, 62):
        desk.scan(closed=(1,))
    assert desk.follow().fixed == (1,) and desk.cases.get(1).state == "closed"
    desk.scan(1)
    assert desk.follow().reopened == (1,) and desk.cases.get(1).state == "reopened"


@pytest.mark.parametrize("rounds", [1, 2])
def test_events_from_before_the_case_are_none_of_its_history(rounds: int, engine: sa.Engine) -> None:
    desk = Desk(engine, Rules(open=()))
    desk.scan(1)
    for desk.calendar.day in range(1, 2 + rounds):
        desk.scan(1, studies=1000 * int(desk.calendar.day))
    desk.cases.open_for([1], "ada")
    assert desk.follow() == NOTHING and desk.told(1) == ["opened"]
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(exposures)).scalar() == 1
