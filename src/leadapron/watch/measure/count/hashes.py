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
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from leadapron.watch.measure.count.hashing import MASK
from leadapron.watch.measure.count.hyperloglog import HyperLogLog
from leadapron.watch.measure.count.turn import Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SET_ENTRY = 96  # octets of an int and its place in a set: CPython 3.11, 64 bits, with room to grow
ARRAY_ENTRY = 12  # eight octets, and what waits to be merged; the merging itself is done by one at a time
FREE: Final = 256  # so many that nobody pays for: 24 KiB
SET_LIMIT: Final = 2_048  # above it an array is smaller by far
LIMIT: Final = 4_000_000
SKETCH: Final = 256


class Memory:
    """A purse of octets that many collections share: one for the process, so that a thousand hostile servers fit
    too. ``turn`` is for large ones where it is ``tight``.
    """

    def __init__(self, octets: int) -> None:
        self.octets, self.taken = octets, 0
        self.turn = Turn()

    @property
    def tight(self) -> bool:
        """Two fifths are taken: the rest is for small collections, and for a large one at a time."""
        return self.taken * 5 > self.octets * 2

    @property
    def large(self) -> int:
        """So many octets make a count a large one: the hashes of some 40,000 studies where the purse has 128 MiB."""
        return self.octets // 256

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


def distinct(items: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorted, each once. ``numpy.unique`` goes through a hash table first and takes four times as long."""
    import numpy as np

    items = np.sort(items)
    if len(items) > 1:
        differs = np.empty(len(items), dtype=np.bool_)
        differs[0] = True
        np.not_equal(items[1:], items[:-1], out=differs[1:])
        if not differs.all():
            return items[differs]
    return items


class Hashes:
    """Distinct 64-bit hashes. ``len()`` is exact while ``exact``, else within about one percent."""

    def __init__(self, items: Iterable[int] = (), *, limit: int = LIMIT, memory: Memory | None = None) -> None:
        self._memory = process_memory if memory is None else memory
        self._limit = limit
        self._taken = 0
        self._set: set[int] | None = set()
        self._runs: list[NDArray[np.uint64]] | None = None  # sorted, disjoint, each at most half of the one before
        self._pending = array("Q")
        self._log: HyperLogLog | None = None
        self._smallest: NDArray[np.uint64] | None = None  # the sketch, where there is nothing else to take it from
        self.update(items)

    def __del__(self) -> None:
        self._memory.give(self._taken)

    @property
    def octets(self) -> int:
        """What it has taken from the purse."""
        return self._taken

    @property
    def exact(self) -> bool:
        self._settle()
        return self._log is None

    @property
    def relative_error(self) -> float:
        """One standard error of ``len()``, as a share of it; 0 while ``exact``."""
        return 0.0 if self.exact or self._log is None else self._log.relative_error

    @property
    def small(self) -> bool:
        """Whether ``add`` still tells new from known."""
        return self._set is not None

    def __len__(self) -> int:
        if self._set is not None:
            return len(self._set)
        self._settle()
        if self._log is not None:
            return self._log.estimate()
        return sum(map(len, self._runs or ()))

    def __bool__(self) -> bool:
        return self._set is None or bool(self._set)

    def __contains__(self, item: int) -> bool:
        """Membership; only while ``exact``, else False."""
        if self._set is not None:
            return item in self._set
        self._settle()
        if self._runs is None:
            return False
        import numpy as np

        return bool(self._known(np.array([item], dtype=np.uint64))[0])

    def add(self, item: int) -> bool:
        """Add one; whether it was new. In the larger forms always True: there only ``absorb`` knows."""
        if self._set is not None:
            if item in self._set:
                return False
            self._set.add(item)
            if not len(self._set) % FREE:
                self._account()
            return True
        self._pending.append(item)
        if len(self._pending) >= self._room():
            self._settle()
        return True

    def update(self, items: Iterable[int]) -> None:
        for item in items:
            self.add(item)

    def admit(self, items: Sequence[int]) -> bool:
        """Add all of these if this is ``small`` and none of them is known or repeated, and say so; else change
        nothing.
        """
        if self._set is None:
            return False
        fresh = set(items)
        if len(fresh) < len(items) or not self._set.isdisjoint(fresh):
            return False
        self._set |= fresh
        self._account()
        return True

    def absorb(self, items: NDArray[np.uint64]) -> None:
        """``update`` for many at once."""
        if self._set is not None and len(self._set) + len(items) <= SET_LIMIT // 2:
            self.update(items.tolist())
            return
        if self._set is not None:
            self._to_array()
        self._settle()
        self._take_in(items)

    def absorb_all_new(self, items: NDArray[np.uint64]) -> bool:
        """Add all of these if none is known or repeated, and say so; else change nothing. Only while ``exact``."""
        fresh = distinct(items)
        if len(fresh) < len(items) or not self.unknown(fresh).all():
            return False
        self.absorb_new(fresh)
        return True

    def absorb_new(self, items: NDArray[np.uint64]) -> None:
        """``absorb`` of what is sorted, distinct and known to be ``unknown``."""
        if self._set is not None:
            self.absorb(items)
            return
        self._settle()
        self._append(items)

    def merge(self, other: Hashes) -> int:
        """Take in all of the other; how many were new (an estimate where either is not exact)."""
        before = len(self)
        if not other.exact:
            assert other._log is not None
            self._settle()
            self._to_log()
            assert self._log is not None
            self._log.merge(other._log)
            if other._smallest is not None:
                self._sketch(other._smallest)
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
        rest = self._numbers()
        for other in others:
            rest = rest[other.unknown(rest)]
        return len(rest)

    def unknown(self, items: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these are not among ours, as a mask; only while ``exact``."""
        import numpy as np

        self._settle()
        if self._set is not None:
            return ~np.isin(items, self._numbers())
        return ~self._known(items)

    def fingerprint(self) -> Fingerprint:
        size = len(self)
        if self._set is not None:
            smallest = heapq.nsmallest(SKETCH, self._set)
        elif self._runs is not None:
            smallest = heapq.nsmallest(SKETCH, (int(h) for run in self._runs for h in run[:SKETCH]))
        else:
            smallest = [] if self._smallest is None else self._smallest.tolist()
        total = None
        if self._set is not None:
            total = sum(self._set) & MASK
        elif self._runs is not None:
            total = sum(int(run.sum()) for run in self._runs) & MASK  # each sum wraps at 2^64, as uint64 does
        return Fingerprint(size, total, tuple(smallest))

    # ---- the three forms ------------------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many may wait before they are merged."""
        return 2_048 if self._runs is None else 16_384

    def _account(self) -> None:
        """After the set grew: pay for it, or change form."""
        assert self._set is not None
        due = len(self._set) * SET_ENTRY
        if len(self._set) >= min(SET_LIMIT, self._limit):
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

    def _known(self, items: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these are in one of the runs."""
        import numpy as np

        known = np.zeros(len(items), dtype=np.bool_)
        for run in self._runs or ():
            place = np.searchsorted(run, items)
            place[place == len(run)] = 0
            known |= run[place] == items
        return known

    def _take_in(self, fresh: NDArray[np.uint64]) -> None:
        fresh = distinct(fresh)
        if self._log is None and self._runs:
            fresh = fresh[~self._known(fresh)]
        self._append(fresh)

    def _append(self, fresh: NDArray[np.uint64]) -> None:
        """Sorted and new numbers become a run; into the log when there is no more room.

        Runs of like size are merged, so that each number is moved log n times in all, whatever the order it came in.
        """
        import numpy as np

        if self._log is None:
            size = sum(map(len, self._runs or ())) + len(fresh)
            if size <= self._limit and self._pay(size * ARRAY_ENTRY):
                runs = self._runs = self._runs or []
                if len(fresh):
                    runs.append(fresh)
                while len(runs) > 1 and len(runs[-1]) * 2 > len(runs[-2]):
                    # A stable sort finds the two sorted runs and merges them in linear time.
                    runs[-2:] = [np.sort(np.concatenate(runs[-2:]), kind="stable")]
                return
            self._to_log()
        assert self._log is not None
        self._log.update(fresh)
        self._sketch(fresh)

    def _to_log(self) -> None:
        """From whichever exact form; nothing waits."""
        if self._log is not None:
            return

        items = self._numbers()
        self._set, self._runs = None, None
        self._pay(0)
        self._log = HyperLogLog(16 if self._pay(1 << 16) else 12)  # if nothing is left: 4 KiB that nobody paid for
        self._log.update(items)
        self._sketch(items)

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
        if not self._runs:
            return np.empty(0, dtype=np.uint64)
        if len(self._runs) > 1:
            self._runs = [np.sort(np.concatenate(self._runs), kind="stable")]
        return self._runs[0]

    def _sketch(self, items: NDArray[np.uint64]) -> None:
        import numpy as np

        both = items if self._smallest is None else np.concatenate((self._smallest, items))
        self._smallest = np.unique(both)[:SKETCH].copy()
