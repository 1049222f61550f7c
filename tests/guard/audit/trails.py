"""Trails to try things on: one that is written, its files taken apart without our reader, a clock that stands still."""

from __future__ import annotations

import shutil
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from guard.audit.happenings import ALERT, KEY, QUERY
from leadapron.guard.audit.trail import Trail

HASH = 32


@dataclass
class HeldClock:
    """Goes on by a second for each look."""

    at: datetime = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    ticks: float = 0.0

    def monotonic(self) -> float:
        return self.ticks

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


def make(home: Path, records: int = 6, *, segment_size: int = 64 << 20, key: bytes = KEY) -> Path:
    """A closed trail of so many records below ``home``; gives its directory."""
    with Trail(home, key, HeldClock(), "guard", segment_size=segment_size) as trail:
        for number in range(records):
            trail.record(ALERT if number % 3 == 2 else QUERY)
    return home / "audit"


def copy(trail: Path, home: Path) -> Path:
    """A copy of a trail's directory below another home."""
    shutil.copytree(trail, home / "audit")
    return home / "audit"


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.audit"))


HEADER = 8 + 4 * 8 + 2 * HASH


def cuts(data: bytes) -> list[tuple[int, int]]:
    """Where each record of a whole segment begins and ends."""
    found, offset = [], HEADER
    while offset < len(data):
        (size,) = struct.unpack_from(">I", data, offset)
        end = offset + 20 + HASH + size + HASH
        found.append((offset, end))
        offset = end
    return found
