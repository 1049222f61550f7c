"""A second way through the whole archive, across the dates: by how PatientID ends.

Studies without a date lie in no range of dates. Where the query for everything may have been cut off, nobody knows how
many of them were left out, and no date will bring them up. PatientID is a required key at STUDY level and takes
wildcards (PS3.4 §C.6.2.1.2, §C.2.2.2.4), so ``*0`` to ``*9`` list everything whose PatientID ends with a digit, dated
or not, in parts that are shorter; a part that is still too long is cut again (``*00`` to ``*90``); letters follow if
there are studies that no digit found. The patterns are counters, the same for every server: no patient's number is ever
sent.

It confirms that nothing is hidden if it brings up everything that is already known (``covered``) and nothing else. If
it brings up studies that no date had, these are counted, but the count is not complete: others like them may have no
PatientID either. One assumption stays: that an archive in which every study has a date and a PatientID as far as one
can see, by two ways, does not hide a study that has neither.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from leadapron.watch.measure.count.hashes import Hashes
from leadapron.watch.measure.count.inquiry import Inquiry
from leadapron.watch.measure.count.query import Answer, StudyQuery

DIGITS: Final = "0123456789"
LETTERS: Final = ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
LONGEST: Final = 4  # characters of a pattern


class ByPatient(Struct, frozen=True):
    """``covered``: every known study was brought up, and every part was whole. ``studies``: all that was brought up,
    ``undated`` those of them without a date; ``new`` and ``new_undated``: how many were not known before.

    With ``covered``, ``images`` and ``images_missing`` are of all studies there are, if the parts were disjoint; else
    ``images`` is None.
    """

    covered: bool
    studies: Hashes
    undated: Hashes
    new: int
    new_undated: int
    images: int | None
    images_missing: int


class _Cut:
    def __init__(self, inquiry: Inquiry, known: Hashes, limit: int | None, until: int) -> None:
        self.inquiry, self.known, self.limit, self.until = inquiry, known, limit, until
        self.covered = inquiry.hashes()  # in parts that were whole
        self.brought, self.undated = inquiry.hashes(), inquiry.hashes()  # in any part, also one that was cut
        self.images = self.images_missing = 0
        self.disjoint = True
        self.whole = True  # nothing failed, and nothing stayed too long
        self.divided: list[str] = []  # ends that were too long: no longer pattern finds a PatientID that is just this
        self._refused = 0

    async def ask(self, pattern: str) -> Answer | None:
        if self.inquiry.left <= self.until:
            return None
        answer = await self.inquiry.patiently(StudyQuery(patient=pattern))
        if answer is not None:
            self.brought.merge(answer.studies)
            self.undated.merge(answer.undated)
        return answer

    async def ends(self, alphabet: str) -> bool:
        """All ends in an alphabet; False when the server does not match PatientID, or nothing more may be asked."""
        stack = list(reversed(alphabet))
        while stack:
            end = stack.pop()
            answer = await self.ask("*" + end)
            if answer is None or answer.outside or answer.cancelled:
                return False
            if self._short(answer):
                if not self._take(answer) and alphabet is DIGITS:
                    return False  # the same study under two last digits: this is no matching
                continue
            if answer.nothing:
                self._refused += 1
                if answer.failure is not None or (self._refused == 1 and not await self._takes_wildcards()):
                    return False
            if len(end) < LONGEST:
                self.divided.append(end)
                stack += [c + end for c in reversed(DIGITS)]
            else:
                self.whole = False
        return True

    async def short_ones(self) -> bool:
        """PatientIDs that consist of no more than an end that was divided."""
        for end in self.divided:
            answer = await self.ask(end) if self.leftover() else None
            if answer is None:
                return not self.leftover()
            if answer.outside or not self._short(answer):
                return False
            self._take(answer)
        return True

    def _short(self, answer: Answer) -> bool:
        return answer.ok and (self.limit is None or answer.answers < self.limit)

    def _take(self, answer: Answer) -> bool:
        """Whether none of its studies was in another part."""
        new = self.covered.merge(answer.studies)
        self.images += answer.images
        self.images_missing += answer.images_missing
        self.disjoint = self.disjoint and new == len(answer.studies)
        return new == len(answer.studies)

    async def _takes_wildcards(self) -> bool:
        """A pattern that hardly anything matches is answered."""
        answer = await self.ask("*" + "0" * (LONGEST + 2))
        return answer is not None and answer.ok

    def leftover(self) -> int:
        return self.known.missing_from(self.covered)


async def by_patient(inquiry: Inquiry, known: Hashes, limit: int | None, *, until: int, letters: bool) -> ByPatient:
    """List the archive by the ends of PatientIDs and compare with what is known.

    ``known`` is a collection that does not grow meanwhile. ``limit``: an answer of this length or more counts as cut.
    ``until``: requests to leave. ``letters``: try these too.
    """
    cut = _Cut(inquiry, known, limit, until)
    went = await cut.ends(DIGITS) and await cut.short_ones()
    for alphabet in LETTERS if letters else ():
        if went and cut.leftover():
            went = await cut.ends(alphabet)
    covered = went and cut.whole and known.exact and cut.covered.exact and not cut.leftover()
    return ByPatient(
        covered=covered,
        studies=cut.brought,
        undated=cut.undated,
        new=cut.brought.missing_from(known),
        new_undated=cut.undated.missing_from(known),
        images=cut.images if cut.disjoint else None,
        images_missing=cut.images_missing,
    )
