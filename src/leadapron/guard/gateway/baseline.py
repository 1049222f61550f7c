"""What is usual for each peer: how much it retrieves, asks and stores in a day, learnt from the days before.

A practice's hours differ (rounds, boards, holidays), its days are much alike, so days are what is learnt: the totals of
the last ones on which the peer did anything. One number comes of them: what nine days in ten do not exceed, ``high``
for the last 28 days, ``settled`` for the 28 before the last seven. It shrugs off single days. Before a week has passed
there is no baseline and nothing is said to be unusual; the caps of the policy hold from the first minute.

A day on which there was an alarm is learnt as no more than what would just have been quiet. So a peer that has rightly
more to do now is quiet again after some weeks, and somebody who wants to move the baseline up has to alarm for as long.

Days are UTC's: where they are cut does not matter to a total of 24 hours. What is kept are counts under our own names
for the peers, nothing of a patient (invariant 2), in one small file that is bounded: 35 numbers a series.
"""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from leadapron.kernel.files import write_whole

WINDOW: Final = 28
RECENT: Final = 7
DAYS: Final = WINDOW + RECENT
EVIDENCE: Final = 7
MAX_NAMES: Final = 20_000
_DAY_S: Final = 86_400
_MAX_OCTETS: Final = 64 << 20
_VERSION: Final = 1
_Count = Annotated[int, Meta(ge=0, le=2**53)]


class Measure(StrEnum):
    """What is counted for a baseline."""

    STUDIES = "studies"
    """Retrieved, by C-GET, C-MOVE and WADO; one that is retrieved again within the hour counts once."""
    QUERIES = "queries"
    ANSWERS = "answers"
    """Records in answers to queries."""
    STORES = "stores"
    """Objects."""


class Series(Struct):
    """One measure of one peer. ``day`` is the UTC day (since 1970) of ``today``, ``quiet`` what ``today`` is learnt as
    at most (None: no alarm). ``drift`` and ``amount`` are sums over the days before (`alarms`); ``drifted``: they were
    called today."""

    days: Annotated[list[_Count], Meta(max_length=DAYS)] = field(default_factory=list)
    day: int = 0
    today: _Count = 0
    quiet: _Count | None = None
    drift: float = 0.0
    drifted: bool = False
    amount: _Count = 0

    def high(self) -> int | None:
        """What nine days in ten do not exceed, at least 1; None where too little is known."""
        return _busy(self.days[-WINDOW:])

    def settled(self) -> int | None:
        """The same of the days before the last seven: what it was before it may have begun to grow."""
        return _busy(self.days[:-RECENT])


class _File(Struct):
    version: int
    names: Annotated[dict[str, dict[Measure, Series]], Meta(max_length=MAX_NAMES)]


class Baseline:
    """The series of all peers. ``notice`` says why there are none although there was a file."""

    def __init__(self, names: dict[str, dict[Measure, Series]] | None = None, notice: str | None = None) -> None:
        self._names = names if names is not None else {}
        self.notice = notice

    def series(self, name: str, measure: Measure) -> Series:
        """Made where it is not there. A name too many takes the place of the one that was known first."""
        found = self._names.get(name)
        if found is None:
            if len(self._names) >= MAX_NAMES:
                del self._names[next(iter(self._names))]
            found = self._names[name] = {}
        series = found.get(measure)
        if series is None:
            series = found[measure] = Series()
        return series

    def forget(self, name: str) -> None:
        """Learn it anew: the machine behind the name is another, or does other work now."""
        self._names.pop(name, None)

    def names(self) -> tuple[str, ...]:
        return tuple(self._names)

    def save(self, path: Path) -> None:
        """At once or not at all. Raises OSError."""
        write_whole(path, msgspec.json.encode(_File(_VERSION, self._names)))

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """From a file; without one, or with one that is no good, what is usual is learnt anew. Never raises."""
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_OCTETS + 1)
            if len(data) > _MAX_OCTETS:
                return cls(notice=f"{path} is larger than {_MAX_OCTETS >> 20} MiB: what is usual is learnt anew")
            found = msgspec.json.decode(data, type=_File)
        except FileNotFoundError:
            return cls()
        except (OSError, msgspec.DecodeError, ValueError, RecursionError):
            return cls(notice=f"{path} cannot be read as a baseline: what is usual is learnt anew")
        if found.version != _VERSION:
            return cls(notice=f"{path} is of version {found.version}, this is {_VERSION}: what is usual is learnt anew")
        return cls(found.names)


def day_of(epoch_s: float) -> int:
    """The UTC day, counted from 1970."""
    return int(epoch_s // _DAY_S)


def _busy(days: list[int]) -> int | None:
    return max(1, sorted(days)[math.ceil(len(days) * 0.9) - 1]) if len(days) >= EVIDENCE else None
