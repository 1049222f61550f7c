"""The section [cases]: days as numbers and as text, and what can't be meant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.settings import Rules, load_cases


def read(tmp_path: Path, text: str, **environment: str) -> Rules:
    path = tmp_path / "leadapron.toml"
    path.write_text("[cases]\n" + text)
    return load_cases(path, environment)


def test_what_holds_without_a_word(tmp_path: Path) -> None:
    rules = read(tmp_path, "")
    assert rules == Rules()
    assert [(rung.day, rung.due, rung.level) for rung in rules.ladder()] == [
        (14, "reminder", 0),
        (28, "reminder", 0),
        (42, "raise", 1),
        (56, "raise", 2),
    ]
    assert not rules.may_raise(3), "the regulator is for people to write to"


def test_days_as_numbers_as_text_and_from_the_environment(tmp_path: Path) -> None:
    rules = read(
        tmp_path,
        'reminders = ["7d", 10]\noperator = "never"\ncert = "20d"\nregulator = 30\nclose = "5d"\n',
        LEADAPRON_CASES__SEEN="2d",
        LEADAPRON_CASES__ANSWERED="9",
    )
    assert [(rung.day, rung.level, rung.nth) for rung in rules.ladder()] == [
        (7, 0, 1),
        (10, 0, 2),
        (20, 2, 0),
        (30, 3, 0),
    ]
    assert (rules.span("close"), rules.span("seen"), rules.span("answered")) == tuple(
        timedelta(days=days) for days in (5, 2, 9)
    )
    assert rules.may_raise(3) and not rules.may_raise(1)


def test_each_rung_waits_as_long_as_lies_between_them() -> None:
    rules = Rules(reminders=(14, 28), operator=42, cert=60)
    waits = [rules.next_rung(*at) for at in ((0, 0), (0, 1), (0, 2), (1, 0), (2, 0))]
    assert [(found[0].due, found[0].level, found[1].days) if found else None for found in waits] == [
        ("reminder", 0, 14),
        ("reminder", 0, 14),
        ("raise", 1, 14),
        ("raise", 2, 18),
        None,
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reminders = [14, 14]", "each later than the one before"),
        ("operator = 20", "each later than the one before"),
        ("operator = 0", "operator should be days from 1"),
        ('cert = "two weeks"', "cert should be days from 1"),
        ('close = "never"', "close should be days"),
        ("seen = 14", "seen must be less than the shortest wait"),
        ('open = ["guarded"]', "is no verdict of an open server; there are exposed, open"),
        ('open = ["opne"]', "is no verdict; there are exposed, open"),
        ('severity = "bad"', "there are critical, high"),
        ('do_not_contact = ["clinic"]', "do_not_contact: 'clinic' is no mailbox"),
        ("reminder = [14]", "The closest one is cases.reminders"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(tmp_path, text)
