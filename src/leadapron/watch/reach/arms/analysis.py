"""Which arm got more servers closed: by the arm that was drawn, whatever became of the notice.

A case counts from its first notice to the owner. It counts as closed if a scan proved it closed within so many days of
that, wherever it stood by then, and it is only compared once so many days are over: who was written to yesterday has
had no time. A move by itself closes nothing. Bounced notices
and letters that had to be e-mails stay in the arm that was drawn for them; taking them out would compare the owners who
can be reached, not the ways of writing. An interval that has zero in it says that no difference can be told; it doesn't
say that there is none.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.watch.reach.arms.factors import FACTORS
from leadapron.watch.reach.arms.intervals import newcombe, wilson
from leadapron.watch.track.database import failures
from leadapron.watch.track.tables import cases, events, exposures, notices

FEWEST: Final = 10
"""Cases in each arm; below that nothing is said but that there are too few."""
_WORDS: Final = {"email": "e-mail", "duty": "legal duty", "local": "local language", "english": "English"}


class Arm(Struct, frozen=True):
    """``crossed``: cases whose notice went another way than was drawn (no postal address, say). ``early``: cases that
    are left out, because their time is not over. ``low`` and ``high``: Wilson's interval of the share."""

    name: str
    cases: int
    closed: int
    crossed: int
    early: int
    low: float
    high: float

    @property
    def share(self) -> float | None:
        return self.closed / self.cases if self.cases else None


class Difference(Struct, frozen=True):
    """The arm that closed more and the other; ``low`` and ``high``: Newcombe's interval, as shares."""

    more: Arm
    less: Arm
    low: float
    high: float

    @property
    def told(self) -> bool:
        """Whether there are enough cases, and zero is not among what is possible."""
        return self.enough and self.low > 0

    @property
    def enough(self) -> bool:
        return min(self.more.cases, self.less.cases) >= FEWEST

    def sentence(self) -> str:
        """In words: ``letter closed more: 76 of 100 against 34 of 100, difference 42 points, 95 % 29–53``."""
        more, less = _name(self.more.name), _name(self.less.name)
        if not self.enough:
            return f"{more} and {less}: too few to say, {self.more.cases} and {self.less.cases} cases"
        points = round(100 * ((self.more.share or 0) - (self.less.share or 0)))
        figures = (
            f"{self.more.closed} of {self.more.cases} against {self.less.closed} of {self.less.cases}, "
            f"difference {points} points, 95 % {_signed(self.low)}–{_signed(self.high)}"
        )
        if self.told:
            return f"{more} closed more: {figures}"
        return f"{more} and {less}: no difference can be told, {figures}"


class Comparison(Struct, frozen=True):
    """A factor with its arms, and each two of them compared."""

    factor: str
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]


class Analysis(Struct, frozen=True):
    days: int
    comparisons: tuple[Comparison, ...]


def analyse(engine: sa.Engine, days: int = 60, clock: Clock | None = None) -> Analysis:
    """Compare the arms of each factor that was drawn: closed within ``days`` of the first notice."""
    now = (clock or SystemClock()).now()
    tallies: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0, 0]))
    with failures(engine), engine.connect() as connection:
        proofs = _Proofs(connection)
        for exposure_id, arms, sent, channel in connection.execute(_first_notices()):
            end = iso(datetime.fromisoformat(sent) + timedelta(days=days))
            fixed = any(sent <= at <= end for at in proofs.of(exposure_id))
            for factor, arm in msgspec.json.decode(arms, type=dict[str, str]).items():
                tally = tallies[factor][arm]
                if end > iso(now):
                    tally[3] += 1
                    continue
                tally[0] += 1
                tally[1] += fixed
                tally[2] += factor == "medium" and channel != arm
    return Analysis(days, tuple(_compared(factor, tallies[factor]) for factor in FACTORS if factor in tallies))


class _Proofs:
    """When servers were proved closed, wherever they stood then. A case goes with its server to another address, unless
    there is one about that address already."""

    def __init__(self, connection: sa.Connection) -> None:
        self._closed: dict[int, list[str]] = defaultdict(list)
        self._before: dict[int, tuple[int, str]] = {}  # where a server was, and when it was seen elsewhere
        query = sa.select(events.c.kind, events.c.exposure_id, events.c.other_id, events.c.at)
        for kind, number, other, at in connection.execute(query.where(events.c.kind.in_(("closed", "moved")))):
            if kind == "closed":
                self._closed[number].append(at)
            elif other is not None:
                self._before[number] = other, at
        left = sa.select(exposures.c.id, exposures.c.moved_to).where(exposures.c.moved_to.is_not(None))
        self._now: dict[int, int] = {number: to for number, to in connection.execute(left)}

    def of(self, exposure_id: int) -> list[str]:
        found = list(self._closed.get(exposure_id, ()))
        here, met = exposure_id, {exposure_id}
        while (before := self._before.get(here)) is not None and before[0] not in met:
            here, until = before
            met.add(here)
            found += [at for at in self._closed.get(here, ()) if at <= until]
        here = exposure_id
        while (now := self._now.get(here)) is not None and now not in met:
            here = now
            met.add(here)
            found += self._closed.get(here, ())
        return found


def _first_notices() -> sa.Select[Any]:
    """Of each case with arms: exposure, arms, when the owner was first written to, and how."""
    went = (
        sa.select(notices.c.case_id, sa.func.min(notices.c.id).label("id"))
        .where(notices.c.level == 0, notices.c.purpose == "first")
        .where(notices.c.state.in_(("sent", "bounced")), notices.c.sent_at.is_not(None))
        .group_by(notices.c.case_id)
        .subquery()
    )
    return (
        sa.select(cases.c.exposure_id, cases.c.arms, notices.c.sent_at, notices.c.channel)
        .join_from(cases, went, went.c.case_id == cases.c.id)
        .join(notices, notices.c.id == went.c.id)
        .where(cases.c.arms != "{}")
        .order_by(cases.c.id)
    )


def _compared(factor: str, tallies: dict[str, list[int]]) -> Comparison:
    arms = tuple(
        Arm(name, number, closed, crossed, early, *wilson(closed, number))
        for name, (number, closed, crossed, early) in sorted(tallies.items())
    )
    return Comparison(factor, arms, tuple(_difference(one, two) for one, two in combinations(arms, 2)))


def _difference(one: Arm, two: Arm) -> Difference:
    more, less = (one, two) if (one.share or 0) >= (two.share or 0) else (two, one)
    return Difference(more, less, *newcombe(more.closed, more.cases, less.closed, less.cases))


def _name(arm: str) -> str:
    return _WORDS.get(arm, arm)


def _signed(share: float) -> str:
    points = round(100 * share)
    return f"−{-points}" if points < 0 else str(points)
