"""An archive without a network: studies in a list, and a policy for every bad habit that a server can have.

It answers through the same ``Tally`` that the real adapter feeds, so what is tested is everything but the wire.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Literal

from leadapron.kernel.clock import SystemClock
from leadapron.watch.measure.count.hashes import Memory
from leadapron.watch.measure.count.hashing import BlakeHash
from leadapron.watch.measure.count.query import (
    Answer,
    ImageAnswer,
    ImageQuery,
    SeriesAnswer,
    SeriesQuery,
    StudyQuery,
)
from leadapron.watch.measure.count.tally import ImageTally, SeriesTally, Tally, clock_second

TODAY = date(2026, 11, 21)


class FixedClock(SystemClock):
    """TODAY at eight in the evening; ``monotonic`` moves a second at each look."""

    def __init__(self) -> None:
        self.looks = 0.0

    def now(self) -> datetime:
        return datetime(TODAY.year, TODAY.month, TODAY.day, 20, tzinfo=UTC)

    def monotonic(self) -> float:
        self.looks += 1
        return self.looks


fixed_hash = BlakeHash(b"always the same, for tests only")


@dataclass
class Study:
    uid: bytes
    date: bytes
    time: bytes = b"101500"
    patient: bytes = b"P100"
    series: tuple[int, ...] = (12, 3)

    @cached_property
    def images(self) -> int:
        return sum(self.series)

    @cached_property
    def day(self) -> int:
        """As a server's database has it: 0 where it could not be stored as a date."""
        try:
            datetime.strptime(self.date.decode(), "%Y%m%d")
        except ValueError:
            return 0
        return int(self.date) if len(self.date) == 8 else 0


@dataclass
class Policy:
    limit: int | None = None
    at_limit: Literal["silent", "cancel", "refuse", "refuse-late", "lost"] = "silent"
    limited: Literal["all", "universal", "ranged"] = "all"
    jitter: int = 0  # the limit differs from answer to answer by up to so many
    order: Literal["date", "newest", "shuffled", "undated-first"] = "shuffled"
    dates: Literal["ok", "ignored", "no-open", "no-closed", "exclusive", "nothing", "refused"] = "ok"
    undated_before_all: bool = False  # '' <= '2020…': studies without a date lie in ranges that are open to the left
    show_dates: bool = True
    times: Literal["ok", "ignored", "refused", "nothing"] = "ok"
    patients: Literal["ok", "ignored", "refused", "literal"] = "ok"
    study_counts: Literal["ok", "missing", "some", "zero", "absurd", "text"] = "ok"
    series_counts: Literal["ok", "missing", "refused"] = "ok"
    image_level: Literal["ok", "refused"] = "ok"
    limit_below: bool = False  # the limit holds for series and images too
    repeat: int = 1  # each row so many times
    rows_per_file: bool = False
    fails_every: int = 0  # every k-th request times out before anything came
    universal: Literal["ok", "empty", "refused"] = "ok"
    refuses_all: int = 0
    status: int = 0  # with which every answer ends
    grows: float = 0.0  # chance of a new study of today before each answer
    dead_after: int | None = None


@dataclass
class FakeArchive:
    """``truth`` is (studies, images, patients) now; ``truth_at_first`` when the first question came."""

    studies: list[Study]
    policy: Policy = field(default_factory=Policy)
    seed: int = 1
    memory: Memory | None = None
    hashes: int = 4_000_000

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.requests = self.rows = 0
        self.truth_at_first = self.truth
        self.log: list[str] = []
        self._arrange()

    def _arrange(self) -> None:
        order = self.policy.order
        if order == "shuffled":
            self.rng.shuffle(self.studies)
        elif order == "undated-first":
            self.studies.sort(key=lambda s: (s.day != 0, -s.day, s.uid))
        else:
            self.studies.sort(key=lambda s: (s.day == 0, -s.day if order == "newest" else s.day, s.uid))

    @property
    def truth(self) -> tuple[int, int, int]:
        patients = {s.patient for s in self.studies if s.patient}
        nameless = any(not s.patient for s in self.studies)
        return len(self.studies), sum(s.images for s in self.studies), len(patients) + nameless

    # ---- matching -------------------------------------------------------------------------------------------------

    def _in_dates(self, query: StudyQuery) -> Callable[[Study], bool]:
        span, how = query.date, self.policy.dates
        if span is None or how == "ignored":
            return lambda s: True
        text = span.text
        is_range = "-" in text
        is_open = text.startswith("-") or text.endswith("-")
        if how == "nothing" or (how == "no-open" and is_open) or (how == "no-closed" and is_range and not is_open):
            return lambda s: False
        low, high = span.first or 1, span.last or 99991231
        if how == "exclusive" and is_range:
            high -= 1
        with_empty = self.policy.undated_before_all and text.startswith("-")
        return lambda s: low <= s.day <= high or (with_empty and not s.day and not s.date.strip())

    def _in_times(self, s: Study, query: StudyQuery) -> bool:
        if query.time is None or self.policy.times == "ignored":
            return True
        second = clock_second(s.time)
        return self.policy.times == "ok" and second >= 0 and query.time.first <= second <= query.time.last

    def _of_patient(self, s: Study, query: StudyQuery) -> bool:
        if query.patient in (None, "*") or self.policy.patients == "ignored":
            return True
        if self.policy.patients == "literal" or not query.patient.startswith("*"):
            return s.patient == query.patient.encode()
        return s.patient.endswith(query.patient[1:].encode())

    # ---- the three levels -----------------------------------------------------------------------------------------

    def _fails(self) -> str | None:
        self.requests += 1
        policy = self.policy
        if policy.grows and self.rng.random() < policy.grows:
            uid = f"1.9.{self.requests}".encode()
            self.studies.append(Study(uid, TODAY.strftime("%Y%m%d").encode(), patient=b"P7"))
            self._arrange()
        if policy.dead_after is not None and self.requests > policy.dead_after:
            return "the connection was lost"
        if policy.fails_every and self.requests % policy.fails_every == 0:
            return "no answer in time"
        return None

    def _limit(self, query: StudyQuery) -> int | None:
        policy = self.policy
        ranged = query.date is not None
        if policy.limit is None or (policy.limited == "universal" and ranged):
            return None
        if policy.limited == "ranged" and not ranged:
            return None
        return max(1, policy.limit + self.rng.randint(-policy.jitter, policy.jitter))

    async def study(self, query: StudyQuery) -> Answer:
        failure, policy = self._fails(), self.policy
        self.log.append(
            f"{query.date.text if query.date else 0} {query.time.text if query.time else 0} {query.patient}"
        )
        tally = Tally(query, hash_of=fixed_hash, memory=self.memory, limit=self.hashes)
        universal = query.date is None and query.patient in (None, "*")
        if failure:
            return tally.finish(None, failure)
        if policy.refuses_all:
            return tally.finish(policy.refuses_all)
        if (policy.universal == "refused" and universal) or (policy.dates == "refused" and query.date is not None):
            return tally.finish(0xA900)
        if policy.times == "refused" and query.time is not None:
            return tally.finish(0xC000)
        if policy.patients == "refused" and query.patient is not None:
            return tally.finish(0xA900)
        rows: list[Study] = []
        if not (policy.universal == "empty" and universal):
            in_dates = self._in_dates(query)
            for s in self.studies:
                if in_dates(s) and self._in_times(s, query) and self._of_patient(s, query):
                    rows += [s] * (s.images if policy.rows_per_file else policy.repeat)
        limit = self._limit(query)
        over = limit is not None and len(rows) > limit
        if over and policy.at_limit == "refuse":
            return tally.finish(0xA700)
        rows = rows[:limit] if over else rows
        cancelled = False
        for number, s in enumerate(rows):
            if query.max_answers is not None and number >= query.max_answers:
                cancelled = True
                break
            self._add(tally, s, query)
            if not number % 256:
                await asyncio.sleep(0)  # others are counted at the same time
                if cancelled := tally.yields():
                    break
        self.rows += tally.answers
        if cancelled:
            return tally.finish(0xFE00, cancelled=True)
        if over and policy.at_limit != "silent":
            if policy.at_limit == "lost":
                return tally.finish(None, "the connection was lost")
            return tally.finish(0xFE00 if policy.at_limit == "cancel" else 0xA700)
        return tally.finish(policy.status)

    def _add(self, tally: Tally, s: Study, query: StudyQuery) -> None:
        count = {
            "ok": b"%d " % s.images,
            "missing": b"",
            "some": b"%d" % s.images if fixed_hash(s.uid) % 2 else b"",
            "zero": b"0",
            "absurd": b"2000000001",
            "text": b"n/a",
        }[self.policy.study_counts]
        tally.add(
            s.uid + b"\0" * (len(s.uid) % 2),
            s.date if self.policy.show_dates else b"",
            count,
            s.patient,
            level=b"IMAGE " if self.policy.rows_per_file else b"STUDY ",
            time=s.time,
            name=b"Doe^Jane",
            birth_date=b"19600101",
        )

    def _below(self, rows: int) -> tuple[int, int | None, str | None]:
        """How many of so many rows below STUDY level come, and how it ends."""
        policy = self.policy
        if not policy.limit_below or policy.limit is None or rows <= policy.limit:
            return rows, 0, None
        if policy.at_limit == "refuse":
            return 0, 0xA700, None
        end: tuple[int | None, str | None] = {
            "silent": (0, None),
            "cancel": (0xFE00, None),
            "refuse-late": (0xA700, None),
            "lost": (None, "the connection was lost"),
        }[policy.at_limit]
        return policy.limit, *end

    async def rest(self, wait: Callable[[], Awaitable[None]]) -> None:
        await wait()

    async def series(self, query: SeriesQuery) -> SeriesAnswer:
        failure = self._fails()
        tally = SeriesTally(query.study_uid)
        if failure:
            return tally.finish(None, failure)
        if self.policy.series_counts == "refused":
            return tally.finish(0xA900)
        study = next(s for s in self.studies if s.uid == query.study_uid)
        rows, status, failure = self._below(len(study.series))
        for number, images in enumerate(study.series[:rows]):
            count = b"%d" % images if self.policy.series_counts == "ok" else b""
            tally.add(b"%s.%d" % (study.uid, number), count, study.uid)
        return tally.finish(status, failure)

    async def image(self, query: ImageQuery) -> ImageAnswer:
        failure = self._fails()
        tally = ImageTally(query.series_uid, hash_of=fixed_hash, memory=self.memory)
        if failure:
            return tally.finish(None, failure)
        if self.policy.image_level == "refused":
            return tally.finish(0xA900)
        study = next(s for s in self.studies if s.uid == query.study_uid)
        images = study.series[int(query.series_uid.rpartition(b".")[2])]
        rows, status, failure = self._below(images)
        for number in range(rows):
            tally.add(b"%s.%d" % (query.series_uid, number), query.series_uid)
        return tally.finish(status, failure)


def some_studies(
    n: int,
    *,
    seed: int = 1,
    first: date = date(2015, 1, 1),
    days: int = 4000,
    undated: int = 0,
    nameless: int = 0,
    same_time: bool = False,
) -> list[Study]:
    """``n`` dated studies over ``days`` days and ``undated`` more; ``nameless`` of all have no PatientID."""
    rng = random.Random(seed)
    studies = []
    for i in range(n + undated):
        day = first + timedelta(days=rng.randrange(days))
        stamp = day.strftime("%Y%m%d").encode()
        if i >= n:
            stamp = rng.choice((b"", b"        ", b"2019.01.02", b"00000000", b"20190231"))
        second = 43_200 if same_time else rng.randrange(86_400)
        time = b"%02d%02d%02d" % (second // 3600, second // 60 % 60, second % 60)
        patient = b"" if i < nameless else b"P%05d" % rng.randrange(max(1, n // 2) + 1)
        series = tuple(rng.randint(1, 40) for _ in range(rng.randint(1, 4)))
        studies.append(Study(b"1.2.840.99.%d.%d" % (seed, i), stamp, time, patient, series))
    return studies


def dated(studies: Iterable[Study]) -> int:
    return sum(s.day > 0 for s in studies)
