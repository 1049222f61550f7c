"""Was the answer to the query for everything cut off? Its children tell.

The range of all dates is cut in two where both halves are known to hold a study (on one day only: before it, the day,
after it). If the server had stopped at a limit L after L answers, then either half has fewer than L answers and shows
studies that the parent lacked, or a half has L answers itself, and the other one at least one more. So the children
have more than their parent if and only if the parent was cut among its dated studies. The sets are compared, not only
the sums: equal sums of different studies prove nothing, and a study that arrives meanwhile is told from a limit by
asking the parent once more: a limit does not grow.

To ask for both halves of a large archive is to ask for all of it once more, which costs the device as much as the count
itself. From ``SPOT_FROM`` studies on, and where their number is none that a person would choose as a limit, spots are
compared instead: before the first day, after the last one, and days at random that hold up to a hundredth of the
studies. A limit that cut off one study in a thousand shows in the first few thousand compared; the one that is missed
would have to end the answer within a handful of its true end, at a number that nobody would choose.

Closed ranges from 1900 to 2100 are tried first, since more servers know them; open ones if those do not work.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from leadapron.watch.measure.count.days import EVER, EVER_OPEN, around, bounds, cut, later, median_day
from leadapron.watch.measure.count.hashes import Hashes
from leadapron.watch.measure.count.inquiry import Inquiry
from leadapron.watch.measure.count.limits import like_a_limit
from leadapron.watch.measure.count.query import FIRST_DAY, LAST_DAY, Answer, DateRange, StudyQuery

SPOT_FROM: Final = 200_000  # studies
SPOT_DAYS: Final = 20
SPOT_SHARE: Final = 100  # at most one study in so many is asked for again


class Verdict(enum.Enum):
    WHOLE = "the children have what their parent has"
    CUT = "the children have more than their parent"
    IGNORED = "answers outside of the dates asked for"
    LOSSY = "the children lack what their parent has"
    ODD_STATUS = "parent and children agree, and all of them end with the same status that is not Success"
    UNKNOWN = "the children could not be asked"


class Family(Struct, frozen=True):
    """A parent, its children, and what they say about each other. ``parent`` is the newer one if it was asked again."""

    verdict: Verdict
    parent: Answer
    children: tuple[tuple[DateRange, Answer], ...]


async def verify(inquiry: Inquiry, parent: Answer, today: int) -> Family:
    """Ask for the children of the universal query and compare. Costs two or three requests, six at most; by spots up to
    twenty-two small ones.
    """
    if parent.ok and parent.answers >= SPOT_FROM and not like_a_limit(parent.answers):
        family = await _spots(inquiry, parent, today)
        if family is not None:
            return family
    family = await _try(inquiry, parent, EVER, today)
    if family.verdict is Verdict.LOSSY or (
        family.verdict in (Verdict.UNKNOWN, Verdict.IGNORED) and not inquiry.stopped
    ):
        other = await _try(inquiry, parent, EVER_OPEN, today)
        if other.verdict in (Verdict.WHOLE, Verdict.CUT, Verdict.ODD_STATUS):
            return other
    return family


def children_of(span: DateRange, dates: Mapping[int, int], today: int) -> tuple[DateRange, ...]:
    """Where to cut so that the cut proves most."""
    days = [d for d in dates if d in span]
    if len(days) > 1:
        return cut(span, median_day({d: dates[d] for d in days}))
    if days:
        return around(span, days[0])
    return cut(span, today) if bounds(span)[0] <= today < bounds(span)[1] else (span,)


async def _spots(inquiry: Inquiry, parent: Answer, today: int) -> Family | None:
    """The parent is whole as far as spots tell; None where one of them does not fit, for the halves to decide."""
    settled = [day for day in parent.dates if day < later(today, -2)]  # later ones may grow while we ask
    if not settled:
        return None
    random.shuffle(settled)
    allowance = parent.answers // SPOT_SHARE
    spans = {DateRange(FIRST_DAY, later(min(parent.dates), -1)): 0, DateRange(later(max(parent.dates), 1), LAST_DAY): 0}
    for day in settled:
        if len(spans) < SPOT_DAYS + 2 and parent.dates[day] <= allowance:
            spans[DateRange(day, day)] = parent.dates[day]
            allowance -= parent.dates[day]
    if len(spans) < 5:
        return None
    children = []
    for span, expected in spans.items():
        answer = await inquiry.slice(span)
        if answer is None or not answer.ok or answer.outside or sum(answer.dates.values()) != expected:
            return None
        if answer.studies.missing_from(parent.studies):
            return None
        children.append((span, answer))
    return Family(Verdict.WHOLE, parent, tuple(children))


async def _try(inquiry: Inquiry, parent: Answer, span: DateRange, today: int) -> Family:
    children: list[tuple[DateRange, Answer]] = []
    for part in children_of(span, parent.dates, today):
        answer = await inquiry.slice(part)
        if answer is None:
            return Family(Verdict.UNKNOWN, parent, tuple(children))
        children.append((part, answer))
        if answer.outside:
            return Family(Verdict.IGNORED, parent, tuple(children))
    verdict, new = compare(parent, [answer for _, answer in children], _union(inquiry, children))
    if verdict is Verdict.CUT and parent.ok and new <= _arrivals(parent):
        # A few more: a limit, or studies that came in meanwhile. A limit does not grow.
        again = await inquiry.study(StudyQuery())
        if again is not None and again.ok and again.answers > parent.answers:
            union = _union(inquiry, children)
            if not union.missing_from(again.studies) and again.studies.missing_from(union, again.undated) <= _arrivals(
                again
            ):
                return Family(Verdict.WHOLE, again, tuple(children))
    return Family(verdict, parent, tuple(children))


def _arrivals(answer: Answer) -> int:
    """How many studies may come in between two queries: more is a limit, whatever else it may be."""
    return max(10, answer.answers // 50)


def _union(inquiry: Inquiry, children: Sequence[tuple[DateRange, Answer]]) -> Hashes:
    union = inquiry.hashes()
    for _, answer in children:
        union.merge(answer.studies)
    return union


def compare(parent: Answer, children: Sequence[Answer], union: Hashes) -> tuple[Verdict, int]:
    """What the children say, and how many studies they have that their parent lacks."""
    if union.exact and parent.studies.exact:
        new = union.missing_from(parent.studies)
        lost = parent.studies.missing_from(union, parent.undated)
        shared = sum(len(child.studies) for child in children) - len(union)
    else:  # too many to compare one by one: by numbers
        more = sum(sum(child.dates.values()) for child in children) - sum(parent.dates.values())
        new, lost, shared = max(0, more), max(0, -more), 0
    if shared > len(union) // 2:
        return Verdict.IGNORED, new  # disjoint ranges with the same studies
    if new:
        return Verdict.CUT, new
    ends = {child.status for child in children if child.failure is None}
    if lost or not all(child.ok for child in children):
        if not lost and not parent.ok and parent.failure is None and ends == {parent.status}:
            return Verdict.ODD_STATUS, 0
        if any(child.nothing for child in children):
            return Verdict.UNKNOWN, 0
        return Verdict.LOSSY if all(child.ok for child in children) else Verdict.CUT, 0
    return Verdict.WHOLE if parent.ok else Verdict.CUT, 0
