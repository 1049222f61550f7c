"""The chart of exposed studies by server: geometry only, in per cent of the width; the template draws it.

Volume has a heavy tail: one archive may hold a thousand times what its neighbour does. Then the axis is logarithmic and
values are points on a thin line, since the length of a bar says nothing on such an axis. Where all are alike the axis
starts at nought and values are bars.

An estimate has a whisker over its 95 % interval; a lower bound has an open end, an arrow: the truth lies further right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from leadapron.watch.measure.record import EndpointRecord
from leadapron.watch.report import text

BARS = 20
LOG_FROM = 50  # largest to smallest, from which the axis is logarithmic
_TICKS = 6  # at most, so that labels stay apart on a phone


class Bar(Struct, frozen=True):
    """One server. ``at`` and the interval are in per cent of the axis."""

    label: str
    software: str
    shown: str
    at: float
    low: float | None
    high: float | None
    kind: Literal["exact", "lower-bound", "estimate"]


class Tick(Struct, frozen=True):
    at: float
    label: str


class Chart(Struct, frozen=True):
    """``factor``: how many times the tick before each tick of a logarithmic axis is; None for a linear one. ``others``
    servers with ``other_studies`` studies did not fit."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    factor: int | None
    others: int
    other_studies: int


def studies_chart(records: Sequence[EndpointRecord]) -> Chart | None:
    """The chart of those among ``records`` that are exposed, most studies first; None where there is none."""
    counted = [(record, record.exposed) for record in records if record.verdict == "exposed" and record.exposed]
    if not counted:
        return None
    counted.sort(key=lambda pair: (-pair[1].studies, pair[0].address, pair[0].port))
    shown, rest = counted[:BARS], counted[BARS:]
    highest = max(e.interval.studies[1] if e.interval else e.studies for _, e in shown)
    lowest = max(1, min(e.interval.studies[0] if e.interval else e.studies for _, e in shown))
    axis = _Logarithmic(lowest, highest) if highest / lowest >= LOG_FROM else _Linear(highest)
    bars = tuple(
        Bar(
            label=text.endpoint(record.address, record.port),
            software=text.software(record),
            shown=text.counted(exposed.studies, exposed),
            at=axis.place(exposed.studies),
            low=axis.place(exposed.interval.studies[0]) if exposed.interval else None,
            high=axis.place(exposed.interval.studies[1]) if exposed.interval else None,
            kind="exact" if exposed.complete else "estimate" if exposed.method == "estimate" else "lower-bound",
        )
        for record, exposed in shown
    )
    return Chart(bars, axis.ticks(), axis.factor, len(rest), sum(exposed.studies for _, exposed in rest))


class _Linear:
    """From nought to a round number at or above ``highest``."""

    factor = None

    def __init__(self, highest: int) -> None:
        rough = max(1, highest) / 4
        power: float = 10.0 ** math.floor(math.log10(rough))
        self._step: int = max(1, round(next(m for m in (1, 2, 2.5, 5, 10) if m * power >= rough) * power))
        self._end = self._step * math.ceil(max(1, highest) / self._step)

    def place(self, value: int) -> float:
        return round(100 * value / self._end, 2)

    def ticks(self) -> tuple[Tick, ...]:
        return tuple(Tick(self.place(value), short(value)) for value in range(0, self._end + 1, self._step))


class _Logarithmic:
    """From a power of ten at or below ``lowest`` to one at or above ``highest``."""

    def __init__(self, lowest: int, highest: int) -> None:
        self._from = math.floor(math.log10(lowest))
        self._to = max(self._from + 1, math.ceil(math.log10(highest)))
        self._step = math.ceil((self._to - self._from + 1) / _TICKS)
        self.factor = 10**self._step

    def place(self, value: int) -> float:
        return round(100 * (math.log10(max(value, 10**self._from)) - self._from) / (self._to - self._from), 2)

    def ticks(self) -> tuple[Tick, ...]:
        powers = range(self._from, self._to + 1, self._step)
        return tuple(Tick(self.place(10**power), short(10**power)) for power in powers)


def short(value: int) -> str:
    """``950``, ``1.5 k``, ``20 k``, ``35 M``."""
    for unit, sign in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {sign}"
    return str(value)
