"""The base of every conversation in the lab: latency, and the book of what visitors did."""

from __future__ import annotations

import asyncio
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
        if station.delay is None:
            self.begin()
        else:
            station.delay.later(self._begin_late)

    def received(self, data: bytes) -> None:
        if self.station.delay is None:
            self.hear(data)
        else:
            self.station.delay.later(partial(self._hear_late, data))

    def _begin_late(self) -> None:
        if self.link.open:
            try:
                self.begin()
            except Exception as error:
                self._report(error)
                self.link.abort()

    def _hear_late(self, data: bytes) -> None:
        if self.link.open:
            try:
                self.hear(data)
            except Exception as error:
                self._report(error)
                self.link.abort()

    def timed_out(self) -> None:
        self.link.abort()

    def ended(self, end: End) -> None:
        self.station.seen.open_now -= 1
        self.station.ended_at = time.monotonic()
        self.over()

    def failed(self, error: Exception) -> None:
        self.station.seen.open_now -= 1
        self.over()
        self._report(error)

    def _report(self, error: Exception) -> None:
        """A bug of ours: told to the loop, so that it ends one conversation and is seen all the same."""
        context = {"message": "a bug in the lab", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
