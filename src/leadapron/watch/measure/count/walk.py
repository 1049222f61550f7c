"""Lists the dated studies slice by slice, once it is known that the server does not give all at once.

A slice is done when its answer ended with Success and is shorter than what the server is known to give at most. Else it
is halved, down to a single day; a single day is halved by StudyTime. When no limit is known (the server refuses what is
too much), the longest answer of all is in doubt (see ``limits``) and has to agree with its own children.

Newer slices are asked first: they hold most. A study may come in while we count: it lies in one slice, and is counted
or not with that slice, so the sum stays between what was there at the beginning and at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from leadapron.watch.measure.count.days import around, bounds, cut, halves, is_day, later, width
from leadapron.watch.measure.count.inquiry import Inquiry
from leadapron.watch.measure.count.limits import like_a_limit
from leadapron.watch.measure.count.query import LAST_DAY, Answer, DateRange, StudyQuery, TimeRange
from leadapron.watch.measure.count.verify import children_of

CANCEL: Final = 0xFE00  # PS3.4 Table C.4-1: matching terminated due to Cancel
DAY: Final = 86_400
FINEST: Final = 60  # seconds: studies come minutes apart
WIDE: Final = 31  # days: a wider slice that fails twice is halved, a narrower one given up
PATIENCE: Final = 6  # so many wide slices
TIES: Final = 10
FILL: Final = 0.6  # how full a slice may be expected to be: busy weeks need room

Seed = tuple[DateRange, Answer | None]


class Leaf(Struct, frozen=True):
    """A slice that was listed whole; ``time`` for a part of a day."""

    span: DateRange
    time: TimeRange | None
    answer: Answer


class Walk:
    """What came of it. ``listed``: studies of the slices that are done. ``pending``: slices that the budget did not
    reach.

    ``remainder``: studies that were seen on days which could only be listed by time, or not at all. ``untimed``: there
    are such days, and studies of theirs that have no time may be hidden.
    """

    def __init__(self, inquiry: Inquiry, today: int, limits: set[int]) -> None:
        self.inquiry, self.today = inquiry, today
        self.limits = limits  # lengths at which an answer was seen to be cut
        self.leaves: list[Leaf] = []
        self.pending: list[DateRange] = []
        self.listed, self.remainder = inquiry.hashes(), inquiry.hashes()
        self.long_days = 0  # days that hold more than the server gives
        self.failed = 0  # slices that could not be had
        self.untimed = self.ignored = self.erratic = self.lossy = self.untested = self.unproven = False
        self._times = True
        self._wide_failures = 0
        self._per_day = 0.0  # answers a day in the slice that was taken last

    async def run(self, seeds: Sequence[Seed], reserve: int) -> None:
        """List the seeds (oldest first; an answer already had is not asked for again), leaving ``reserve`` requests."""
        await self._list(list(seeds), reserve)
        while self._sound and await self._doubt_longest(reserve):
            pass
        if self._sound:
            await self._audit(reserve)
            await self._test_edges(reserve)

    @property
    def _sound(self) -> bool:
        return not self.pending and not self.ignored

    def requests_for(self, spans: Sequence[DateRange]) -> float:
        """About how many it would take to list these, were they as full as the last slice."""
        lengths = sorted(leaf.answer.answers for leaf in self.leaves)
        typical = FILL * min(self.limits) if self.limits else lengths[len(lengths) // 2] if lengths else 0
        if not typical:
            return float("inf")
        return len(spans) + 1.5 * self._per_day * sum(map(width, spans)) / typical

    def lost(self) -> int:
        """Dated studies that some answer showed, and the slices did not: what the server does with dates is not
        sound.
        """
        return self.inquiry.seen.missing_from(self.listed, self.inquiry.undated, self.remainder)

    def images(self) -> tuple[int, int, bool]:
        """Of the dated studies listed: the sum of image counts, how many studies have none, and whether each study is
        in it.

        A study that stands in two slices (under two dates) would count twice: slices that overlap are left out.
        """
        union, images, missing, whole = self.inquiry.hashes(), 0, 0, True
        for leaf in self.leaves:
            answer = leaf.answer
            if union.merge(answer.studies) == len(answer.studies) and union.exact:
                images += answer.images - answer.undated_images
                missing += answer.images_missing - answer.undated_images_missing
            else:
                whole = False
        return images, missing, whole

    # ---- slices ---------------------------------------------------------------------------------------------------

    async def _list(self, stack: list[Seed], reserve: int) -> None:
        while stack and not self.ignored:
            span, answer = stack.pop()
            if answer is None:
                older, span = self._newest_part(span)
                if older is not None:
                    stack.append((older, None))
                if self.inquiry.left > reserve:
                    answer = await self.inquiry.slice(span)
            if answer is None or answer.cancelled:
                self.pending += [s for s, _ in stack]
                self.pending.append(span)
                return
            failed = answer.nothing and answer.failure is not None
            if answer.outside:
                self.ignored = True
            elif answer.ok and answer.answers not in self.limits:
                self._take(span, None, answer)
            elif failed and (width(span) <= WIDE or self._wide_failures >= PATIENCE):
                self.failed += 1
            else:
                self._wide_failures += failed
                if answer.status == CANCEL and answer.answers:
                    self.limits.add(answer.answers)
                if is_day(span):
                    await self._by_time(span, answer, reserve)
                else:
                    stack += [(half, None) for half in halves(span, answer.dates, self.today)]

    def _newest_part(self, span: DateRange) -> tuple[DateRange | None, DateRange]:
        """Not the whole slice, if the one after it was so full that this one is bound to be too long.

        Halving alone spends every other request on an answer that is cut off and thrown away.
        """
        if not self.limits or not self._per_day:
            return None, span
        days = max(1, int(FILL * min(self.limits) / self._per_day))
        last = bounds(span)[1]
        if last == LAST_DAY or days >= width(span) * FILL:
            return None, span
        return cut(span, later(last, -days))

    def _take(self, span: DateRange, time: TimeRange | None, answer: Answer) -> None:
        if time is None:
            self._per_day = max(1, answer.answers) / width(span)
        if answer.answers:
            self.leaves.append(Leaf(span, time, answer))
            self.listed.merge(answer.studies)

    # ---- within a day ---------------------------------------------------------------------------------------------

    async def _by_time(self, day: DateRange, whole: Answer, reserve: int) -> None:
        """List a day that is too long by the time of the day."""
        self.remainder.merge(whole.studies)
        got = self.inquiry.hashes()
        parts = list(_halves(TimeRange(0, DAY - 1)))
        first, refused, stuck = tuple(parts), 0, False
        while parts and self._times:
            part = parts.pop()
            answer = await self._at(day, part, reserve)
            if answer is None or answer.cancelled:
                self.pending.append(day)
                return
            if answer.outside or (got and answer.studies and not answer.studies.missing_from(got)):
                self._times = False  # the server does not look at the time
            elif answer.ok and answer.answers not in self.limits:
                got.merge(answer.studies)
                self._take(day, part, answer)
            elif part.last - part.first < FINEST:
                stuck = True
            else:
                refused += answer.nothing and part in first
                if refused == len(first) and await self._refuses_times(day, reserve):
                    self._times = False
                parts += _halves(part)
        if self._times and got and not stuck:
            self.untimed = True
        else:
            self.long_days += 1

    async def _at(self, day: DateRange, time: TimeRange, reserve: int) -> Answer | None:
        if self.inquiry.left <= reserve:
            return None
        return await self.inquiry.patiently(StudyQuery(day, time))

    async def _refuses_times(self, day: DateRange, reserve: int) -> bool:
        """Whether even the first minute of a day is refused."""
        answer = await self._at(day, TimeRange(0, 59), reserve)
        return answer is None or not answer.ok

    # ---- what could be wrong --------------------------------------------------------------------------------------

    async def _doubt_longest(self, reserve: int) -> bool:
        """Hold the longest answers against their children. True if a limit was found, and the slices were listed
        anew.
        """
        longest = max((leaf.answer.answers for leaf in self.leaves), default=0)
        if not longest or self.inquiry.largest > longest:
            return False
        doubtful = [leaf for leaf in self.leaves if leaf.answer.answers == longest]
        found = len(doubtful) > TIES  # so many of the same length
        for leaf in doubtful:
            if found:
                break
            more = await self._more_in(leaf, reserve)
            if more is None:
                self.unproven |= like_a_limit(longest)
            found = bool(more)
        if not found:
            return False
        self.limits.add(longest)
        again = list(dict.fromkeys(leaf.span for leaf in doubtful))
        self.leaves = [leaf for leaf in self.leaves if leaf.span not in again]
        self.listed = self.inquiry.hashes()
        for leaf in self.leaves:
            self.listed.merge(leaf.answer.studies)
        await self._list([(span, None) for span in again], reserve)
        return self._sound

    async def _more_in(self, leaf: Leaf, reserve: int) -> int | None:
        """How many studies the children of a slice have that were not listed; None where that proves nothing."""
        answer = leaf.answer
        days = [day for day in answer.dates if day in leaf.span]
        queries: list[StudyQuery] = []
        if leaf.time is not None or len(days) == 1:
            day = leaf.span if leaf.time is not None else DateRange(days[0], days[0])
            beside = () if is_day(leaf.span) else around(leaf.span, days[0])
            queries += [StudyQuery(part) for part in beside if (part.first, part.last) != (day.first, day.last)]
            time = leaf.time or TimeRange(0, DAY - 1)
            if not self._times or time.first == time.last:
                return None
            queries += [StudyQuery(day, half) for half in _halves(time)]
        elif not is_day(leaf.span):
            queries += [StudyQuery(part) for part in children_of(leaf.span, answer.dates, self.today)]
        new, parts = 0, []
        for query in queries:
            child = await self.inquiry.patiently(query) if self.inquiry.left > reserve else None
            if child is None or not child.ok or child.outside:
                return None
            new += self.listed.merge(child.studies)
            parts.append(child.answers)
        if new:
            return new
        return 0 if parts and max(parts) < answer.answers <= sum(parts) else None

    async def _audit(self, reserve: int) -> None:
        """A limit that is always the same cannot have cut the slices. Whether it is, the longest slice is asked."""
        leaves = [leaf for leaf in self.leaves if leaf.answer.answers > 1]
        if not leaves or not self.limits:
            return
        leaf = max(leaves, key=lambda leaf: leaf.answer.answers)
        if await self._more_in(leaf, reserve):
            # Or did a study come in since? Then the slice itself has grown.
            again = (
                await self.inquiry.patiently(StudyQuery(leaf.span, leaf.time)) if self.inquiry.left > reserve else None
            )
            self.erratic = again is None or not again.ok or again.answers <= leaf.answer.answers

    async def _test_edges(self, reserve: int) -> None:
        """Whether a range includes its first and its last day, as it must: ask for one day as a range."""
        days: dict[int, int] = {}
        for leaf in self.leaves:
            for day, studies in leaf.answer.dates.items():
                days[day] = days.get(day, 0) + studies
        if not days:
            return
        day = min(days, key=lambda day: (days[day], -day))
        answer = await self.inquiry.slice(DateRange(day, day, as_range=True)) if self.inquiry.left > reserve else None
        if answer is None:
            self.untested = True
        elif answer.answers in self.limits or not answer.ok:
            self.lossy = day not in answer.dates
        else:
            self.lossy = answer.dates.get(day, 0) < days[day]


def _halves(part: TimeRange) -> tuple[TimeRange, TimeRange]:
    middle = (part.first + part.last) // 2
    return TimeRange(part.first, middle), TimeRange(middle + 1, part.last)
