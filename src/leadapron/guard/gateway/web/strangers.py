"""A bound on what strangers can make the guard do: a bucket of refusals for each address.

Each refusal is told to the audit trail and costs work. Above the bound an address is answered 429 and nothing is looked
at; one alert says that this began, and the next one that begins after a pause says it again (how many they were says
`guard.gateway.refusals`). Nobody else is touched, and somebody at that address who shows a good session or token is
still served.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

from leadapron.kernel.clock import Clock, SystemClock

BURST: Final = 300.0
PER_SECOND: Final = 5.0
MAX_ADDRESSES: Final = 8192


class Strangers:
    """Buckets of refusals by address (IPv6: by /64, which is what one subscriber has)."""

    def __init__(self, clock: Clock | None = None, burst: float = BURST, per_second: float = PER_SECOND) -> None:
        self._clock = clock or SystemClock()
        self._burst, self._rate = burst, per_second
        self._levels: OrderedDict[str, tuple[float, float, bool]] = OrderedDict()  # level, when, told

    def refuse(self, address: str) -> tuple[bool, bool]:
        """One more refusal: whether it is within the bound, and whether it is the first above."""
        now = self._clock.monotonic()
        key = _network(address)
        level, when, told = self._levels.pop(key, (0.0, now, False))
        level = max(0.0, level - (now - when) * self._rate)
        within = level + 1 <= self._burst
        first = not within and not told
        told = not within or (told and level > self._burst / 2)
        self._levels[key] = (level + within, now, told)
        if len(self._levels) > MAX_ADDRESSES:
            self._levels.popitem(last=False)
        return within, first


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
