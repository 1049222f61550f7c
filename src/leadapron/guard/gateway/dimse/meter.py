"""How much a peer does: requests in a minute, different studies retrieved in an hour. Over all its associations.

Studies are counted, not images or octets: who reads opens tens in an hour, each with hundreds of requests; who copies
an archive opens each once. A study that was counted within the hour costs nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Final, Literal, Protocol

from leadapron.kernel.clock import Clock, SystemClock

Kind = Literal["echo", "query", "retrieve", "store", "other"]
MINUTE: Final = 60.0
HOUR: Final = 3600.0
MAX_PEERS: Final = 4096


class Meter(Protocol):
    """Counts, and says whether it may go on."""

    def request(self, peer: str, limit: int, kind: Kind) -> bool:
        """One more request of ``peer``; False where it has made ``limit`` within the last minute. A C-STORE is never
        refused: a scanner sends hundreds in one."""
        ...

    def answered(self, peer: str, answers: int) -> None:
        """So many answers to a query went to ``peer``."""
        ...

    def retrieved(self, peer: str, studies: Collection[str], limit: int) -> bool:
        """``peer`` retrieves from ``studies``. False, and nothing is counted, where that makes more than ``limit``
        different ones within the last hour."""
        ...


class PeerMeter:
    """In memory: what was counted is forgotten when the guard starts anew."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._requests: OrderedDict[str, deque[float]] = OrderedDict()
        self._studies: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()

    def answered(self, peer: str, answers: int) -> None:
        """Nothing is bounded by it here."""

    def request(self, peer: str, limit: int, kind: Kind) -> bool:
        if kind == "store":
            return True
        now = self._clock.monotonic()
        times = self._requests.setdefault(peer, deque())
        self._bound(self._requests, peer)
        while times and times[0] <= now - MINUTE:
            times.popleft()
        if len(times) >= limit:
            return False
        times.append(now)
        return True

    def retrieved(self, peer: str, studies: Collection[str], limit: int) -> bool:
        now = self._clock.monotonic()
        counted = self._studies.setdefault(peer, OrderedDict())
        self._bound(self._studies, peer)
        while counted and next(iter(counted.values())) <= now - HOUR:
            counted.popitem(last=False)
        new = [study for study in dict.fromkeys(studies) if study not in counted]
        if len(counted) + len(new) > limit:
            return False
        counted.update(dict.fromkeys(new, now))
        return True

    @staticmethod
    def _bound(table: OrderedDict[str, deque[float]] | OrderedDict[str, OrderedDict[str, float]], peer: str) -> None:
        table.move_to_end(peer)
        if len(table) > MAX_PEERS:
            table.popitem(last=False)
