"""What the edge records: an audit trail of its own (PS3.15 A.5, chained, sealed) and a line on standard error.

The trail has one message for the start, the end, and each stranger who was turned away. What the device stores and asks
for is recorded by the guard, which sees it with the certificate's name on it. A trail that cannot be written (the disk
is full) is said once and does not stop deliveries: they are what makes room.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from leadapron.guard.audit.events import ApplicationActivity, Event, NodeAuthenticationFailed, Participant
from leadapron.guard.audit.look import KEY
from leadapron.guard.audit.message import Source
from leadapron.guard.audit.place import AuditFailed
from leadapron.guard.audit.trail import Trail
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.files import private_directory
from leadapron.kernel.seal import key_file

LINES, MESSAGES, WINDOW_S = 10, 500, 10.0
"""Lines of the log, and messages of the trail, about strangers in one window of time; the rest is counted."""
ALL_LINES: Final = 200
_UNTOLD: Final = "further attempts in a short time: "


class Sparing:
    """A log that whoever may connect cannot fill either: ``ALL_LINES`` in one window of time, the rest is counted."""

    def __init__(self, told: Callable[[str], None], clock: Clock = SystemClock()) -> None:  # noqa: B008 (without state)
        self._told, self._clock = told, clock
        self._until = 0.0
        self._lines = 0

    def __call__(self, text: str) -> None:
        now = self._clock.monotonic()
        if now >= self._until:
            if self._lines > ALL_LINES:
                self._told(f"{self._lines - ALL_LINES} more lines within {WINDOW_S:g} s were left out")
            self._until, self._lines = now + WINDOW_S, 0
        self._lines += 1
        if self._lines <= ALL_LINES:
            self._told(text)


class Record:
    """A context manager. ``data``: the queue's directory. The trail lies in it where ``leadapron audit --data`` looks
    for one, with a key of its own."""

    def __init__(
        self,
        data: Path,
        ae: str,
        told: Callable[[str], None],
        clock: Clock = SystemClock(),  # noqa: B008 (without state)
    ) -> None:
        home = private_directory(data / "guard")
        self._trail = Trail(home, key_file(home / KEY), clock, Source("leadapron edge", ae))
        self._told, self._clock = told, clock
        self._until = 0.0
        self._seen = self._unsaid = self._unrecorded = 0
        self._failed = False

    def __enter__(self) -> Self:
        self._add(ApplicationActivity(started=True, launcher=_launcher()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sum_up("this edge's port")
        self._add(ApplicationActivity(started=False, launcher=_launcher()))
        self._trail.close()

    def stranger(self, address: str, why: str, ae: str | None) -> None:
        """Somebody was turned away. ``ae``: the calling AE title as claimed."""
        now = self._clock.monotonic()
        if now >= self._until:
            self._until = now + WINDOW_S
            self._sum_up(address)
        self._seen += 1
        if self._seen <= MESSAGES:
            self._add(NodeAuthenticationFailed(address=address, reason=why, ae=ae))
        else:
            self._unrecorded += 1
        if self._seen <= LINES:
            claimed = "" if ae is None else f", calling itself {ae!a}"
            self._told(f"turned away: {address}{claimed}: {why}")
        else:
            self._unsaid += 1

    def _sum_up(self, address: str) -> None:
        """What was only counted in the window before."""
        if self._unsaid:
            self._told(f"turned away: {self._unsaid} more")
        if self._unrecorded:
            self._add(NodeAuthenticationFailed(address=address, reason=f"{_UNTOLD}{self._unrecorded}"))
        self._seen = self._unsaid = self._unrecorded = 0

    def _add(self, event: Event) -> None:
        try:
            self._trail.record(event)
        except AuditFailed as error:
            if not self._failed:
                self._told(str(error))
            self._failed = True
        else:
            self._failed = False


def _launcher() -> Participant:
    try:
        return Participant(getpass.getuser())
    except (KeyError, OSError):
        return Participant(f"uid {os.getuid()}")
