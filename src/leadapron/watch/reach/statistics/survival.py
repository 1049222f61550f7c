"""How long servers stand open: the product-limit estimate of Kaplan and Meier (1958) with Greenwood's variance.

A mean over the servers that were closed would leave out those that still stand open, which is most of them. Here one
that is open counts for as long as it has been watched, and no longer. The 95 % band is taken on the scale of
log(-log S), so that it stays between 0 and 1 (Kalbfleisch and Prentice). Times are whole days; a server that was found
closed today was closed at some moment since it was last seen open, so the curve is late by up to the time between two
scans.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

Z: Final = 1.959964  # 95 % of a normal distribution lie within that many standard deviations


class Step(Struct, frozen=True):
    """From ``day`` on ``share`` are still open; ``low`` and ``high``: the 95 % interval; ``at_risk`` were open just
    before, ``closed`` of them closed on that day."""

    day: int
    share: float
    low: float
    high: float
    at_risk: int
    closed: int


class Curve(Struct, frozen=True):
    """``steps`` begin with day 0; ``servers``: how many episodes, ``closed`` of them ended."""

    steps: tuple[Step, ...]
    servers: int
    closed: int

    @property
    def median(self) -> int | None:
        """The day by which half of them are closed; None while that can't be told."""
        return next((step.day for step in self.steps if step.share <= 0.5), None)


def curve(spans: Iterable[tuple[int, bool, int]]) -> Curve:
    """``spans``: days open, whether it was closed then (else it was still open when last looked at), how many."""
    ended: dict[int, int] = {}
    left: dict[int, int] = {}
    for days, closed, count in spans:
        kept = ended if closed else left
        kept[max(0, days)] = kept.get(max(0, days), 0) + count
    servers = at_risk = sum(ended.values()) + sum(left.values())
    steps = [Step(0, 1.0, 1.0, 1.0, servers, 0)]
    share, variance = 1.0, 0.0
    for day in sorted({*ended, *left}):
        if closings := ended.get(day, 0):
            share *= 1 - closings / at_risk
            variance += closings / (at_risk * (at_risk - closings)) if at_risk > closings else math.inf
            steps.append(Step(day, share, *_band(share, variance), at_risk, closings))
        at_risk -= closings + left.get(day, 0)  # who left on a day was still at risk on it
    return Curve(tuple(steps), servers, sum(ended.values()))


def _band(share: float, variance: float) -> tuple[float, float]:
    if share <= 0:
        return 0.0, 0.0
    spread = Z * math.sqrt(variance) / abs(math.log(share))
    return share ** math.exp(spread), share ** math.exp(-spread)
