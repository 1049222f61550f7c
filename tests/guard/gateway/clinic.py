"""A practice's day, as a gateway sees it: 30 exams from 4 devices, 3 workstations reading, and a thief now and then.

No two days are alike: the number of exams, who reads how much and when, priors, boards, a workstation that stands idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from leadapron.guard.gateway.alarms import Alarm
from leadapron.guard.gateway.baseline import Baseline
from leadapron.guard.gateway.meter import Bounds, Kind, Meter

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DEVICES = ("CT1", "MR1", "US1", "DX1")
STATIONS = ("WS1", "WS2", "WS3")
OBJECTS = {"CT1": (4, 12), "MR1": (3, 9), "US1": (1, 6), "DX1": (1, 2)}  # series rather than images, for time's sake
HOUR, DAY = 3600.0, 86400.0
Event = tuple[float, str, str, str]
"""When (seconds of the day), who, what (query, store, study), and which study or how many records."""


class Clock:
    """A monotonic and a wall clock that are set together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return MONDAY + timedelta(seconds=self.seconds)


class Practice:
    """``caps`` hold for every peer. ``day`` lets one pass, and gives its alarms."""

    def __init__(self, seed: int, caps: Bounds | None = None, baseline: Baseline | None = None) -> None:
        self.random = Random(seed)
        self.clock = Clock()
        self.meter = Meter(lambda who: caps or Bounds(), clock=self.clock, baseline=baseline)
        self.days = 0
        self.refused = 0
        self.share = [self.random.uniform(0.5, 1.5) for _ in STATIONS]
        self.priors = self.random.uniform(0.0, 2.0)
        self.load = self.random.uniform(0.7, 1.3)
        self.read: dict[str, list[int]] = {name: [] for name in STATIONS}

    def day(self, more: list[Event] | None = None) -> tuple[Alarm, ...]:
        """An ordinary day, and what ``more`` happens on it."""
        begin = self.days * DAY
        for at, who, what, about in sorted([*self._ordinary(), *(more or ())]):
            self.clock.seconds = begin + at
            self.do(who, what, about)
        self.days += 1
        self.clock.seconds = self.days * DAY
        return self.meter.alarms()

    def taken(self, attack: list[Event]) -> int:
        """Of an attack on an otherwise quiet day: how many studies it got."""
        begin, got = self.days * DAY, 0
        for at, who, what, about in sorted(attack):
            self.clock.seconds = begin + at
            got += self.do(who, what, about)
        return got

    def do(self, who: str, what: str, about: str) -> bool:
        if what == "study":
            done = bool(self.meter.allow(who, Kind.RETRIEVE)) and self.meter.retrieved(who, about)
        elif what == "store":
            done = bool(self.meter.allow(who, Kind.STORE))
        else:
            done = bool(self.meter.allow(who, Kind.QUERY))
            self.meter.answered(who, int(about))
        self.refused += not done
        return done

    def _ordinary(self) -> Iterator[Event]:
        random, weekend = self.random, self.days % 7 >= 5
        exams = max(0, round(random.gauss(30, 6) * self.load)) if not weekend else random.randrange(6)
        studies = [f"1.2.{self.days}.{number}" for number in range(exams)]
        for study in studies:
            device, at = random.choice(DEVICES), random.uniform(7.5, 18) * HOUR
            yield at, device, "query", str(random.randrange(40))
            for number in range(random.randint(*OBJECTS[device])):
                yield at + 600 + number, device, "store", study
        counts = dict.fromkeys(STATIONS, 0)
        idle = random.choice(STATIONS) if random.random() < 0.1 else None
        catching_up = random.random() < 0.15  # all is read in the last two hours
        for study in studies:
            station = random.choices(STATIONS, self.share)[0]
            if station == idle:
                continue
            at = (random.uniform(17, 19) if catching_up else random.uniform(8, 19)) * HOUR
            priors = [f"1.1.{random.randrange(10_000)}" for _ in range(round(random.expovariate(1) * self.priors))]
            for number, opened in enumerate((study, *priors)):
                counts[station] += 1
                for again in range(random.randint(1, 3)):  # series by series, or again
                    yield at + 20 * number + 90 * again, station, "study", opened
            yield at - 30, station, "query", str(random.randrange(10))
        if not weekend and random.random() < 0.1:  # a board
            station, at = random.choice(STATIONS), random.uniform(8, 17) * HOUR
            for number in range(random.randint(6, 15)):
                counts[station] += 1
                yield at + number * 200, station, "study", f"1.3.{self.days}.{number}"
        for station in () if weekend else STATIONS:  # a list that looks for what is new
            every = 60 * random.choice((2, 5, 10))
            for at in range(8 * 3600, 18 * 3600, every):
                yield float(at), station, "query", str(min(exams, random.randrange(40)))
        for name, count in counts.items():
            self.read[name].append(count)


def bulk(who: str, studies: int, random: Random, *, within: float = HOUR, slow: float = 1.0) -> list[Event]:
    """A copy of ``studies`` studies within a span; the greater ``slow``, the more of it happens at the end."""
    begin = random.uniform(0, DAY - within - 1)
    return [
        (begin + within * (number / studies) ** (1 / slow), who, "study", f"9.{random.randrange(10**9)}.{number}")
        for number in range(studies)
    ]
