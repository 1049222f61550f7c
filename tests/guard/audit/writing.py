"""A process that records, to be killed or starved: ``writing.py HOME forever`` or ``writing.py HOME small-disk``.

Says on standard output what was acknowledged, a line each, without a buffer in between.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from guard.audit.happenings import ALERT, KEY, QUERY
from leadapron.guard.audit.place import AuditFailed
from leadapron.guard.audit.trail import Trail

ROOM = 30_000  # octets that a file may have, for `small_disk`


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def forever(home: Path) -> None:
    """Every record that is acknowledged is said; every fourth is waited for. Small files, so that they are changed."""
    with Trail(home, KEY, segment_size=20_000) as trail:
        say(f"open {trail.written.sequence}")
        number = 0
        while True:
            number += 1
            durable = number % 4 == 0
            say(f"{trail.record(ALERT if number % 7 == 0 else QUERY, durable=durable)} {durable}")


def small_disk(home: Path) -> None:
    """The disk is full for a while: no file may grow beyond `ROOM`."""
    trail = Trail(home, KEY)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        while True:
            trail.record(QUERY)
    except AuditFailed as error:
        say(f"failed {trail.written.sequence} healthy={trail.healthy} {error}")
    for _ in range(2):
        try:
            trail.record(ALERT, durable=True)
        except AuditFailed:
            say(f"refused healthy={trail.healthy}")
    end = time.monotonic() + 2.5  # the trail tries again in vain
    while time.monotonic() < end and not trail.healthy:
        time.sleep(0.05)
    say(f"still healthy={trail.healthy} {trail.error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    end = time.monotonic() + 20
    while time.monotonic() < end and not trail.healthy:
        time.sleep(0.02)
    say(f"again healthy={trail.healthy} {trail.error}")
    say(f"recorded {trail.record(QUERY, durable=True)}")
    trail.close()


if __name__ == "__main__":
    {"forever": forever, "small-disk": small_disk}[sys.argv[2]](Path(sys.argv[1]))
