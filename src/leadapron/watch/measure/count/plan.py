"""How the parts go together: from one injected ``ask`` to a number, and what it is worth.

1. Ask for everything. 2. Verify by children (``verify``). 3. If it was cut, list slice by slice (``walk``). 4. Where
studies outside of every range may be hidden, go through the archive a second way (``by_patient``). 5. If the budget
does not reach, sample days of what is left (``estimate``). 6. Ask for the images that no answer counted (``images``).
7. One look at which kinds of identifiers the answers hold.

``complete`` is said only if no doubt is left. Each doubt is a sentence in the note.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct, structs

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.watch.measure.count import words
from leadapron.watch.measure.count.by_patient import ByPatient, by_patient
from leadapron.watch.measure.count.days import EVER, as_day, later
from leadapron.watch.measure.count.estimate import FEWEST_DAYS, estimate, inhabited
from leadapron.watch.measure.count.hashes import LIMIT, Fingerprint, Hashes, Memory
from leadapron.watch.measure.count.inquiry import Budget, Inquiry
from leadapron.watch.measure.count.limits import SMALLEST_OF_ALL, like_a_limit
from leadapron.watch.measure.count.query import FIRST_DAY, LAST_DAY, Answer, Ask, DateRange, StudyQuery, TimeRange
from leadapron.watch.measure.count.result import Found, conclude
from leadapron.watch.measure.count.tally import SHAPES_LOOKED_AT
from leadapron.watch.measure.count.verify import Family, Verdict, verify
from leadapron.watch.measure.count.walk import Seed, Walk
from leadapron.watch.measure.model import Count, CountFailed, Shapes

# Not about how much was asked for, so that no smaller question helps (PS3.7 Annex C).
HOPELESS: Final = frozenset((0x0117, 0x0118, 0x0119, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212))
SECOND_WAY_MOST: Final = 20_000  # studies: above this, a limit that nobody would choose is believed to be none
FEW: Final = 50  # answers after which an estimate begins instead of a count
SMALL: Final = 2_000  # studies: so few are counted where an estimate was asked for
FOR_ESTIMATE: Final = 100  # requests kept for an estimate of what slices did not reach
QUIET_DAY: Final = DateRange(19010101, 19010101)  # no digital archive has a study of it: is anything answered at all?


class CountOutcome(Struct, frozen=True):
    """What counting found. ``fingerprint`` recognises the same archive behind another door; it must not be stored."""

    count: Count | CountFailed
    shapes: Shapes
    fingerprint: Fingerprint


async def count(
    ask: Ask,
    budget: Budget | None = None,
    *,
    clock: Clock | None = None,
    depth: Literal["count", "estimate"] = "count",
    progress: Callable[[int], None] | None = None,
    memory: Memory | None = None,
    limit: int = LIMIT,
    rng: random.Random | None = None,
) -> CountOutcome:
    """Count what a stranger can list. Raises for nothing that a server does; what ``ask`` raises goes through.

    ``progress`` is told the studies seen so far after each answer. ``memory`` and ``limit`` bound the hashes that are
    kept. ``rng`` draws the days of an estimate.
    """
    clock = clock or SystemClock()
    inquiry = Inquiry(ask, budget or Budget(), clock, progress, memory, limit)
    try:
        return await _outcome(inquiry, _Counter(inquiry, as_day(clock.now().date()), depth, rng or random.Random()))
    finally:
        inquiry.close()


async def _outcome(inquiry: Inquiry, counter: _Counter) -> CountOutcome:
    failed = await counter.run()
    if failed is not None:
        return CountOutcome(failed, Shapes(), inquiry.seen.fingerprint())
    result = await conclude(inquiry, counter.found, counter.reserve)
    shapes = await counter.shapes()
    result = structs.replace(result, requests=inquiry.requests, answers=inquiry.answers)
    return CountOutcome(result, shapes, inquiry.seen.fingerprint())


class _Counter:
    def __init__(self, inquiry: Inquiry, today: int, depth: Literal["count", "estimate"], rng: random.Random) -> None:
        self.inquiry, self.today, self.depth, self.rng = inquiry, today, depth, rng
        self.found = Found()
        self.reserve = 1 if inquiry.left > 4 else 0  # for the look at identifiers

    async def run(self) -> CountFailed | None:
        """Ask until all is known or nothing more may be asked. A failure, or None: then ``found`` says what there
        is.
        """
        most = FEW if self.depth == "estimate" else None
        root = await self.inquiry.patiently(StudyQuery(max_answers=most))
        if root is None:
            return CountFailed("no request was allowed")
        if root.nothing:
            if root.status in HOPELESS or not await self._answers_a_quiet_day():
                return CountFailed(words.refused(root), root.status, self.inquiry.requests)
            await self._walk_or_estimate(_by_years(self.today), root)
        elif root.cancelled and self.depth == "estimate":
            await self._estimate()
        elif root.ok and not root.answers:
            await self._nothing_listed(root)
        else:
            await self._listed(root)
        return None

    async def shapes(self) -> Shapes:
        """One small question for a few answers, cancelled as soon as these are there."""
        if not self.inquiry.seen:
            return Shapes()
        day = self.found.day_to_look_at
        for span in (None,) if day is None else (DateRange(day, day), None):
            answer = await self.inquiry.study(StudyQuery(span, want_shapes=True, max_answers=SHAPES_LOOKED_AT))
            if answer is not None and answer.answers and answer.shapes is not None:
                return answer.shapes
        return Shapes()

    # ---- the query for everything ---------------------------------------------------------------------------------

    async def _listed(self, root: Answer) -> None:
        """It brought something."""
        found = self.found
        if root.cancelled:  # by us: the budget of answers
            found.take(root)
            found.doubts.append(words.STOPPED["answers"])
            return
        if not root.ok and root.failure is None:
            found.limits.add(root.answers)
        family = await verify(self.inquiry, root, self.today)
        root = family.parent
        for answer in (root, *(child for _, child in family.children)):
            found.remember(answer.dates)
        match family.verdict:
            case Verdict.WHOLE:
                found.take(root)
                await self._whole(family)
            case Verdict.LOSSY if not any(child.answers for _, child in family.children):
                found.take(root)
                found.doubts.append(words.LOSSY)
            case Verdict.CUT | Verdict.LOSSY:
                if root.ok and family.verdict is Verdict.CUT:
                    found.limits.add(root.answers)
                await self._walk_or_estimate(list(family.children), root)
            case Verdict.ODD_STATUS:
                found.limits.clear()
                found.take(root)
                found.doubts.append(words.odd_status(root.status))
            case Verdict.IGNORED | Verdict.UNKNOWN:
                found.take(root)
                ignored = family.verdict is Verdict.IGNORED
                found.doubts.append(words.IGNORES_DATES if ignored else self._stopped(words.BY_DATE_REFUSED))
                if found.limits or like_a_limit(root.answers):
                    second = await self._second_way(root.studies, root.answers, dated_too=True)
                    if second is not None and second.new:
                        found.limits.add(root.answers)
                        found.images_whole = False

    async def _whole(self, family: Family) -> None:
        """The children agree. What may be left: studies that no child can show, hidden by a limit as long as the
        answer.
        """
        root, found = family.parent, self.found
        n = root.answers
        one_day = max(child.answers for _, child in family.children) >= n
        if one_day and len(root.dates) == 1:
            more, one_day = await self._within_the_day(root)
            if more:
                found.limits.add(n)
                await self._walk_or_estimate(list(family.children), root)
                return
        one_day = one_day and n > 1  # a single study cannot be halved
        hidden = len(root.undated) > 0 or one_day
        doubtful = like_a_limit(n, SMALLEST_OF_ALL) or root.duplicates > 0 if hidden else like_a_limit(n)
        if not hidden and not doubtful:
            return
        second = None
        if n <= SECOND_WAY_MOST:
            second = await self._second_way(root.studies, n, dated_too=one_day, letters=doubtful)
        if second is not None and (second.new_undated or (one_day and second.new)):
            found.limits.add(n)
            found.doubts += [words.at_most(n), words.UNDATED_HIDDEN]
            found.images_whole = False
            if second.covered and second.images is not None:
                found.images, found.images_missing = second.images, second.images_missing
        elif hidden and doubtful and (second is None or not second.covered):
            found.doubts.append(words.ROUND)
        elif not any(child.answers for _, child in family.children) and (second is None or not second.studies):
            found.doubts.append(words.NOT_VERIFIED)  # no part of it was brought up in any other way

    async def _within_the_day(self, root: Answer) -> tuple[bool, bool]:
        """All studies on one day: do its halves show more, and if not, is it still open whether there are more?"""
        day = next(iter(root.dates))
        union, longest = self.inquiry.hashes(), 0
        for half in (TimeRange(0, 43_199), TimeRange(43_200, 86_399)):
            query = StudyQuery(DateRange(day, day), half)
            answer = await self.inquiry.patiently(query) if self.inquiry.left > self.reserve else None
            if answer is None or not answer.ok or answer.outside:
                return False, True
            union.merge(answer.studies)
            longest = max(longest, answer.answers)
        more = union.missing_from(root.studies) > 0
        return more, longest >= root.answers or root.studies.missing_from(union, root.undated) > 0

    async def _nothing_listed(self, root: Answer) -> None:
        """Success, and not one study: an empty archive, or a server that does not answer so broad a question."""
        found = self.found
        dated = await self.inquiry.slice(EVER)
        if dated is not None and not dated.answers:
            dated = await self.inquiry.slice(DateRange(None, LAST_DAY)) or dated
        if dated is None:
            found.doubts.append(self._stopped(words.NOT_VERIFIED))
        elif dated.answers and not dated.outside:
            found.remember(dated.dates)
            await self._walk_or_estimate([(EVER, dated)], root)
        elif dated.nothing and dated.failure is None and await self._answers_a_quiet_day():
            await self._walk_or_estimate(_by_years(self.today), root)
        else:
            anyone = await self.inquiry.patiently(StudyQuery(patient="*"))
            if anyone is not None and anyone.answers:
                found.remember(anyone.dates)
                found.take(anyone)
            if self.inquiry.seen or not dated.ok or anyone is None or not anyone.ok:
                found.doubts.append(self._stopped(words.NOT_VERIFIED))

    async def _answers_a_quiet_day(self) -> bool:
        answer = await self.inquiry.slice(QUIET_DAY)
        return answer is not None and answer.ok

    def _stopped(self, otherwise: str) -> str:
        return otherwise if self.inquiry.stopped is None else words.STOPPED[self.inquiry.stopped]

    # ---- slice by slice -------------------------------------------------------------------------------------------

    async def _walk_or_estimate(self, seeds: list[Seed], root: Answer) -> None:
        if self.depth == "estimate":
            await self._estimate()
        else:
            await self._walk(seeds, root)

    async def _walk(self, seeds: list[Seed], root: Answer) -> None:
        inquiry, found = self.inquiry, self.found
        walk = Walk(inquiry, self.today, found.limits)
        kept = min(FOR_ESTIMATE, max(40, inquiry.left // 4)) if inquiry.left >= 80 else 0
        await walk.run(seeds, self.reserve + kept)
        if walk.pending and not walk.ignored and kept:
            spans, walk.pending = await inhabited(inquiry, walk.pending, self.today, reserve=self.reserve), []
            if walk.requests_for(spans) <= inquiry.left - self.reserve:
                await walk.run([(span, None) for span in reversed(spans)], self.reserve)
            else:
                walk.pending = spans
        for leaf in walk.leaves:
            found.remember(leaf.answer.dates)
        doubts = self._doubts(walk)
        images, missing, whole = walk.images()
        comparable = root.ok and root.answers and root.studies.exact and walk.listed.exact
        if comparable and not doubts and not walk.listed.missing_from(root.studies):
            # The slices showed nothing that the query for everything had not: that one was not cut after all.
            images, missing = images + root.undated_images, missing + root.undated_images_missing
            if len(root.undated) and (root.duplicates or like_a_limit(root.answers, SMALLEST_OF_ALL)):
                doubts.append(words.ROUND)
        else:
            second = None
            if not doubts:
                limit = min(found.limits, default=0)
                second = await self._second_way(inquiry.seen, limit, dated_too=walk.untimed)
            if second is not None and second.covered and second.images is not None:
                images, missing, whole = second.images, second.images_missing, True
            else:
                images, whole = images + inquiry.undated_images, False
            # The second way confirms, it does not complete: what it brought up may have company that it cannot see.
            if not whole or inquiry.undated or (second is not None and walk.untimed and second.new):
                doubts.append(words.UNTIMED_HIDDEN if walk.untimed else words.UNDATED_HIDDEN)
        if not whole and not doubts:
            doubts.append(words.TWICE)
        if found.limits and doubts:
            doubts.insert(0, words.at_most(max(found.limits)))
        found.doubts += doubts
        found.images, found.images_missing, found.images_whole = images, missing, whole
        if walk.pending and not walk.ignored and inquiry.left - self.reserve >= FEWEST_DAYS:
            found.listed = len(walk.listed)
            rest = await estimate(
                inquiry, walk.pending, self.rng, reserve=self.reserve, limits=found.limits, sparing=False
            )
            found.estimate = rest if rest is not None and rest.studies else None

    def _doubts(self, walk: Walk) -> list[str]:
        doubts = []
        if walk.long_days:
            doubts.append(words.long_days(walk.long_days))
        if walk.failed:
            doubts.append(words.gaps(walk.failed))
        if walk.pending or walk.untested:
            doubts.append(self._stopped(words.STOPPED["requests"]))
        if walk.ignored:
            doubts.append(words.IGNORES_DATES)
        if walk.erratic:
            doubts.append(words.ERRATIC)
        if walk.unproven:
            doubts.append(words.ROUND)
        if walk.lossy or (not doubts and walk.lost()):
            doubts.append(words.LOSSY)
        return doubts

    async def _second_way(
        self, known: Hashes, limit: int, *, dated_too: bool = False, letters: bool = True
    ) -> ByPatient | None:
        """Through the archive by PatientID; None if that would cost more than is left.

        What it finds should have no date, for dates have brought up the rest; ``dated_too``: these may be hidden as
        well.
        """
        inquiry = self.inquiry
        before = inquiry.hashes()
        before.merge(known)
        limit = limit or inquiry.longest_study_answer
        cost = parts = 10
        while len(before) > 0.6 * limit * parts and parts < 100_000:
            cost, parts = cost + parts, parts * 10  # what is divided is asked for as it is, too
            cost += parts
        if cost > inquiry.left - self.reserve or not before.exact:
            return None
        second = await by_patient(inquiry, before, limit, until=self.reserve, letters=letters)
        if second.new > second.new_undated and not dated_too:
            # Dated studies that no date brought up: they have come in since, or the dates do not tell all.
            fresh = await inquiry.slice(DateRange(later(self.today, -1), LAST_DAY))
            if fresh is None or second.studies.missing_from(before, second.undated, fresh.studies):
                self.found.doubts.append(words.LOSSY)
        return second

    async def _estimate(self) -> None:
        """Sample days instead of listing everything, unless it turns out to be little."""
        spans = await inhabited(self.inquiry, [EVER], self.today, reserve=self.reserve)
        found = self.found
        if spans:
            found.estimate = await estimate(
                self.inquiry,
                spans,
                self.rng,
                reserve=self.reserve,
                limits=found.limits,
                sparing=True,
                small=SMALL,
            )
        if not spans or (found.estimate is not None and found.estimate.high < SMALL):
            self.depth, found.estimate = "count", None
            root = await self.inquiry.patiently(StudyQuery())
            if root is not None and root.answers:
                await self._listed(root)
                return
        if found.estimate is None:
            found.images_whole = False
            found.doubts.append(self._stopped(words.NO_ESTIMATE))


def _by_years(today: int) -> list[Seed]:
    """Everything, in pieces that grow with their age; oldest first."""
    year = today // 10000
    firsts = [FIRST_DAY, *(y * 10000 + 101 for y in (year - 9, year - 4, year - 1, year)), later(today, 1)]
    firsts = sorted(set(firsts))
    lasts = [*(later(first, -1) for first in firsts[1:]), LAST_DAY]
    return [(DateRange(first, last), None) for first, last in zip(firsts, lasts, strict=True)]
