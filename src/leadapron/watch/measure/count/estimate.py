"""How many, from a sample of days: where listing everything would be too much for the device or for the purpose.

Days are the sampling unit, since any server can be asked for one. They fall into strata: weekdays and weekends apart,
each cut into stretches of consecutive days, for archives grow. A pilot of two days a stratum, then the rest where they
help most (Neyman allocation: days of the stratum times their standard deviation). The total has a t interval
(``statistics.stratified``).

Which years hold anything at all is asked first, with a C-CANCEL after one answer, so that decades of zeros cost
nothing.

What is touched: with d days in the archive, n sampled days touch about n / d of the records. So for a large archive n
is kept under 0.7 % of d, and sampling stops when 0.8 % of the estimated total has been touched; twelve days are the
least, though, or there is no interval to speak of. Studies without a date are not in the estimate.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence
from datetime import date
from itertools import pairwise

from msgspec import Struct

from leadapron.watch.measure.count.days import as_date, as_day, bounds, later
from leadapron.watch.measure.count.images import sampled_mean
from leadapron.watch.measure.count.inquiry import Inquiry
from leadapron.watch.measure.count.query import LAST_DAY, Answer, DateRange, StudyQuery
from leadapron.watch.measure.count.statistics import Sample, Total, spread_of, stratified

LARGE = 20_000  # studies: above this, no more than one percent is touched
SHARE = 0.007  # of the days
TOUCHED = 0.008  # of the studies
FEWEST_DAYS = 8
MOST_DAYS = 120
EMPTY_YEARS = 3  # after so many, everything older is asked for at once


class Estimate(Struct, frozen=True):
    """Total and 95 % interval of studies, and of images where there was anything to go by; ``days`` of ``of_days``
    asked.
    """

    studies: int
    low: int
    high: int
    images: tuple[int, int, int] | None
    days: int
    of_days: int


class Stratum:
    """Days of one kind, and what was drawn from them."""

    def __init__(self, days: list[int], kind: int, rng: random.Random) -> None:
        self.size, self.kind = len(days), kind
        self._order = rng.sample(days, len(days))
        self.drawn: list[Answer] = []

    def next_day(self) -> int | None:
        return self._order[len(self.drawn)] if len(self.drawn) < self.size else None

    def sample(self, values: Sequence[float]) -> Sample:
        return Sample(self.size, values, self.kind)


async def inhabited(inquiry: Inquiry, spans: Sequence[DateRange], today: int, *, reserve: int) -> list[DateRange]:
    """What of these ranges holds a study, by years, newest first; asked with a cancel after one answer.

    What is left out was answered with no study. What could not be asked stays in.
    """
    found: list[DateRange] = []

    async def empty(span: DateRange) -> bool:
        answer = await inquiry.patiently(StudyQuery(span, max_answers=1)) if inquiry.left > reserve else None
        return answer is not None and answer.ok and not answer.answers

    for span in sorted(spans, key=bounds, reverse=True):
        first, last = bounds(span)
        if last > today:
            if not await empty(DateRange(max(first, later(today, 1)), span.last)):
                found.append(DateRange(max(first, later(today, 1)), last if last < LAST_DAY else later(today, 366)))
            last = today
        year, empties = last // 10000, 0
        while year * 10000 + 1231 >= first and first <= last:
            part = DateRange(max(first, year * 10000 + 101), min(last, year * 10000 + 1231))
            year -= 1
            if not await empty(part):
                found.append(part)
                empties = 0
                continue
            empties += 1
            start = bounds(part)[0]
            if empties == EMPTY_YEARS and start > first and await empty(DateRange(span.first, later(start, -1))):
                break
    return found


def strata_of(spans: Sequence[DateRange], draws: int, rng: random.Random) -> list[Stratum]:
    """Weekdays and weekends, each in stretches of equal length, so many that each gets about three draws."""
    kinds: tuple[list[int], list[int]] = ([], [])
    for span in sorted(spans, key=bounds):
        first, last = bounds(span)
        for ordinal in range(as_date(first).toordinal(), as_date(last).toordinal() + 1):
            day = date.fromordinal(ordinal)
            kinds[day.weekday() >= 5].append(as_day(day))
    strata: list[Stratum] = []
    for kind, (days, share) in enumerate(zip(kinds, (0.8, 0.2), strict=True)):
        if not days:
            continue
        pieces = max(1, min(int(draws * share) // 3, len(days)))
        edges = [len(days) * i // pieces for i in range(pieces + 1)]
        strata += [Stratum(days[a:b], kind, rng) for a, b in pairwise(edges)]
    return strata


async def estimate(
    inquiry: Inquiry,
    spans: Sequence[DateRange],
    rng: random.Random,
    *,
    reserve: int,
    limits: Collection[int],
    sparing: bool,
    small: int = 0,
) -> Estimate | None:
    """Estimate what lies in these ranges; None if single days cannot be had whole, or too few requests are left.

    ``sparing``: touch under one percent of a large archive. ``small``: stop after the pilot if it is surely less than
    this.
    """
    all_days = sum((as_date(b) - as_date(a)).days + 1 for a, b in map(bounds, spans))
    allowed = min(MOST_DAYS, inquiry.left - reserve)
    draws = min(allowed, max(FEWEST_DAYS, int(SHARE * all_days))) if sparing else allowed
    strata = strata_of(spans, draws, rng)
    if allowed < 2 * len(strata):
        return None
    for stratum in strata:
        for _ in range(min(2, stratum.size)):
            if not await _draw(inquiry, stratum, limits):
                return None
    sparing = sparing and _studies(strata).interval()[1] >= LARGE
    if not sparing:
        draws = 0 if _studies(strata).interval()[1] < small else allowed
    while sum(len(s.drawn) for s in strata) < draws and inquiry.left > reserve:
        total = _studies(strata).value
        drawn = sum(len(s.drawn) for s in strata)
        if sparing and inquiry.answers >= TOUCHED * total and drawn >= FEWEST_DAYS:
            break
        stratum = _most_useful(strata)
        if stratum.next_day() is None or not await _draw(inquiry, stratum, limits):
            break
    studies = _studies(strata)
    low, high = studies.interval()
    return Estimate(
        studies=round(studies.value),
        low=math.floor(low),
        high=math.ceil(high),
        images=await _images(inquiry, strata, studies, limits, reserve),
        days=sum(len(s.drawn) for s in strata),
        of_days=sum(s.size for s in strata),
    )


async def _draw(inquiry: Inquiry, stratum: Stratum, limits: Collection[int]) -> bool:
    """Ask for one more day; False if it could not be had whole."""
    day = stratum.next_day()
    answer = None if day is None else await inquiry.slice(DateRange(day, day))
    if answer is None or not answer.ok or answer.outside or answer.answers in limits:
        return False
    stratum.drawn.append(answer)
    return True


def _studies(strata: Sequence[Stratum]) -> Total:
    return stratified(_samples(strata))


def _samples(strata: Sequence[Stratum]) -> list[Sample]:
    return [s.sample([len(a.studies) for a in s.drawn]) for s in strata]


def _most_useful(strata: Sequence[Stratum]) -> Stratum:
    """Where one more day takes most from the variance of the total."""

    def gain(stratum: Stratum, variance: float) -> float:
        n = len(stratum.drawn)
        return stratum.size**2 * variance * (1 / n - 1 / (n + 1)) if n < stratum.size else -1.0

    gains = [gain(s, variance) for s, variance in zip(strata, spread_of(_samples(strata)), strict=True)]
    return strata[gains.index(max(gains))]


async def _images(
    inquiry: Inquiry, strata: Sequence[Stratum], studies: Total, limits: Collection[int], reserve: int
) -> tuple[int, int, int] | None:
    """Images: straight from the days where all studies came with a count, else as studies times their mean."""
    answers = [a for s in strata for a in s.drawn]
    seen, missing = sum(len(a.studies) for a in answers), sum(a.images_missing for a in answers)
    if not seen:
        return None
    if not missing:
        total = stratified([s.sample([a.images for a in s.drawn]) for s in strata])
        low, high = total.interval()
        return round(total.value), math.floor(low), math.ceil(high)
    sampled = await sampled_mean(inquiry, limits, reserve)
    if sampled is None:
        return None
    mean, mean_low, mean_high = sampled
    share = missing / seen
    if share < 1:
        rest = (1 - share) * sum(a.images for a in answers) / (seen - missing)
        mean, mean_low, mean_high = (rest + share * m for m in (mean, mean_low, mean_high))
    # Two independent factors: their relative errors add up in squares, on either side for itself.
    value = studies.value * mean
    error = (studies.interval()[1] - studies.value) / studies.value
    low = value * (1 - math.hypot(error, 1 - mean_low / mean))
    high = value * (1 + math.hypot(error, mean_high / mean - 1))
    return round(value), max(0, math.floor(low)), math.ceil(high)
