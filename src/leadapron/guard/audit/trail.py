"""The audit trail's writer: `Trail.record`, and what keeps its promise.

`record` seals, chains and hands the record to the system within some 50 µs: it survives the death of this process at
once. A thread of the trail's own makes it durable: alerts at once, the others within a second, all that came in the
meantime with one flush (group commit), and after each flush the head is moved. Who needs certainty waits for it
(``durable=True``, not on an event loop: that costs two flushes of the disk).

What cannot be recorded must not happen (fail closed): the gateway refuses service while `healthy` is false; `error`
says why. It is false as soon as less than a reserve is free on the disk, while `record` still works, so that what is
under way can be recorded to its end; that is told in an alert. When the disk is full or fails, `record` raises
`AuditFailed`. The thread tries again every second; when it works again, the first record says since when it did not
and how many were refused. After a flush that failed nothing is tried again: what the system did with those octets is
unknown until the trail is opened anew.

One process writes, by a lock that ends with it. Opening reads what lies behind the head: whole records are kept, the
unfinished rest of a run that was killed is cut, and damage is never repaired: a new segment begins behind it, so that
`verify` will always find it. Either is told in a record.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from leadapron.guard.audit import inbox
from leadapron.guard.audit.anchor import drop, lost
from leadapron.guard.audit.chain import MAX_MESSAGE, Chain, Position, SegmentHead
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import ALERTS, Event, SecurityAlert
from leadapron.guard.audit.message import Source, message
from leadapron.guard.audit.place import AuditFailed, Place, as_owner
from leadapron.guard.audit.recover import recover
from leadapron.guard.audit.segment import Segment
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure
from leadapron.kernel.files import private_directory, sync_directory, write_whole

SEGMENT_SIZE: Final = 64 << 20
FLUSH_S: Final = 0.5
RETRY_S: Final = 1.0
ANCHOR_S: Final = 10.0
DURABLE_S: Final = 30.0
RESERVE: Final = 64 << 20
"""Octets that must be free on the disk: some 40,000 records."""


class Busy(Failure):
    """Another process writes this trail."""


class Trail:
    """The one writer of the trail in ``home``. Thread-safe. ``source``: how the guard calls itself in it.

    ``segment_size``: octets after which a new file is begun. ``reserve``: those that must stay free on the disk.
    ``patience``: seconds to wait for another writer to end (a command that leaves a record takes some 20 ms). Raises
    `Busy`, and `AuditFailed` where nothing can be written.
    """

    def __init__(
        self,
        home: Path,
        key: bytes,
        clock: Clock | None = None,
        source: str | Source = "leadapron",
        *,
        segment_size: int = SEGMENT_SIZE,
        reserve: int = RESERVE,
        patience: float = 5.0,
    ) -> None:
        self.home = home
        self.place = Place(home)
        self.chain = Chain(key)
        self.source = Source(source) if isinstance(source, str) else source
        self._key = key
        self._clock = clock or SystemClock()
        self._segment_size = segment_size
        self.reserve = reserve
        self._low: str | None = None
        self._changed = threading.Condition()  # guards everything below
        self._error: str | None = None
        self._broken = False  # a flush failed: no way back
        self._failed_since: str | None = None
        self._refused = 0
        self._urgent = False
        self._closing = False
        self._anchored = 0
        self._anchored_at = time.monotonic()
        self.found: str | None = None
        """What was wrong when it was opened; it stands in the trail, too."""
        try:
            private_directory(self.place.home)
            self._lock = self._take_lock(patience)
        except OSError as error:
            raise AuditFailed(f"cannot write the audit trail in {self.place.home}: {error.strerror}") from error
        try:
            self._open()
        except OSError as error:
            self._let_go()
            raise AuditFailed(f"cannot write the audit trail in {self.place.home}: {error.strerror}") from error
        except BaseException:
            self._let_go()
            raise
        self._thread = threading.Thread(target=self._work, name="audit trail", daemon=True)
        self._thread.start()

    # ---- what others use --------------------------------------------------------------------------------------------

    def record(self, event: Event, *, durable: bool = False) -> int:
        """Record it; gives its sequence number. Raises `AuditFailed` if it is not recorded.

        ``durable``: come back only when it is on stable storage.
        """
        text = message(event, self.source, self._clock.now())
        return self._record(text, urgent=durable or isinstance(event, ALERTS), durable=durable)

    def tell(self, event: Event) -> None:
        """Record it if that is possible: for callers that refuse service while the trail is not `healthy`, and cannot
        do anything about it here."""
        with contextlib.suppress(AuditFailed):
            self.record(event)

    @property
    def healthy(self) -> bool:
        """Whether what happens now can be recorded."""
        return self._error is None and self._low is None

    @property
    def error(self) -> str | None:
        """Why not."""
        return self._error or self._low

    @property
    def closed(self) -> bool:
        return self._closing

    @property
    def durable(self) -> Position:
        """Up to where the trail is on stable storage."""
        return self._durable

    @property
    def written(self) -> Position:
        """Up to where it is written."""
        return self._at

    def wait_durable(self, beyond: int, timeout: float) -> bool:
        """Wait until a record with a higher number than ``beyond`` is durable; False after ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._durable.sequence > beyond or self._closing, timeout) and (
                self._durable.sequence > beyond
            )

    def close(self) -> None:
        """Take up what is in the inbox, make all durable, let the lock go. Raises nothing; may be called twice."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._segment.close()
        self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- opening ----------------------------------------------------------------------------------------------------

    def _take_lock(self, patience: float) -> int:
        descriptor = os.open(self.place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    os.close(descriptor)
                    raise Busy(
                        f"another process writes the audit trail in {self.place.home}, and only one may: most likely "
                        "this guard, or edge, runs already"
                    ) from None
                time.sleep(0.02)
            else:
                return descriptor

    def _let_go(self) -> None:
        os.close(self._lock)

    def _open(self) -> None:
        place, chain = self.place, self.chain
        for left in place.home.glob(".*"):
            left.unlink()  # a head that was not finished
        for left in self.home.glob(f".{place.anchor.name}.*"):
            left.unlink()
        missing = lost(place, chain)
        if not place.exists():
            sync_directory(self.home)
            self._move_head(chain.start)
        end = recover(place, chain, missing)
        if end.new_segment:
            before = place.size(end.at.segment - 1)
            head = SegmentHead(end.at.segment, end.at.sequence + 1, before, end.at.hash, end.damaged)
            self._segment = Segment.begin(place.segment(end.at.segment), chain, head)
        else:
            self._segment = Segment(place.segment(end.at.segment), end.at.offset)
        self._at = Position(end.at.segment, self._segment.offset, end.at.sequence, end.at.hash)
        try:
            self._segment.cut()
            self._move_head(self._at)
            if end.told is not None:
                self.found = end.told.text
                self._append(message(end.told, self.source, self._clock.now()))
            self._look_at_room()
            self._collect()
            self._commit()
            if missing is not None or not place.anchor.exists():
                self._drop_anchor()
        except BaseException:
            self._segment.close()
            raise

    def _move_head(self, at: Position) -> None:
        write_whole(self.place.head, self.chain.position(at))
        self._durable = at

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _record(self, text: bytes, *, urgent: bool, durable: bool) -> int:
        with self._changed:
            if self._closing or self._error is not None:
                self._refused += 1
                raise AuditFailed(self._error or "the audit trail is closed")
            try:
                sequence = self._append(text)
            except OSError as error:
                self._refused += 1
                raise self._fail("write", error) from error
            if urgent or self._at.sequence == self._durable.sequence + 1:
                self._urgent |= urgent
                self._changed.notify_all()
            if durable and not self._changed.wait_for(
                lambda: self._durable.sequence >= sequence or self._error is not None, DURABLE_S
            ):
                raise AuditFailed(f"the audit trail was not on stable storage within {DURABLE_S:g} s")
            if durable and self._durable.sequence < sequence:
                raise AuditFailed(self._error or "the audit trail is not on stable storage")
            return sequence

    def _append(self, text: bytes) -> int:
        """Under the lock. Raises OSError; then nothing was written."""
        if len(text) > MAX_MESSAGE:
            raise AuditFailed("an audit message is larger than any can be")
        if self._segment.offset >= self._segment_size:
            self._rotate()
        at, sequence = self._at, self._at.sequence + 1
        micros = max(0, int(self._clock.now().timestamp() * 1e6))
        record = self.chain.record(sequence, micros, at.hash, text)
        self._segment.append(record)
        self._at = Position(at.segment, self._segment.offset, sequence, record[-len(at.hash) :])
        return sequence

    def _rotate(self) -> None:
        """Go on in a new file. The full one is durable before the new one is there."""
        self._segment.sync()
        self._begin_next()

    def _begin_next(self, *, damaged: bool = False) -> None:
        at, number = self._at, self._at.segment + 1
        head = SegmentHead(number, at.sequence + 1, self._segment.offset, at.hash, damaged)
        following = Segment.begin(self.place.segment(number), self.chain, head)
        self._segment.close()
        self._segment = following
        self._at = Position(number, following.offset, at.sequence, at.hash)

    def _fail(self, doing: str, error: OSError) -> AuditFailed:
        """Remember that nothing can be recorded now. Under the lock."""
        self._error = f"cannot {doing} the audit trail in {self.place.home}: {error.strerror or type(error).__name__}"
        self._failed_since = self._failed_since or self._clock.now().isoformat(timespec="seconds")
        self._changed.notify_all()
        return AuditFailed(self._error)

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            self._work_on()
        except Exception as error:  # a bug of ours must not look like a trail that works
            with self._changed:
                self._broken = True
                self._error = f"the audit trail's thread has ended: this is a bug of ours ({type(error).__name__})"
                self._changed.notify_all()

    def _work_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._something, RETRY_S)
                if not (self._urgent or self._closing) and self._dirty:
                    self._changed.wait_for(lambda: self._urgent or self._closing, FLUSH_S)
                closing, self._urgent = self._closing, False
            if self._error is not None:
                self._try(self._recover_writing)
            if self._error is None:
                self._try(self._look_at_room)
            if self._error is None:
                self._try(self._collect)
            if self._error is None:
                self._try(self._still_there)
            if self._error is None and self._dirty:
                self._try(self._commit)
            if self._error is None and self._anchor_is_due(closing):
                with contextlib.suppress(OSError):  # one that is old misses the newest records, and works
                    self._drop_anchor()
            with self._changed:
                self._changed.notify_all()
            if closing:
                return

    @property
    def _dirty(self) -> bool:
        return self._at.sequence > self._durable.sequence

    def _something(self) -> bool:
        return self._closing or (self._error is None and (self._urgent or self._dirty))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            with self._changed:
                self._fail("write", error)
        except AuditFailed as error:
            with self._changed:
                self._error = self._error or str(error)

    def _commit(self) -> None:
        """Flush what is written, then move the head there."""
        with self._changed:
            at, descriptor = self._at, self._segment.duplicate()
        try:
            os.fsync(descriptor)
        except OSError as error:
            with self._changed:
                self._broken = True
                self._fail("flush", error)
            return
        finally:
            os.close(descriptor)
        write_whole(self.place.head, self.chain.position(at))
        with self._changed:
            self._durable = at
            self._changed.notify_all()

    def _still_there(self) -> None:
        """Is what is written still the file of that name? If somebody took it away, go on in a new one, behind a gap
        that `verify` finds: what came meanwhile would else be written to nowhere."""
        with self._changed:
            if self._segment.there:
                return
            text = f"{self._segment.path.name} was taken away while it was written; the trail goes on in a new file"
            self._begin_next(damaged=True)
            self._append(self._tell(Alert.TRAIL_DAMAGED, text, Outcome.MAJOR))

    def _anchor_is_due(self, closing: bool) -> bool:
        moved = self._anchored != self._durable.sequence
        return moved and (closing or time.monotonic() >= self._anchored_at + ANCHOR_S)

    def _drop_anchor(self) -> None:
        at, self._anchored_at = self._durable, time.monotonic()
        drop(self.place, self.chain, at)
        self._anchored = at.sequence

    def _collect(self) -> None:
        """Take up what other processes left."""
        taken: list[Path] = []
        for path, text in inbox.waiting(self.place, self._key):
            with self._changed:
                if text is None or len(text) > MAX_MESSAGE:
                    self._append(self._tell(Alert.OBJECT_ATTRIBUTES_CHANGED, f"{path.name} in the inbox is not ours"))
                    inbox.refuse(path)
                else:
                    self._append(text)
                    taken.append(path)
        if taken:
            self._commit()
            if self._error is None:
                for path in taken:
                    with contextlib.suppress(FileNotFoundError):
                        path.unlink()

    def _look_at_room(self) -> None:
        """Is there enough left on the disk? Twice as much must be before it counts as enough again."""
        found = os.statvfs(self.place.home)
        free = found.f_bavail * found.f_frsize
        if (free < self.reserve * (2 if self._low else 1)) == (self._low is not None):
            return
        if self._low is None:
            low = f"less than {self.reserve / (1 << 20):,.0f} MiB are free for the audit trail in {self.place.home}"
            text, outcome = f"{low}; service is refused until there is more", Outcome.MAJOR
        else:
            low, text, outcome = None, "there is enough room again for the audit trail", Outcome.SUCCESS
        with self._changed:
            self._append(self._tell(Alert.STORAGE_LOW, text, outcome))
            self._low = low

    def _recover_writing(self) -> None:
        """Try whether the trail can be written again; if so its first record says what is missing."""
        if self._broken:
            return
        self._commit()  # raises for as long as the disk is full
        with self._changed:
            text = (
                f"nothing could be recorded since {self._failed_since}; {self._refused} events were refused meanwhile"
            )
            self._append(self._tell(Alert.RECORDING_STARTED, text, Outcome.MAJOR))
        self._commit()
        with self._changed:
            if not self._broken:
                self._error = self._failed_since = None
                self._refused = 0

    def _tell(self, kind: Alert, text: str, outcome: Outcome = Outcome.SERIOUS) -> bytes:
        event = SecurityAlert(kind=kind, text=text, outcome=outcome, resource=self.place.home.as_uri())
        return message(event, self.source, self._clock.now())


def note(
    home: Path, key: bytes, event: Event, *, clock: Clock | None = None, source: str | Source = "leadapron"
) -> None:
    """Record one event durably from any process: written here if nobody writes the trail, else left to who does.

    Raises `AuditFailed`.
    """
    clock = clock or SystemClock()
    place = Place(home)
    with as_owner(place.home if place.home.exists() else home):
        try:
            trail = Trail(home, key, clock, source, patience=0)
        except Busy:
            who = Source(source) if isinstance(source, str) else source
            inbox.leave(place, key, message(event, who, clock.now()))
            return
        with trail:
            trail.record(event, durable=True)
