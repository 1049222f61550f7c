"""Rounds of scans become episodes and events, on both databases."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.measure.model import CountFailed
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.exposures.fold import Folded, fold, fold_all, unfolded
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.tables import days, events, metadata, scans
from sightings import about, archive, at_least, exact, web
from watch_folding import Day, rejecting, round_of, save, silent, with_certificate

A, B, C = "127.0.0.1", "127.0.0.2", "127.0.0.3"
PORT = 11112


def kinds(folded: Folded) -> list[tuple[str, int]]:
    return [(event.kind, event.exposure_id) for event in folded.events]


def test_the_first_round_opens_everything_that_stands_open(engine: sa.Engine) -> None:
    folded = round_of(engine, 0, [archive(1, exact(500)), archive(2), web(3), silent(C)])
    assert [event.kind for event in folded.events] == ["opened", "opened"]
    assert (folded.standing.open, folded.standing.archives, folded.standing.studies) == (2, 2, 500)
    one = Exposures(engine).at(A, PORT)
    assert one is not None
    assert (one.state, one.verdict, one.studies, one.images, one.complete) == ("open", "exposed", 500, 48211, True)
    assert (one.product, one.version, one.severity) == ("DCMTK", "3.6.7", "critical")
    assert one.first_seen == one.opened_at == one.last_open == one.last_answer == "2026-11-01T02:30:00Z"
    assert (one.episodes, one.proofs, one.closed_at) == (1, 0, None)
    other = Exposures(engine).at(B, PORT)
    assert other is not None and (other.verdict, other.studies) == ("open", None)
    assert Exposures(engine).open_endpoints() == {(A, PORT), (B, PORT)}


def test_growth_and_shrinking_where_they_are_certain(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(2, at_least(500)), archive(3, about(1000))])
    second = round_of(engine, 1, [archive(1, exact(510)), archive(2, at_least(900)), archive(3, exact(1050))])
    assert kinds(second) == [("grew", 1)]
    (grew,) = second.events
    assert (grew.studies_before, grew.studies, grew.at) == (500, 510, "2026-11-02T02:30:00Z")
    third = round_of(engine, 2, [archive(1, exact(509)), archive(2, exact(899)), archive(3, exact(1050))])
    assert kinds(third) == [("shrank", 1), ("shrank", 2)]


def test_only_proofs_in_a_row_close(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(2, exact(700)), archive(3, exact(900))])
    assert kinds(round_of(engine, 1, [rejecting(A)], {(B, PORT): "ECONNREFUSED", (C, PORT): "ETIMEDOUT"})) == []
    assert kinds(round_of(engine, 2, [silent(A), archive(2, exact(700))], {(C, PORT): "EHOSTUNREACH"})) == []
    folded = round_of(engine, 3, [rejecting(A)], {(B, PORT): "ECONNREFUSED", (C, PORT): "ETIMEDOUT"})
    assert kinds(folded) == [("closed", 1)]
    (closed,) = folded.events
    assert (closed.studies_before, closed.studies, closed.images_before) == (500, None, 48211)
    assert (folded.standing.open, folded.standing.studies) == (2, 1600)
    one = Exposures(engine).get(1)
    assert (one.state, one.closed_at, one.studies) == ("closed", "2026-11-04T02:30:00Z", 500)
    assert Exposures(engine).get(2).proofs == 1, "what answered in between began the count anew"
    assert Exposures(engine).get(3).last_answer == "2026-11-01T02:30:00Z", "nothing was learnt of it since"


def test_a_server_that_is_only_busy_proves_nothing(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    assert kinds(round_of(engine, 1, [rejecting(A, result=2)], closed_after=1)) == []
    assert kinds(round_of(engine, 2, [rejecting(A)], closed_after=1)) == [("closed", 1)]


def test_another_service_on_the_port_is_a_proof(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500), port=104)])
    assert kinds(round_of(engine, 1, [web(1)], closed_after=1)) == [("closed", 1)]


def test_what_comes_back_is_reopened(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    round_of(engine, 1, [rejecting(A)], closed_after=1)
    folded = round_of(engine, 2, [archive(1, exact(650))])
    assert [(e.kind, e.studies_before, e.studies) for e in folded.events] == [("reopened", 500, 650)]
    one = Exposures(engine).get(1)
    assert (one.state, one.episodes, one.closed_at) == ("open", 2, None)
    assert (one.first_seen, one.opened_at) == ("2026-11-01T02:30:00Z", "2026-11-03T02:30:00Z")


def test_folding_again_changes_nothing(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    number = save(engine, 1, [archive(1, exact(600)), archive(2, exact(10))], {})
    assert len(fold(engine, number, clock=Day(1)).events) == 2
    before = snapshot(engine)
    again = fold(engine, number, clock=Day(1))
    assert (again.events, again.standing.studies) == ((), 610)
    assert snapshot(engine) == before


def snapshot(engine: sa.Engine) -> list[list[tuple[object, ...]]]:
    tables = [metadata.tables[name] for name in ("exposures", "events", "days")]
    with engine.connect() as connection:
        return [
            [tuple(row) for row in connection.execute(sa.select(t).order_by(*t.primary_key.columns))] for t in tables
        ]


def test_a_scan_that_stopped_half_way_is_folded_twice(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(2, exact(700))])
    number = save(engine, 1, [], {(A, PORT): "ECONNREFUSED"})
    assert kinds(fold(engine, number, clock=Day(1))) == []
    save(engine, 1, [archive(2, exact(750)), archive(3, exact(5))], scan_id=number)
    assert sorted(kinds(fold(engine, number, clock=Day(1)))) == [("grew", 2), ("opened", 3)]
    assert Exposures(engine).get(1).proofs == 1, "one scan is one proof"


def test_a_move_shows_also_where_the_scan_was_folded_in_parts(engine: sa.Engine) -> None:
    for first_part in ("gone", "new"):
        old, new = (10, 11) if first_part == "gone" else (20, 21)
        round_of(engine, old, [archive(old, exact(500 + old))])
        parts = [([], {(f"127.0.0.{old}", PORT): "ETIMEDOUT"}), ([archive(new, exact(500 + old))], {})]
        if first_part == "new":
            parts.reverse()
        number = save(engine, new, *parts[0])
        fold(engine, number, clock=Day(new))
        save(engine, new, *parts[1], scan_id=number)
        folded = fold(engine, number, clock=Day(new))
        assert [event.kind for event in folded.events] == ["moved"], first_part


def test_a_look_that_did_not_count_leaves_what_was_counted(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    touched = structs.replace(archive(1), depth="touch")
    timed_out = structs.replace(archive(1), count=CountFailed("nothing came in time"))
    for day, look in enumerate((touched, timed_out), 1):
        assert kinds(round_of(engine, day, [look])) == []
    one = Exposures(engine).get(1)
    assert (one.verdict, one.studies, one.sighting_id, one.last_open) == ("exposed", 500, 1, "2026-11-03T02:30:00Z")


def test_an_archive_that_lists_nothing_any_longer_shrank(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    folded = round_of(engine, 1, [structs.replace(archive(1), count=CountFailed("refused", 0x0122))])
    assert [(e.kind, e.studies_before, e.studies) for e in folded.events] == [("shrank", 500, 0)]
    one = Exposures(engine).get(1)
    assert (one.state, one.verdict, one.studies, folded.standing.studies) == ("open", "open", None, 0)


def test_an_older_scan_folded_late_changes_nothing_that_is_newer(engine: sa.Engine) -> None:
    old = save(engine, 0, [archive(1, exact(400)), archive(2, exact(50))])
    round_of(engine, 5, [archive(1, exact(500))])
    assert kinds(fold(engine, old, clock=Day(6))) == [("opened", 2)]
    one = Exposures(engine).get(1)
    assert (one.studies, one.last_open) == (500, "2026-11-06T02:30:00Z")


def test_an_older_scan_folded_late_moves_nothing_that_was_seen_there_since(engine: sa.Engine) -> None:
    round_of(engine, 0, [with_certificate(archive(1, exact(500)), "ab")])
    old = save(engine, 1, [with_certificate(archive(2, exact(500)), "ab")], {(A, PORT): "ETIMEDOUT"})
    round_of(engine, 5, [with_certificate(archive(1, exact(500)), "ab")])
    assert kinds(fold(engine, old, clock=Day(6))) == [("opened", 2)]
    assert Exposures(engine).get(1).state == "open"


def test_an_older_scan_folded_late_is_in_the_sums_of_today(engine: sa.Engine) -> None:
    old = save(engine, 0, [archive(2, exact(50))])
    round_of(engine, 5, [archive(1, exact(500))])
    fold(engine, old, clock=Day(6))
    with engine.connect() as connection:
        rows = [tuple(r) for r in connection.execute(sa.select(days.c.day, days.c.open, days.c.studies, days.c.opened))]
    assert sorted(rows) == [("2026-11-01", 0, 0, 1), ("2026-11-06", 2, 550, 1)]


def test_a_clock_that_ran_ahead_holds_up_nothing_once_it_is_put_right(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(2, exact(700))])
    round_of(engine, 4000, [archive(1, exact(600)), archive(3, exact(9))])  # somebody set the wrong year
    folded = round_of(engine, 1, [rejecting(A), archive(2, exact(800)), archive(3, exact(9))], closed_after=1)
    assert sorted(kinds(folded)) == [("closed", 1), ("grew", 2)]
    assert (folded.standing.open, folded.standing.studies) == (2, 809)
    with engine.connect() as connection:
        newest = connection.execute(sa.select(days.c.day, days.c.studies).order_by(days.c.day.desc())).first()
    assert newest is not None and tuple(newest) == ("2026-11-02", 809), "what is to come has not happened"


def test_scans_that_were_left_are_folded_before_the_next(location: str) -> None:
    engine = open_engine(location)
    first = save(engine, 0, [archive(1, exact(500))])
    second = save(engine, 1, [archive(1, exact(600))])
    assert unfolded(engine) == [first, second]
    folded = fold_all(location, second, clock=Day(1))
    assert folded is not None and kinds(folded) == [("grew", 1)]
    assert unfolded(engine) == []
    engine.dispose()


def test_a_damaged_scan_is_said_and_does_not_hold_up_the_next(location: str, engine: sa.Engine) -> None:
    damaged = save(engine, 0, [archive(1, exact(500))])
    with engine.begin() as connection:
        connection.execute(metadata.tables["sightings"].update().values(record='{"type":"endp'))
    with pytest.raises(Failure, match=f"row of scan {damaged}"):
        fold(engine, damaged)
    following = save(engine, 1, [archive(2, exact(600))])
    folded = fold_all(location, following, clock=Day(1))
    assert folded is not None and kinds(folded) == [("opened", 1)]
    assert unfolded(engine) == [damaged], "it waits to be restored"


def test_a_scan_that_does_not_exist(engine: sa.Engine) -> None:
    with pytest.raises(UsageError, match="no scan 9"):
        fold(engine, 9)


# ---- doors, days, campaigns ------------------------------------------------------------------------------------------


def test_second_doors_count_once(engine: sa.Engine) -> None:
    doors = {(B, PORT): (A, PORT), (C, PORT): (A, PORT)}
    seen = [archive(n, exact(500)) for n in (1, 2, 3)]
    folded = round_of(engine, 0, seen, doors=doors)
    assert (folded.standing.open, folded.standing.archives, folded.standing.studies) == (3, 1, 500)
    read = Exposures(engine)
    assert [read.get(n).door_of for n in (1, 2, 3)] == [None, 1, 1]
    # Another order, another first door: who stood for the archive goes on.
    round_of(engine, 1, seen, doors={(A, PORT): (C, PORT), (B, PORT): (C, PORT)})
    assert [read.get(n).door_of for n in (1, 2, 3)] == [None, 1, 1]
    closed = round_of(engine, 2, [rejecting(A), *seen[1:]], doors={(C, PORT): (B, PORT)}, closed_after=1)
    assert [read.get(n).door_of for n in (1, 2, 3)] == [None, None, 2]
    assert (closed.standing.open, closed.standing.archives, closed.standing.studies) == (2, 1, 500)
    apart = round_of(engine, 3, seen[1:])
    assert [read.get(n).door_of for n in (2, 3)] == [None, None]
    assert apart.standing.archives == 2


def test_days_add_up_by_country_and_campaign(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(2, exact(700))], campaign="north")
    with engine.begin() as connection:
        connection.execute(metadata.tables["exposures"].update().where(sa.text("id = 2")).values(country="DE"))
    round_of(engine, 1, [rejecting(A), archive(3, exact(50))], closed_after=1)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.select(days).order_by(*days.primary_key.columns))]
    assert rows == [
        ("2026-11-01", "", "north", 2, 2, 1200, 2 * 48211, 2400, 2, 0, 0),
        ("2026-11-02", "", "", 1, 1, 50, 48211, 1200, 1, 0, 0),
        ("2026-11-02", "", "north", 0, 0, 0, 0, 0, 0, 1, 0),
        ("2026-11-02", "DE", "north", 1, 1, 700, 48211, 1200, 0, 0, 0),
    ]


def test_a_scan_past_midnight_counts_each_event_on_its_day(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    number = save(engine, 1, [archive(2, exact(700))])
    save(engine, 2, [archive(3, exact(900))], scan_id=number)
    fold(engine, number, clock=Day(2))
    with engine.connect() as connection:
        rows = [tuple(r) for r in connection.execute(sa.select(days.c.day, days.c.open, days.c.opened).order_by("day"))]
    assert rows == [("2026-11-01", 1, 1), ("2026-11-02", 1, 1), ("2026-11-03", 3, 1)]


# ---- moves -----------------------------------------------------------------------------------------------------------


def test_the_same_certificate_is_a_sure_move(engine: sa.Engine) -> None:
    at_a = with_certificate(archive(1, exact(20)), "ab")
    round_of(engine, 0, [at_a, archive(3, exact(10))])
    at_b = with_certificate(archive(2, exact(5000)), "ab")
    folded = round_of(engine, 1, [at_b, archive(3, exact(10))], {(A, PORT): "ETIMEDOUT"})
    (moved,) = folded.events
    assert (moved.kind, moved.exposure_id, moved.other_id, moved.sure) == ("moved", 3, 1, True)
    assert (moved.studies_before, moved.studies) == (20, 5000)
    one = Exposures(engine).get(1)
    assert (one.state, one.moved_to, one.moved_sure) == ("closed", 3, True)
    assert folded.standing.open == 2


def test_a_certificate_that_others_show_too_tells_nothing(engine: sa.Engine) -> None:
    def shown(number: int) -> object:
        return with_certificate(archive(number, exact(20)), "ab")

    round_of(engine, 0, [shown(1), shown(3)])
    folded = round_of(engine, 1, [shown(2), shown(3)], {(A, PORT): "ECONNREFUSED"})
    assert kinds(folded) == [("opened", 3)]


def test_software_titles_and_volume_are_a_guess(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(3, exact(90_000), name="OTHER_1", uid="1.2.3")])
    folded = round_of(engine, 1, [archive(2, exact(520))], {(A, PORT): "ECONNREFUSED"}, closed_after=1)
    assert [(e.kind, e.other_id, e.sure) for e in folded.events] == [("moved", 1, False)]


@pytest.mark.parametrize(
    ("before", "after"), [(500, 499), (500, 601), (99, 99)], ids=["fewer", "many-more", "too-few-to-tell"]
)
def test_another_volume_is_no_move(engine: sa.Engine, before: int, after: int) -> None:
    round_of(engine, 0, [archive(1, exact(before))])
    assert kinds(round_of(engine, 1, [archive(2, exact(after))], {(A, PORT): "ECONNREFUSED"})) == [("opened", 2)]


def test_where_two_could_be_meant_nothing_is_said(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500)), archive(2, exact(505))])
    gone = {(A, PORT): "ECONNREFUSED", (B, PORT): "ETIMEDOUT"}
    assert kinds(round_of(engine, 1, [archive(3, exact(510))], gone)) == [("opened", 3)]


def test_two_doors_move_together(engine: sa.Engine) -> None:
    def both(number: int) -> list[object]:
        return [archive(number, exact(500), port=port) for port in (104, PORT)]

    round_of(engine, 0, both(1), doors={(A, PORT): (A, 104)})
    gone = {(A, 104): "ECONNREFUSED", (A, PORT): "ECONNREFUSED"}
    folded = round_of(engine, 1, both(2), gone, doors={(B, 104): (B, PORT)}, closed_after=1)
    assert [(e.kind, e.exposure_id, e.other_id) for e in folded.events] == [("moved", 3, 1), ("moved", 4, 2)]
    assert folded.standing.archives == 1


def test_one_that_moved_and_comes_back_is_reopened(engine: sa.Engine) -> None:
    round_of(engine, 0, [archive(1, exact(500))])
    round_of(engine, 1, [archive(2, exact(500))], {(A, PORT): "ECONNREFUSED"})
    folded = round_of(engine, 2, [archive(1, exact(500)), archive(2, exact(500))])
    assert kinds(folded) == [("reopened", 1)]
    one = Exposures(engine).get(1)
    assert (one.state, one.moved_to, one.moved_sure) == ("open", None, None)


# ---- any history, and a large one ------------------------------------------------------------------------------------

LOOKS = st.lists(
    st.lists(st.sampled_from(["open", "more", "guarded", "silent", "refused", "timeout", "-"]), min_size=3, max_size=3),
    max_size=6,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LOOKS)
def test_any_history_gives_episodes_that_agree_with_their_events(looks: list[list[str]]) -> None:
    engine = open_engine("sqlite://")
    for day, row in enumerate(looks):
        seen, absent = [], {}
        for number, look in enumerate(row, 1):
            where = f"127.0.0.{number}"
            if look in ("open", "more"):
                seen.append(archive(number, exact(20 + number * 10 + (look == "more"))))
            elif look in ("guarded", "silent"):
                seen.append(rejecting(where) if look == "guarded" else silent(where))
            elif look != "-" and Exposures(engine).at(where, PORT) is not None:
                absent[where, PORT] = "ECONNREFUSED" if look == "refused" else "ETIMEDOUT"
        number = save(engine, day, seen, absent)
        fold(engine, number, clock=Day(day))
        before = snapshot(engine)
        fold(engine, number, clock=Day(day))
        assert snapshot(engine) == before
    read = Exposures(engine)
    for one in read.find(limit=10)[0]:
        turns = [e.kind for e in read.events(one.id) if e.kind in ("opened", "closed", "reopened")]
        assert turns == ["opened", *["closed", "reopened"] * len(turns)][: len(turns)]
        assert (one.state == "open") == (turns[-1] != "closed")
        assert one.episodes == turns.count("opened") + turns.count("reopened")
    with engine.connect() as connection:
        kinds_of = sa.select(events.c.kind, sa.func.count()).group_by(events.c.kind)
        counted = {kind: number for kind, number in connection.execute(kinds_of)}
        summed = connection.execute(sa.select(sa.func.sum(days.c.opened), sa.func.sum(days.c.closed))).one()
        if counted:
            assert tuple(summed) == (counted.get("opened", 0), counted.get("closed", 0))
    engine.dispose()


def test_many_are_folded_in_bulk(engine: sa.Engine) -> None:
    seen = [archive(n, exact(500 + n)) for n in range(1, 3001)]
    save(engine, 0, seen)
    began = time.monotonic()
    assert len(fold(engine, 1, clock=Day(0)).events) == 3000
    gone = {(m.address, PORT): "ECONNREFUSED" for m in seen}
    folded = round_of(engine, 1, [], gone, closed_after=1)
    assert folded.number("closed") == 3000 and folded.standing.open == 0
    assert time.monotonic() - began < 30  # a bound, not a speed: one by one it would be minutes
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).where(scans.c.folded_at.is_(None))).scalar() == 0


def test_folds_at_once_wait_for_one_another(location: str, engine: sa.Engine) -> None:
    numbers = [save(engine, day, [archive(n, exact(500 + day)) for n in range(1, 40)]) for day in range(4)]

    def folded(number: int) -> int:
        own = open_engine(location)
        try:
            return len(fold(own, number, clock=Day(9)).events)
        finally:
            own.dispose()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(folded, [*numbers, *numbers]))
    assert sum(made) == len(Exposures(engine).since(0)) >= 39
    found, number = Exposures(engine).find()
    assert number == 39 and {one.studies for one in found} == {503}, "whatever the order, the newest stands"
