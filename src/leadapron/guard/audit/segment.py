"""The segment that is being written: records are put at a known offset, so that a failed write leaves no trace.

A write that comes back short or not at all (a full disk) is undone by cutting the file where the record began; the next
one goes to the same place. `sync` may run while others append: it works on a descriptor of its own.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from leadapron.guard.audit.chain import Chain, SegmentHead
from leadapron.kernel.files import PRIVATE, write_whole


class Segment:
    """An open segment file. Raises OSError; not thread-safe but for `duplicate`'s result."""

    def __init__(self, path: Path, offset: int) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        self.path = path
        self.offset = offset

    @classmethod
    def begin(cls, path: Path, chain: Chain, head: SegmentHead) -> Segment:
        """A new segment; it is there as a whole or not at all."""
        data = chain.segment(head)
        write_whole(path, data)
        return cls(path, len(data))

    @property
    def there(self) -> bool:
        """Whether what is written is still the file of that name: nobody removed it, or put another in its place."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.lstat(self.path))
        except FileNotFoundError:
            return False

    def cut(self) -> None:
        """Remove what is behind `offset`."""
        os.ftruncate(self._descriptor, self.offset)
        os.fsync(self._descriptor)

    def append(self, record: bytes) -> None:
        """Hand it to the system: it survives the death of this process, not yet that of the machine."""
        try:
            done = 0
            while done < len(record):
                done += os.pwrite(self._descriptor, record[done:] if done else record, self.offset + done)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.offset)
            raise
        self.offset += len(record)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def duplicate(self) -> int:
        """A descriptor of its own to sync by; the caller closes it."""
        return os.dup(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
