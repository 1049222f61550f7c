"""What is said about arms: shares, differences, and nothing where nothing can be said."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from casework import Desk
from leadapron.kernel.clock import iso
from leadapron.watch.reach.arms.analysis import Analysis, Arm, Difference, _difference, analyse
from leadapron.watch.reach.arms.intervals import newcombe, wilson
from leadapron.watch.reach.cases.model import Owner
from leadapron.watch.track.tables import cases, events, exposures, notices, scans, sightings


def arm(name: str, cases: int, closed: int) -> Arm:
    return Arm(name, cases, closed, 0, 0, *wilson(closed, cases))


def test_the_figures_of_the_literature() -> None:
    # Newcombe 1998, Table II, method 10: 56/70 against 48/80.
    low, high = newcombe(56, 70, 48, 80)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    assert [round(one, 4) for one in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(one, 4) for one in wilson(0, 20)] == [0.0, 0.1611]


def test_in_words() -> None:
    assert _difference(arm("email", 100, 34), arm("letter", 100, 76)).sentence() == (
        "letter closed more: 76 of 100 against 34 of 100, difference 42 points, 95 % 29–53"
    )
    assert _difference(arm("email", 30, 10), arm("letter", 30, 12)).sentence() == (
        "letter and e-mail: no difference can be told, 12 of 30 against 10 of 30, difference 7 points, 95 % −17–29"
    )
    assert _difference(arm("local", 4, 4), arm("english", 90, 0)).sentence() == (
        "local language and English: too few to say, 4 and 90 cases"
    )


counts = st.integers(0, 300).flatmap(lambda cases: st.tuples(st.integers(0, cases), st.just(cases)))


@given(counts, counts)
def test_intervals_hold_what_was_seen_and_turn_with_the_arms(one: tuple[int, int], two: tuple[int, int]) -> None:
    for hits, number in (one, two):
        low, high = wilson(hits, number)
        assert 0 <= low <= high <= 1
        assert not number or low - 1e-9 <= hits / number <= high + 1e-9
    low, high = newcombe(*one, *two)
    back = newcombe(*two, *one)
    assert (low, high) == pytest.approx((-back[1], -back[0]))
    assert -1 <= low <= high <= 1


@pytest.mark.parametrize(("cases", "one", "two"), [(25, 0.1, 0.1), (40, 0.75, 0.35), (100, 0.3, 0.05), (15, 0.95, 0.6)])
def test_intervals_cover_the_truth_as_often_as_they_say(cases: int, one: float, two: float) -> None:
    dice = random.Random(20261122)
    rounds, inside, share = 1500, 0, 0
    for _ in range(rounds):
        hits = sum(dice.random() < one for _ in range(cases))
        others = sum(dice.random() < two for _ in range(cases))
        low, high = newcombe(hits, cases, others, cases)
        inside += low <= one - two <= high
        low, high = wilson(hits, cases)
        share += low <= one <= high
    assert inside / rounds > 0.93
    assert share / rounds > 0.92


def _fill(engine: sa.Engine, desk: Desk, plan: list[tuple[str, float, float | None]]) -> None:
    """Cases straight into the tables: arm of medium, day of the first notice, day of the proof that it is closed."""
    desk.scan(1)
    desk.follow()
    desk.cases.confirm(desk.case(1).id, Owner(organisation="X", mailbox="a@b.example"), "ada")

    def at(day: float) -> str:
        return iso(desk.calendar.now() + timedelta(days=day))

    with engine.begin() as connection:
        first = connection.execute(sa.select(exposures)).mappings().one()
        case = connection.execute(sa.select(cases)).mappings().one()
        scan = connection.execute(sa.select(scans.c.id)).scalar_one()
        connection.execute(cases.update().values(arms="{}"))
        assert connection.execute(sa.select(sa.func.count()).select_from(sightings)).scalar_one()
        for number, (medium, sent, closed) in enumerate(plan, start=2):
            row = {**first, "id": number, "address": f"127.9.{number >> 8}.{number & 255}"}
            connection.execute(exposures.insert().values(row))
            arms = f'{{"medium":"{medium}"}}'
            connection.execute(cases.insert().values({**case, "id": number, "exposure_id": number, "arms": arms}))
            notice = {
                **{"case_id": number, "purpose": "first", "channel": "email", "level": 0, "language": "en"},
                **{"arms": arms, "recipient": "a@b.example", "domain": "b.example", "sender": "c@d", "subject": "s"},
                **{"body": "b", "state": "sent", "created_at": at(sent), "created_by": "ada", "tries": 1},
            }
            connection.execute(notices.insert().values({**notice, "sent_at": at(sent)}))
            if closed is not None:
                event = {"exposure_id": number, "scan_id": scan, "at": at(closed), "kind": "closed"}
                connection.execute(events.insert().values(event))


def test_from_the_tables(engine: sa.Engine) -> None:
    desk = Desk(engine)
    plan: list[tuple[str, float, float | None]] = [
        *[("letter", 0, 10.0)] * 15,
        *[("letter", 0, None)] * 5,
        *[("email", 0, 59.0)] * 3,
        *[("email", 0, 61.0)] * 10,  # too late to count
        *[("email", 5, 2.0)] * 7,  # closed before anybody was written to
        *[("email", 30, None)] * 4,  # their time is not over
    ]
    _fill(engine, desk, plan)
    desk.calendar.day = 80
    (found,) = analyse(engine, 60, desk.calendar).comparisons
    assert found.factor == "medium"
    email, letter = found.arms
    assert (email.cases, email.closed, email.early, email.crossed) == (20, 3, 4, 0)
    assert (letter.cases, letter.closed, letter.early, letter.crossed) == (20, 15, 0, 20)
    assert found.differences[0].sentence() == (
        "letter closed more: 15 of 20 against 3 of 20, difference 60 points, 95 % 30–77"
    )
    desk.calendar.day = 20
    (young,) = analyse(engine, 60, desk.calendar).comparisons
    assert [one.cases for one in young.arms] == [0, 0]
    assert "too few" in young.differences[0].sentence()


def test_a_server_is_followed_through_its_moves(engine: sa.Engine) -> None:
    desk = Desk(engine)
    _fill(engine, desk, [("letter", 0, None)] * 4)  # exposures and cases 2 to 5

    def event(connection: sa.Connection, number: int, day: float, kind: str, other: int | None = None) -> None:
        at = iso(desk.calendar.now() + timedelta(days=day))
        connection.execute(
            events.insert().values(exposure_id=number, scan_id=1, at=at, kind=kind, other_id=other, sure=True)
        )

    with engine.begin() as connection:
        row = connection.execute(sa.select(exposures).where(exposures.c.id == 2)).mappings().one()
        for number in (12, 13, 14, 15, 16):
            connection.execute(exposures.insert().values({**row, "id": number, "address": f"127.9.9.{number}"}))

        def moved(old: int, new: int, day: float) -> None:
            event(connection, new, day, "moved", old)
            connection.execute(exposures.update().where(exposures.c.id == old).values(state="closed", moved_to=new))

        def case_goes(old: int, new: int) -> None:
            connection.execute(cases.update().where(cases.c.exposure_id == old).values(exposure_id=new))

        event(connection, 2, 10, "closed")  # closed, open again, then elsewhere: the case goes with it
        event(connection, 2, 20, "reopened")
        moved(2, 12, 30)
        case_goes(2, 12)
        moved(3, 13, 10)  # elsewhere, and closed there; another case was about that address before
        event(connection, 13, 40, "closed")
        moved(4, 14, 10)  # only elsewhere, and from there elsewhere again
        moved(14, 15, 20)
        case_goes(4, 15)
        event(connection, 5, 30, "reopened")  # what happened at the old address after the server had gone is another's
        moved(5, 16, 20)
        event(connection, 5, 35, "closed")
        case_goes(5, 16)
    desk.calendar.day = 80
    (found,) = analyse(engine, 60, desk.calendar).comparisons
    assert [(arm.cases, arm.closed) for arm in found.arms] == [(4, 2)]


def test_nothing_was_drawn(engine: sa.Engine) -> None:
    assert analyse(engine) == Analysis(60, ())
    assert Difference(arm("a", 0, 0), arm("b", 0, 0), -1, 1).told is False
