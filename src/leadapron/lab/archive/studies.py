"""The arithmetic of made-up studies: everything about study ``i`` follows from ``i`` and a seed.

Numbers below ``dated`` are studies with a real date, in its order; then come groups that share one odd StudyDate each
(none, or a malformed one). Images are read from a table of 4,099 heavy-tailed sizes, so that any number of studies has
a sum that is known; archives share the table and differ by where they begin in it; 4,099 is prime, which keeps sizes
and patients from marching in step. Patients are ``i·k mod P`` with k and P coprime: all P occur as soon as there are P
studies, and the way back from a patient to the studies is a division.
"""

from __future__ import annotations

import math
from datetime import date
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from leadapron.lab.archive.calendar import Calendar
from leadapron.lab.archive.columns import Text, text_table
from leadapron.lab.archive.model import Indices, Rows, Volume
from leadapron.wire.uids import CR_IMAGE_STORAGE, CT_IMAGE_STORAGE, MR_IMAGE_STORAGE, US_IMAGE_STORAGE

TABLE: Final = 4099

# Modality by number of images, with the storage class and the words that go with it.
KINDS: Final[tuple[tuple[int, bytes, str, bytes], ...]] = (
    (4, b"CR", CR_IMAGE_STORAGE, b"CHEST PA AND LATERAL"),
    (30, b"US", US_IMAGE_STORAGE, b"ABDOMEN ULTRASOUND"),
    (110, b"MR", MR_IMAGE_STORAGE, b"KNEE WITHOUT CONTRAST"),
    (1 << 30, b"CT", CT_IMAGE_STORAGE, b"THORAX AND ABDOMEN"),
)


class Plan(Struct, frozen=True):
    """What an archive is made from. Two doors to one archive have equal plans.

    ``images_mean`` images a study with log-normal ``tail`` (sigma); ``patients`` 0: one for every 1.6 studies.
    ``odd_dates``: (StudyDate as stored, how many studies): empty, or malformed. ``odd_match``: ranges compare those as
    text; else no range holds them. ``times``: spread over the day, the same for all, or none.
    ``canary`` stands in every text attribute of every study.
    """

    seed: int
    studies: int
    patients: int = 0
    images_mean: float = 30.0
    tail: float = 1.3
    first: date = date(2009, 1, 5)
    last: date = date(2026, 11, 20)
    growth: float = 0.08
    odd_dates: tuple[tuple[str, int], ...] = ()
    odd_match: bool = False
    times: Literal["spread", "same", "none"] = "spread"
    script: str = "english"
    ids: str = "plain"
    canary: str = ""
    site: str = "Lead Apron Lab"
    uid_root: str = "1.2.276.0.7230010.3.1.2"
    series_size: int = 120


class Studies:
    """The studies of a plan, as numbers."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        n = plan.studies
        self.dated = n - sum(count for _, count in plan.odd_dates)
        if n < 1 or self.dated < 0:
            raise ValueError("an archive needs at least one study, and no more odd dates than studies")
        ends = [self.dated]
        for _, count in plan.odd_dates:
            ends.append(ends[-1] + count)
        self.groups = tuple(zip([0, *ends[:-1]], ends, strict=True))
        self.patients = min(n, plan.patients or max(1, round(n / 1.6)))
        self._step = _coprime(self.patients)
        self._step_back = pow(self._step, -1, self.patients)
        self.sizes = _sizes(plan.images_mean, plan.tail, plan.series_size)
        self._offset = plan.seed * 1009 % TABLE
        self.volume = Volume(
            studies=n,
            images=_cycle_sum(self.sizes.images, self._offset, n),
            patients=self.patients,
            series=_cycle_sum(self.sizes.series, self._offset, n),
            undated=n - self.dated,
        )

    @cached_property
    def calendar(self) -> Calendar:
        p = self.plan
        return Calendar(self.dated, p.first, p.last, p.growth, p.seed)

    def size_of(self, studies: Indices) -> Indices:
        """Where in the tables of sizes these studies stand."""
        return (studies + self._offset) % TABLE

    def images_of(self, rows: Rows) -> Indices:
        """Images of each row's study."""
        images: Indices = self.sizes.images[self.size_of(rows.study)]
        return images

    def series_of(self, rows: Rows) -> Indices:
        series: Indices = self.sizes.series[self.size_of(rows.study)]
        return series

    def series_images_of(self, rows: Rows) -> Indices:
        """Images of each row's series: all but the last have ``series_size``."""
        assert rows.series is not None
        size = self.plan.series_size
        images: Indices = np.minimum(size, self.images_of(rows) - rows.series * size)
        return images

    def files_of(self, rows: Rows) -> Indices:
        """Images in each row."""
        if rows.image is not None:
            return np.ones(len(rows), np.int64)
        return self.images_of(rows) if rows.series is None else self.series_images_of(rows)

    def person_of(self, rows: Rows) -> Indices:
        people: Indices = rows.study % self.patients * self._step % self.patients
        return people

    def first_study_of(self, people: Indices) -> Indices:
        studies: Indices = people * self._step_back % self.patients
        return studies

    def of_person(self, per_study: Indices, rows: Rows) -> Indices:
        """Sum over all studies of each row's patient."""
        study = rows.study % self.patients
        total = np.zeros(len(rows), np.int64)
        for _ in range(0, self.plan.studies, self.patients):
            total += np.where(study < self.plan.studies, per_study[self.size_of(study)], 0)
            study = study + self.patients
        return total


def _coprime(count: int) -> int:
    """A step near the golden section of ``count`` that meets every number below it."""
    step = max(1, round(count * 0.6180339887))
    while math.gcd(step, count) != 1:
        step += 1
    return step


ONES: Final = np.ones(TABLE, np.int64)


class Sizes(Struct, frozen=True):
    """Images, series and kind of 4,099 studies, numbers and texts; archives share them and differ by an offset."""

    images: Indices
    series: Indices
    kinds: Indices
    images_texts: Text
    series_texts: Text


@lru_cache(64)
def _sizes(mean: float, tail: float, series_size: int) -> Sizes:
    """Images a study: the quantiles of a log-normal distribution with this mean, shuffled; none below one."""
    raw = np.exp(tail * _quantiles())
    images = np.maximum(1, np.rint(raw * mean / raw.mean())).astype(np.int64)
    np.random.default_rng(TABLE).shuffle(images)
    series = 1 + (images - 1) // series_size
    return Sizes(
        images,
        series,
        np.searchsorted(np.array([kind[0] for kind in KINDS]), images),
        text_table([b"%d" % n for n in images.tolist()]),
        text_table([b"%d" % n for n in series.tolist()]),
    )


@lru_cache(1)
def _quantiles() -> NDArray[np.float64]:
    normal = NormalDist()
    return np.array([normal.inv_cdf((k + 0.5) / TABLE) for k in range(TABLE)])


def _cycle_sum(table: Indices, offset: int, count: int) -> int:
    """Sum of ``count`` terms, from ``offset`` on, of a table that is repeated for ever."""
    whole, part = divmod(count, TABLE)
    return int(table.sum()) * whole + int(np.roll(table, -offset)[:part].sum())
