"""What is said while the database is away: once, whoever notices it first, and once when it is back.

Rounds and upkeep meet the same database in many places and try again every few seconds, each with its own waits. What
a person has to know of that is two lines.
"""

from __future__ import annotations

from collections.abc import Callable

from leadapron.watch.track.database import DatabaseFailure


class Outage:
    """Whoever works with the database says by name how that went."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._failing: set[str] = set()

    def failed(self, by: str, error: DatabaseFailure) -> None:
        if not self._failing:
            self._say(f"{error}. It is tried again until it works")
        self._failing.add(by)

    def worked(self, by: str) -> None:
        if by in self._failing:
            self._failing.discard(by)
            if not self._failing:
                self._say("the database works again; everything goes on")
