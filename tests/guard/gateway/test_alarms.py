"""An ordinary day raises no alarm; a bulk retrieval always does."""

from __future__ import annotations

from random import Random
from statistics import mean

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from guard.gateway.clinic import DAY, HOUR, STATIONS, Practice, bulk
from leadapron.guard.gateway.alarms import FLOORS, Alarm, Watch
from leadapron.guard.gateway.baseline import EVIDENCE, Baseline, Measure
from leadapron.guard.gateway.meter import Bounds

SEEDS = st.integers(0, 2**32 - 1)
UNCAPPED = Bounds(studies_per_hour=100_000)
# A practice that fails is no simpler for a smaller seed: nothing is gained by shrinking, and it takes minutes.
QUICK = settings(max_examples=8, phases=(Phase.explicit, Phase.generate))


def called(alarms: tuple[Alarm, ...], who: str) -> set[str]:
    """The rules that called ``who`` for the studies it retrieved; nobody else was called."""
    assert {alarm.who for alarm in alarms} <= {who}
    return {alarm.rule for alarm in alarms if alarm.measure == Measure.STUDIES}


def usual(practice: Practice, who: str) -> float:
    return mean(count for count in practice.read[who] if count)


@QUICK
@given(SEEDS)
def test_ordinary_days_never_alarm(seed: int) -> None:
    practice = Practice(seed)
    assert [alarm for _ in range(40) for alarm in practice.day()] == []
    assert practice.refused == 0


@QUICK
@given(SEEDS, st.integers(0, 12), st.floats(0.1, 8), st.sampled_from(STATIONS))
def test_a_bulk_retrieval_is_stopped_within_the_cap_and_alarms(seed: int, days: int, slow: float, who: str) -> None:
    """From the first day on; over C-GET, C-MOVE and WADO alike, which all ask the same meter."""
    practice = Practice(seed)
    for _ in range(days):
        assert practice.day() == ()
    taken = practice.taken(bulk(who, 400, Random(seed), slow=slow))
    assert taken <= 100
    assert "cap" in called(practice.meter.alarms(), who)


@QUICK
@given(SEEDS, st.integers(10, 21), st.floats(0.1, 8), st.sampled_from(STATIONS))
def test_where_the_cap_is_too_wide_what_is_usual_tells(seed: int, days: int, slow: float, who: str) -> None:
    """Several times the daily amount within an hour, however slowly it begins, at whatever time of the day."""
    practice = Practice(seed, UNCAPPED)
    for _ in range(days):
        assert practice.day() == ()
    size = max(FLOORS[Measure.STUDIES].hour + 1, round(5 * usual(practice, who)))
    assert "hour" in called(practice.day(bulk(who, size, Random(seed), slow=slow)), who)


@QUICK
@given(SEEDS, st.sampled_from(STATIONS))
def test_a_copy_over_a_whole_day_is_seen_within_it(seed: int, who: str) -> None:
    practice = Practice(seed, UNCAPPED)
    for _ in range(12):
        assert practice.day() == ()
    size = max(FLOORS[Measure.STUDIES].day + 1, round(7 * usual(practice, who)))
    assert "day" in called(practice.day(bulk(who, size, Random(seed), within=10 * HOUR)), who)


@QUICK
@given(SEEDS, st.sampled_from(STATIONS))
def test_low_and_slow_is_seen_within_two_weeks(seed: int, who: str) -> None:
    """Three times the usual on top of it, each working day: called by one rule or another."""
    practice = Practice(seed, UNCAPPED)
    for _ in range(21):
        assert practice.day() == ()
    size, found = max(50, round(3 * usual(practice, who))), set[str]()
    for day in range(14):
        attack = bulk(who, size, Random(seed + day), within=10 * HOUR) if day % 7 < 5 else []
        found |= called(practice.day(attack), who)
    assert found


def steady(watch: Watch, amount: int, days: range, measure: Measure = Measure.STUDIES) -> list[tuple[int, str]]:
    """So much each day, evenly over ten hours: the day and the rule of each alarm."""
    found = []
    for day in days:
        for number in range(amount):
            at = day * DAY + 8 * HOUR + number * 10 * HOUR / amount
            found += [(day, alarm.rule) for alarm in watch.count("WS1", measure, 1, now=at, epoch=at, cap=100)]
    return found


@pytest.mark.parametrize(("factor", "first"), [(1.0, None), (1.5, 8), (2.0, 4), (3.0, 2), (3.1, 1)])
def test_a_thief_who_takes_his_time_with_a_peer_whose_days_are_alike(factor: float, first: int | None) -> None:
    """On which day he is called. Half as much again is called late, and from less the baseline grows with him."""
    watch = Watch(Baseline())
    assert steady(watch, 100, range(30)) == []
    found = steady(watch, int(100 * factor), range(30, 50))
    assert (found[0][0] - 29 if found else None) == first


def test_more_work_is_learnt_and_then_quiet() -> None:
    """Three times as much from one day on, rightly: called for some days, then no more."""
    watch = Watch(Baseline())
    steady(watch, 60, range(20))
    days = {day for day, _ in steady(watch, 200, range(20, 80))}
    assert min(days) == 20
    assert max(days) < 50


def test_alarms_do_not_move_the_baseline_at_once() -> None:
    watch = Watch(Baseline())
    steady(watch, 40, range(20))
    steady(watch, 4000, range(20, 21))
    steady(watch, 1, range(21, 22))
    series = watch.baseline.series("WS1", Measure.STUDIES)
    assert (series.high(), series.settled(), max(series.days)) == (40, 40, 120)


def test_small_numbers_are_never_unusual() -> None:
    watch = Watch(Baseline())
    steady(watch, 1, range(20))
    assert steady(watch, FLOORS[Measure.STUDIES].hour, range(20, 22)) == []


def test_before_anything_is_known_three_hours_at_the_cap_are_enough_for_a_day() -> None:
    assert steady(Watch(Baseline()), 300, range(1)) == []
    assert steady(Watch(Baseline()), 301, range(1)) == [(0, "day")]
    watch = Watch(Baseline())
    assert steady(watch, 140, range(EVIDENCE + 1)) == []


def test_an_alarm_is_not_repeated_for_an_hour() -> None:
    watch = Watch(Baseline())
    refused = [watch.refused("WS1", "studies", 101, 100, now=at) for at in (0.0, 1.0, 3599.0, 3600.0)]
    assert [len(alarms) for alarms in refused] == [1, 0, 0, 1]
    assert len(watch.refused("WS2", "studies", 101, 100, now=2.0)) == 1
    assert len(watch.refused("WS1", "requests", 601, 600, now=2.0)) == 1
    watch.forget("WS1")
    assert len(watch.refused("WS1", "studies", 101, 100, now=2.0)) == 1


@pytest.mark.parametrize("measure", [Measure.QUERIES, Measure.ANSWERS, Measure.STORES])
def test_the_other_measures_alarm_too(measure: Measure) -> None:
    watch = Watch(Baseline())
    for day in range(10):
        watch.count("WS1", measure, 100, now=day * DAY, epoch=day * DAY)
    bound = FLOORS[measure].hour
    assert watch.count("WS1", measure, bound, now=10 * DAY, epoch=10 * DAY) == ()
    (alarm,) = watch.count("WS1", measure, 1, now=10 * DAY + 1, epoch=10 * DAY + 1)
    assert (alarm.rule, alarm.count, alarm.bound, alarm.measure) == ("hour", bound + 1, bound, measure)
    assert alarm.text == f"WS1: {bound + 1} {measure} within an hour; a busy day has 100"
