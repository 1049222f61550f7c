"""A set of points as merged, sorted ranges: O(ranges) memory however many addresses they hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """Built from (start, end) pairs, both included, in any order and overlapping as they like."""

    __slots__ = ("ends", "starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        for start, end in sorted(ranges):
            if self.ends and start <= self.ends[-1] + 1:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.starts.append(start)
                self.ends.append(end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    def __contains__(self, point: int) -> bool:
        row = bisect_right(self.starts, point) - 1
        return row >= 0 and point <= self.ends[row]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self.starts == other.starts and self.ends == other.ends

    __hash__ = None  # type: ignore[assignment]

    @property
    def size(self) -> int:
        """How many points; may be beyond what ``len`` can say."""
        return sum(end - start + 1 for start, end in self)
