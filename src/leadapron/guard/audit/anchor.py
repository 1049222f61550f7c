"""The anchor: what the trail must still have, kept in another place than the trail.

Whoever removes a trail's directory as a whole, or puts an older copy of it back, leaves nothing in there that shows it:
a trail that begins anew verifies. So a position that was durable is kept beside the directory, sealed with the key
(``audit.anchor``, written every ten seconds while something is recorded, and at the end). It may lie behind the trail
and never before it. Opening the trail and `verify` look whether the record that it names is there.

If it is not, the trail goes on behind the anchor, with the next number and in a segment that is marked as damaged:
what was there once is missing for good, and `verify` says so each time. Pruning is no loss: the sealed beginning of the
trail then lies behind the anchor. A guard that ran leaves its ``baseline``, too; where that stands with neither trail
nor anchor, both were taken away. A first start, and a trail of a version without anchors, have nothing to miss.

Who takes the whole of the guard's directory back to an older copy, or has the key, is not seen here, but at the
collector. Records of the last seconds before the anchor was written can be cut off with the head put back too.
"""

from __future__ import annotations

import os
from typing import Final

from msgspec import Struct

from leadapron.guard.audit.chain import HASH_SIZE, SEGMENT_HEADER, Chain, Position
from leadapron.guard.audit.place import Place
from leadapron.guard.audit.walk import Problem
from leadapron.kernel.files import write_whole

BASELINE: Final = "baseline"
"""What each guard that ran leaves in its directory: see `gateway.baseline`."""
_ANCHOR: Final = b"anchor"


class Lost(Struct, frozen=True):
    """What is wrong, and behind which record the trail has to go on (None: nobody knows)."""

    problem: Problem
    at: Position | None = None


def known(place: Place) -> bool:
    """Whether there is a trail, or anything says that there was one."""
    return place.exists() or place.anchor.exists() or (place.home.parent / BASELINE).exists()


def drop(place: Place, chain: Chain, at: Position) -> None:
    """``at`` is on stable storage. Raises OSError."""
    write_whole(place.anchor, chain.position(at, _ANCHOR))


def lost(place: Place, chain: Chain) -> Lost | None:
    """Whether what was there once is missing; may be asked beside a writer. Raises OSError."""
    try:
        data = place.anchor.read_bytes()[:1024]
    except FileNotFoundError:
        if place.exists() or not (place.home.parent / BASELINE).exists():
            return None
        return Lost(_removed(1, "the guard has run here before, and neither its trail nor its anchor is there"))
    at = chain.parse_position(data, _ANCHOR)
    if at is None:
        text = "the anchor was changed, or sealed with another key: nobody can tell how long the trail was"
        return Lost(Problem("changed", place.anchor.name, 0, 0, text))
    if at.sequence == 0 or _stands(place, chain, at) or place.start(chain).sequence >= at.sequence:
        return None
    head = place.read_head(chain)
    last = 0 if head is None else head.sequence
    if last >= at.sequence:
        text = f"record {at.sequence} is another one than it was: this is another trail, or it was changed there"
        return Lost(Problem("changed", place.segment(at.segment).name, at.offset, at.sequence, text), at)
    there = f"the trail ends with record {last}" if last else "nothing of it is there"
    text = f"there were {at.sequence} records, and {there}: they were removed, or an older copy was put back"
    return Lost(_removed(last + 1, text), at)


def _removed(sequence: int, text: str) -> Problem:
    return Problem("removed", "audit", 0, sequence, text)


def _stands(place: Place, chain: Chain, at: Position) -> bool:
    """Whether the record before ``at`` ends there, by its hash."""
    try:
        descriptor = os.open(place.segment(at.segment), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if at.offset > SEGMENT_HEADER:
            return os.pread(descriptor, HASH_SIZE, at.offset - HASH_SIZE) == at.hash
        begin = chain.parse_segment(os.pread(descriptor, SEGMENT_HEADER, 0))
        return begin is not None and begin.hash == at.hash
    finally:
        os.close(descriptor)
