"""Where the trail lies: names of files below ``<home>/audit``, and what can be read of them without a writer."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from leadapron.guard.audit.chain import MAX_SEGMENT, Chain, Position
from leadapron.kernel.errors import Failure

DIRECTORY: Final = "audit"
BEGIN: Final = b"begin"
"""What a trail's beginning is sealed as, once something was removed before it (see ``prune``)."""
_SEGMENT: Final = re.compile(r"(\d{8,12})\.audit")


class AuditFailed(Failure):
    """The audit trail cannot be written or read. What should be recorded must not be done."""


@contextlib.contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """Root acts as whoever owns ``directory`` meanwhile: what ``sudo leadapron audit`` writes the guard must be able to
    read. Without effect for anybody else. Changes the whole process: for commands, not for services."""
    found = directory.stat()
    if os.geteuid() != 0 or found.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(found.st_gid)
    os.seteuid(found.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


class Place:
    """The directory of a trail. Nothing is created by looking."""

    def __init__(self, home: Path) -> None:
        self.home = home / DIRECTORY

    @property
    def head(self) -> Path:
        return self.home / "head"

    @property
    def begin(self) -> Path:
        return self.home / "begin"

    @property
    def anchor(self) -> Path:
        """Beside the directory, so that it stays when that is taken away."""
        return self.home.with_name(f"{DIRECTORY}.anchor")

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def inbox(self) -> Path:
        return self.home / "inbox"

    def segment(self, number: int) -> Path:
        return self.home / f"{number:08d}.audit"

    def mark(self, name: str) -> Path:
        """How far a forwarder came."""
        return self.home / f"sent-{name}"

    def exists(self) -> bool:
        return self.head.exists() or bool(self.numbers())

    def numbers(self) -> list[int]:
        """The segments that are there, in order."""
        try:
            found = [_SEGMENT.fullmatch(name) for name in os.listdir(self.home)]
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for match in found if match)

    def read_head(self, chain: Chain) -> Position | None:
        """What the head says; None if there is none, or it is not ours."""
        with contextlib.suppress(OSError):
            return chain.parse_position(self.head.read_bytes()[:1024])
        return None

    def start(self, chain: Chain) -> Position:
        """Where the trail begins: with its first record, or behind what was removed."""
        with contextlib.suppress(OSError):
            return chain.parse_position(self.begin.read_bytes()[:1024], BEGIN) or chain.start
        return chain.start

    def read_segment(self, number: int) -> bytes | None:
        """All of a segment; None if it is not there, or no file of ours could be that large."""
        path = self.segment(number)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_SEGMENT:
                    return None
                return file.read(MAX_SEGMENT)
        except FileNotFoundError:
            return None

    def size(self, number: int) -> int:
        """Octets of a segment, 0 if it is not there."""
        try:
            return self.segment(number).stat().st_size
        except FileNotFoundError:
            return 0
