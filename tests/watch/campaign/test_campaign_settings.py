"""The section [watch]: what is read, and what is refused with words that help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.watch.campaign.schedule import due, first
from leadapron.watch.campaign.settings import Campaign, load_watch

WHOLE = """
[watch]
closed_after = 3

[[watch.campaign]]
name = "city"
scope = "city.toml"
from = ["hosts.txt"]
ports = [104, 11112]
depth = "estimate"
every = "7d"
at = "02:30"
rate = 50
max_requests = 100

[[watch.campaign]]
name = "own"
targets = ["127.1.0.0/24"]
"""


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    file = tmp_path / "leadapron.toml"
    file.write_text(WHOLE)
    watch = load_watch(file, {})
    city, own = watch.campaign
    assert watch.closed_after == 3
    assert (city.scope, city.files) == (str(tmp_path / "city.toml"), (str(tmp_path / "hosts.txt"),))
    assert (city.ports, city.depth, city.rate, city.max_requests) == ((104, 11112), "estimate", 50, 100)
    assert (city.span, city.time and city.time.isoformat("minutes")) == (timedelta(days=7), "02:30")
    assert (own.scope, own.span, own.targets) == (None, None, ("127.1.0.0/24",))
    assert watch.named("own") is own
    with pytest.raises(UsageError, match="there are city, own"):
        watch.named("cyti")


def test_without_a_section_there_are_defaults(tmp_path: Path) -> None:
    file = tmp_path / "leadapron.toml"
    file.write_text("")
    assert load_watch(file, {}).closed_after == 2
    assert load_watch(file, {"LEADAPRON_WATCH__CLOSED_AFTER": "4"}).closed_after == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("closed_after = 0", "closed_after must be 1 or more"),
        ('[[watch.campaign]]\nname = "a b"\nscope = "x"', "cannot be called"),
        ('[[watch.campaign]]\nname = "a"', "no scope and no targets"),
        ('[[watch.campaign]]\nname = "a"\nscope = "x"\n' * 2, "2 campaigns are called"),
        ('[[watch.campaign]]\nname = "a"\nscope = "x"\nevery = "weekly"', '"12h", "7d" or "2w"'),
        ('[[watch.campaign]]\nname = "a"\nscope = "x"\nat = "2:30"', 'time of day like "02:30"'),
        ('[[watch.campaign]]\nname = "a"\nscope = "x"\nat = "02:30"\nevery = "36h"', "whole days"),
        ('[[watch.campaign]]\nname = "a"\nscope = "x"\nrate = 0', "rate must be above 0"),
        ('[[watch.campaign]]\nname = "a"\nscope = "x"\nports = [0]', "ports are numbers"),
        ('[[watch.campaign]]\nname = "a"\nscop = "x"', "watch.campaign.scop"),
        ('[[watch.campaign]]\nname = "a"\nscope = "x"\ndepth = "deep"', "wrong type"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "leadapron.toml"
    file.write_text(f"[watch]\n{text}" if not text.startswith("[") else text)
    with pytest.raises(UsageError) as caught:
        load_watch(file, {})
    assert says in str(caught.value)


# ---- when ------------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def campaign(**values: object) -> Campaign:
    return Campaign(name="a", scope="x", **values)  # type: ignore[arg-type]


def test_every_counts_from_beginning_to_beginning() -> None:
    assert due(campaign(every="12h"), None, NOW) == NOW
    assert due(campaign(every="12h"), NOW, NOW) == NOW + timedelta(hours=12)
    assert due(campaign(every="2w"), NOW - timedelta(days=30), NOW) == NOW - timedelta(days=16)
    assert due(campaign(), None, NOW) is None
    assert due(campaign(), NOW, NOW) is None


def test_a_round_that_began_in_times_to_come_does_not_put_off_the_next_until_then() -> None:
    ahead = NOW + timedelta(days=3650)  # somebody had set the wrong year
    assert due(campaign(every="12h"), ahead, NOW) == NOW
    soon = due(campaign(every="7d", at="02:30"), ahead, NOW)
    assert soon is not None and NOW <= soon <= NOW + timedelta(days=1, hours=1)
    assert due(campaign(every="12h"), NOW + timedelta(minutes=5), NOW) == NOW + timedelta(hours=12, minutes=5)


def test_a_time_of_day_is_kept_and_the_first_one_is_not_put_off_for_ever() -> None:
    nightly = campaign(at="02:30")
    planned = first(nightly, None, NOW)
    assert planned is not None and NOW <= planned < NOW + timedelta(days=1)
    later = planned + timedelta(minutes=1)
    assert first(nightly, planned.isoformat(), later) == planned, "by then it is due, not due tomorrow"
    assert first(campaign(at="03:00"), planned.isoformat(), later) != planned, "another time was configured since"


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 23),
    st.integers(0, 59),
    st.integers(1, 40),
)
def test_a_round_comes_so_many_days_later_at_its_time(begun: datetime, hour: int, minute: int, days: int) -> None:
    moment = due(campaign(at=f"{hour:02}:{minute:02}", every=f"{days}d"), begun, begun)
    assert moment is not None
    local = moment.astimezone()
    assert (local.date() - begun.astimezone().date()).days == days
    assert moment > begun
