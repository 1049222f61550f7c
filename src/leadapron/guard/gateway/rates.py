"""What a peer may do in a span of time: requests a minute, different studies an hour, answers to one query.

Pure parts: each takes the time that it is and what the bound is now, so a bound that changes in the file holds at once,
and a test needs no clock. All slide: no hour begins at the full hour, so nothing is doubled by straddling one. Each is
bounded in memory, by the bound that it keeps.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0


class Pace:
    """Requests a minute, as a token bucket that is kept as one number (the generic cell rate algorithm, ITU-T I.371).

    A tenth of the minute's requests may come at once, the others at even steps behind them; the steps are chosen so
    that no sixty seconds whatever hold more than ``per_minute``.
    """

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = float("-inf")  # when the bucket would be full again

    def wait(self, now: float, per_minute: int) -> float:
        """Takes one: 0.0. Or takes none, and gives the seconds after which one could be taken."""
        burst = max(1, per_minute // 10)
        step = MINUTE_S / (per_minute - burst + 1)
        due = max(self._due, now)
        early = due - now - (burst - 1) * step
        if early > 1e-9:
            return early
        self._due = due + step
        return 0.0


class Studies:
    """Different studies within any hour. A study is held as a keyed hash of its UID (invariant 2), and counts for an
    hour after it was last retrieved from: whoever reads a study all morning spends one."""

    __slots__ = ("_key", "_seen")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._seen: OrderedDict[bytes, float] = OrderedDict()  # by time, oldest first

    def take(self, uids: Collection[str], now: float, per_hour: int) -> int | None:
        """Counts all of ``uids``, or none of them if that would be more than ``per_hour``: then None.

        Gives how many were not among those of the last hour. One request may name many studies (PS3.4 §C.4.2.2.1), and
        letting the first few of them pass would hide that it asked for too many.
        """
        self._forget(now)
        hashed = {self._hash(uid) for uid in uids}
        fresh = sum(one not in self._seen for one in hashed)
        if fresh and len(self._seen) + fresh > per_hour:
            return None
        for one in hashed:
            self._seen[one] = now
            self._seen.move_to_end(one)
        return fresh

    def count(self, now: float) -> int:
        self._forget(now)
        return len(self._seen)

    def seen(self, now: float) -> list[tuple[bytes, float]]:
        """Each with the moment from which on it counts, the oldest first; for `again` after a restart."""
        self._forget(now)
        return list(self._seen.items())

    def again(self, seen: list[tuple[bytes, float]], now: float) -> None:
        """What was counted before, under the same key; no moment is later than now."""
        for one, moment in sorted(seen, key=lambda pair: pair[1]):
            self._seen[one] = min(moment, now)

    def _forget(self, now: float) -> None:
        while self._seen and next(iter(self._seen.values())) <= now - HOUR_S:
            self._seen.popitem(last=False)

    def _hash(self, uid: str) -> bytes:
        plain = uid.strip(" \0").encode("utf-8", "surrogatepass")
        return hashlib.blake2b(plain, key=self._key, digest_size=12).digest()


class Answers:
    """The answers to one query: ``more()`` for each, false from the one on that is above the cap.

    What to do then is the relay's business: cancel the query at the archive, and tell the peer that there is more than
    it may see (PS3.4 Table C.4-1: A700, out of resources).
    """

    __slots__ = ("cap", "count")

    def __init__(self, cap: int) -> None:
        self.cap, self.count = cap, 0

    def more(self) -> bool:
        if self.count >= self.cap:
            return False
        self.count += 1
        return True

    @property
    def reached(self) -> bool:
        """The next one would be too many."""
        return self.count >= self.cap


class Sliding:
    """How much in the last hour and the last day, in steps of five minutes: 289 numbers, whatever happens.

    The hour is 60 to 65 minutes long, the day at most five minutes over: what falls within one is always seen whole.
    """

    __slots__ = ("_day", "_ring", "_step")

    STEP_S: Final = 300.0
    _STEPS: Final = 289

    def __init__(self) -> None:
        self._ring = [0] * self._STEPS
        self._step = 0
        self._day = 0

    def add(self, amount: int, now: float) -> tuple[int, int]:
        """Adds, and gives what the last hour and the last day hold then."""
        step = max(int(now // self.STEP_S), self._step)  # a clock that goes back stands still instead
        for empty in range(self._step + 1, min(step, self._step + self._STEPS) + 1):
            at = empty % self._STEPS
            self._day -= self._ring[at]
            self._ring[at] = 0
        self._step = step
        self._ring[step % self._STEPS] += amount
        self._day += amount
        return sum(self._ring[(step - back) % self._STEPS] for back in range(13)), self._day
