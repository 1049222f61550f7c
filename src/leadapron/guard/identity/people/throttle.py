"""Against guessing, without a lock-out that can be turned on somebody else.

An account is never locked. What is slowed down is an account *from somewhere*:

- a browser that has signed in here before shows a device cookie, and counts for itself alone (OWASP, "Slow Down Online
  Guessing Attacks with Device Cookies");
- a network from which this person has signed in before counts for this person and that network;
- anything else counts for account and network, for the network over all accounts (one password tried on everybody),
  and, once failures come from many networks far apart, for the account as well: then strangers together have one
  attempt in five minutes, which keeps six digits safe from a botnet (300 attempts a day at 3 in 10⁶).

So whatever comes from one network, the right password and factor from any other gets in at once; and whatever comes
from anywhere, they get in from a known browser. After some free failures the wait doubles with each. An attempt counts
as failed when it begins and is taken back when it succeeds, so that a hundred at the same time are no way around.
Attempts that have to wait are refused before anything is hashed and are not counted.

It is in memory and bounded; `state` and `take` carry it over a restart. One thread uses it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec
from msgspec import Struct

from leadapron.guard.identity.kept import Moments
from leadapron.guard.identity.people.network import Network
from leadapron.kernel.clock import Clock

FREE_PAIR: Final = 5
FREE_NETWORK: Final = 30
"""Failures without a wait. A hospital may stand behind one address."""
FIRST_WAIT_S: Final = 2.0
LONGEST_WAIT_S: Final = 15 * 60.0
FORGET_S: Final = 24 * 3600.0
CROWD: Final = 8
"""Wide networks with failures on one account within a day that are more than one attacker's."""
CROWD_WAIT_S: Final = 300.0
MOST_ENTRIES: Final = 20_000
"""In each table: some 10 MB in all. The least recently used goes first; a network can't make entries faster than its
own waits allow, so it can't flush its own."""


class Attempt(Struct, frozen=True):
    """An attempt that was let through. ``crowded``: it made its account one that is under attack from all over."""

    keys: tuple[tuple[str, bytes, str], ...]
    account: bytes
    wide: str
    crowded: bool = False


class Wait(Struct, frozen=True):
    seconds: float


class _Count:
    __slots__ = ("failures", "last", "next")

    def __init__(self) -> None:
        self.failures, self.last, self.next = 0, 0.0, 0.0


class _Crowd:
    __slots__ = ("next", "wide")

    def __init__(self) -> None:
        self.wide: dict[str, float] = {}
        self.next = 0.0


class _State(Struct):
    """What is kept; moments are the wall clock's. ``counts``: key, failures, last, next."""

    counts: list[tuple[tuple[str, bytes, str], int, float, float]]
    crowds: list[tuple[bytes, dict[str, float], float]]


_decoder = msgspec.msgpack.Decoder(_State)


class Throttle:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.changed = False
        """Since `state` was asked for."""
        self._counts: OrderedDict[tuple[str, bytes, str], _Count] = OrderedDict()
        self._networks: OrderedDict[tuple[str, bytes, str], _Count] = OrderedDict()
        self._crowds: OrderedDict[bytes, _Crowd] = OrderedDict()

    def enter(self, account: bytes, network: Network, *, device: str | None, known_place: bool) -> Attempt | Wait:
        """May somebody try to be ``account`` (a digest of the name, known or not) now?

        ``device``: from the cookie, verified to be this account's; ``known_place``: this person signed in from there.
        Each `Attempt` counts as a failure until `succeeded` or `withdraw` is called with it.
        """
        now, self.changed = self._clock.monotonic(), True
        stranger = device is None and not known_place
        keys: tuple[tuple[str, bytes, str], ...]
        if device is not None:
            keys = (("device", account, device),)
        elif known_place:
            keys = (("pair", account, network.narrow),)
        else:
            keys = (("pair", account, network.narrow), ("network", b"", network.narrow))
        wait = max(self._wait(key, now) for key in keys)
        crowd = self._crowds.get(account)
        if stranger and crowd is not None and self._crowded(crowd, now):
            wait = max(wait, crowd.next - now)
        if wait > 0:
            return Wait(wait)
        for key in keys:
            self._count(key, now)
        if not stranger:
            return Attempt(keys, account, "")
        return Attempt(keys, account, network.wide, self._add(account, network.wide, now))

    def succeeded(self, attempt: Attempt) -> None:
        """It was the right person: what led there is forgiven, for this source."""
        for key in attempt.keys:
            if key[0] == "network":  # others' failures there stand, or one known account would be a way around
                self._take_back(key)
            else:
                self._counts.pop(key, None)
        self._leave_crowd(attempt)

    def withdraw(self, attempt: Attempt) -> None:
        """It was not judged, for a reason of ours."""
        for key in attempt.keys:
            self._take_back(key)
        self._leave_crowd(attempt)

    def state(self) -> bytes:
        """All of it, for `take` in the next process."""
        self.changed = False
        at = Moments(self._clock)
        counts = [
            (key, one.failures, at.to_keep(one.last), at.to_keep(one.next))
            for table in (self._counts, self._networks)
            for key, one in table.items()
        ]
        crowds = [
            (account, {wide: at.to_keep(last) for wide, last in crowd.wide.items()}, at.to_keep(crowd.next))
            for account, crowd in self._crowds.items()
        ]
        return msgspec.msgpack.encode(_State(counts, crowds))

    def take(self, state: bytes) -> None:
        """What an earlier process knew. No wait is longer than it would be now, whatever became of the clock."""
        try:
            found = _decoder.decode(state)
        except msgspec.MsgspecError:
            return
        at = Moments(self._clock)
        for key, failures, last, then in found.counts[-2 * MOST_ENTRIES :]:
            one = self._table(key)[key] = _Count()
            one.failures, one.last = failures, min(at.kept(last), at.now)
            one.next = min(at.kept(then), at.now + LONGEST_WAIT_S)
        for account, networks, then in found.crowds[-MOST_ENTRIES:]:
            crowd = self._crowds[account] = _Crowd()
            crowd.wide = {wide: min(at.kept(last), at.now) for wide, last in networks.items()}
            crowd.next = min(at.kept(then), at.now + CROWD_WAIT_S)

    def _wait(self, key: tuple[str, bytes, str], now: float) -> float:
        count = self._table(key).get(key)
        return 0.0 if count is None or now - count.last > FORGET_S else count.next - now

    def _count(self, key: tuple[str, bytes, str], now: float) -> None:
        table = self._table(key)
        count = table.get(key)
        if count is None or now - count.last > FORGET_S:
            count = table[key] = _Count()
        table.move_to_end(key)
        count.failures += 1
        count.last = now
        over = count.failures - (FREE_NETWORK if key[0] == "network" else FREE_PAIR)
        count.next = now + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(over, 32)) if over >= 0 else 0.0
        if len(table) > MOST_ENTRIES:
            table.popitem(last=False)

    def _take_back(self, key: tuple[str, bytes, str]) -> None:
        table = self._table(key)
        count = table.get(key)
        if count is None:
            return
        count.failures -= 1
        count.next = 0.0
        if count.failures <= 0:
            del table[key]

    def _table(self, key: tuple[str, bytes, str]) -> OrderedDict[tuple[str, bytes, str], _Count]:
        return self._networks if key[0] == "network" else self._counts

    def _crowded(self, crowd: _Crowd, now: float) -> bool:
        return sum(now - last <= FORGET_S for last in crowd.wide.values()) > CROWD

    def _add(self, account: bytes, wide: str, now: float) -> bool:
        """Note where an attempt came from; whether that made it a crowd."""
        crowd = self._crowds.setdefault(account, _Crowd())
        self._crowds.move_to_end(account)
        before = self._crowded(crowd, now)
        crowd.wide.pop(wide, None)
        crowd.wide[wide] = now
        while len(crowd.wide) > 2 * CROWD:
            del crowd.wide[next(iter(crowd.wide))]
        after = self._crowded(crowd, now)
        if after:
            crowd.next = now + CROWD_WAIT_S
        if len(self._crowds) > MOST_ENTRIES:
            self._crowds.popitem(last=False)
        return after and not before

    def _leave_crowd(self, attempt: Attempt) -> None:
        crowd = self._crowds.get(attempt.account)
        if crowd is not None and attempt.wide:
            crowd.wide.pop(attempt.wide, None)
            crowd.next = 0.0
            if not crowd.wide:
                del self._crowds[attempt.account]
