"""Hours in which a peer may work: ``"07:00-20:00"``, ``"mo-fr 07:00-20:00; sa 08:00-13:00"``, ``"mo-fr 22:00-06:00"``.

They are what a clock on the wall shows. A moment is first turned into local time and then looked up, nothing is ever
added to a local time, so the hour that comes twice in autumn is in or out both times and the one that is left out in
spring is never asked for. A span begins at its first minute and ends before its last: 07:00-20:00 holds 19:59:59 and
not 20:00. One that passes midnight belongs to the day on which it begins: ``fr 22:00-06:00`` ends on Saturday.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Final

from msgspec import Struct

from leadapron.guard.policy.words import shown
from leadapron.kernel.errors import UsageError

DAYS: Final = ("mo", "tu", "we", "th", "fr", "sa", "su")
_DAY: Final = 24 * 60
_SPAN: Final = re.compile(r"(?:(?P<days>[a-z ,-]+?)\s+)?(?P<begin>\d\d?:\d\d)\s*-\s*(?P<end>\d\d?:\d\d)", re.ASCII)
_TIME: Final = re.compile(r"(\d\d?):(\d\d)", re.ASCII)
_EXAMPLE: Final = 'write "07:00-20:00", "mo-fr 07:00-20:00" or "mo-fr 07:00-20:00; sa 08:00-13:00"'
_MAX_SPANS: Final = 32


class Span(Struct, frozen=True):
    """``days`` (0 is Monday) on which it begins; minutes after midnight. ``end`` ≤ ``begin`` is on the day after."""

    days: frozenset[int]
    begin: int
    end: int

    def holds(self, day: int, minute: int) -> bool:
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or ((day - 1) % 7 in self.days and minute < self.end)


class Hours(Struct, frozen=True):
    spans: tuple[Span, ...]

    def hold(self, when: datetime, zone: tzinfo | None = None) -> bool:
        """Whether ``when`` is in them, on the clocks of ``zone`` (None: this machine's). Raises OverflowError,
        ValueError and OSError for moments that no local clock shows."""
        local = when.astimezone(zone)
        day, minute = local.weekday(), local.hour * 60 + local.minute
        return any(span.holds(day, minute) for span in self.spans)


def parse_hours(text: str) -> Hours:
    """Raises UsageError that says what to write instead."""
    parts = text.casefold().split(";")
    if len(parts) > _MAX_SPANS:
        raise UsageError(f"more than {_MAX_SPANS} spans of hours; {_EXAMPLE}")
    return Hours(tuple(_span(part.strip(), text) for part in parts))


def _span(part: str, text: str) -> Span:
    found = _SPAN.fullmatch(part)
    if found is None:
        raise UsageError(f"{shown(text)} are no hours; {_EXAMPLE}")
    begin, end = _minutes(found["begin"], text), _minutes(found["end"], text)
    if begin in (end, _DAY):
        raise UsageError(f'{shown(text)} begins and ends at once; for a whole day write "00:00-24:00"')
    return Span(_days(found["days"], text), begin, end)


def _minutes(clock: str, text: str) -> int:
    found = _TIME.fullmatch(clock)
    assert found is not None
    hour, minute = int(found[1]), int(found[2])
    if minute > 59 or hour * 60 + minute > _DAY:
        raise UsageError(f"{shown(text)}: {clock} is no time of day, they go from 00:00 to 24:00; {_EXAMPLE}")
    return hour * 60 + minute


def _days(text: str | None, whole: str) -> frozenset[int]:
    if text is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if first not in DAYS or (dash and last not in DAYS):
            raise UsageError(f"{shown(whole)}: days are {', '.join(DAYS)}; {_EXAMPLE}")
        begin, end = DAYS.index(first), DAYS.index(last if dash else first)
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))  # fr-mo passes the week's end
    return frozenset(days)
