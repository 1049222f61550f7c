"""How many studies each day has: weekdays, growth over the years, a little noise; and the way back from study to day.

Studies are numbered in the order of their dates, so that any range of dates is a run of numbers and counting it is a
subtraction. Within a day they are numbered in the order of their times, from seven in the morning to nine at night.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from leadapron.lab.archive.columns import Text, text_table
from leadapron.lab.archive.model import Indices
from leadapron.lab.archive.query import range_of

_WEEK = np.array([1.0, 1.05, 1.0, 1.0, 0.9, 0.25, 0.12])  # Monday first
OPENS_S = 7 * 3600
OPEN_FOR_S = 14 * 3600


class Calendar:
    """``studies`` spread over the days from ``first`` to ``last``, both inclusive; ``growth`` a year (0.08 is 8 %)."""

    def __init__(self, studies: int, first: date, last: date, growth: float, seed: int) -> None:
        days = (last - first).days + 1
        if days < 1:
            raise ValueError(f"an archive's last day {last} is before its first day {first}")
        number = np.arange(days)
        weight = _WEEK[(number + first.weekday()) % 7] * (1 + growth) ** (number / 365.25)
        weight = weight * np.random.default_rng(seed).uniform(0.7, 1.3, days)
        share = np.cumsum(weight) / weight.sum()
        self.starts: Indices = np.concatenate(([0], np.rint(share * studies).astype(np.int64)))
        self.starts[-1] = studies
        self.first = first
        self._texts, self.dates = _days(first, last)

    def run(self, value: bytes) -> tuple[int, int]:
        """The studies of a StudyDate as asked (single or range), as a half-open run of numbers.

        Bounds are compared as text, as most servers do: a bound that is no date, or only its beginning, still cuts.
        """
        low, high = range_of(value)
        day_from = bisect_left(self._texts, low) if low else 0
        day_to = bisect_right(self._texts, high.ljust(8, b"9")) if high else len(self._texts)
        return (int(self.starts[day_from]), int(self.starts[day_to])) if day_from < day_to else (0, 0)

    def days_of(self, studies: Indices) -> Indices:
        """The day of each study, counted from the first."""
        return np.searchsorted(self.starts, studies, side="right") - 1

    def seconds_of(self, studies: Indices) -> Indices:
        """Seconds since midnight of each study; never falls within a day."""
        days = self.days_of(studies)
        begin = self.starts[days]
        return OPENS_S + (studies - begin) * OPEN_FOR_S // (self.starts[days + 1] - begin)

    def run_of_times(self, run: tuple[int, int], bounds: tuple[int, int]) -> tuple[int, int] | None:
        """Narrow a run within one day to times (HHMMSS as numbers, both inclusive). None if it spans several days."""
        low, high = run
        if low >= high:
            return run
        day = int(self.days_of(np.array([low]))[0])
        if high > self.starts[day + 1]:
            return None
        numbers = range(low, high)
        first = bisect_left(numbers, bounds[0], key=self._clock_number)
        return low + first, low + bisect_right(numbers, bounds[1], lo=first, key=self._clock_number)

    def _clock_number(self, study: int) -> int:
        return int(clock_numbers(self.seconds_of(np.array([study])))[0])


@lru_cache(16)
def _days(first: date, last: date) -> tuple[list[bytes], Text]:
    """YYYYMMDD of each day, as a list to search and a table to read."""
    texts = [(first + timedelta(days=n)).strftime("%Y%m%d").encode() for n in range((last - first).days + 1)]
    return texts, text_table(texts, 8)


def clock_numbers(seconds: Indices) -> Indices:
    """Seconds since midnight as HHMMSS, a number that sorts as the text does."""
    return seconds // 3600 * 10000 + seconds // 60 % 60 * 100 + seconds % 60


def clock_texts() -> Text:
    """HHMMSS for each second of a day."""
    return text_table([b"%06d" % n for n in clock_numbers(np.arange(86400)).tolist()], 6)
