"""Is the trail whole? Every record is read, from the first to the head; the first that is wrong is named, and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from leadapron.guard.audit.anchor import lost
from leadapron.guard.audit.chain import Chain
from leadapron.guard.audit.place import Place
from leadapron.guard.audit.walk import Good, Problem, Unfinished, walk

MAX_PROBLEMS: Final = 100
"""Problems that are told one by one; the others are counted."""


class Verdict(Struct, frozen=True):
    """What was found. ``problems``: the first comes first in the trail; ``more``: how many beyond those.

    ``removed``: so many records before the first were removed because they need not be kept (see ``prune``).
    ``unfinished``: octets at the end of a run that was killed, or that is just writing.
    """

    records: int
    segments: int
    first: datetime | None
    last: datetime | None
    problems: tuple[Problem, ...]
    more: int
    unfinished: int
    removed: int = 0

    @property
    def whole(self) -> bool:
        return not self.problems


def verify(home: Path, key: bytes) -> Verdict:
    """Read the whole trail of the guard in ``home``. Takes about a second for each 100 MB; may run beside the guard."""
    place, chain = Place(home), Chain(key)
    missing = lost(place, chain)
    start = place.start(chain)
    records = more = unfinished = 0
    first = last = None
    problems: list[Problem] = [] if missing is None else [missing.problem]
    segments = sum(number >= start.segment for number in place.numbers())
    for found in walk(place, chain):
        if isinstance(found, Good):
            records += 1
            last = found.record
            first = first or last
        elif isinstance(found, Unfinished):
            unfinished = found.octets
        elif len(problems) < MAX_PROBLEMS:
            problems.append(found)
        else:
            more += 1
    return Verdict(
        records,
        segments,
        first.time if first else None,
        last.time if last else None,
        tuple(problems),
        more,
        unfinished,
        start.sequence,
    )
