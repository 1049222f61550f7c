"""How a running guard sees, for every PDU, that another process has just revoked a certificate.

Eight octets of shared memory (a mapped file): a counter that every change of the registry moves. Looking at it costs
70 ns, where ``os.stat`` costs 1 µs and SQLite's ``data_version`` 2 µs. It is kept as a sequence lock: odd from before a
change is committed until after, so there is no instant at which the change holds and the counter still says otherwise.
If the writer dies in between it stays odd, and readers look into the database each time, slow but right, until the next
one who opens or changes the registry puts it straight.

Writers take turns by ``flock``. The memory is shared among the processes of one machine: the guard's directory must not
lie on a network file system, which SQLite's WAL forbids as well.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

REVISION: Final = "identity.revision"
_SIZE: Final = 8
_COUNTER: Final = struct.Struct("<Q")


class Revision:
    """``memory[:8]`` is the counter as octets: compare it with what `stable` gave when you last looked."""

    def __init__(self, home: Path) -> None:
        self._descriptor = os.open(home / REVISION, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                if os.fstat(self._descriptor).st_size < _SIZE:
                    os.ftruncate(self._descriptor, _SIZE)
                self.memory = mmap.mmap(self._descriptor, _SIZE)
                (count,) = _COUNTER.unpack_from(self.memory)
                if count % 2:  # we hold the lock, so whoever made it odd is dead
                    self._set(count + 1)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._path = home / REVISION

    def stable(self) -> bytes | None:
        """The counter, or None while a change is under way and nothing may be remembered."""
        octets = self.memory[:_SIZE]
        return octets if octets[0] % 2 == 0 else None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change, its commit included."""
        # A descriptor of its own: flock belongs to the open file, and threads of one process must take turns, too.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            (count,) = _COUNTER.unpack_from(self.memory)
            odd = count | 1
            self._set(odd)
            try:
                yield
            finally:
                self._set(odd + 1)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        self.memory.close()
        os.close(self._descriptor)

    def _set(self, count: int) -> None:
        _COUNTER.pack_into(self.memory, 0, count & (2**64 - 1))
