"""When a target may be connected to: never more than so many a second, overall and in one network, and never two at
once on one host.

Without I/O and without a clock of its own: callers pass ``now`` (monotonic seconds, never going back) and get the
targets that may start. The scan loop offers what it has room for, starts what is due, reports each end with ``done``
and sleeps until ``next_due``.

Rates are kept as the *virtual time* at which the next start is owed (GCRA, the leaky bucket of ITU-T I.371 as one
number): in any window of T seconds at most rate·T + burst targets start. Overall there is a small burst, so that a loop
that wakes every few milliseconds keeps the rate; a network has none. A network whose time has passed is as good as
one never seen, so it is forgotten: what is remembered grows with the networks of the last 1/rate seconds, not with
the scan. Where even that would be too much, new networks wait.

What cannot start waits where it will be found again: behind its host, in its network's queue, else in line. All of
them together hold at most ``capacity`` targets; ``room`` says how many more are taken.

Loopback has no network rate unless one is asked for: all of 127.0.0.0/8 is one machine that the user owns.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.watch.scope.addresses import V6, is_loopback
from leadapron.watch.scope.file import Rates

DEFAULT_NETWORK_RATE: Final = 20.0
DEFAULT_HOST_PAUSE: Final = 0.1
BURST_S: Final = 0.01  # the overall burst is what the rate gives in this time: one turn of the loop

_V6_NETWORKS: Final = 1 << 24  # IPv4 has that many /24; IPv6's /56 are numbered from there on


class Pace(Struct, frozen=True):
    """Connections a second, ``overall`` (None: no bound) and for each network, a /24 or an IPv6 /56 (``network``;
    ``loopback`` the same for networks of loopback, None: no bound). ``host_pause``: seconds that a host is left alone
    after each connection. Raises UsageError for a rate that is not above 0."""

    overall: float | None = None
    network: float = DEFAULT_NETWORK_RATE
    loopback: float | None = None
    host_pause: float = DEFAULT_HOST_PAUSE

    def __post_init__(self) -> None:
        for rate in (self.overall, self.network, self.loopback):
            if rate is not None and not 0 < rate < math.inf:
                raise UsageError(f"a rate of {rate:g} connections a second; expected a number above 0")
        if not 0 <= self.host_pause < math.inf:
            raise UsageError(f"a pause of {self.host_pause:g} s; expected 0 or more")

    @classmethod
    def of(cls, rate: float | None = None, network_rate: float | None = None, caps: Rates | None = None) -> Pace:
        """What the user asked for, under the caps of the scope. A network rate asked for holds on loopback too."""
        caps = Rates() if caps is None else caps
        overall = _least(rate, caps.overall)
        network = _least(DEFAULT_NETWORK_RATE if network_rate is None else network_rate, caps.network)
        assert network is not None
        return cls(overall, network, None if network_rate is None else network)

    def shared(self, by: int) -> Pace:
        """The part of each of ``by`` processes, so that together they keep to this pace."""
        return Pace(
            None if self.overall is None else self.overall / by,
            self.network / by,
            None if self.loopback is None else self.loopback / by,
            self.host_pause,
        )


class Paced(Protocol):
    """What is paced: anything with the point of its address (see ``scope.addresses``)."""

    @property
    def point(self) -> int: ...


T = TypeVar("T", bound=Paced)


class Pacer(Generic[T]):
    """Holds offered targets back until they may start. About 2 µs a target where no limit bites."""

    def __init__(self, pace: Pace, *, capacity: int = 65_536, max_networks: int = 1 << 20) -> None:
        self._overall = _Bucket(pace.overall)
        self._interval = 1 / pace.network
        self._loopback_interval = None if pace.loopback is None else 1 / pace.loopback
        self._pause = pace.host_pause
        self._capacity, self._max_networks = capacity, max_networks
        self._ready: deque[T] = deque()
        self._queues: dict[int, deque[T]] = {}  # network: targets that its rate holds back
        self._turns: list[tuple[float, int]] = []  # heap: when the next of a network's queue may start
        self._owed: dict[int, float] = {}  # network: when its next start is owed
        self._sweep_at, self._full_until = min(1024, max_networks), -math.inf
        self._busy: set[int] = set()
        self._behind: dict[int, deque[T]] = {}  # host: targets that wait for it to be free
        self._resting: deque[tuple[float, int]] = deque()  # hosts in their pause; it is constant, so this is in order
        self._held = 0

    def __len__(self) -> int:
        """Targets that wait."""
        return self._held

    @property
    def room(self) -> int:
        """How many targets may still be offered."""
        return self._capacity - self._held

    @property
    def in_flight(self) -> int:
        """Hosts that are connected to, or in their pause."""
        return len(self._busy)

    def offer(self, target: T) -> None:
        """Take a target in. Raises ValueError when there is no ``room``."""
        if self._held >= self._capacity:
            raise ValueError(f"the pacer holds {self._held:,} targets already; look at room before offering")
        self._held += 1
        self._ready.append(target)

    def due(self, now: float, limit: int | None = None) -> list[T]:
        """The targets that may start now, at most ``limit``; each counts as started and comes out once."""
        self._wake(now)
        may = self._overall.available(now)
        if limit is not None and limit < may:
            may = limit
        started: list[T] = []
        busy, ready, turns, owed = self._busy, self._ready, self._turns, self._owed
        while len(started) < may:
            if turns and turns[0][0] <= now:
                target = self._take_turn(now)
                if target is None:
                    continue
            elif ready:
                target = ready.popleft()
                point = target.point
                if point in busy:
                    self._wait_behind(target)
                    continue
                if point < V6:
                    loopback = point >> 24 == 127
                    network = point >> 8
                else:
                    loopback = is_loopback(point)
                    network = _V6_NETWORKS + ((point - V6) >> 72)
                interval = self._loopback_interval if loopback else self._interval
                if interval is not None:
                    if network in self._queues:
                        self._queues[network].append(target)
                        continue
                    wait_until = owed.get(network)
                    if wait_until is None and len(owed) >= self._sweep_at:
                        wait_until = self._sweep(now)
                    if wait_until is not None and wait_until > now:
                        self._queues[network] = deque((target,))
                        heapq.heappush(turns, (wait_until, network))
                        continue
                    owed[network] = now + interval
            else:
                break
            busy.add(target.point)
            started.append(target)
        self._held -= len(started)
        self._overall.charge(now, len(started))
        return started

    def done(self, target: T, now: float) -> None:
        """The conversation with this target's host has ended. Raises ValueError if none was under way."""
        if target.point not in self._busy:
            raise ValueError("done with a target that was not started")
        if self._pause:
            self._resting.append((now + self._pause, target.point))
        else:
            self._free(target.point)

    @property
    def next_due(self) -> float | None:
        """The earliest time at which ``due`` may have something; None while all that waits, waits for ``done``."""
        times: list[float] = [self._turns[0][0]] if self._turns else []
        if self._ready:
            times.append(-math.inf)
        soonest = min(times, default=None)
        if soonest is not None:
            soonest = max(soonest, self._overall.next_at)
        if self._resting and self._behind:
            soonest = self._resting[0][0] if soonest is None else min(soonest, self._resting[0][0])
        return soonest

    def drain(self) -> Iterator[T]:
        """Give back everything that waits (a scan that stops)."""
        yield from self._ready
        for queue in (*self._queues.values(), *self._behind.values()):
            yield from queue
        self._ready.clear()
        self._queues.clear()
        self._turns.clear()
        self._behind.clear()
        self._held = 0

    def _take_turn(self, now: float) -> T | None:
        """The network at the top of the heap may start one; None if that one's host is busy."""
        when, network = heapq.heappop(self._turns)
        queue = self._queues[network]
        target = queue.popleft()
        free = target.point not in self._busy
        if free:
            interval = self._loopback_interval if is_loopback(target.point) else self._interval
            when = self._owed[network] = now + (interval or 0.0)
        else:
            self._wait_behind(target)
        if queue:
            heapq.heappush(self._turns, (when, network))
        else:
            del self._queues[network]
        return target if free else None

    def _wait_behind(self, target: T) -> None:
        queue = self._behind.get(target.point)
        if queue is None:
            queue = self._behind[target.point] = deque()
        queue.append(target)

    def _free(self, point: int) -> None:
        self._busy.remove(point)
        queue = self._behind.get(point)
        if queue is not None:
            self._ready.appendleft(queue.popleft())
            if not queue:
                del self._behind[point]

    def _wake(self, now: float) -> None:
        resting = self._resting
        while resting and resting[0][0] <= now:
            self._free(resting.popleft()[1])

    def _sweep(self, now: float) -> float | None:
        """Forget the networks whose time has passed. If there are too many still: when to look again."""
        if now < self._full_until:
            return self._full_until
        self._owed = {network: when for network, when in self._owed.items() if when > now}
        # twice what is left, so that sweeping costs a constant for each new network
        self._sweep_at = min(max(1024, 2 * len(self._owed)), self._max_networks)
        if len(self._owed) < self._max_networks:
            return None
        self._full_until = now + self._interval / 2  # by then about half of them will have passed
        return self._full_until


class _Bucket:
    """The overall rate. ``next_at``: when one more may start."""

    __slots__ = ("_burst", "_interval", "next_at")

    def __init__(self, rate: float | None) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._burst = 0.0 if rate is None else max(0, math.ceil(rate * BURST_S) - 1) / rate
        self.next_at = -math.inf

    def available(self, now: float) -> int:
        if not self._interval:
            return 1 << 62
        if self.next_at > now:
            return 0
        return int((now - max(self.next_at, now - self._burst)) / self._interval) + 1

    def charge(self, now: float, count: int) -> None:
        if self._interval:
            self.next_at = max(self.next_at, now - self._burst) + count * self._interval


def _least(asked: float | None, cap: float | None) -> float | None:
    return min((rate for rate in (asked, cap) if rate is not None), default=None)
