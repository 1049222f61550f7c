"""The policy as the file says it now, without dropping an association.

`Reloading.refresh` costs one ``stat`` where nothing changed, so it can be called for every operation: a peer that is
taken out of the file is denied its next one. A file that cannot be used changes nothing and is reported once for each
change of it: whoever makes a typing mistake at night neither opens the door nor locks everybody out. The other side of
that is said in the report: what the broken file meant to take away is still allowed until it is mended.

A file system keeps time in ticks. What is written twice within one looks unchanged by its stat, so a file that is
younger than ``UNSETTLED_S`` is read again and compared by what it holds.
"""

from __future__ import annotations

import hashlib
import os
from datetime import tzinfo
from pathlib import Path
from typing import Final

from msgspec import Struct

from leadapron.guard.policy.decide import Policy, parse_policy
from leadapron.guard.policy.file import read
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import UsageError

UNSETTLED_S: Final = 2.0
_Stamp = tuple[int, int, int, int, int]


class Reloaded(Struct, frozen=True):
    """The file changed. ``error`` is None where its policy is in force now, else why the one before still is.

    ``removed`` and ``added``: names of peers.
    """

    error: str | None = None
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


class Reloading:
    """``current`` is the policy in force. Raises UsageError if the file is no good at the start."""

    def __init__(self, path: Path, *, zone: tzinfo | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self._zone = zone
        self._clock = clock or SystemClock()
        self._stamp = self._look()  # before it is read: what is written meanwhile is seen the next time
        text = read(path)
        self.current: Policy = parse_policy(text, str(path), zone)
        self._digest: bytes | None = _digest(text)  # of what was judged last, good or broken; None: unreadable
        self._error: str | None = None

    def refresh(self) -> Reloaded | None:
        """Reads the file again if it changed. None: nothing happened that is worth a word. Never raises."""
        stamp = self._look()
        if stamp == self._stamp and not self._unsettled(stamp):
            return None
        self._stamp = stamp
        try:
            text = read(self.path)
        except UsageError as error:
            return self._keep(error, None)
        digest = _digest(text)
        if digest == self._digest:
            return None
        try:
            if not text.strip():  # as an editor leaves it for a moment when it writes in place
                raise UsageError(f"{self.path} is empty")
            policy = parse_policy(text, str(self.path), self._zone)
        except UsageError as error:
            return self._keep(error, digest)
        old, new = ({peer.rules.name for peer in one.peers} for one in (self.current, policy))
        self.current, self._digest, self._error = policy, digest, None
        return Reloaded(removed=tuple(sorted(old - new)), added=tuple(sorted(new - old)), notices=policy.notices)

    def _keep(self, error: UsageError, digest: bytes | None) -> Reloaded | None:
        known = digest is None and str(error) == self._error
        self._digest, self._error = digest, str(error)
        return None if known else Reloaded(error=f"{error}. Until it is mended all rules hold that held before")

    def _look(self) -> _Stamp | None:
        try:
            seen = os.stat(self.path)
        except OSError:
            return None
        return seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns

    def _unsettled(self, stamp: _Stamp | None) -> bool:
        if stamp is None:
            return False
        age = self._clock.now().timestamp() - stamp[3] / 1e9
        return abs(age) < UNSETTLED_S


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
