"""Many overlapping ranges, painted into one table that a single bisection answers from.

A scope has include and exclude entries, special-purpose blocks and loopback, all overlapping. Which of them decides
about a point is a matter of rank alone, so the whole line of points is cut once into segments with one verdict each.
A look-up then costs one bisection however many entries there are, and the verdict it finds is ready-made.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from leadapron.watch.scope.addresses import END

V = TypeVar("V")


class Layer(NamedTuple, Generic[V]):
    """Points ``start`` to ``end``, both included. The highest ``rank`` decides; among equals the earlier layer does."""

    start: int
    end: int
    rank: int
    verdict: V


class Table(Generic[V]):
    """A verdict for every point. O(n log n) to build, O(log n) to ask, O(n) memory for n layers."""

    __slots__ = ("starts", "verdicts")

    def __init__(self, ground: V, layers: Iterable[Layer[V]]) -> None:
        ordered = sorted(enumerate(layers), key=lambda item: item[1].start)
        cuts = sorted({0, *(layer.start for _, layer in ordered), *(layer.end + 1 for _, layer in ordered)} - {END})
        self.starts: list[int] = []
        self.verdicts: list[V] = []
        active: list[tuple[int, int, int, V]] = []  # (-rank, order, end, verdict): heap, ends taken off lazily
        coming = iter(ordered)
        entry = next(coming, None)
        for cut in cuts:
            while entry is not None and entry[1].start <= cut:
                order, layer = entry
                heapq.heappush(active, (-layer.rank, order, layer.end, layer.verdict))
                entry = next(coming, None)
            while active and active[0][2] < cut:
                heapq.heappop(active)
            verdict = active[0][3] if active else ground
            if not self.verdicts or self.verdicts[-1] is not verdict:
                self.starts.append(cut)
                self.verdicts.append(verdict)

    def at(self, point: int) -> V:
        return self.verdicts[bisect_right(self.starts, point) - 1]

    def between(self, start: int, end: int) -> Iterator[tuple[int, int, V]]:
        """The segments that points ``start`` to ``end`` (included) fall into, cut to them, in order."""
        row = bisect_right(self.starts, start) - 1
        while start <= end:
            after = self.starts[row + 1] if row + 1 < len(self.starts) else END
            yield start, min(end, after - 1), self.verdicts[row]
            start = after
            row += 1
