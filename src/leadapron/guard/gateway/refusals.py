"""A bound on what strangers can make the guard write: refusals beyond the ordinary are counted, and their sum is told.

Each refusal is a message of its own (PS3.15 A.5.3.11), some 1.5 kB, and an alert is flushed to the disk. Somebody who
knocks a hundred times a second would fill it with 13 GB a day, and the trail of a full disk stops the guard. So the
first `SINGLY` refusals of one kind from one network within a minute are told one by one, as ever; those beyond are
counted, and when the minute is over one message says how many they were. While it goes on the spans grow, to ten
minutes: then one in a span is told, and the sum of the others. A span without a refusal ends it.

A network is an address, or an IPv6 /64 (what one subscriber has); refusals of an enrolled peer go by its name as well.
From many networks at once: above `OVERALL` a minute (`LASTING` while it goes on) and above `MAX_SPANS` networks in
memory they are counted together, and the sum says of how many networks they were. So a flood from one place costs
some 35 kB in its first minute and less than half a megabyte in a day, from everywhere at once some 100 kB a minute.

Nothing is left unsaid: a sum that could not be recorded is kept and tried again, and the end of the guard tells what
is still counted. Only a guard that is killed forgets, at most, the counts of the spans that it was in.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import (
    Event,
    NodeAuthenticationFailed,
    Participant,
    SecurityAlert,
    UserAuthentication,
)
from leadapron.kernel.clock import Clock

SINGLY: Final = 20
SPAN_S: Final = 60.0
LONGEST_S: Final = 600.0
OVERALL: Final = 300
LASTING: Final = 60
MAX_SPANS: Final = 2048
MAX_KINDS: Final = 8
"""Kinds of refusals that are told apart for one network; those beyond are one kind."""
MAX_NETWORKS: Final = 1024
"""Networks that are told apart in a sum; above it says "more than"."""

_REFUSED: Final = (Alert.REQUEST_DENIED, Alert.RESTRICTED_FUNCTION)
_PARTICULAR: Final = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9A-F]*[0-9][0-9A-F]*")

Key = tuple[str, str]
"""Who, and which kind of refusal."""


class _Span(Struct):
    """Refusals of one key: since ``since``, told with one sum at ``until``."""

    since: float
    until: float
    singly: int
    counted: int = 0
    last: Event | None = None
    networks: set[str] | None = None


class Refusals:
    """Call it with each event in place of ``record``; `sweep` it every second or so, and `close` it in the end.

    What is no refusal passes at once. Thread-safe. Raises what ``record`` raises.
    """

    def __init__(self, record: Callable[[Event], object], clock: Clock) -> None:
        self._record, self._clock = record, clock
        self._lock = threading.Lock()
        self._spans: OrderedDict[Key, _Span] = OrderedDict()
        self._kinds: dict[str, set[str]] = {}
        self._minute = clock.monotonic()
        self._told = 0
        self._most = OVERALL

    def __call__(self, event: Event) -> None:
        who = _who(event)
        if who is None:
            self._record(event)
            return
        with self._lock:
            self._refused(event, who)

    def sweep(self) -> None:
        """Tell the sums of spans that are over."""
        now = self._clock.monotonic()
        with self._lock:
            for key in [key for key, span in self._spans.items() if now >= span.until]:
                self._over(key, now)

    def close(self) -> None:
        """Tell all that is still counted."""
        with self._lock:
            for key, span in list(self._spans.items()):
                self._sum(key, span, self._clock.monotonic())
            self._spans.clear()
            self._kinds.clear()

    # ---- below, under the lock --------------------------------------------------------------------------------------

    def _refused(self, event: Event, who: tuple[str, str]) -> None:
        now = self._clock.monotonic()
        network, kind = who
        key = network, self._kind(network, kind)
        span = self._spans.get(key)
        if span is not None and now >= span.until:
            self._over(key, now)
            span = self._spans.get(key)
        if span is None:
            if len(self._spans) >= MAX_SPANS or not self._room(now):
                self._together(event, network, now)
                return
            span = self._spans[key] = _Span(now, now + SPAN_S, SINGLY)
            self._kinds.setdefault(network, set()).add(key[1])
        if span.singly <= 0:
            span.counted, span.last = span.counted + 1, event
        elif self._room(now):
            span.singly -= 1
            self._told += 1
            self._record(event if span.singly else _marked(event))
        else:
            self._together(event, network, now)

    def _kind(self, network: str, kind: str) -> str:
        known = self._kinds.get(network)
        return kind if known is None or kind in known or len(known) < MAX_KINDS else "others"

    def _room(self, now: float) -> bool:
        """May one more be told singly in this minute, whoever's it is?"""
        if now >= self._minute + SPAN_S:
            self._most = LASTING if self._told >= self._most else OVERALL
            self._minute, self._told = now, 0
        return self._told < self._most

    def _together(self, event: Event, network: str, now: float) -> None:
        key = "", type(event).__name__
        span = self._spans.get(key)
        if span is not None and now >= span.until:
            self._over(key, now)
            span = self._spans.get(key)
        if span is None:
            span = self._spans[key] = _Span(now, now + SPAN_S, 0)
        span.counted, span.last = span.counted + 1, event
        if span.networks is None:
            span.networks = set()
        if len(span.networks) <= MAX_NETWORKS:
            span.networks.add(network)

    def _over(self, key: Key, now: float) -> None:
        """A span ends: its sum, and a longer one if there was something to sum up."""
        span = self._spans[key]
        self._sum(key, span, now)  # if it raises all of it is kept
        del self._spans[key]
        if span.last is None:
            kinds = self._kinds.get(key[0])
            if kinds is not None:
                kinds.discard(key[1])
                if not kinds:
                    del self._kinds[key[0]]
            return
        length = min(2 * (span.until - span.since), LONGEST_S) if key[0] else SPAN_S
        self._spans[key] = _Span(now, now + length, 1 if key[0] else 0)

    def _sum(self, key: Key, span: _Span, now: float) -> None:
        if not span.counted:
            return
        assert span.last is not None
        whose = f"of {key[0]}"
        if span.networks is not None:
            more = "more than " if len(span.networks) > MAX_NETWORKS else ""
            whose = f"of {more}{min(len(span.networks), MAX_NETWORKS)} addresses"
        text = f"{span.counted} further refusals {whose} within {max(1, round(now - span.since))} s; the last"
        self._record(_said(span.last, f"{text}: "))
        span.counted = 0


def network(address: str) -> str:
    """Who that is, as far as an address tells: IPv6 by /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if parsed.version == 6:
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _who(event: Event) -> tuple[str, str] | None:
    """Network and kind, None for what is no refusal."""
    if isinstance(event, NodeAuthenticationFailed):
        return network(event.address), _class(event.reason)
    if isinstance(event, UserAuthentication):
        if event.outcome == Outcome.SUCCESS:
            return None
        return _of(event.person), f"login {_class(event.how)} {_class(event.reason)}"
    if isinstance(event, SecurityAlert) and event.outcome == Outcome.MINOR and event.kind in _REFUSED:
        who = event.performers[0] if event.performers else event.subject
        return None if who is None else (_named(who), f"{event.kind.name} {_class(event.text)}")
    return None


def _of(who: Participant) -> str:
    return network(who.address) if who.address else "nowhere"


def _named(who: Participant) -> str:
    return f"{who.user[:64]} at {_of(who)}" if who.user else _of(who)


def _class(reason: str | None) -> str:
    """A reason without what differs from one time to the next."""
    return _PARTICULAR.sub("", (reason or "")[:200])


def _marked(event: Event) -> Event:
    return _said(event, "", "; further ones like it are counted, and their sum is told")


def _said(event: Event, before: str, after: str = "") -> Event:
    if isinstance(event, SecurityAlert):
        return msgspec.structs.replace(event, text=f"{before}{event.text}{after}")
    assert isinstance(event, NodeAuthenticationFailed | UserAuthentication)
    return msgspec.structs.replace(event, reason=f"{before}{event.reason or 'refused'}{after}")
