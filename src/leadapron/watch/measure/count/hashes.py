"""Distinct hashes in bounded memory, and whether two archives are the same one behind two doors.

A small collection is a Python set; a larger one sorted 64-bit numbers in numpy; above its bound, or when the process
has spent its memory on others, a HyperLogLog that knows its number only to half a percent and says so (``exact``). The
256 smallest hashes are kept for ever: they are a random sample of what was seen, the same one at each door of the same
archive.

``same_archive`` compares that sample (bottom-k sketch, Broder 1997): two doors to one archive share it, whatever order
they answer in and whether or not a study arrived between the two visits.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from leadapron.watch.measure.count.hashing import MASK
from leadapron.watch.measure.count.hyperloglog import HyperLogLog

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SET_ENTRY = 96  # octets of an int and its place in a set: CPython 3.11, 64 bits, with room to grow
ARRAY_ENTRY = 12  # eight octets, and what waits to be merged; the merging itself is done by one at a time
SET_LIMIT: Final = 16_384  # 1.5 MB; above it an array costs a quarter
LIMIT: Final = 4_000_000
SKETCH: Final = 256


class Memory:
    """A purse of octets that many collections share: one for the process, so that a thousand hostile servers fit
    too.
    """

    def __init__(self, octets: int) -> None:
        self.octets, self.taken = octets, 0

    def take(self, octets: int) -> bool:
        if self.taken + octets > self.octets:
            return False
        self.taken += octets
        return True

    def give(self, octets: int) -> None:
        self.taken -= octets


process_memory = Memory(128 << 20)


class Fingerprint(Struct, frozen=True):
    """What is kept of a collection to recognise it: its size, the sum of its hashes, its 256 smallest hashes, sorted.

    ``total`` is None where the number of hashes is not exact. Means nothing in another process; never to be stored.
    """

    size: int
    total: int | None
    smallest: tuple[int, ...]


def same_archive(a: Fingerprint, b: Fingerprint, *, partial: bool = False) -> bool:
    """Whether two doors lead to the same archive: at least four in five studies in common (Jaccard index).

    ``partial``: one of the two was not listed to the end, so it is enough that the smaller lies within the larger.
    """
    if not a.size or not b.size:
        return False
    if a.total is not None and a.total == b.total and a.size == b.size:
        return True
    small, large = (a, b) if a.size <= b.size else (b, a)
    ours, theirs = set(small.smallest), set(large.smallest)
    if partial:
        # Only hashes below the end of the larger one's sample can be looked up in it.
        within = [h for h in small.smallest if len(theirs) < SKETCH or h <= large.smallest[-1]]
        return bool(within) and len(theirs.intersection(within)) >= 0.9 * len(within)
    union = heapq.nsmallest(SKETCH, ours | theirs)
    return sum(h in ours and h in theirs for h in union) >= 0.8 * len(union)


class Hashes:
    """Distinct 64-bit hashes. ``len()`` is exact while ``exact``, else within about one percent."""

    def __init__(self, items: Iterable[int] = (), *, limit: int = LIMIT, memory: Memory | None = None) -> None:
        self._memory = process_memory if memory is None else memory
        self._limit = limit
        self._taken = 0
        self._set: set[int] | None = set()
        self._sorted: NDArray[np.uint64] | None = None
        self._pending = array("Q")
        self._log: HyperLogLog | None = None
        self._smallest: list[int] = []  # a max-heap (negated) of the sketch, once this is no set any more
        self._members: set[int] = set()
        self.update(items)

    def __del__(self) -> None:
        self._memory.give(self._taken)

    @property
    def exact(self) -> bool:
        self._settle()
        return self._log is None

    def __len__(self) -> int:
        if self._set is not None:
            return len(self._set)
        self._settle()
        if self._log is not None:
            return self._log.estimate()
        return 0 if self._sorted is None else len(self._sorted)

    def __bool__(self) -> bool:
        return self._set is None or bool(self._set)

    def __contains__(self, item: int) -> bool:
        """Membership; only while ``exact``, else False."""
        if self._set is not None:
            return item in self._set
        self._settle()
        if self._sorted is None:
            return False
        import numpy as np

        place = int(np.searchsorted(self._sorted, np.uint64(item)))
        return place < len(self._sorted) and int(self._sorted[place]) == item

    def add(self, item: int) -> bool:
        """Add one; whether it was new. In the larger forms always True: there only ``absorb`` knows."""
        if self._set is not None:
            if item in self._set:
                return False
            self._set.add(item)
            if not len(self._set) & 0x3FF:
                self._account()
            return True
        self._pending.append(item)
        if len(self._pending) >= self._room():
            self._settle()
        return True

    def update(self, items: Iterable[int]) -> None:
        for item in items:
            self.add(item)

    def absorb(self, items: NDArray[np.uint64]) -> None:
        """``update`` for many at once."""
        if self._set is not None and len(self._set) + len(items) <= SET_LIMIT // 4:
            self.update(items.tolist())
            return
        if self._set is not None:
            self._to_array()
        self._settle()
        self._take_in(items)

    def merge(self, other: Hashes) -> int:
        """Take in all of the other; how many were new (an estimate where either is not exact)."""
        before = len(self)
        if not other.exact:
            assert other._log is not None
            self._settle()
            self._to_log()
            assert self._log is not None
            self._log.merge(other._log)
            self._sketch(-h for h in other._smallest)
        elif other._set is not None:
            self.update(other._set)
        else:
            self.absorb(other._numbers())
        return max(0, len(self) - before)

    def missing_from(self, *others: Hashes) -> int:
        """How many of ours none of the others has. All must be exact; else 0, and the caller looks at ``exact``
        first.
        """
        if not self.exact or not all(o.exact for o in others):
            return 0
        if self._set is not None and all(o._set is not None for o in others):
            return len(self._set.difference(*(o._set or () for o in others)))
        import numpy as np

        rest = self._numbers()
        for other in others:
            rest = rest[~np.isin(rest, other._numbers())]
        return len(rest)

    def unknown(self, items: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these are not among ours, as a mask; only while ``exact``."""
        import numpy as np

        self._settle()
        return ~np.isin(items, self._numbers())

    def fingerprint(self) -> Fingerprint:
        size = len(self)
        if self._set is not None:
            smallest = heapq.nsmallest(SKETCH, self._set)
        elif self._sorted is not None:
            smallest = [int(h) for h in self._sorted[:SKETCH]]
        else:
            smallest = sorted(-h for h in self._smallest)
        total = None
        if self._set is not None:
            total = sum(self._set) & MASK
        elif self._sorted is not None:
            total = int(self._sorted.sum())  # wraps at 2^64, as uint64 does
        return Fingerprint(size, total, tuple(smallest))

    # ---- the three forms ------------------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many may wait before they are merged: in proportion, so that the merging costs n log n in all."""
        if self._sorted is None:
            return 16_384
        return max(16_384, len(self._sorted) // 4)

    def _account(self) -> None:
        """After the set grew: pay for it, or change form. The first 1,024 are free."""
        assert self._set is not None
        due = (len(self._set) & ~0x3FF) * SET_ENTRY
        if len(self._set) > min(SET_LIMIT, self._limit):
            self._to_array()
        elif due > self._taken:
            if self._memory.take(due - self._taken):
                self._taken = due
            else:
                self._to_array()

    def _to_array(self) -> None:
        import numpy as np

        assert self._set is not None
        items, self._set = np.fromiter(self._set, dtype=np.uint64, count=len(self._set)), None
        self._pay(0)
        self._take_in(items)

    def _settle(self) -> None:
        """Merge what waits."""
        if self._pending:
            import numpy as np

            fresh, self._pending = np.array(self._pending, dtype=np.uint64), array("Q")
            self._take_in(fresh)

    def _take_in(self, fresh: NDArray[np.uint64]) -> None:
        """Merge into the sorted numbers, or into the log when there is no more room."""
        import numpy as np

        if self._log is None:
            fresh = np.unique(fresh if self._sorted is None else np.concatenate((self._sorted, fresh)))
            if len(fresh) <= self._limit and self._pay(len(fresh) * ARRAY_ENTRY):
                self._sorted = fresh
                return
            self._to_log()
        assert self._log is not None
        self._log.update(fresh)
        self._sketch(np.sort(fresh)[:SKETCH].tolist())

    def _to_log(self) -> None:
        """From whichever exact form; nothing waits."""
        if self._log is not None:
            return
        import numpy as np

        items = self._numbers()
        self._set, self._sorted = None, None
        self._pay(0)
        self._log = HyperLogLog(16 if self._pay(1 << 16) else 12)  # if nothing is left: 4 KiB that nobody paid for
        self._log.update(items)
        self._sketch(np.sort(items)[:SKETCH].tolist())

    def _pay(self, due: int) -> bool:
        """Hold ``due`` octets of the purse from now on; False, and nothing changed, if it has not so many."""
        if due <= self._taken:
            self._memory.give(self._taken - due)
        elif not self._memory.take(due - self._taken):
            return False
        self._taken = due
        return True

    def _numbers(self) -> NDArray[np.uint64]:
        """All of them, once each; for the exact forms."""
        import numpy as np

        if self._set is not None:
            return np.fromiter(self._set, dtype=np.uint64, count=len(self._set))
        return np.empty(0, dtype=np.uint64) if self._sorted is None else self._sorted

    def _sketch(self, items: Iterable[int]) -> None:
        for item in items:
            if item in self._members:
                continue
            if len(self._smallest) < SKETCH:
                heapq.heappush(self._smallest, -item)
                self._members.add(item)
            elif item < -self._smallest[0]:
                self._members.discard(-heapq.heappushpop(self._smallest, -item))
                self._members.add(item)
