"""Images of studies for which the server gave no count, or none that can be believed.

NumberOfStudyRelatedInstances (0020,1208) is optional; so is NumberOfSeriesRelatedInstances (0020,1209) one level down.
Where both are missing, the images of each series are listed and counted. That costs a request for each study, and one
for each series: it is done for all studies where the budget allows, else for a random sample of them.

The studies are taken in the order of their keyed hashes, which is as good as drawing lots. So whenever one stops, those
already asked are a simple random sample without replacement, and the mean has a t interval with finite population
correction (Cochran, Sampling Techniques, 3rd ed., §2.8).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from leadapron.watch.measure.count.inquiry import Inquiry
from leadapron.watch.measure.count.limits import like_a_limit
from leadapron.watch.measure.count.query import ImageQuery, SeriesQuery
from leadapron.watch.measure.count.statistics import mean_interval

SAMPLE: Final = 60  # studies, where all of them would cost too much
FEWEST: Final = 8  # studies for an interval worth the name
MANY: Final = 1_000_000_000  # studies: a sample of an archive that was not listed
TRIES: Final = 3  # studies that may fail before any succeeds


class Images(Struct, frozen=True):
    """Images of the studies that had no count.

    ``counted``: images of the studies asked, a lower bound. ``whole``: that was all studies, each to the last image.
    ``estimate``: total and 95 % interval for all of them, if a sample was taken. ``suspicious``: a series was as long
    as a limit.
    """

    counted: int
    asked: int
    whole: bool
    estimate: tuple[int, int, int] | None = None
    suspicious: bool = False


class _Series:
    def __init__(self, inquiry: Inquiry, limits: Collection[int], reserve: int) -> None:
        self.inquiry, self.reserve = inquiry, reserve
        self.cap = min(limits, default=None)
        self.longest = 0  # answers to one query below STUDY level

    async def study(self, uid: bytes) -> tuple[int, bool] | None:
        """Images of one study, and whether these are all; None when nothing more may be asked."""
        if self.inquiry.left <= self.reserve:
            return None
        answer = await self.inquiry.series(SeriesQuery(uid))
        if answer is None:
            return None
        self.longest = max(self.longest, answer.answers)
        whole = (
            answer.ok
            and answer.series > 0
            and not answer.foreign
            and not answer.overflow
            and self._short(answer.answers)
        )
        images = answer.images
        for series in answer.uncounted:
            if self.inquiry.left <= self.reserve:
                return None
            listed = await self.inquiry.image(ImageQuery(uid, series))
            if listed is None:
                return None
            self.longest = max(self.longest, listed.answers)
            images += listed.images
            whole = whole and listed.ok and listed.images > 0 and not listed.overflow and self._short(listed.answers)
            whole = whole and not listed.foreign
        return images, whole

    def _short(self, answers: int) -> bool:
        return self.cap is None or answers < self.cap


async def count_images(
    inquiry: Inquiry, studies: int, sample: dict[int, bytes], limits: Collection[int], reserve: int
) -> Images:
    """Count the images of ``studies`` studies without an image count; ``sample`` holds UIDs of some or all of them."""
    series = _Series(inquiry, limits, reserve)
    begun = inquiry.requests
    counts: list[int] = []
    partial = failed = 0
    for number, key in enumerate(sorted(sample)):
        if number >= SAMPLE:
            cost = (inquiry.requests - begun) / number
            if len(sample) < studies or cost * (studies - number) > inquiry.left - reserve:
                break
        answer = await series.study(sample[key])
        if answer is None:
            break
        images, whole = answer
        if whole:
            counts.append(images)
        else:
            partial += images
            failed += 1
            if failed >= TRIES and not counts:
                break
    counted = sum(counts) + partial
    # Below STUDY level nothing is cut in two: an answer as long as a limit stays in doubt unless a longer one was seen.
    suspicious = series.longest >= inquiry.longest_study_answer and like_a_limit(series.longest)
    if len(counts) == studies and not failed:
        return Images(counted, len(counts), not suspicious, suspicious=suspicious)
    estimate = None
    if len(counts) >= FEWEST and not failed and not suspicious:
        total, low, high = mean_interval(counts, studies)
        estimate = (round(total), max(counted, round(low)), max(counted, round(high)))
    return Images(counted, len(counts) + failed, False, estimate, suspicious)


async def sampled_mean(inquiry: Inquiry, limits: Collection[int], reserve: int) -> tuple[float, float, float] | None:
    """Mean number of images of the studies without a count, and its 95 % interval, from up to 60 of them."""
    series = _Series(inquiry, limits, reserve)
    counts: list[int] = []
    for key in sorted(inquiry.uncounted)[:SAMPLE]:
        answer = await series.study(inquiry.uncounted[key])
        if answer is None or not answer[1]:
            break
        counts.append(answer[0])
    if len(counts) < FEWEST:
        return None
    total, low, high = mean_interval(counts, MANY)
    return total / MANY, low / MANY, high / MANY
