"""The base of every conversation in the lab: latency, and the book of what visitors did."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from leadapron.lab.server.station import Station
from leadapron.wire.aio.swarm import Conversation, End, Link

IDLE_S: Final = 120.0  # a visitor who says nothing for so long is let go (invariant 7)


class Talk(Conversation):
    """Override ``begin``, ``hear``, ``writable`` and ``over``; ``link`` stands from ``begin`` on.

    With a latency everything is heard that much later, in order, as from a server further away.
    """

    __slots__ = ("link", "station")

    link: Link

    def __init__(self, station: Station) -> None:
        self.station = station

    def begin(self) -> None:
        """A visitor has connected."""

    def hear(self, data: bytes) -> None:
        """The visitor said this."""

    def over(self) -> None:
        """The connection is gone."""

    def opened(self, link: Link) -> None:
        self.link = link
        station, seen = self.station, self.station.seen
        seen.connections += 1
        seen.open_now += 1
        if seen.open_now > seen.most_at_once:
            seen.most_at_once = seen.open_now
        if seen.connections > 1 and seen.open_now == 1:
            pause = time.monotonic() - station.ended_at
            if seen.shortest_pause_s is None or pause < seen.shortest_pause_s:
                seen.shortest_pause_s = pause
        link.deadline(IDLE_S)
        if station.latency_s:
            link.call_later(station.latency_s, self.begin)
        else:
            self.begin()

    def received(self, data: bytes) -> None:
        if self.station.latency_s:
            self.link.call_later(self.station.latency_s, partial(self.hear, data))
        else:
            self.hear(data)

    def timed_out(self) -> None:
        self.link.abort()

    def ended(self, end: End) -> None:
        self.station.seen.open_now -= 1
        self.station.ended_at = time.monotonic()
        self.over()

    def failed(self, error: Exception) -> None:
        self.station.seen.open_now -= 1
        self.over()
        raise error
