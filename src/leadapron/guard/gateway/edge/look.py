"""How a queue stands, seen from outside: for ``--status``, while an edge runs or not. Nothing is opened."""

from __future__ import annotations

import contextlib
import fcntl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.edge.item import numbered
from leadapron.kernel.clock import iso

NOTES_SHOWN: Final = 20


class Look(Struct, frozen=True):
    """How a queue stands. ``oldest`` is None when nothing waits; ``running``: a process has it."""

    waiting: int
    octets: int
    oldest: datetime | None
    refused: int
    running: bool


def look(home: Path) -> Look:
    """How the queue in ``home`` stands, without opening anything in it. It need not exist."""
    waiting = octets = refused = 0
    oldest: float | None = None
    for sequence_and_path in numbered(home / "waiting"):
        with contextlib.suppress(FileNotFoundError):  # delivered in this very moment
            status = sequence_and_path[1].stat()
            waiting, octets = waiting + 1, octets + status.st_size
            oldest = status.st_mtime if oldest is None else min(oldest, status.st_mtime)
    refused = sum(1 for _ in numbered(home / "refused"))
    since = None if oldest is None else datetime.fromtimestamp(oldest, UTC)
    return Look(waiting, octets, since, refused, _held(home / "lock"))


def notes(home: Path, most: int) -> list[str]:
    """Number and note of the refused items, the newest ``most`` of them."""
    found = sorted(numbered(home / "refused"), key=lambda numbered: numbered[0])[-most:]
    lines = []
    for sequence, path in found:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            lines.append(f"{sequence}: {path.with_suffix('.txt').read_text('utf-8').strip()}")
    return lines


def describe(home: Path) -> list[str]:
    """Lines for ``--status``: how the queue stands, whether an edge has it, and why items were refused."""
    seen = look(home)
    lines = [
        f"queue    {home}{'' if home.is_dir() else ', which is not there yet'}",
        f"edge     {'running' if seen.running else 'not running'}",
        f"waiting  {seen.waiting} {data_sets(seen.waiting)}, {seen.octets / (1 << 20):,.1f} MiB",
    ]
    if seen.oldest is not None:
        lines.append(f"oldest   {iso(seen.oldest)}")
    lines.append(f"refused  {seen.refused}")
    return [*lines, *(f"  {note}" for note in notes(home, NOTES_SHOWN))]


def data_sets(number: int) -> str:
    return "data set" if number == 1 else "data sets"


def _held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
