from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.policy.hours import DAYS, parse_hours
from leadapron.kernel.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("07:00-20:00", ["2026-11-21 07:00", "2026-11-22 19:59:59"], ["2026-11-21 06:59:59", "2026-11-21 20:00"]),
        ("7:00 - 20:00", ["2026-11-21 07:00"], ["2026-11-21 20:00"]),
        ("22:00-06:00", ["2026-11-21 22:00", "2026-11-21 00:00", "2026-11-21 05:59"], ["2026-11-21 06:00"]),
        ("mo-fr 07:00-20:00", ["2026-11-20 12:00"], ["2026-11-21 12:00", "2026-11-22 12:00"]),
        ("Mo-Fr 07:00-20:00; sa 08:00-13:00", ["2026-11-21 12:59"], ["2026-11-21 13:00", "2026-11-22 09:00"]),
        ("fr 22:00-06:00", ["2026-11-20 23:00", "2026-11-21 05:00"], ["2026-11-20 05:00", "2026-11-21 23:00"]),
        ("su 22:00-06:00", ["2026-11-22 22:00", "2026-11-23 05:59"], ["2026-11-22 05:00", "2026-11-23 06:00"]),
        ("fr-mo 10:00-11:00", ["2026-11-20 10:00", "2026-11-22 10:30", "2026-11-23 10:00"], ["2026-11-24 10:00"]),
        ("mo, we,fr 10:00-11:00", ["2026-11-23 10:00", "2026-11-25 10:00"], ["2026-11-24 10:00"]),
        ("00:00-24:00", ["2026-11-21 00:00", "2026-11-21 23:59:59"], []),
        ("sa 20:00-24:00", ["2026-11-21 23:59"], ["2026-11-22 00:00"]),
        ("sa 20:00-00:00", ["2026-11-21 23:59"], ["2026-11-22 00:00", "2026-11-21 00:00"]),
    ],
)
def test_what_is_in_and_what_is_out(hours: str, inside: list[str], outside: list[str]) -> None:
    parsed = parse_hours(hours)
    assert [moment for moment in inside if not parsed.hold(local(moment), BERLIN)] == []
    assert [moment for moment in outside if parsed.hold(local(moment), BERLIN)] == []


def test_the_hour_that_comes_twice_counts_both_times() -> None:
    night = parse_hours("02:00-03:00")
    assert night.hold(local("2026-10-25 02:30"), BERLIN)
    assert night.hold(local("2026-10-25 02:30", fold=1), BERLIN)
    assert not night.hold(local("2026-10-25 03:00"), BERLIN)


def test_the_hour_that_is_left_out_is_never_asked_for() -> None:
    night = parse_hours("02:00-03:00")
    begin = datetime(2026, 3, 29, tzinfo=UTC)
    assert not any(night.hold(begin + timedelta(minutes=minute), BERLIN) for minute in range(0, 240))
    across = parse_hours("22:00-06:00")  # a shift of seven hours that night
    inside = [minute for minute in range(-24 * 60, 24 * 60) if across.hold(begin + timedelta(minutes=minute), BERLIN)]
    assert len([minute for minute in inside if -180 <= minute < 360]) == 7 * 60


@given(
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),
)
def test_a_span_is_as_long_as_it_says(days: set[int], begin: int, length: int, moment: datetime) -> None:
    """In a zone without summer time: inside is less than ``length`` after a day's beginning."""
    end = (begin + length) % 1440
    if end == begin:
        return
    text = f"{','.join(DAYS[day] for day in days)} {begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    since = [
        (moment - (datetime.combine(moment.date(), datetime.min.time()) + timedelta(days=back, minutes=begin)))
        for back in (0, -1)
        if (moment.date() + timedelta(days=back)).weekday() in days
    ]
    expected = any(timedelta(0) <= after < timedelta(minutes=length) for after in since)
    assert parse_hours(text).hold(moment.replace(tzinfo=UTC), UTC) is expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "no hours"),
        ("7-20", "no hours"),
        ("07:00", "no hours"),
        ("07:00-20:00;", "no hours"),
        ("25:00-26:00", "no time of day"),
        ("07:60-20:00", "no time of day"),
        ("07:00-24:01", "no time of day"),
        ("07:00-07:00", "00:00-24:00"),
        ("24:00-07:00", "00:00-24:00"),
        ("mon-fri 07:00-20:00", "mo, tu, we"),
        ("mo-xx 07:00-20:00", "mo, tu, we"),
        (", 07:00-20:00", "mo, tu, we"),
        ("٠٧:٠٠-٢٠:٠٠", "no hours"),
        (";".join(["07:00-08:00"] * 40), "more than 32"),
    ],
)
def test_a_mistake_is_said_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        parse_hours(text)


@given(st.text(max_size=60) | st.from_regex(r"[a-z ,-]{0,9} ?\d?\d:\d\d ?- ?\d?\d:\d\d", fullmatch=True))
def test_any_text_is_hours_or_a_usage_error(text: str) -> None:
    try:
        parse_hours(text)
    except UsageError as error:
        assert str(error).isprintable()
