"""Days as the DICOM value DA has them, yyyymmdd as an int, and how a range of them is cut.

A date that is none (2019.01.02 as ACR-NEMA wrote it, 20190230, all zeros) or lies outside of 1900 to 2100 counts as
undated: it is on no calendar that we could search day by day, and servers compare such values each in its own way.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

from leadapron.watch.measure.count.hashes import Memory, process_memory
from leadapron.watch.measure.count.query import FIRST_DAY, LAST_DAY, DateRange
from leadapron.watch.measure.count.remember import Remembered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EVER = DateRange(FIRST_DAY, LAST_DAY)
EVER_OPEN = DateRange(None, None)
FIRST_YEAR = FIRST_DAY // 10000
YEARS = LAST_DAY // 10000 - FIRST_YEAR + 1
_OLD = 19850101  # digital archives hardly reach further back: where to look first, not where to stop


def as_day(value: date) -> int:
    return value.year * 10000 + value.month * 100 + value.day


def as_date(day: int) -> date:
    return date(day // 10000, day // 100 % 100, day % 100)


def _valid_day(value: bytes) -> int:
    text = value.strip(b" \0")
    if len(text) != 8 or not text.isdigit():
        return 0
    day = int(text)
    if not FIRST_DAY <= day <= LAST_DAY:
        return 0
    try:
        as_date(day)
    except ValueError:
        return 0
    return day


valid_day = Remembered(_valid_day, 32_768).__getitem__
"""The day that a StudyDate (bytes as they came, padding allowed) says, or 0."""


def later(day: int, days: int) -> int:
    """The day so many days later (earlier if negative), never outside of 1900 to 2100."""
    ordinal = as_date(day).toordinal() + days
    return as_day(date.fromordinal(min(max(ordinal, as_date(FIRST_DAY).toordinal()), as_date(LAST_DAY).toordinal())))


def is_day(span: DateRange) -> bool:
    """Nothing left to cut: a day, or all that lies before 1900 or after 2100."""
    return bounds(span)[0] == bounds(span)[1]


def bounds(span: DateRange) -> tuple[int, int]:
    """First and last day, with 1900 and 2100 for open ends."""
    return (FIRST_DAY if span.first is None else span.first, LAST_DAY if span.last is None else span.last)


def width(span: DateRange) -> int:
    """Days in the range."""
    first, last = bounds(span)
    return (as_date(last) - as_date(first)).days + 1


def cut(span: DateRange, day: int) -> tuple[DateRange, DateRange]:
    """Two ranges: up to ``day`` and after it. ``day`` lies in the range and is not its last."""
    return DateRange(span.first, day), DateRange(later(day, 1), span.last)


def around(span: DateRange, day: int) -> tuple[DateRange, ...]:
    """Before ``day``, ``day`` (as a range, so that it tells whether ranges include their ends), after it; no empty
    ones.
    """
    first, last = bounds(span)
    parts = [DateRange(span.first, later(day, -1))] if day > first else []
    parts.append(DateRange(day, day, as_range=True))
    if day < last:
        parts.append(DateRange(later(day, 1), span.last))
    return tuple(parts)


def median_day(dates: Mapping[int, int]) -> int:
    """The day at which half of the studies are reached, but never the last day that occurs: both sides hold one."""
    half, seen = sum(dates.values()) / 2, 0
    days = sorted(dates)
    for day in days[:-1]:
        seen += dates[day]
        if seen >= half:
            return day
    return days[-2] if len(days) > 1 else days[0]


def halves(span: DateRange, dates: Mapping[int, int], today: int) -> tuple[DateRange, DateRange]:
    """Two parts of a range of more than a day that is known to hold more than the server gives at once.

    By the median of the days seen where these are spread over the range (the server answers in no particular order).
    Where they lie close together (answers sorted by date, or an archive of a few days), the larger empty side is cut
    off, at the geometric mean of their width and the range's, which closes in on them fast. By the calendar where none
    were seen.
    """
    first, last = bounds(span)
    seen = {day: n for day, n in dates.items() if day in span}
    if not seen:
        return cut(span, _calendar_middle(first, last, today))
    low, high = min(seen), max(seen)
    wide, all_days = (as_date(high) - as_date(low)).days + 1, width(span)
    if wide > 1 and wide * 4 >= all_days:
        return cut(span, median_day(seen))
    margin = math.isqrt(wide * all_days) - wide
    if as_date(low) - as_date(first) >= as_date(last) - as_date(high):
        return cut(span, max(first, later(low, -margin - 1)))
    return cut(span, min(later(last, -1), later(high, margin)))


def _calendar_middle(first: int, last: int, today: int) -> int:
    """Half way between two days; with open ends cut back to where studies can be expected."""
    if first == FIRST_DAY and last > _OLD:
        first = _OLD
    soon = later(today, 366)
    if last == LAST_DAY and first < soon:
        last = soon
    return later(first, max(0, ((as_date(last) - as_date(first)).days - 1) // 2))


class DayCounts(Mapping[int, int]):
    """Studies by day, in bounded memory: a dictionary for a few days, a table of all days of 1900 to 2100 for many.

    Where the process has no memory left for the table, months instead: a study then counts on the first of its month.
    """

    FEW = 256

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = process_memory if memory is None else memory
        self._few: Counter[int] | None = Counter()
        self._table = array("I")
        self._by_month = False
        self._taken = 0

    def __del__(self) -> None:
        self._memory.give(self._taken)

    def update(self, days: Iterable[int]) -> None:
        """Count one study on each of these days."""
        if self._few is not None:
            self._few.update(days)
            if len(self._few) > self.FEW:
                self._to_table()
            return
        place, table = self._place, self._table
        for day in days:
            table[place(day)] += 1

    def update_many(self, days: NDArray[np.int64]) -> None:
        """The same for an array."""
        if self._few is not None:
            self.update(days.tolist())
            return
        import numpy as np

        years, months = days // 10000 - FIRST_YEAR, days // 100 % 100 - 1
        places = years * 12 + months if self._by_month else (years * 12 + months) * 31 + days % 100 - 1
        np.add.at(np.frombuffer(self._table, dtype=np.uintc), places, 1)

    def _to_table(self) -> None:
        assert self._few is not None
        few, self._few = self._few, None
        cells = YEARS * 12 * 31
        size = self._table.itemsize
        self._by_month = not self._memory.take(size * cells)
        self._taken = 0 if self._by_month else size * cells
        self._table = array("I", bytes(size * (YEARS * 12 if self._by_month else cells)))
        for day, studies in few.items():
            self._table[self._place(day)] += studies

    def _place(self, day: int) -> int:
        month = (day // 10000 - FIRST_YEAR) * 12 + day // 100 % 100 - 1
        return month if self._by_month else month * 31 + day % 100 - 1

    def __getitem__(self, day: int) -> int:
        if self._few is not None:
            return self._few[day]
        studies = 0 if self._by_month and day % 100 != 1 else self._table[self._place(day)]
        if not studies:
            raise KeyError(day)
        return studies

    def __contains__(self, day: object) -> bool:
        return isinstance(day, int) and bool(self.get(day))

    def __iter__(self) -> Iterator[int]:
        if self._few is not None:
            yield from sorted(self._few)
            return
        for place, studies in enumerate(self._table):
            if studies:
                month, day = (place, 0) if self._by_month else divmod(place, 31)
                yield (FIRST_YEAR + month // 12) * 10000 + (month % 12 + 1) * 100 + day + 1

    def __len__(self) -> int:
        return len(self._few) if self._few is not None else sum(n > 0 for n in self._table)
