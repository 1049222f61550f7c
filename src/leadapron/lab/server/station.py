"""One endpoint at run time: what it is, and what it has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from leadapron.lab.archive.model import Archive
from leadapron.lab.server.delay import DelayLine
from leadapron.lab.server.negotiate import Negotiator
from leadapron.lab.server.profile import Answers

_PLAIN: Final = Answers()


class Seen(Struct):
    """What visitors did at one endpoint, for tests of good manners.

    ``most_at_once``: connections that stood at the same time. ``shortest_pause_s``: between the end of a connection
    and the start of the next, None before there were two. ``requests``: how many, by name of the message.
    ``released``, ``aborted`` (A-ABORT) and ``broken`` (neither) tell how accepted associations ended.
    ``calling`` and ``called``: the AE titles used.
    """

    connections: int = 0
    open_now: int = 0
    most_at_once: int = 0
    associations: int = 0
    rejected: int = 0
    released: int = 0
    aborted: int = 0
    broken: int = 0
    shortest_pause_s: float | None = None
    calling: set[str] = set()
    called: set[str] = set()
    requests: dict[str, int] = {}

    def count(self, message: str) -> None:
        self.requests[message] = self.requests.get(message, 0) + 1


class Station:
    """State that the conversations of one endpoint share. ``crashed``: why it will never answer again, if so."""

    __slots__ = ("answers", "archive", "crashed", "delay", "ended_at", "negotiator", "options", "seen")

    def __init__(
        self,
        negotiator: Negotiator | None = None,
        answers: Answers = _PLAIN,
        archive: Archive | None = None,
        delay: DelayLine | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.negotiator = negotiator
        self.answers = answers
        self.archive = archive
        self.delay = delay
        self.options: Mapping[str, Any] = options or {}
        self.crashed: str | None = None
        self.seen = Seen()
        self.ended_at = 0.0
