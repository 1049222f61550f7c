"""The thread that saves a running scan.

``put`` only encodes and queues, so the scanner's loop never waits for a disk. The thread commits what has come as soon
as it is 500 rows or 0.2 s old, whichever is first; while a commit takes its time the next batch grows, so a slow disk
means larger batches and not a longer queue. The queue is bounded all the same: at 20,000 rows ``put`` waits, and gives
up after a minute (invariant 7).

The thread also opens the database, because importing SQLAlchemy costs 0.6 s and a scan shall start at once: the first
sightings wait in the queue meanwhile. So nothing in this module's own imports leads to SQLAlchemy.

Acknowledged is what ``flush`` has returned for, and every sighting put before a position that is in the database: rows
and position are committed together, in the order in which they were given. When the database fails the thread ends,
what was committed stays, and every later call raises the same ``Failure``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from leadapron.kernel.errors import Failure, LeadApronError
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord, Summary
from leadapron.watch.track.rows import AbsenceRow, ScanStart, SightingRow, sighting_row

if TYPE_CHECKING:
    from leadapron.watch.track.store import Store

BATCH_ROWS = 500
BATCH_SECONDS = 0.2
QUEUE_ROWS = 20_000  # up to 50 MB
PATIENCE_S = 60.0  # for a full queue, a flush, the end

log = logging.getLogger(__name__)

Ended = Literal["stopped", "done", "failed"]


class Writer:
    """Saves one scan. ``location``: data directory or SQLAlchemy URL, or a function that opens a ``Store``.

    ``scan``: a ``ScanStart`` begins a new scan, a number takes up that one. Methods may be called from any thread; each
    raises the ``Failure`` that ended the saving, ``failure`` tells it without raising.
    """

    def __init__(self, location: str | Path | Callable[[], Store], scan: ScanStart | int) -> None:
        self._location, self._scan = location, scan
        lock = threading.Lock()
        self._work = threading.Condition(lock)  # the thread waits on it for something to do
        self._news = threading.Condition(lock)  # callers wait on it for what the thread did
        self._queue: list[SightingRow] = []
        self._absent: list[AbsenceRow] = []  # bounded by what was known to be open
        self._position: int | None = None
        self._tally: Mapping[str, int] | None = None
        self._given = 0  # puts and checkpoints so far; ``_settled`` is how many of them are committed
        self._settled = 0
        self._saved = 0
        self._oldest_at = 0.0  # when the first thing that is not taken yet was given
        self._urgent = False  # somebody waits for the commit
        self._closing = False
        self._ending: tuple[Ended, Summary | None] | None = None
        self._scan_id: int | None = None
        self._failure: LeadApronError | None = None
        self._thread = threading.Thread(target=self._run, name="leadapron-writer", daemon=True)
        self._thread.start()

    # ---- for the scanner ---------------------------------------------------------------------------------------------

    @property
    def failure(self) -> LeadApronError | None:
        """Why nothing more is saved, or None while all is well."""
        return self._failure

    @property
    def saved(self) -> int:
        """Sightings that are on stable storage."""
        return self._saved

    @property
    def scan_id(self) -> int:
        """The scan's number; waits until the database is open."""
        with self._news:
            self._wait(lambda: self._scan_id is not None, "been opened")
            assert self._scan_id is not None
            return self._scan_id

    def put(self, measurement: Measurement, record: EndpointRecord, door: tuple[str, int] | None = None) -> None:
        """Queue a sighting; ``door``: the first one of this scan to the same archive. A closed endpoint is none and is
        not saved: those are only counted, in the tally."""
        if record.verdict == "closed":
            return
        row = sighting_row(measurement, record, door)
        with self._news:
            if len(self._queue) >= QUEUE_ROWS:
                self._wait(lambda: len(self._queue) < QUEUE_ROWS, "taken a sighting")
            self._give()
            self._queue.append(row)
            if len(self._queue) == BATCH_ROWS:
                self._work.notify()

    def absent(self, address: str, port: int, error: str, observed_at: str) -> None:
        """Queue that an endpoint which was known to be open gave no connection."""
        with self._news:
            self._give()
            self._absent.append({"address": address, "port": port, "error": error, "observed_at": observed_at})

    def checkpoint(self, position: int, tally: Mapping[str, int] | None = None) -> None:
        """Everything before ``position`` in the permuted order was put; ``tally`` is what was only counted so far."""
        with self._news:
            self._give()
            self._position = position
            self._tally = None if tally is None else dict(tally)

    def flush(self) -> None:
        """Return when all that was given so far is on stable storage."""
        with self._news:
            given = self._given
            self._urgent = True
            self._work.notify()
            self._wait(lambda: self._settled >= given, "saved what it was given")

    def finish(self, state: Ended, summary: Summary | None = None) -> None:
        """Save what is queued, then the end of the scan, and close."""
        with self._news:
            self._ending = (state, summary)
        self.close()

    def close(self) -> None:
        """Save what is queued and end the thread. Without ``finish`` the scan stays resumable. May be called twice."""
        with self._news:
            self._closing = True
            self._work.notify()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            raise _stuck("saved what it was given")
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except LeadApronError:
            if error is None:  # else the first error is the one to hear of
                raise

    def _give(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise RuntimeError("this writer is closed")
        if not self._oldest_at:
            self._oldest_at = time.monotonic()
            self._work.notify()
        self._given += 1

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        """Wait, with a bound, for something that the thread does. The lock is held by the caller."""
        self._news.wait_for(lambda: reached() or self._failure is not None, PATIENCE_S)
        if self._failure is not None:
            raise self._failure
        if not reached():
            raise _stuck(what)

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failure: LeadApronError | None = None
        try:
            with self._open() as store:
                if isinstance(self._scan, ScanStart):
                    scan_id = store.begin_scan(self._scan)
                else:
                    scan_id = self._scan
                    store.take_up(scan_id)
                with self._news:
                    self._scan_id = scan_id
                    self._news.notify_all()
                while self._commit(store, scan_id):
                    pass
                if self._ending is not None:
                    store.finish(scan_id, *self._ending)
        except LeadApronError as error:
            failure = error
        except Exception as error:
            log.exception("the thread that saves sightings has a fault")
            failure = Failure(f"saving stopped for a fault of our own ({type(error).__name__}); please report it")
            failure.__cause__ = error
        with self._news:
            self._failure = failure
            self._queue.clear()
            self._absent.clear()
            self._news.notify_all()

    def _open(self) -> Store:
        if callable(self._location):
            return self._location()
        from leadapron.watch.track.store import Store

        return Store.open(self._location)

    def _commit(self, store: Store, scan_id: int) -> bool:
        """Wait for a batch and commit it. False when closing and nothing is left."""
        with self._work:
            # Bounded by ``close``, which every owner of a writer calls; a daemon thread holds up no exit.
            self._work.wait_for(lambda: self._given > self._settled or self._closing)
            if self._given == self._settled:
                return False
            due = self._oldest_at + BATCH_SECONDS
            while len(self._queue) < BATCH_ROWS and not (self._urgent or self._closing):
                left = due - time.monotonic()
                if left <= 0:
                    break
                self._work.wait(left)
            rows, self._queue = self._queue, []
            absent, self._absent = self._absent, []
            position, self._position = self._position, None
            tally, self._tally = self._tally, None
            given, self._urgent, self._oldest_at = self._given, False, 0.0
            self._news.notify_all()  # there is room in the queue
        store.append(scan_id, rows, position, tally, absent)
        with self._news:
            self._settled = given
            self._saved += len(rows)
            self._news.notify_all()
        return True


def _stuck(what: str) -> Failure:
    return Failure(f"the database has not {what} within {PATIENCE_S:g} s. Mend that, then scan with --resume")
