"""From what was found to the ``Count`` that is reported.

Patients are counted by PatientID. All studies without one count as a single unknown patient: that is the least there
can be. Nothing tells how many patients an estimated number of studies belongs to, so an estimate has none.

A number is ``exact`` and ``complete`` only if there is no doubt at all. With doubts it is what was seen, a lower bound.
An ``estimate`` carries an interval that never lies below what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from leadapron.watch.measure.count import words
from leadapron.watch.measure.count.estimate import Estimate
from leadapron.watch.measure.count.images import count_images
from leadapron.watch.measure.count.inquiry import Inquiry
from leadapron.watch.measure.count.query import Answer
from leadapron.watch.measure.model import Count, Interval

ENOUGH_FOR_SHAPES = 4


class Found:
    """What is known so far. ``images`` and ``images_missing`` are about the same studies; ``images_whole``: about all
    of them.
    """

    def __init__(self) -> None:
        self.doubts: list[str] = []
        self.limits: set[int] = set()
        self.images = self.images_missing = 0
        self.images_whole = True
        self.estimate: Estimate | None = None  # of what is not in ``listed``
        self.listed = 0  # studies that were listed whole, beside an estimate
        self._small: tuple[int, int] | None = None  # day and studies
        self._largest: tuple[int, int] | None = None

    def take(self, answer: Answer) -> None:
        """This answer is about all studies."""
        self.images, self.images_missing = answer.images, answer.images_missing

    def remember(self, dates: Mapping[int, int]) -> None:
        """Keep in mind a day with few studies, but enough to look at."""
        for day in dates:
            studies = dates[day]
            if studies >= ENOUGH_FOR_SHAPES and (
                self._small is None or (studies, -day) < (self._small[1], -self._small[0])
            ):
                self._small = day, studies
            if self._largest is None or studies > self._largest[1]:
                self._largest = day, studies

    @property
    def day_to_look_at(self) -> int | None:
        best = self._small or self._largest
        return None if best is None else best[0]


async def conclude(inquiry: Inquiry, found: Found, reserve: int) -> Count:
    """The count; asks for images that are missing as long as more than ``reserve`` requests are left."""
    seen = max(len(inquiry.seen), inquiry.at_least[0])
    doubts = list(found.doubts)
    if seen > len(inquiry.seen) and inquiry.seen.exact and not doubts:
        doubts.append(words.FEWER)
    if inquiry.without_uid:
        doubts.append(words.WITHOUT_UID)
    if inquiry.conflicts:
        doubts.append(words.CONFLICTS)
    if not inquiry.seen.exact:
        doubts.append(words.TOO_MANY)
    images, interval = await _images(inquiry, found, doubts, reserve) if found.estimate is None else (None, None)
    estimate = found.estimate
    listed = len(inquiry.patients) + inquiry.patients_missing if inquiry.patients else 0
    studies, patients = seen, max(listed, inquiry.at_least[1]) or None
    method: Literal["exact", "lower-bound", "estimate"] = "lower-bound" if doubts else "exact"
    if estimate is not None:
        doubts.append(words.estimated(estimate.days, estimate.of_days))
        studies = max(seen, found.listed + estimate.studies)
        low, high = max(seen, found.listed + estimate.low), max(seen, found.listed + estimate.high)
        in_images = None
        if estimate.images is not None:
            images, image_low, image_high = (found.images + number for number in estimate.images)
            in_images = (max(found.images, image_low), image_high)
        interval, patients, method = Interval((low, high), in_images), None, "estimate"
    elif interval is not None:
        method = "estimate"
    elif not inquiry.seen.exact:
        half = math.ceil(1.96 * inquiry.seen.relative_error * seen)
        interval, method = Interval((seen - half, seen + half)), "estimate"
    return Count(
        patients=patients if seen else 0,
        studies=studies,
        images=images,
        complete=method == "exact",
        method=method,
        interval=interval,
        note="; ".join(dict.fromkeys(doubts)) or None,
        limit=max(found.limits, default=None),
        undated=len(inquiry.undated),
        tells=("rows-per-file",) if _rows_per_file(inquiry) else (),
    )


async def _images(
    inquiry: Inquiry, found: Found, doubts: list[str], reserve: int
) -> tuple[int | None, Interval | None]:
    """Images, and an interval if they had to be estimated; adds to the doubts."""
    seen, sample = len(inquiry.seen), inquiry.uncounted
    missing = max(found.images_missing, len(sample)) if seen else 0
    if not missing:
        return found.images if found.images_whole else max(found.images, inquiry.images), None
    result = await count_images(inquiry, missing, sample, found.limits, reserve)
    if not found.images and not result.counted:
        if not result.asked:
            doubts.append(words.STOPPED[inquiry.stopped or "requests"])
        return None, None  # else the server would not say, at any level
    if result.whole and found.images_whole:
        return found.images + result.counted, None
    if result.estimate is not None and not doubts:
        total, low, high = (found.images + number for number in result.estimate)
        doubts.append(f"studies are complete; {words.images_sampled(result.asked, missing)}")
        return total, Interval((seen, seen), (low, high))
    if result.suspicious:
        doubts.append(words.IMAGES_DOUBTFUL)
    elif missing > result.asked or not result.whole:
        doubts.append(words.images_unknown(max(1, missing - result.asked)))
    return (found.images if found.images_whole else max(found.images, inquiry.images)) + result.counted, None


def _rows_per_file(inquiry: Inquiry) -> bool:
    """More than half of the answers repeat a study: one for each file, where studies were asked for."""
    return inquiry.duplicates * 2 > inquiry.study_answers and inquiry.duplicates >= 3
