"""Looking into the trail from outside of its writer: everything read, what is wanted kept, what is damaged counted.

Who looks leaves a record (A.5.3.2), and before anything is shown: a trail that cannot record that it was read is not
read. Looking takes no lock and may go on while the guard writes.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from leadapron.guard.audit import entry
from leadapron.guard.audit.anchor import known
from leadapron.guard.audit.chain import Chain
from leadapron.guard.audit.console import console_user
from leadapron.guard.audit.entry import Entry
from leadapron.guard.audit.events import AuditLogUsed, Participant
from leadapron.guard.audit.place import Place
from leadapron.guard.audit.tail import Tail
from leadapron.guard.audit.trail import note
from leadapron.guard.audit.walk import Good, Problem, walk
from leadapron.kernel.errors import UsageError
from leadapron.kernel.seal import key_file

KEY: Final = "guard.key"
POLL_S: Final = 0.5
Pair = tuple[Entry, str]


class Wanted(Struct, frozen=True, kw_only=True):
    """Which entries: happened from ``since`` until before ``until``; with a participant called ``peer``; of ``types``
    (words of `codes.EventId`; none means all)."""

    since: datetime | None = None
    until: datetime | None = None
    peer: str | None = None
    types: frozenset[str] = frozenset()

    def matches(self, one: Entry) -> bool:
        return (
            (not self.types or one.event in self.types)
            and (self.since is None or one.time >= self.since)
            and (self.until is None or one.time < self.until)
            and (self.peer is None or self.peer.lower() in one.names())
        )


class Look:
    """The trail of the guard in ``home``, to be read. Raises `UsageError` if there is none.

    ``problems``: damaged places met so far. ``last``: number of the last record that was looked at.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.place = home, Place(home)
        try:
            if not known(self.place):
                raise UsageError(
                    f"there is no audit trail in {home}. 'leadapron up' writes one; "
                    "if its data lies elsewhere: --data DIR"
                )
            if not (home / KEY).exists():
                raise UsageError(f"{home / KEY} is missing, and without it nobody can read the trail: restore it")
            self.key = key_file(home / KEY)
        except PermissionError:
            raise UsageError(f"you may not read {home}: be the user that runs the guard, or root (sudo)") from None
        self._chain = Chain(self.key)
        self.problems = 0
        self.last = 0

    @property
    def removed(self) -> int:
        """Records before the first, which need not be kept any longer."""
        return self.place.start(self._chain).sequence

    def leave_record(self, doing: str) -> None:
        """Record that the trail is read, and by whom, durably. Raises `AuditFailed`."""
        reader, process = console_user(), Participant(f"leadapron audit {doing} [{os.getpid()}]")
        note(self.home, self.key, AuditLogUsed(reader=reader, process=process, uri=self.place.home.as_uri()))

    def entries(self, wanted: Wanted) -> Iterator[Pair]:
        """Entry and message of each record that is wanted, in the trail's order."""
        for found in walk(self.place, self._chain):
            if isinstance(found, Good):
                self.last = max(self.last, found.record.sequence)
                pair = entry.read(self._chain, found.record)
                if wanted.matches(pair[0]):
                    yield pair
            elif isinstance(found, Problem):
                self.problems += 1

    def newest(self, wanted: Wanted, count: int) -> list[Pair]:
        return list(deque(self.entries(wanted), maxlen=count))

    def follow(self, wanted: Wanted) -> Iterator[Pair]:
        """What comes behind `last`, for ever."""
        tail = Tail(self.place, self._chain)
        behind = self.last
        while True:
            records = tail.read()
            for record in records:
                if record.sequence > behind:
                    self.last = record.sequence
                    pair = entry.read(self._chain, record)
                    if wanted.matches(pair[0]):
                        yield pair
            if not records:
                time.sleep(POLL_S)
