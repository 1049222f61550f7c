"""Where a trail goes on when it is opened: what the last run left, judged before anything is written.

What is missing by the anchor is damage as any other: see `anchor`.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from leadapron.guard.audit.anchor import Lost
from leadapron.guard.audit.chain import Chain, Position
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import SecurityAlert
from leadapron.guard.audit.place import AuditFailed, Place
from leadapron.guard.audit.walk import Good, Unfinished, walk

_FOREIGN: Final = (
    "the audit trail in {} is sealed with another key, or all of it was changed: restore guard.key from the backup, "
    "or, if it is lost for good, move the directory away: a new trail begins, which says that the old one is gone"
)


class End(Struct, frozen=True):
    """Go on at ``at``; in a ``new_segment`` (``at.segment``, to be made) where it cannot be continued as it is, marked
    as ``damaged`` if that is why. ``told``: what must be recorded about it.
    """

    at: Position
    new_segment: bool = False
    damaged: bool = False
    told: SecurityAlert | None = None


def recover(place: Place, chain: Chain, missing: Lost | None) -> End:
    """Judge the end of the trail, from the head on; ``missing`` is what `anchor.lost` said before the head was made.
    Writes nothing. Raises `AuditFailed` for a trail of another key."""
    head, numbers = place.read_head(chain), place.numbers()
    if head is None and not _ours(place, chain, numbers):
        raise AuditFailed(_FOREIGN.format(place.home))
    if missing is None and head is not None and not numbers and head.sequence == 0:
        return End(chain.start, new_segment=True)  # new, or killed before the first segment was made
    at = head or place.start(chain)
    problem = None if missing is None else missing.problem
    if missing is not None and missing.at is not None and missing.at.sequence > at.sequence:
        at = missing.at
    unfinished: Unfinished | None = None
    for found in walk(place, chain, head):
        if isinstance(found, Good):
            at = max(at, found.at, key=lambda position: (position.sequence, position.segment, position.offset))
        elif isinstance(found, Unfinished):
            unfinished = found
        else:
            problem = problem or found
    resource = place.home.as_uri()
    if problem is not None:
        number = max([*numbers, at.segment]) + 1
        where = f"{problem.file}, octet {problem.offset}"
        alert = SecurityAlert(
            kind=Alert.TRAIL_DAMAGED,
            text=f"the audit trail is damaged ({problem.kind}; {where}): {problem.text}. It goes on behind that",
            resource=resource,
            outcome=Outcome.MAJOR,
        )
        return End(Position(number, 0, at.sequence, at.hash), new_segment=True, damaged=True, told=alert)
    if numbers and at.segment < numbers[-1]:
        # A segment that was begun and holds nothing yet: go on in it.
        at = Position(numbers[-1], chain.start.offset, at.sequence, at.hash)
    if unfinished is None:
        return End(at)
    kind = "octets that are no record" if unfinished.whole else "octets of an unfinished record"
    alert = SecurityAlert(
        kind=Alert.RECORDING_STARTED,
        text=f"the last run ended abruptly; {unfinished.octets} {kind} were cut behind record {at.sequence}",
        resource=resource,
        outcome=Outcome.MINOR,
    )
    return End(at, told=alert)


def _ours(place: Place, chain: Chain, numbers: list[int]) -> bool:
    """Whether anything at all in there bears our key's mark."""
    for number in numbers:
        data = place.read_segment(number)
        if data is not None and chain.parse_segment(data) is not None:
            return True
    return any(isinstance(found, Good) for found in walk(place, chain))
