"""How long servers stand open: the product-limit estimate (Kaplan and Meier, 1958) of the time to a fix.

A mean of the servers that were closed would leave out those that are still open, which is most of them. Here a server
that is open counts for as long as it has been watched, and no longer. The band is Greenwood's, on the log-log scale,
which keeps it between 0 and 1. Times are whole days: a server that was found closed today was closed at some moment
since it was last seen open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

Z: Final = 1.959964  # 95 %


class Step(Struct, frozen=True):
    """From ``day`` on ``share`` of the servers are still open; ``low`` and ``high`` its 95 % interval."""

    day: int
    share: float
    low: float
    high: float
    at_risk: int
    closed: int


class Curve(Struct, frozen=True):
    steps: tuple[Step, ...]
    servers: int
    closed: int

    def after(self, day: int) -> Step:
        """What holds ``day`` days after a server was found open."""
        held = self.steps[0]
        for step in self.steps:
            if step.day > day:
                break
            held = step
        return held

    @property
    def median(self) -> int | None:
        """The day by which half of them are closed; None while that can't be told."""
        return next((step.day for step in self.steps if step.share <= 0.5), None)


def curve(spans: Iterable[tuple[int, bool, int]]) -> Curve:
    """``spans``: days, whether it was closed then (else: still open when last seen), and how many servers."""
    closed: dict[int, int] = {}
    left: dict[int, int] = {}
    for days, ended, count in spans:
        days = max(0, days)
        kept = closed if ended else left
        kept[days] = kept.get(days, 0) + count
    at_risk = sum(closed.values()) + sum(left.values())
    total, all_closed = at_risk, sum(closed.values())
    steps = [Step(0, 1.0, 1.0, 1.0, total, 0)]
    share, variance = 1.0, 0.0
    for day in sorted({*closed, *left}):
        fixed = closed.get(day, 0)
        if fixed:
            share *= 1 - fixed / at_risk
            variance += fixed / (at_risk * (at_risk - fixed)) if at_risk > fixed else math.inf
            low, high = _band(share, variance)
            steps.append(Step(day, share, low, high, at_risk, fixed))
        at_risk -= fixed + left.get(day, 0)
    return Curve(tuple(steps), total, all_closed)


def _band(share: float, variance: float) -> tuple[float, float]:
    if share <= 0 or share >= 1 or not math.isfinite(variance):
        return (0.0, share) if share <= 0 else (0.0, 1.0)
    log = math.log(share)
    spread = Z * math.sqrt(variance) / abs(log)
    return share ** math.exp(spread), share ** math.exp(-spread)
