"""One visit's questions: how many are left, and everything that was ever seen in the answers.

What was seen stays seen: a lower bound is the union of all answers, those of failed and cut-off queries too. The budget
is held here and nowhere else, so that no way through the algorithm can ask for more (invariant 4).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Struct

from leadapron.kernel.clock import Clock
from leadapron.watch.measure.count.hashes import LIMIT, Hashes, Memory, process_memory
from leadapron.watch.measure.count.query import (
    Answer,
    Ask,
    DateRange,
    ImageAnswer,
    ImageQuery,
    SeriesAnswer,
    SeriesQuery,
    StudyQuery,
)

GIVE_UP_AFTER: Final = 4  # failures in a row without a single answer: the device is left alone
SAMPLE: Final = 400  # UIDs kept for series-level questions
SAMPLE_OCTETS: Final = 2 * SAMPLE * 256
SMALL_SAMPLE: Final = 40  # where the process has no memory left
LONGEST_WAIT_S: Final = 600.0  # for a turn (see ``turn``), where the budget says nothing


class Budget(Struct, frozen=True):
    """What one device may be asked: ``max_requests`` C-FINDs, ``max_answers`` pending responses, ``seconds``
    overall.
    """

    max_requests: int = 400
    max_answers: int = 50_000_000
    seconds: float | None = None


Stopped = Literal["requests", "answers", "time", "silence"]


class Inquiry:
    """Asks within the budget. Every method that asks returns None once nothing more may be asked (``stopped`` says
    why).
    """

    def __init__(
        self,
        ask: Ask,
        budget: Budget,
        clock: Clock,
        progress: Callable[[int], None] | None = None,
        memory: Memory | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._ask, self._budget, self._clock, self._progress = ask, budget, clock, progress
        self._memory, self._limit = process_memory if memory is None else memory, limit
        self._ends = None if budget.seconds is None else clock.monotonic() + budget.seconds
        self._failures = 0
        self._asked_for_turn = self._has_turn = False
        self._taken = SAMPLE_OCTETS if self._memory.take(SAMPLE_OCTETS) else 0
        self._sample = min(SAMPLE if self._taken else SMALL_SAMPLE, budget.max_requests)
        self.stopped: Stopped | None = None
        self.requests = 0
        self.answers = 0
        self.seen = self.hashes()
        self.undated = self.hashes()
        self.patients = self.hashes()
        self.at_least = (0, 0)  # studies and patients in one answer, of which not all hashes were kept
        self.patients_missing = False
        self.duplicates = self.conflicts = self.wrong_level = self.without_uid = 0
        self.images = self.undated_images = 0  # at least: in the one answer that showed most
        self.largest = 0  # answers to one query restricted by date, whatever its end
        self.longest_study_answer = 0  # to any query at STUDY level
        self.study_answers = 0
        self.uncounted: dict[int, bytes] = {}  # a random sample of the studies without an image count, by hash

    def __del__(self) -> None:
        self._memory.give(self._taken)

    def close(self) -> None:
        """Nothing more will be asked."""
        if self._has_turn:
            self._has_turn = False
            self._memory.turn.give()

    def hashes(self) -> Hashes:
        """A new collection that is paid for from the same purse."""
        return Hashes(memory=self._memory, limit=self._limit)

    @property
    def left(self) -> int:
        """Requests that may still be made."""
        return 0 if self.stopped else self._budget.max_requests - self.requests

    def _may(self) -> bool:
        if self.stopped is None:
            if self.requests >= self._budget.max_requests:
                self.stopped = "requests"
            elif self.answers >= self._budget.max_answers:
                self.stopped = "answers"
            elif self._ends is not None and self._clock.monotonic() >= self._ends:
                self.stopped = "time"
        return self.stopped is None

    def _note(self, failed: bool, answers: int) -> None:
        self.answers += answers
        self._failures = self._failures + 1 if failed and not answers else 0
        if self._failures >= GIVE_UP_AFTER:
            self.stopped = "silence"

    async def study(self, query: StudyQuery) -> Answer | None:
        """Ask once, and take in what is answered. Twice where memory got tight: the second time in turn."""
        answer = await self._when_there_is_room(query)
        if answer is not None and answer.yielded:
            self._note(False, answer.answers)
            kept = self._abridged(answer)
            del answer  # its hashes too
            self._take_in(query, kept)
            answer = await self._when_there_is_room(query, in_turn=True)
            if answer is None or answer.nothing:  # then it ended where we left it
                failure = None if answer is None else answer.failure
                self._note(answer is not None, 0)
                return msgspec.structs.replace(kept, failure=failure or "not answered a second time")
        if answer is None:
            return None
        self._note(answer.failure is not None, answer.answers)
        self._take_in(query, answer)
        return answer

    def _take_in(self, query: StudyQuery, answer: Answer) -> None:
        self.longest_study_answer = max(self.longest_study_answer, answer.answers)
        if query.date is not None:
            self.largest = max(self.largest, answer.answers)
        self.study_answers += answer.answers
        self.seen.merge(answer.studies)
        self.undated.merge(answer.undated)
        self.patients.merge(answer.patients)
        self.patients_missing |= answer.patients_missing > 0
        self.duplicates += answer.duplicates
        self.conflicts += answer.conflicts
        self.wrong_level += answer.wrong_level
        self.without_uid += answer.without_uid
        self.images = max(self.images, answer.images)
        self.undated_images = max(self.undated_images, answer.undated_images)
        self.uncounted.update(answer.sample)
        if len(self.uncounted) > self._sample:
            kept = heapq.nsmallest(self._sample, self.uncounted)
            self.uncounted = {key: self.uncounted[key] for key in kept}
        if self._progress is not None:
            self._progress(max(len(self.seen), self.at_least[0]))

    def _abridged(self, answer: Answer) -> Answer:
        """What is kept of an answer that is to be asked for again, should it not come again: its numbers, and a few
        hashes. The rest would be memory that others wait for.
        """
        patients = len(answer.patients) + (answer.patients_missing > 0) if answer.patients else 0
        self.at_least = max(self.at_least[0], len(answer.studies)), max(self.at_least[1], patients)
        studies, undated, nobody = self.hashes(), self.hashes(), self.hashes()
        studies.update(answer.studies.fingerprint().smallest)
        undated.update(answer.undated.fingerprint().smallest)
        return msgspec.structs.replace(
            answer,
            status=None,
            cancelled=False,
            yielded=False,
            studies=studies,
            undated=undated,
            patients=nobody,
            dates={},
        )

    async def _when_there_is_room(self, query: StudyQuery, *, in_turn: bool = False) -> Answer | None:
        memory = self._memory
        in_turn = in_turn or (memory.tight and self.seen.octets + self.patients.octets >= memory.large)
        if in_turn and not self._asked_for_turn and self._may():
            self._asked_for_turn = True
            begun = self._clock.monotonic()
            await self._ask.rest(self._take_turn)
            if self._ends is not None:
                self._ends += self._clock.monotonic() - begun
        if not self._may():
            return None
        self.requests += 1
        room = self._budget.max_answers - self.answers
        most = room if query.max_answers is None else min(room, query.max_answers)
        sample = 0 if query.want_shapes else self._sample
        yielding = not self._asked_for_turn and self.requests < self._budget.max_requests
        return await self._ask.study(msgspec.structs.replace(query, max_answers=most, sample=sample, yielding=yielding))

    async def _take_turn(self) -> None:
        self._has_turn = await self._memory.turn.take(self._budget.seconds or LONGEST_WAIT_S)

    async def slice(self, span: DateRange) -> Answer | None:
        """One range of dates; asked again once if the answer failed before anything came."""
        return await self.patiently(StudyQuery(span))

    async def patiently(self, query: StudyQuery) -> Answer | None:
        answer = await self.study(query)
        if answer is not None and answer.nothing and answer.failure is not None:
            return await self.study(query) or answer
        return answer

    async def series(self, query: SeriesQuery) -> SeriesAnswer | None:
        for _ in range(2):
            if not self._may():
                return None
            self.requests += 1
            answer = await self._ask.series(query)
            self._note(answer.failure is not None, answer.answers)
            if answer.failure is None:
                break
        return answer

    async def image(self, query: ImageQuery) -> ImageAnswer | None:
        for _ in range(2):
            if not self._may():
                return None
            self.requests += 1
            answer = await self._ask.image(query)
            self._note(answer.failure is not None, answer.answers)
            if answer.failure is None:
                break
        return answer
