from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.rates import Answers, Pace, Sliding, Studies

GAPS = st.lists(st.floats(0, 20) | st.just(0.0) | st.floats(0, 0.2), max_size=300)


@given(st.integers(1, 200), GAPS)
def test_no_minute_holds_more_requests_than_may_be(per_minute: int, gaps: list[float]) -> None:
    pace, now, taken = Pace(), 1e6, list[float]()
    for gap in gaps:
        now += gap
        if not pace.wait(now, per_minute):
            taken.append(now)
    for index, begin in enumerate(taken):
        assert sum(begin <= at < begin + 59.999 for at in taken[index:]) <= per_minute


@given(st.integers(1, 120))
def test_the_greediest_asker_gets_the_bound_and_no_more(per_minute: int) -> None:
    pace, now, taken = Pace(), 0.0, list[float]()
    while len(taken) < 3 * per_minute:
        if wait := pace.wait(now, per_minute):
            now += wait + 1e-9
        else:
            taken.append(now)
    most = max(sum(begin <= at < begin + 59.999 for at in taken) for begin in taken)
    assert most == per_minute


@given(st.integers(1, 1000), GAPS)
def test_who_waits_as_long_as_told_is_let_in(per_minute: int, gaps: list[float]) -> None:
    pace, now = Pace(), 0.0
    for gap in gaps:
        now += gap
        wait = pace.wait(now, per_minute)
        assert 0 <= wait <= 60
        if wait:
            assert pace.wait(now + wait * 0.99 - 1e-6, per_minute) > 0
            assert pace.wait(now + wait + 1e-6, per_minute) == 0
            now += wait + 1e-6


def test_a_tenth_may_come_at_once_and_a_steady_asker_is_never_refused() -> None:
    pace = Pace()
    assert [pace.wait(0.0, 600) == 0 for _ in range(62)].count(True) == 60
    steady = Pace()
    assert all(steady.wait(number * 0.12, 600) == 0 for number in range(5000))  # 500 a minute


def test_a_bound_that_changes_holds_at_once() -> None:
    pace = Pace()
    assert sum(pace.wait(0.0, 600) == 0 for _ in range(100)) == 60
    assert pace.wait(0.0, 6) > 1  # fewer
    pace = Pace()
    assert pace.wait(0.0, 1) == 0
    assert 0 < pace.wait(1.0, 1) <= 60
    assert pace.wait(56.0, 600) == 0  # more


@given(
    st.integers(0, 10),
    st.lists(st.tuples(st.floats(0, 1500), st.lists(st.integers(0, 20), min_size=1, max_size=4)), max_size=60),
)
def test_no_hour_holds_more_different_studies_than_may_be(per_hour: int, steps: list[tuple[float, list[int]]]) -> None:
    studies, now, taken = Studies(b"key"), 0.0, list[tuple[float, str]]()
    for gap, numbers in steps:
        now += gap
        uids = [f"1.2.{number}" for number in numbers]
        fresh = studies.take(uids, now, per_hour)
        held = {uid for at, uid in taken if at > now - 3600}
        if fresh is None:
            assert len(held | set(uids)) > per_hour  # never refused without need
            assert set(uids) - held
        else:
            assert fresh == len(set(uids) - held)
            taken += [(now, uid) for uid in uids]
        assert studies.count(now) <= per_hour
        assert len({uid for at, uid in taken if at > now - 3600}) <= per_hour


def test_the_same_study_padded_is_the_same_study_and_no_uid_is_kept() -> None:
    studies = Studies(b"key")
    assert studies.take(["1.2.840.99999.1"], 0.0, 5) == 1
    assert studies.take(["1.2.840.99999.1\0", " 1.2.840.99999.1 "], 1.0, 5) == 0
    assert b"99999" not in b"".join(studies._seen)
    assert studies.take([], 1.0, 0) == 0
    assert studies.take(["\ud800"], 1.0, 5) == 1  # whatever came


def test_memory_is_bounded_by_the_cap() -> None:
    studies = Studies(b"key")
    for number in range(5000):
        studies.take([str(number)], 0.0, 100)
    assert len(studies._seen) == 100
    sliding = Sliding()
    for number in range(5000):
        sliding.add(1, number * 1234.5)
    assert len(sliding._ring) == 289


@given(st.integers(0, 50), st.integers(0, 60))
def test_answers_are_counted_to_the_cap(cap: int, asked: int) -> None:
    answers = Answers(cap)
    assert [answers.more() for _ in range(asked)] == [number < cap for number in range(asked)]
    assert answers.count == min(cap, asked)
    assert answers.reached is (asked >= cap)


@given(st.lists(st.tuples(st.floats(0, 4000) | st.floats(0, 200_000), st.integers(0, 9)), max_size=80))
def test_the_last_hour_and_day_are_seen_whole_and_little_more(steps: list[tuple[float, int]]) -> None:
    sliding, now, added = Sliding(), 0.0, list[tuple[float, int]]()
    for gap, amount in steps:
        now += gap
        added.append((now, amount))
        hour, day = sliding.add(amount, now)
        for seen, span in ((hour, 3600), (day, 86400)):
            assert sum(a for at, a in added if at > now - span) <= seen
            assert seen <= sum(a for at, a in added if at >= now - span - 300)


def test_a_clock_that_goes_back_loses_nothing() -> None:
    sliding = Sliding()
    sliding.add(5, 10_000.0)
    assert sliding.add(1, 0.0) == (6, 6)
