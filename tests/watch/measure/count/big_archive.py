"""Archives of hundreds of thousands of studies that cost little: days with numbers, rows made up when asked for."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import date, timedelta

import numpy as np
from fake_archive import TODAY, fixed_hash

from leadapron.watch.measure.count.query import Answer, ImageAnswer, ImageQuery, SeriesAnswer, SeriesQuery, StudyQuery
from leadapron.watch.measure.count.tally import SeriesTally, Tally


class BigArchive:
    """``years`` of studies that grow, with quiet weekends, holidays, seasons and noise; about ``studies`` in all."""

    def __init__(
        self,
        studies: int,
        years: int,
        seed: int,
        *,
        counts: bool = True,
        limit: int | None = None,
        honest_cancel: bool = True,
    ) -> None:
        rng = np.random.default_rng(seed)
        first = date(TODAY.year - years, TODAY.month, TODAY.day)
        self.days = [first + timedelta(days=i) for i in range((TODAY - first).days + 1)]
        place = np.linspace(0, 1, len(self.days))
        level = np.exp(rng.uniform(-0.3, 1.5) * place) * (1 + 0.1 * np.sin(2 * np.pi * place * years))
        weekend = np.array([d.weekday() >= 5 for d in self.days])
        level = np.where(weekend, level * rng.uniform(0, 0.5), level)
        level[rng.random(len(self.days)) < 0.025] *= 0.05  # holidays
        mean = level / level.sum() * studies
        noise = rng.gamma(12, 1 / 12, len(self.days))
        self.numbers = rng.poisson(mean * noise)
        self.sizes = np.maximum(1, rng.lognormal(3.2, 1.0, int(self.numbers.sum()))).astype(int)
        self.starts = np.concatenate(([0], np.cumsum(self.numbers)))
        self.stamps = [d.year * 10000 + d.month * 100 + d.day for d in self.days]
        self.counts, self.limit, self.honest_cancel = counts, limit, honest_cancel
        self.requests = self.rows = 0

    @property
    def truth(self) -> tuple[int, int]:
        return int(self.numbers.sum()), int(self.sizes.sum())

    async def study(self, query: StudyQuery) -> Answer:
        self.requests += 1
        tally = Tally(query, hash_of=fixed_hash)
        rows, cut = 0, False
        pattern = None if query.patient is None else re.compile(query.patient.replace("*", ".*") + "$")
        for i, stamp in enumerate(self.stamps):
            if cut or (query.date is not None and stamp not in query.date):
                continue
            for number in range(int(self.starts[i]), int(self.starts[i + 1])):
                if pattern is not None and not pattern.match(str(number % 9973)):
                    continue
                if query.max_answers is not None and rows >= query.max_answers:
                    self.rows += rows
                    return tally.finish(0xFE00, cancelled=True)
                if self.limit is not None and rows >= self.limit:
                    cut = True
                    break
                rows += 1
                images = b"%d" % self.sizes[number] if self.counts else b""
                tally.add(b"1.2.%d" % number, b"%d" % stamp, images, b"%d" % (number % 9973))
        self.rows += rows
        return tally.finish(0)

    async def rest(self, wait: Callable[[], Awaitable[None]]) -> None:
        await wait()

    async def series(self, query: SeriesQuery) -> SeriesAnswer:
        self.requests += 1
        tally = SeriesTally(query.study_uid)
        number = int(query.study_uid.rpartition(b".")[2])
        tally.add(query.study_uid + b".1", b"%d" % self.sizes[number], query.study_uid)
        return tally.finish(0)

    async def image(self, query: ImageQuery) -> ImageAnswer:
        raise AssertionError("series have counts")
