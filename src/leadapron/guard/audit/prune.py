"""Removing what need not be kept any longer: whole files from the front of the trail, and nothing else.

The chain is not broken by it. A sealed position, ``begin``, says with which record the trail begins now and what that
record continues, so that reading starts there and verifies as before; without the key nobody can make one. Take it
away, or a file behind it, and records are missing, which `verify` says.

In this order: what is going to be removed is read and found whole (damage is evidence and stays), the removal is
recorded, ``begin`` is moved, the files go. Killed in between, it leaves files before the beginning, which nobody reads
and the next time removes. Nothing goes that a collector has not yet got, as far as the marks of forwarders tell.

A file goes when all its records were written before the time; the last one never does. So more is kept than asked for,
up to 64 MiB, and never less.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import datetime

from msgspec import Struct

from leadapron.guard.audit.chain import SEGMENT_HEADER, Chain, Position
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import Participant, SecurityAlert
from leadapron.guard.audit.place import BEGIN, Place
from leadapron.guard.audit.walk import Good, Problem, walk
from leadapron.kernel.errors import Failure
from leadapron.kernel.files import sync_directory, write_whole


class Pruned(Struct, frozen=True):
    """What was removed: ``records``, up to the number ``last``, in ``files``; written from ``since`` to ``until``.
    ``held``: there is something that is old enough, and no collector has it yet."""

    records: int = 0
    last: int = 0
    files: int = 0
    since: datetime | None = None
    until: datetime | None = None
    held: bool = False


def prune(
    place: Place,
    chain: Chain,
    before: datetime,
    record: Callable[[SecurityAlert], object],
    by: Participant | None = None,
    *,
    forwarded: bool = False,
) -> Pruned:
    """Remove the files whose records were all written before that time; may run beside the guard. ``record`` takes it
    to the trail, durably; ``forwarded``: there is a collector, so without its mark nothing goes.

    Raises `Failure` where the trail is damaged among them, `AuditFailed` where it cannot be recorded.
    """
    if not place.exists():
        raise Failure(f"{place.home} holds no audit trail any more: 'leadapron audit verify' says more")
    with _alone(place):
        start = place.start(chain)
        _leftovers(place, start.segment)
        found, at = _old(place, chain, before)
        if at is None:
            return found
        reached = _delivered(place, forwarded)
        if reached < at.segment:
            return Pruned(held=True)
        text = (
            f"records {start.sequence + 1} to {found.last} of the audit trail were removed, "
            f"written {found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}: they need not be kept any longer"
        )
        record(
            SecurityAlert(
                kind=Alert.TRAIL_PRUNED,
                text=text,
                resource=place.home.as_uri(),
                performers=() if by is None else (by,),
                outcome=Outcome.SUCCESS,
            )
        )
        write_whole(place.begin, chain.position(at, BEGIN))
        _leftovers(place, at.segment)
        return found


def _old(place: Place, chain: Chain, before: datetime) -> tuple[Pruned, Position | None]:
    """The files at the front that are old as a whole, and where the trail begins without them."""
    numbers = place.numbers()
    last = numbers[-1] if numbers else 0
    found, at = Pruned(), None
    records, since, until = 0, None, None
    start = end = place.start(chain)
    number = start.segment
    for one in walk(place, chain):
        if isinstance(one, Problem):
            raise Failure(
                f"the audit trail is damaged ({one.file}: {one.text}), and nothing of it is removed: "
                "'leadapron audit verify' says more"
            )
        if not isinstance(one, Good):
            break
        if one.at.segment != number:  # all of the file before was old
            number = one.at.segment
            if records:
                at = Position(number, SEGMENT_HEADER, end.sequence, end.hash)
                found = Pruned(records, end.sequence, number - start.segment, since, until)
        if number == last or one.record.time >= before:
            break
        records, end = records + 1, one.at
        since, until = since or one.record.time, one.record.time
    return found, at


def _delivered(place: Place, forwarded: bool) -> int:
    """The file up to which all collectors have the trail. The marks are not proven here: a false one can hold things
    back, or let go what whoever may write these files could have deleted, too."""
    marks = [Chain.segment_of(path.read_bytes()[:1024]) for path in place.home.glob("sent-*")]
    if not marks:
        return 0 if forwarded else 1 << 62
    return min(marks)


def _leftovers(place: Place, begin: int) -> None:
    """Remove the files before the beginning."""
    gone = [number for number in place.numbers() if number < begin]
    for number in gone:
        place.segment(number).unlink(missing_ok=True)
    if gone:
        sync_directory(place.home)


@contextlib.contextmanager
def _alone(place: Place) -> Iterator[None]:
    """One at a time."""
    descriptor = os.open(place.home / "prune", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("another process is removing old records at this moment") from None
        yield
    finally:
        os.close(descriptor)
