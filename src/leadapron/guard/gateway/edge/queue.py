"""What the device was told is stored, and the far side has not yet confirmed: on disk, encrypted, in order.

An item is one file. It is written as ``incoming/N.part``, synced, renamed to ``waiting/N.item``, and the directory is
synced; only then may Success be answered (invariant 6). So a file under ``waiting`` is whole by construction, and one
under ``incoming`` was never acknowledged: what is found there at the start is removed. A delivered item is unlinked
without a sync: after a crash it may be there again and is delivered twice, the same SOP instance, which is what "at
least once" means. What the far side refuses for good goes to ``refused`` with a note that says why, and stays there
until somebody looks.

Numbers rise with the order of arrival and are the order of delivery. They are names, too: an item opens only under its
own. Nothing in a name tells of a patient; UIDs, titles and data are inside, sealed.

Bounds: octets of all that lies here (refused ones included), a number of items, and a reserve of the disk that is left
alone. What does not fit raises `Full`, before it was acknowledged. Files are written in threads: a slow disk holds the
device back and nobody else.

One process at a time has the queue (``lock``); `look` only counts and may come at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from leadapron.guard.gateway.edge.item import Entry, Full, Item, QueueLimits, decode_item, name_of, numbered
from leadapron.guard.gateway.edge.receipt import Receipt
from leadapron.guard.gateway.edge.sealed import CHUNK, SealedReader
from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import Failure
from leadapron.kernel.files import PRIVATE, private_directory, sync_directory, write_whole
from leadapron.kernel.seal import Sealer, Unsealable

WRITERS: Final = 4
KNOWN: Final = 1024
"""Items whose heads are kept in memory as they come. A queue of 250,000 items takes some 100 MB without them."""
_MARK: Final = b"the queue of an edge"

R = TypeVar("R")


class Queue:
    """``async with Queue(home, key) as queue``. Everything but `Receipt`'s writing happens in the loop's thread."""

    def __init__(
        self,
        home: Path,
        key: bytes,
        limits: QueueLimits = QueueLimits(),  # noqa: B008 (frozen)
        clock: Clock = SystemClock(),  # noqa: B008 (without state)
    ) -> None:
        self.home, self.limits = home, limits
        self.incoming, self.waiting, self.refused = home / "incoming", home / "waiting", home / "refused"
        self.octets = 0
        """Of all files, those under way and refused ones included."""
        self.refusals = 0
        self.delivered_until_now = 0
        self._key, self._clock = key, clock
        self._entries: dict[int, Entry] = {}
        self._next = 1
        self._under_way = 0
        self._lock: BinaryIO | None = None
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="edge-queue")
        self._changed = asyncio.Event()

    # ---- beginning and end ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Queue:
        self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.shutdown()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open(self) -> None:
        for directory in (self.home, self.incoming, self.waiting, self.refused):
            private_directory(directory)
        self._lock = os.fdopen(os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE), "rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise Failure(f"another edge is running with the queue {self.home}: each needs one of its own") from None
        self._check_key()
        for part in self.incoming.iterdir():  # never acknowledged
            part.unlink()
        for left in [*self.waiting.glob(".*"), *self.refused.glob(".*")]:
            left.unlink()
        sync_directory(self.waiting)  # a rename that a crash overtook is made durable before it counts
        waiting = sorted(numbered(self.waiting), key=lambda found: found[0])
        for sequence, path in waiting:
            status = path.stat()
            self._entries[sequence] = Entry(sequence, status.st_size, status.st_mtime)
            self.octets += status.st_size
        highest = waiting[-1][0] if waiting else 0
        for sequence, path in numbered(self.refused):
            self.refusals += 1
            self.octets += path.stat().st_size
            highest = max(highest, sequence)
        self._next = highest + 1
        first = next(iter(self._entries.values()), None)
        if first is not None:
            first.uncertain = True  # it may have been under way when the process before ended

    def _check_key(self) -> None:
        """Whether the files here were sealed with this key: better known now than at the first delivery."""
        mark, sealer = self.home / "mark", Sealer(self._key, "edge queue mark")
        if not mark.exists():
            write_whole(mark, sealer.seal(_MARK))
        try:
            sealer.open(mark.read_bytes())
        except Unsealable:
            raise Failure(
                f"the queue {self.home} was sealed with another key: give it back the key that it was made with, "
                "or choose another directory for the queue"
            ) from None

    # ---- in ---------------------------------------------------------------------------------------------------------

    def begin(
        self,
        *,
        sop_class: str,
        sop_instance: str,
        transfer_syntax: str,
        calling: str,
        called: str,
        priority: int = 0,
        move_originator: str | None = None,
        move_originator_message_id: int | None = None,
    ) -> Receipt:
        """Room for a data set that is to come. Raises `Full`."""
        if len(self._entries) + self.refusals + self._under_way >= self.limits.items:
            raise Full(f"{self.limits.items} items are queued, which is the bound")
        self.check_room(CHUNK)
        item = Item(
            sequence=self._next,
            sop_class=sop_class,
            sop_instance=sop_instance,
            transfer_syntax=transfer_syntax,
            calling=calling,
            called=called,
            received=iso(self._clock.now()),
            priority=priority,
            move_originator=move_originator,
            move_originator_message_id=move_originator_message_id,
        )
        self._next += 1
        self._under_way += 1
        return Receipt(self, item, self._key, self._pool)

    def check_room(self, more: int) -> None:
        """Raises `Full` where ``more`` octets do not fit. The disk is asked each time: others write to it, too."""
        if self.octets + more > self.limits.octets:
            raise Full(f"the queue holds {self.octets} octets, and its bound is {self.limits.octets}")
        disk = os.statvfs(self.home)
        if disk.f_bavail * disk.f_frsize - more < self.limits.reserve:
            raise Full(f"less than {self.limits.reserve} octets are free on the disk of the queue")

    def grown(self, octets: int) -> None:
        """An item under way has so many octets more on disk."""
        self.octets += octets

    def arrived(self, item: Item, size: int) -> None:
        """An item is durable."""
        self._under_way -= 1
        last = next(reversed(self._entries), 0)
        known = item if len(self._entries) < KNOWN else None  # read again when its turn comes
        self._entries[item.sequence] = Entry(item.sequence, size, self._clock.now().timestamp(), known)
        if item.sequence < last:  # receipts may end in another order than they began; the lowest number is first
            self._entries = dict(sorted(self._entries.items()))
        self.wake()

    def given_up(self, size: int) -> None:
        """A receipt came to nothing; its file is gone."""
        self._under_way -= 1
        self.octets -= size

    # ---- out --------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._entries)

    def first(self) -> Entry | None:
        """The next to be delivered."""
        return next(iter(self._entries.values()), None)

    def last_number(self) -> int:
        """The highest number that was given away."""
        return self._next - 1

    def holds_any_up_to(self, number: int) -> bool:
        """Whether something that came before (or as) ``number`` still waits."""
        first = self.first()
        return first is not None and first.sequence <= number

    async def changed(self) -> None:
        """Until something comes or goes."""
        await self._changed.wait()

    async def settled(self, number: int, seconds: float) -> bool:
        """Whether all that came up to ``number`` has left, within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while self.holds_any_up_to(number):
                    await self.changed()
        except TimeoutError:
            return False
        return True

    async def read_item(self, entry: Entry) -> Item:
        """What an entry is. Raises `Unsealable`, OSError."""
        if entry.item is None:
            entry.item = await self._in_thread(self._read_item, entry.sequence)
        return entry.item

    def _read_item(self, sequence: int) -> Item:
        path = self._path(self.waiting, sequence)
        with path.open("rb") as file:
            return decode_item(SealedReader(file, self._key, name_of(sequence)).head)

    async def kinds(self, most: int) -> list[tuple[str, str]]:
        """The kinds of the next ``most`` items, each once, in their order; those that do not open are left out."""
        found: dict[tuple[str, str], None] = {}
        for entry in [entry for entry, _ in zip(self._entries.values(), range(most), strict=False)]:
            with contextlib.suppress(Unsealable, OSError):
                found[(await self.read_item(entry)).kind] = None
        return list(found)

    async def data(self, entry: Entry) -> AsyncGenerator[bytes, None]:
        """The data set of an entry in chunks. Raises `Unsealable` before the end where the file is not whole."""
        file = await self._in_thread(self._path(self.waiting, entry.sequence).open, "rb")
        try:
            chunks = iter(await self._in_thread(SealedReader, file, self._key, name_of(entry.sequence)))
            while (chunk := await self._in_thread(next, chunks, None)) is not None:
                yield chunk
        finally:
            file.close()

    async def delivered(self, entry: Entry) -> None:
        """The far side has it: it is deleted here."""
        with contextlib.suppress(OSError):  # what cannot be deleted is delivered again by the next process
            await self._in_thread(self._path(self.waiting, entry.sequence).unlink)
        self.octets -= entry.size
        self.delivered_until_now += 1
        self._gone(entry)

    async def set_aside(self, entry: Entry, why: str) -> None:
        """To the refused ones, with a note. ``why`` holds nothing of the data set."""
        await self._in_thread(self._set_aside, entry.sequence, why)
        self.refusals += 1
        self._gone(entry)

    def _set_aside(self, sequence: int, why: str) -> None:
        write_whole(self.refused / f"{name_of(sequence)}.txt", f"{iso(self._clock.now())} {why}\n".encode())
        os.rename(self._path(self.waiting, sequence), self._path(self.refused, sequence))
        sync_directory(self.refused)
        sync_directory(self.waiting)

    def take_back(self) -> int:
        """Puts the refused ones back in their places, to be tried again; gives their number."""
        back = sorted(numbered(self.refused), key=lambda found: found[0])
        for sequence, path in back:
            target = self._path(self.waiting, sequence)
            os.rename(path, target)
            path.with_suffix(".txt").unlink(missing_ok=True)
            status = target.stat()
            self._entries[sequence] = Entry(sequence, status.st_size, status.st_mtime)
        if back:
            sync_directory(self.waiting)
            sync_directory(self.refused)
            self.refusals = 0
            self._entries = dict(sorted(self._entries.items()))
            self.wake()
        return len(back)

    def forget(self, entry: Entry) -> None:
        """Not to be tried by this process: its file cannot even be moved."""
        self._gone(entry)

    def _gone(self, entry: Entry) -> None:
        del self._entries[entry.sequence]
        self.wake()

    def wake(self) -> None:
        """Whoever waits in `changed` goes on."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _path(self, directory: Path, sequence: int) -> Path:
        return directory / f"{name_of(sequence)}.item"

    async def _in_thread(self, work: Callable[..., R], *arguments: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
