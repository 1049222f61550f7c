"""When to call somebody: a peer does far more than it may, or than it ever does.

Four rules, for each measure of each peer:

``cap``
    A bound of the policy was reached and what was asked was refused. Holds from the first minute.
``hour``
    Within an hour more than twice a busy day (``high``). A bulk copy of several times the daily amount is seen however
    slowly it begins, since the hour slides; an ordinary hour is a fraction of a day.
``day``
    Within 24 hours more than three busy days. Of studies, before anything is learnt: more than three hours at the cap.
``drift``
    Of studies: busier than busy, day after day. What each day holds above a busy one, in busy days, summed up until
    quiet days draw it down again (a one-sided CUSUM), goes over three and a half. Busy is here what was so before the
    last seven days, so that what grows is not measured by itself.

Floors keep small numbers quiet: a workstation with three studies a day may show thirty at a board. Factors and floors
were chosen on simulated practices (30 exams, 3 workstations, boards, days on which one reads what three should), such
that thousands of ordinary days pass without a word.

What is seen of a thief who takes his time, then: three times the usual each day, within a week or two (mostly on the
fifth day). Twice the usual only of a peer whose days are much alike. What is not seen: less than that, for as long as
it takes; small numbers, under the floors; work that is spread over many peers, since each is looked at alone; ordinary
amounts at odd hours, which ``hours`` in the policy is for. What a peer does in its first week is held against the caps
alone.

An alarm is not repeated for an hour, that of a drift not before a new one has built up. It holds a name of ours and
numbers, nothing of a patient.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.baseline import DAYS, Baseline, Measure, Series, day_of
from leadapron.guard.gateway.rates import HOUR_S, Sliding

HOUR_FACTOR: Final = 2
DAY_FACTOR: Final = 3
UNLEARNT_HOURS: Final = 3
DRIFT_OVER: Final = 3.5


class Floor(Struct, frozen=True):
    """Up to these amounts nothing is unusual. ``drift``: in all its days; None: there is no such rule."""

    hour: int
    day: int
    drift: int | None = None


FLOORS: Final = {
    Measure.STUDIES: Floor(40, 100, 200),
    Measure.QUERIES: Floor(300, 1_500),
    Measure.ANSWERS: Floor(5_000, 20_000),
    Measure.STORES: Floor(5_000, 20_000),
}


class Alarm(Struct, frozen=True):
    """``who``: our name for the peer. ``measure`` is a `Measure`, or ``requests``. ``rule``: cap, hour, day or drift.

    ``count`` is what was seen, ``bound`` what would have been quiet.
    """

    who: str
    measure: str
    rule: str
    count: int
    bound: int
    text: str


class Watch:
    """Counts what peers do against what is usual for them. ``now`` is monotonic, ``epoch`` the wall clock's, both in
    seconds. Bounded by the names that there are: the caller forgets the ones that are gone."""

    def __init__(self, baseline: Baseline) -> None:
        self.baseline = baseline
        self._tallies: dict[tuple[str, Measure], _Tally] = {}
        self._quiet_until: dict[tuple[str, str, str], float] = {}

    def count(
        self, who: str, measure: Measure, amount: int, *, now: float, epoch: float, cap: int | None = None
    ) -> tuple[Alarm, ...]:
        """``amount`` more of it; ``cap`` is the policy's bound for an hour, where there is one."""
        tally = self._tallies.get((who, measure))
        if tally is None:
            tally = self._tallies[who, measure] = _Tally(self.baseline.series(who, measure), measure)
        tally.add(amount, now, day_of(epoch))
        alarms = tally.judge(who, cap)
        return tuple(alarm for alarm in alarms if self._fresh(alarm, now)) if alarms else ()

    def refused(self, who: str, measure: str, count: int, bound: int, now: float) -> tuple[Alarm, ...]:
        """A bound of the policy was reached."""
        span = "a minute" if measure == "requests" else "an hour"
        alarm = Alarm(who, measure, "cap", count, bound, f"{who}: refused, its {bound} {measure} {span} are used up")
        return (alarm,) if self._fresh(alarm, now) else ()

    def forget(self, who: str) -> None:
        """The peer is gone; what is usual for it stays with the baseline."""
        for measure in Measure:
            self._tallies.pop((who, measure), None)
        for key in [key for key in self._quiet_until if key[0] == who]:
            del self._quiet_until[key]

    def _fresh(self, alarm: Alarm, now: float) -> bool:
        key = (alarm.who, alarm.measure, alarm.rule)
        if now < self._quiet_until.get(key, now):
            return False
        self._quiet_until[key] = now + HOUR_S
        return True


class _Tally:
    """One measure of one peer: what there is now, and what is usual."""

    __slots__ = ("day", "floor", "high", "hour", "measure", "series", "settled", "sliding")

    def __init__(self, series: Series, measure: Measure) -> None:
        self.series, self.measure, self.floor = series, measure, FLOORS[measure]
        self.sliding = Sliding()
        self.hour = self.day = 0
        self.high, self.settled = series.high(), series.settled()

    def add(self, amount: int, now: float, today: int) -> None:
        if today > self.series.day:
            self._end_day(today)
        self.series.today += amount
        self.hour, day = self.sliding.add(amount, now)
        self.day = max(day, self.series.today)  # what was counted before a restart, too

    def judge(self, who: str, cap: int | None) -> list[Alarm]:
        alarms = []
        measure, series = self.measure, self.series
        hour_bound, day_bound = self._bounds(cap)
        if hour_bound is not None and self.hour > hour_bound:
            text = f"{who}: {self.hour} {measure} within an hour; a busy day has {self.high}"
            alarms.append(Alarm(who, measure, "hour", self.hour, hour_bound, text))
        if day_bound is not None and self.day > day_bound:
            known = f"a busy one has {self.high}" if self.high is not None else "what is usual is not known yet"
            text = f"{who}: {self.day} {measure} within a day; {known}"
            alarms.append(Alarm(who, measure, "day", self.day, day_bound, text))
        if alarms:
            series.quiet = day_bound
        drift, amount = self._drift()
        floor = self.floor.drift
        if floor is not None and drift > DRIFT_OVER and amount > floor and not series.drifted:
            series.drifted = True
            text = f"{who}: {amount} {measure} in these days, {series.today} today; busy days had {self.settled}"
            alarms.append(Alarm(who, measure, "drift", amount, self.settled or 0, text))
        return alarms

    def _bounds(self, cap: int | None) -> tuple[int | None, int | None]:
        """What an hour and a day may hold without a word. None: nothing to say."""
        if self.high is None:
            return None, None if cap is None else max(self.floor.day, UNLEARNT_HOURS * cap)
        hour, day = int(HOUR_FACTOR * self.high), int(DAY_FACTOR * self.high)
        return max(self.floor.hour, hour), max(self.floor.day, day)

    def _drift(self) -> tuple[float, int]:
        """The sums with today in them: busy days above one a day, and the amount."""
        if self.settled is None:
            return 0.0, 0
        series = self.series
        drift = series.drift + series.today / self.settled - 1.0
        return (drift, series.amount + series.today) if drift > 0 else (0.0, 0)

    def _end_day(self, today: int) -> None:
        """What the day before held is learnt; a day on which nothing happened says nothing."""
        series = self.series
        if series.today:
            series.drift, series.amount = (0.0, 0) if series.drifted else self._drift()
            learnt = series.today if series.quiet is None else min(series.today, series.quiet)
            series.days = [*series.days, learnt][-DAYS:]
        series.day, series.today, series.quiet, series.drifted = today, 0, None, False
        self.high, self.settled = series.high(), series.settled()
