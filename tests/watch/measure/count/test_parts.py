"""The small parts: days and how they are cut, what looks like a limit, what a query says on the wire."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.measure.count.days import (
    EVER,
    around,
    as_date,
    as_day,
    bounds,
    cut,
    halves,
    is_day,
    later,
    median_day,
    valid_day,
    width,
)
from leadapron.watch.measure.count.limits import SMALLEST_OF_ALL, like_a_limit
from leadapron.watch.measure.count.query import FIRST_DAY, LAST_DAY, DateRange, TimeRange
from leadapron.watch.measure.count.statistics import mean_and_variance
from leadapron.watch.measure.count.verify import children_of

TODAY = 20261121
days = st.dates(date(1900, 1, 1), date(2100, 12, 31)).map(as_day)


@given(days, days)
def test_days_and_dates(day: int, other: int) -> None:
    assert as_day(as_date(day)) == day and valid_day(b"%d " % day) == day
    assert later(day, (as_date(other) - as_date(day)).days) == other


@pytest.mark.parametrize(
    "value", [b"", b" ", b"2019.01.02", b"20190230", b"00000000", b"18991231", b"21010101", b"2019"]
)
def test_what_is_no_date(value: bytes) -> None:
    assert valid_day(value) == 0


def test_a_long_value_is_no_date_and_is_not_kept() -> None:
    assert valid_day(b"20190101" + b" " * 50) == 20190101
    assert valid_day(b"1" * 10_000) == 0


def covers(parts: tuple[DateRange, ...], span: DateRange) -> bool:
    """The parts follow each other without a gap and make up the whole."""
    ends = [bounds(part) for part in parts]
    follow = all(later(a[1], 1) == b[0] for a, b in itertools.pairwise(ends))
    return follow and (ends[0][0], ends[-1][1]) == bounds(span)


@given(days, st.integers(1, 40_000), st.dictionaries(days, st.integers(1, 900), max_size=30))
def test_halves_are_two_parts(first: int, more: int, dates: dict[int, int]) -> None:
    last = later(first, more)
    if last == first:
        return
    for span in (DateRange(first, last), EVER, DateRange(None, last), DateRange(first, None)):
        if not is_day(span) and width(span) > 1:
            assert covers(halves(span, dates, TODAY), span)


@given(st.dictionaries(days, st.integers(1, 900), max_size=30))
def test_children_prove_something(dates: dict[int, int]) -> None:
    """Two parts that each hold a study, or, on a single day, what is beside it."""
    parts = children_of(EVER, dates, TODAY)
    assert covers(parts, EVER)
    holding = [part for part in parts if any(day in part for day in dates)]
    if len(dates) > 1:
        assert len(parts) == 2 == len(holding)
    elif dates:
        day = next(iter(dates))
        assert len(holding) == 1 and bounds(holding[0]) == (day, day) and holding[0].as_range


@given(st.dictionaries(days, st.integers(1, 900), min_size=2, max_size=30))
def test_the_median_leaves_something_on_either_side(dates: dict[int, int]) -> None:
    middle = median_day(dates)
    before = sum(n for day, n in dates.items() if day <= middle)
    assert 0 < before < sum(dates.values())
    assert before * 2 >= sum(dates.values()) or middle == sorted(dates)[-2]


@pytest.mark.parametrize("day", [20240229, 19010203, 20991231])
def test_halving_closes_in_fast(day: int) -> None:
    span, steps = EVER, 0
    while not is_day(span):
        older, newer = halves(span, {day: 7}, TODAY)
        span = older if day in older else newer
        steps += 1
    assert span == DateRange(day, day) and steps <= 14


def test_around_the_ends_of_time() -> None:
    assert around(DateRange(20200101, 20200103), 20200101)[0] == DateRange(20200101, 20200101, as_range=True)
    assert len(around(EVER, 20200101)) == 3 and len(around(DateRange(20200101, 20200101), 20200101)) == 1
    assert cut(EVER, 20200101) == (DateRange(FIRST_DAY, 20200101), DateRange(20200102, LAST_DAY))
    assert later(LAST_DAY, 9) == LAST_DAY and later(FIRST_DAY, -9) == FIRST_DAY


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (DateRange(20200101, 20200101), "20200101"),
        (DateRange(20200101, 20200101, as_range=True), "20200101-20200101"),
        (DateRange(20200101, 20201231), "20200101-20201231"),
        (DateRange(None, 20201231), "-20201231"),
        (DateRange(20200101, None), "20200101-"),
        (TimeRange(0, 43_199), "000000-115959.999999"),
        (TimeRange(43_200, 86_399), "120000-235959.999999"),
    ],
)
def test_ranges_on_the_wire(span: DateRange | TimeRange, text: str) -> None:
    assert span.text == text


@pytest.mark.parametrize(
    "number",
    [
        99,
        100,
        101,
        128,
        150,
        200,
        250,
        255,
        256,
        500,
        501,
        512,
        750,
        999,
        1000,
        1024,
        1200,
        1250,
        1500,
        2000,
        2048,
        2500,
        4096,
        5000,
        10000,
        20000,
        25000,
        50000,
        65535,
        65536,
        100000,
        1000000,
    ],
)
def test_what_looks_like_a_limit(number: int) -> None:
    assert like_a_limit(number)


@pytest.mark.parametrize("number", [0, 1, 7, 37, 50, 98, 137, 203, 437, 1503, 1234, 2049 + 2, 10_007, 123_456])
def test_what_does_not(number: int) -> None:
    assert not like_a_limit(number)


def test_small_numbers_count_where_nothing_else_can_be_verified() -> None:
    assert [n for n in range(60) if like_a_limit(n, SMALLEST_OF_ALL)] == [10, 16, 20, 25, 30, 32, 40, 50]


def test_few_numbers_look_like_a_limit() -> None:
    assert sum(map(like_a_limit, range(1_000, 10_000))) < 200


def test_mean_and_variance() -> None:
    assert mean_and_variance([2, 4, 6]) == (4, 4) and mean_and_variance([5]) == (5, 0)


def test_the_middle_of_time_is_not_searched_first() -> None:
    older, newer = halves(EVER, {}, TODAY)
    assert 2000 <= bounds(newer)[0] // 10000 <= 2012
    first, second = halves(older, {}, TODAY)
    assert bounds(second)[0] > 19900101 and covers((first, second), older)
    assert as_date(bounds(newer)[1]) - as_date(TODAY) > timedelta(days=366)
