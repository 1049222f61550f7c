from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import ScopeError
from leadapron.watch.scope import Rates, ScopeFile, parse_scope, parse_until, render
from leadapron.watch.scope.file import entry

GOOD = """
authorised_by = "Head of IT"
contact = "it@example.org"
reason = "nightly"
valid_until = 2027-01-31
include = [
  "10.1.0.0/16",  # the "house"
  'pacs.example.org', "10.2.0.1-10.2.0.9",
]
exclude = ["10.1.7.0/24"]  # include = ["not this"]
[rate]
overall = 100
network = 2.5
"""


def test_a_whole_file() -> None:
    file = parse_scope(GOOD)
    assert (file.authorised_by, file.contact, file.reason) == ("Head of IT", "it@example.org", "nightly")
    assert file.valid_until == datetime(2027, 2, 1, tzinfo=UTC), "to the end of that day"
    assert [(e.text, e.line, e.is_name) for e in file.include] == [
        ("10.1.0.0/16", 7, False),
        ("pacs.example.org", 8, True),
        ("10.2.0.1-10.2.0.9", 8, False),
    ]
    assert [(e.text, e.line) for e in file.exclude] == [("10.1.7.0/24", 10)]
    assert file.rates == Rates(100, 2.5)
    assert str(file.include[0]) == 'include "10.1.0.0/16" (line 7)'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('authorised_by = "Head of IT"', "", "authorised_by is missing"),
        ('"Head of IT"', '"  "', "authorised_by is missing"),
        ('"Head of IT"', "5", "authorised_by is missing"),
        ('contact = "it@example.org"', "", "contact is missing"),
        ("valid_until = 2027-01-31", "", "valid_until is missing"),
        ("2027-01-31", "2027-01-31T18:00:00", "no time zone"),
        ("2027-01-31", '"next week"', "no date"),
        ("2027-01-31", "9999-12-31", "valid_until"),
        ("2027-01-31", "true", "valid_until is missing"),
        ("exclude =", "exlude =", "unknown key 'exlude'"),
        ('"10.1.0.0/16"', '"10.1.0.5/16"', "scope:7: include: .* bits set"),
        ('"10.1.7.0/24"', '"10.1.7"', "scope:10: exclude: .* neither an address"),
        ('["10.1.7.0/24"]', '"10.1.7.0/24"', "must be a list"),
        ('["10.1.7.0/24"]', "[5]", "must be a list"),
        ("overall = 100", "overall = 0", "above 0"),
        ("overall = 100", "overall = true", "above 0"),
        ("overall = 100", "overall = inf", "above 0"),
        ("overall = 100", "overal = 100", "unknown key 'rate.overal'"),
        ("[rate]", "", "unknown key 'overall'"),
        ('reason = "nightly"', "reason = 5", "reason must be text"),
        ('contact = "it@example.org"', "contact = ", "not TOML"),
    ],
)
def test_every_mistake_is_an_error_that_says_what_to_write(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ScopeError, match=said):
        parse_scope(GOOD.replace(old, new))


def test_an_empty_include_is_an_error() -> None:
    with pytest.raises(ScopeError, match="include is empty"):
        parse_scope('authorised_by = "a"\ncontact = "b"\nvalid_until = 2027-01-01\ninclude = []')


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),
        (" 2027-01-31T18:00:00Z ", datetime(2027, 1, 31, 18, tzinfo=UTC)),
        ("2027-01-31 18:00:00+01:00", datetime(2027, 1, 31, 17, tzinfo=UTC)),
    ],
)
def test_dates(text: str, moment: datetime) -> None:
    assert parse_until(text) == moment


@pytest.mark.parametrize("text", ["", "soon", "31.1.2027", "2027-02-30", "2027-01-31T18:00:00", "9999-12-31"])
def test_dates_that_are_none(text: str) -> None:
    with pytest.raises(ScopeError):
        parse_until(text)


# any text that a person can type: control characters too, but no lone surrogates (no UTF-8 file has them)
words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(lambda text: text.strip() == text)


@given(
    who=words,
    contact=words,
    reason=st.none() | words,
    until=st.datetimes(datetime(2000, 1, 1), datetime(2900, 1, 1)).map(lambda d: d.replace(tzinfo=UTC, microsecond=0)),
    include=st.lists(st.ip_addresses().map(str) | st.just("pacs.example.org"), min_size=1, max_size=4),
    rate=st.none() | st.integers(1, 10**5),
)
def test_what_is_written_is_read_back(
    who: str, contact: str, reason: str | None, until: datetime, include: list[str], rate: int | None
) -> None:
    file = ScopeFile(
        authorised_by=who,
        contact=contact,
        valid_until=until,
        include=tuple(entry("include", text) for text in include),
        exclude=(entry("exclude", "192.0.2.0/24"),),
        reason=reason,
        rates=Rates(None if rate is None else float(rate), 0.5),
    )
    text = render(file)
    again = parse_scope(text)
    assert (again.authorised_by, again.contact, again.reason) == (who, contact, reason)
    assert (again.valid_until, again.rates) == (until, file.rates)
    assert [(e.kind, e.text, e.blocks) for e in again.include] == [(e.kind, e.text, e.blocks) for e in file.include]
    lines = text.split("\n")
    assert all(e.line is not None and f'"{e.text}"' in lines[e.line - 1] for e in (*again.include, *again.exclude))
