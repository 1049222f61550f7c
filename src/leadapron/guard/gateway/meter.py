"""What each peer does, counted over everything it does it with: DIMSE, DICOMweb, however many associations.

One `Meter` stands in the gateway. It keeps the bounds that the policy has for a peer (`rates`), counts against what is
usual for it (`alarms`), and collects the alarms until somebody takes them to the audit trail: it calls nobody.

What is usual is kept by `save`, the last hour's studies by `state` and `take`: a restart gives nobody a new hour. Study
UIDs are held as hashes, under a key of the guard's where they are to be kept and else under one that dies with the
process. Requests of the last minute and what was alarmed about are in memory only.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from leadapron.guard.gateway.alarms import Alarm, Watch
from leadapron.guard.gateway.baseline import Baseline, Measure
from leadapron.guard.gateway.rates import Answers, Pace, Studies
from leadapron.guard.identity.kept import Moments
from leadapron.kernel.clock import Clock, SystemClock

MAX_NAMES: Final = 20_000
MAX_ALARMS: Final = 1_000
MAX_KEPT: Final = 200_000
WEB: Final = "web:"
"""Before the names of people, which may be those of peers."""


class Kind(Enum):
    """Kinds of requests. Single objects (STORE, and OBJECT: one of WADO) are no matter of requests a minute: a CT sends
    a thousand images in ten seconds, and a viewer asks for as many; the line and the archive pace them."""

    ECHO = "echo"
    QUERY = "query"
    RETRIEVE = "retrieve"
    STORE = "store"
    OBJECT = "object"
    OTHER = "other"


class Caps(Protocol):
    """The bounds for a peer; ``PeerRules`` has them."""

    @property
    def requests_per_minute(self) -> int: ...

    @property
    def studies_per_hour(self) -> int: ...

    @property
    def max_results(self) -> int: ...


class Bounds(Struct, frozen=True, kw_only=True):
    """`Caps` for those who are no peers: people."""

    requests_per_minute: int = 600
    studies_per_hour: int = 100
    max_results: int = 2_000


class Passed(Struct, frozen=True):
    """Within the bounds."""

    def __bool__(self) -> bool:
        return True


class Over(Struct, frozen=True):
    """Above a bound. ``reason`` is for the audit trail. ``wait_s``: when it may be asked again, 0 for never."""

    reason: str
    wait_s: float

    def __bool__(self) -> bool:
        return False


_kept = msgspec.msgpack.Decoder(list[tuple[float, str, bytes]])


class _State:
    __slots__ = ("pace", "studies")

    def __init__(self, key: bytes) -> None:
        self.pace, self.studies = Pace(), Studies(key)


class Meter:
    """``caps`` gives the bounds that hold now for a name, None for one that nobody knows: it may do nothing."""

    def __init__(
        self,
        caps: Callable[[str], Caps | None],
        *,
        clock: Clock | None = None,
        baseline: Baseline | None = None,
        key: bytes | None = None,
    ) -> None:
        self._caps = caps
        self._clock = clock or SystemClock()
        self._watch = Watch(baseline if baseline is not None else Baseline())
        self._key = secrets.token_bytes(32) if key is None else hmac.digest(key, b"studies that were counted", "sha256")
        self.changed = False
        """Whether a study was counted since `state` was asked for."""
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._alarms: deque[Alarm] = deque(maxlen=MAX_ALARMS)

    @property
    def baseline(self) -> Baseline:
        return self._watch.baseline

    def allow(self, who: str, kind: Kind) -> Passed | Over:
        """One request, if there is room for it in this minute."""
        caps = self._caps(who)
        if caps is None:
            return Over("nobody has that name", 0.0)
        state = self._state(who)
        if kind is Kind.STORE:
            self._count(who, Measure.STORES, 1)
        if kind in (Kind.STORE, Kind.OBJECT):
            return _PASSED
        now = self._clock.monotonic()
        wait = state.pace.wait(now, caps.requests_per_minute)
        if wait:
            bound = caps.requests_per_minute
            self._alarms += self._watch.refused(who, "requests", bound + 1, bound, now)
            return Over(f"more than {bound} requests in a minute", wait)
        if kind is Kind.QUERY:
            self._count(who, Measure.QUERIES, 1)
        return _PASSED

    def retrieved(self, who: str, *study_uids: str) -> bool:
        """Whether ``who`` may retrieve from these studies now: all of them, or none is counted.

        To be asked before the first octet goes out; where a request does not name its studies, as they become known.
        """
        caps = self._caps(who)
        if caps is None:
            return False
        now, bound = self._clock.monotonic(), caps.studies_per_hour
        studies = self._state(who).studies
        fresh = studies.take(study_uids, now, bound)
        if fresh is None:
            asked = studies.count(now) + len(set(study_uids))
            self._alarms += self._watch.refused(who, Measure.STUDIES, asked, bound, now)
            return False
        if fresh:
            self.changed = True
            self._count(who, Measure.STUDIES, fresh, bound)
        return True

    def state(self) -> bytes:
        """The studies of the last hour, for `take` in the next process; the newest ``MAX_KEPT`` at most."""
        self.changed = False
        at = Moments(self._clock)
        found = [
            (at.to_keep(moment), who, study)
            for who, state in self._states.items()
            for study, moment in state.studies.seen(at.now)
        ]
        return msgspec.msgpack.encode(sorted(found)[-MAX_KEPT:])

    def take(self, state: bytes) -> None:
        """What was counted by a process before, under the same key."""
        try:
            found = _kept.decode(state)
        except msgspec.MsgspecError:
            return
        at = Moments(self._clock)
        seen: dict[str, list[tuple[bytes, float]]] = {}
        for moment, who, study in found:
            seen.setdefault(who, []).append((study, at.kept(moment)))
        for who, studies in seen.items():
            self._state(who).studies.again(studies, at.now)

    def results(self, who: str) -> Answers:
        """A counter for the answers to one query; tell `answered` when it is over."""
        caps = self._caps(who)
        return Answers(0 if caps is None else caps.max_results)

    def answered(self, who: str, records: int) -> None:
        """So many records went out in answers to queries."""
        if records > 0:
            self._count(who, Measure.ANSWERS, records)

    def alarms(self) -> tuple[Alarm, ...]:
        """What there is since this was last asked; at most the latest ``MAX_ALARMS``."""
        found = tuple(self._alarms)
        self._alarms.clear()
        return found

    def forget(self, who: str) -> None:
        """A peer that is no longer known."""
        self._states.pop(who, None)
        self._watch.forget(who)

    def save(self, path: Path) -> None:
        """Keeps what is usual, for `Baseline.load`: every few minutes, and at the end. Raises OSError."""
        self._watch.baseline.save(path)

    def _count(self, who: str, measure: Measure, amount: int, cap: int | None = None) -> None:
        now, epoch = self._clock.monotonic(), self._clock.now().timestamp()
        self._alarms += self._watch.count(who, measure, amount, now=now, epoch=epoch, cap=cap)

    def _state(self, who: str) -> _State:
        state = self._states.get(who)
        if state is None:
            if len(self._states) >= MAX_NAMES:  # the one that has done nothing for longest
                self.forget(next(iter(self._states)))
            state = self._states[who] = _State(self._key)
        self._states.move_to_end(who)
        return state


class ForDimse:
    """A `Meter` as the DIMSE relay asks it. The bound is the file's own, which is the one that it hands over."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def request(self, peer: str, limit: int, kind: str) -> bool:
        return bool(self._meter.allow(peer, Kind(kind)))

    def answered(self, peer: str, answers: int) -> None:
        self._meter.answered(peer, answers)

    def retrieved(self, peer: str, studies: Collection[str], limit: int) -> bool:
        return self._meter.retrieved(peer, *studies)


class ForWeb:
    """A `Meter` as the web side asks it: names of people and programs stand apart from those of peers."""

    def __init__(self, meter: Meter, limit: int = Bounds().studies_per_hour) -> None:
        self._meter = meter
        self.limit = limit
        """Different studies in an hour, for the audit trail."""

    def retrieved(self, who: str, studies: Collection[str]) -> bool:
        return self._meter.retrieved(WEB + who, *studies)


_PASSED: Final = Passed()
