"""What a part of the guard remembers across a restart: one small sealed file, replaced at once.

It is written some seconds after something changed, and at the end. A guard that is killed forgets these seconds. A file
that is not ours, or of a moment that cannot be, is as good as none: the part begins anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from leadapron.kernel.clock import Clock
from leadapron.kernel.files import write_whole
from leadapron.kernel.seal import Sealer, Unsealable

MOST_OCTETS: Final = 64 << 20


class Kept:
    """``purpose`` keeps one such file from being taken for another."""

    def __init__(self, path: Path, key: bytes, purpose: str) -> None:
        self._path, self._sealer = path, Sealer(key, purpose)

    def read(self) -> bytes | None:
        """What was written last; None where there is nothing, or nothing of ours."""
        try:
            with self._path.open("rb") as file:
                data = file.read(MOST_OCTETS + 1)
            return self._sealer.open(data) if len(data) <= MOST_OCTETS else None
        except (OSError, Unsealable):
            return None

    def write(self, data: bytes) -> None:
        """Raises OSError; what was there then still stands."""
        write_whole(self._path, self._sealer.seal(data))


class Moments:
    """Between the monotonic clock, which a restart begins anew, and the wall clock, which it does not."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.monotonic()
        self._apart = clock.now().timestamp() - self.now

    def to_keep(self, moment: float) -> float:
        return moment + self._apart

    def kept(self, moment: float) -> float:
        """A moment that was kept, on this process's monotonic clock; may lie in the future if a clock was set back."""
        return moment - self._apart
