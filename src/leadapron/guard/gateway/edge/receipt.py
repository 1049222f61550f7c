"""An item on its way into the queue, from the first octet to stable storage."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

import msgspec

from leadapron.guard.gateway.edge.item import Full, Item, name_of
from leadapron.guard.gateway.edge.sealed import CHUNK, SealedWriter
from leadapron.kernel.files import PRIVATE, sync_directory

if TYPE_CHECKING:
    from leadapron.guard.gateway.edge.queue import Queue


class Receipt:
    """An item under way: `add` chunks, then `commit`; or leave it to `discard`, which is harmless after a commit.

    Its methods are awaited one at a time. The file is touched in threads only, under a lock, because a receipt may be
    discarded (the edge shuts down) while a thread still writes.
    """

    def __init__(self, queue: Queue, item: Item, key: bytes, pool: ThreadPoolExecutor) -> None:
        self._queue, self._item, self._key, self._pool = queue, item, key, pool
        self._part = queue.incoming / f"{name_of(item.sequence)}.part"
        self._held: list[bytes | memoryview] = []
        self._waiting_octets = 0
        self._received = 0
        self._size = 0
        self._lock = Lock()
        self._descriptor = -1
        self._writer: SealedWriter | None = None
        self._over = self._forgotten = False

    async def add(self, chunk: bytes | memoryview) -> None:
        """More of the data set. Raises `Full`."""
        self._received += len(chunk)
        if self._received > self._queue.limits.largest:
            raise Full(f"a data set is longer than the {self._queue.limits.largest} octets that are taken")
        self._held.append(chunk)
        self._waiting_octets += len(chunk)
        if self._waiting_octets >= CHUNK:
            self._queue.check_room(self._waiting_octets)
            await self._step(self._write)

    async def commit(self) -> None:
        """All of it is there: afterwards it is on stable storage and will be delivered. Raises `Full`."""
        self._queue.check_room(self._waiting_octets)
        await self._step(self._finish)
        self._over = True
        self._queue.arrived(self._item, self._size)

    async def discard(self) -> None:
        """Forgets what is not committed."""
        if self._over:
            return
        self._over = True
        self._held.clear()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, self._forget))
        self._queue.given_up(self._size)

    async def _step(self, work: Callable[[], int]) -> None:
        try:
            size = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OSError as error:  # the disk is full, the file is too large, the disk is broken
            raise Full(f"the queue cannot be written: {error.strerror or type(error).__name__}") from None
        self._queue.grown(size - self._size)
        self._size = size

    # ---- in a thread ------------------------------------------------------------------------------------------------

    def _write(self) -> int:
        with self._lock:
            return self._written().written

    def _written(self) -> SealedWriter:
        if self._forgotten:
            raise OSError(errno.ECANCELED, "given up")
        writer = self._writer
        if writer is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._part, flags, PRIVATE)
            head = msgspec.json.encode(self._item)
            writer = self._writer = SealedWriter(self._descriptor, self._key, name_of(self._item.sequence), head)
        held, self._held, self._waiting_octets = self._held, [], 0
        for chunk in held:
            writer.add(chunk)
        return writer

    def _finish(self) -> int:
        with self._lock:
            writer = self._written()
            writer.finish()
            os.fsync(self._descriptor)
            self._close()
            place = self._queue.waiting / f"{name_of(self._item.sequence)}.item"
            os.rename(self._part, place)
            try:
                sync_directory(self._queue.waiting)
            except OSError:  # not known to be durable, so not to be acknowledged: it must not be delivered, either
                place.unlink()
                raise
            return writer.written

    def _forget(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._forgotten = True
            self._close()
            self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
