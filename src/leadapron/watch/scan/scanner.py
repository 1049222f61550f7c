"""A scan: targets in, one judged record for each endpoint out.

Most endpoints are closed or done after one touch, so that is all that the hot path does: the swarm connects and
touches, the judge judges, the sink saves. What needs more (another title, TLS, counting) becomes a task, of which a
bounded number runs at a time. The pacer sees to it that no host has two connections at once and no network gets more
than its rate; here it is only asked. The scope is checked a last time where the connection is made.

A scan stops by itself or by ``stop``; either way every endpoint that was begun is finished or will be visited again on
resume. A fault of ours (no descriptors, no ports, a bug) is an endpoint's ``failed`` with its reason, never silence.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import ScopeError
from leadapron.watch.find.pace import Pace, Pacer
from leadapron.watch.find.plan import ScanTargets, Target
from leadapron.watch.measure.count.hashes import Fingerprint
from leadapron.watch.measure.dicom.touch import Touch, Touched
from leadapron.watch.measure.dicom.visit import TLS_FIRST, Options, Visit, deepen, first_over_tls, our_fault
from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.model import Failed, Measurement, Refused
from leadapron.watch.measure.record import EndpointRecord, Summary
from leadapron.watch.scan.progress import Progress
from leadapron.watch.scan.totals import Totals
from leadapron.watch.scope import ScopeGuard
from leadapron.wire.aio.swarm import Conversation, Link, Swarm, raise_open_files_limit

STARTS_PER_TURN: Final = 128
MAX_IN_FLIGHT: Final = 16_384
MAX_OPEN: Final = 4_096  # conversations at once; what waits for a SYN-ACK is not among them
MAX_DEEP: Final = 64  # endpoints that are counted, or asked over TLS, at once: more only make each other late
MAX_HANDSHAKES: Final = 256  # TLS handshakes at once: their connections stand already, so nobody counts before them
CHECKPOINT_S: Final = 1.0
STOP_GRACE_S: Final = 10.0
RETRY_S: Final = 0.5
MAX_TRIES: Final = 6
_TRANSIENT: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN)
)


class Sink(Protocol):
    """Where finished endpoints go. Called from the loop; must not block for long."""

    def put(
        self,
        measurement: Measurement,
        record: EndpointRecord,
        fingerprint: Fingerprint | None,
        door: tuple[str, int] | None,
    ) -> None:
        """``door``: of an exposed archive, the endpoint of this scan that led to it first."""
        ...

    def absent(self, address: str, port: int, error: str, observed_at: str) -> None:
        """An endpoint that was known to be open gave no connection; ``error`` is the errno's name."""
        ...

    def checkpoint(self, position: int, tally: Mapping[str, int]) -> None:
        """Every target before ``position`` in the order of the scan is done; ``tally``: verdicts that get no record."""
        ...


class Scanner:
    """One scan. ``recorded``: endpoints that an earlier run of it has finished; ``earlier`` their totals; ``known``:
    endpoints that were open when last seen, so that it is told where one of them gives no connection."""

    def __init__(
        self,
        targets: ScanTargets,
        *,
        pace: Pace,
        guard: ScopeGuard,
        options: Options,
        sink: Sink,
        recorded: frozenset[tuple[str, int]] = frozenset(),
        known: frozenset[tuple[str, int]] = frozenset(),
        earlier: Totals | None = None,
        clock: Clock | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_open: int = MAX_OPEN,
    ) -> None:
        self._targets = targets
        self._guard = guard
        self._options = options
        self._sink = sink
        self._recorded = recorded
        self._known = known
        self._clock = clock or SystemClock()
        self._pacer: Pacer[Target] = Pacer(pace)
        self._max_in_flight = max(16, min(max_in_flight, raise_open_files_limit() - 200))
        self._max_open = max_open
        self._called: dict[int, str] = {}
        self._in_flight = 0
        self._open = 0
        self._deep = asyncio.Semaphore(MAX_DEEP)
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: deque[tuple[float, Target, int]] = deque()
        self._news = asyncio.Event()
        self._skipped_before = targets.skipped.total()
        self._stopping = False
        self._exhausted = False
        self._failure: Exception | None = None
        self._checkpoint_at = 0.0
        self.totals = earlier or Totals()
        self.progress = Progress(endpoints=len(targets))
        self.progress.done = targets.position
        self._swarm: Swarm | None = None
        self._started = self._clock.monotonic()

    @property
    def exhausted(self) -> bool:
        """Whether every endpoint has its verdict."""
        return self._exhausted and not self._in_flight

    @property
    def left_out(self) -> int:
        """Endpoints that the scope refused while the scan ran."""
        return self._targets.skipped.total() - self._skipped_before

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` ended it before its end."""
        return self._stopping

    def called(self, port: int) -> str:
        """The called AE title that is tried first."""
        title = self._called.get(port)
        if title is None:
            title = self._called[port] = self._options.called_titles(port)[0]
        return title

    def stop(self) -> None:
        """Begin nothing more, finish what is in hand; ``run`` returns soon. May be called from a signal handler."""
        self._stopping = True
        self._news.set()

    async def run(self) -> Summary:
        """Scan to the end, or to ``stop``. Raises ScopeError when the scope ends, and what the sink raises."""
        self._started = self._clock.monotonic()
        self._swarm = Swarm()
        try:
            await self._feed()
            await self._settle()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._swarm.close()
        self._save_position()
        if self._failure is not None:
            raise self._failure
        return self.summary()

    def summary(self) -> Summary:
        """The totals as they stand."""
        closed = self.totals.closed
        if self.exhausted:  # each endpoint has one verdict: exact, also after a resume
            closed = max(0, len(self._targets) - self.left_out - self.totals.endpoints)
        return self.totals.summary(
            targets=self._targets.addresses, closed=closed, elapsed_s=self._clock.monotonic() - self._started
        )

    # ---- finding -----------------------------------------------------------------------------------------------------

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        self._checkpoint_at = loop.time() + CHECKPOINT_S
        while not self._stopping and self._failure is None:
            now = loop.time()
            self._offer(now)
            may = min(STARTS_PER_TURN, self._max_in_flight - self._in_flight, self._max_open - self._open)
            started = self._pacer.due(now, may) if may > 0 else []
            for target in started:
                self._start(target, 0)
            if now >= self._checkpoint_at:
                self._checkpoint_at = now + CHECKPOINT_S
                self._save_position()
            if started:
                await asyncio.sleep(0)
                continue
            if self._exhausted and not self._in_flight and not len(self._pacer) and not self._again:
                return
            await self._wait(self._nap(now, may))

    def _nap(self, now: float, may: int) -> float:
        """How long there is nothing to start, seconds; news end it."""
        soonest = now + CHECKPOINT_S
        if may > 0 and self._pacer.next_due is not None:
            soonest = min(soonest, self._pacer.next_due)
        if self._again:
            soonest = min(soonest, self._again[0][0])
        return max(0.001, soonest - now)

    async def _wait(self, seconds: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    def _offer(self, now: float) -> None:
        while self._again and self._again[0][0] <= now:
            _, target, tries = self._again.popleft()
            self._start(target, tries)
        while not self._exhausted and (len(self._pacer) < 4 * STARTS_PER_TURN or self._stuck(now)):
            try:
                batch = self._targets.take(2 * STARTS_PER_TURN)
            except ScopeError as error:
                self._failure = error  # it has ended: what is in hand is finished, the rest waits for a new one
                return
            if not batch:
                self._exhausted = True
                return
            for target in batch:
                if (target.address, target.port) in self._recorded:
                    self._targets.finished(target)
                    continue
                self._pacer.offer(target)

    def _stuck(self, now: float) -> bool:
        """All that the pacer holds waits for its host or its network, and it has room for others."""
        soonest = self._pacer.next_due
        return self._pacer.room > 4 * STARTS_PER_TURN and (soonest is None or soonest > now + 0.002)

    def _start(self, target: Target, tries: int) -> None:
        assert self._swarm is not None
        if not tries:
            self._in_flight += 1
        conversation = _Opening(self, target) if target.port in TLS_FIRST else _First(self, target)
        try:
            self._guard.check(target.address)
            self._swarm.connect(target.address, target.port, conversation, self._options.timeout)
        except ScopeError as error:
            self._failure = error
            self._over(target, done=False)
        except OSError as error:
            if error.errno in _TRANSIENT and tries < MAX_TRIES:
                # Our own shortage: fewer at a time from here on, and this one again in a moment.
                self._max_in_flight = max(16, self._in_flight * 3 // 4)
                self._again.append((asyncio.get_running_loop().time() + RETRY_S, target, tries + 1))
                return
            name = errno.errorcode.get(error.errno or 0, "EIO")
            self._first_done(target, Touched(Failed(f"no connection could be opened: {name}"), None, 0, False), 0.0)

    # ---- measuring ---------------------------------------------------------------------------------------------------

    def _first_done(self, target: Target, touched: Touched, started: float) -> None:
        if isinstance(touched.outcome, Refused):
            return self._closed(target, touched.outcome)
        visit = Visit(target.address, target.port, self._options, self._clock, started or None)
        visit.add(touched, "tcp", self.called(target.port), self._options.calling[0])
        if visit.wants_more():
            self._deeper(target, visit, None)
        else:
            self._emit(target, visit)

    def _closed(self, target: Target, outcome: Refused) -> None:
        self.totals.closed += 1
        if self._known and (target.address, target.port) in self._known:
            try:
                self._sink.absent(target.address, target.port, outcome.error, iso(self._clock.now()))
            except Exception as error:
                self._failure = self._failure or error
                return self._over(target, done=False)
        self._over(target)

    def _opened_for_tls(self, target: Target, link: Link, started: float) -> None:
        visit = Visit(target.address, target.port, self._options, self._clock, started)
        sock = link.detach()
        self._open += 1

        async def over_tls() -> None:
            assert self._swarm is not None
            try:
                async with self._handshakes:
                    await first_over_tls(visit, self._swarm, sock)
            finally:
                self._open -= 1

        self._deeper(target, visit, over_tls)

    def _deeper(self, target: Target, visit: Visit, first: Callable[[], Awaitable[None]] | None) -> None:
        task = asyncio.get_running_loop().create_task(self._deepen(target, visit, first))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deepen(self, target: Target, visit: Visit, first: Callable[[], Awaitable[None]] | None) -> None:
        assert self._swarm is not None
        try:
            if first is not None:
                await first()
            if visit.wants_more():
                async with self._deep:
                    await deepen(visit, self._swarm, self.progress.counted_so_far)
        except Exception as error:
            visit.failed(our_fault(error))
        finally:
            self.progress.counting.pop((target.address, target.port), None)
        self._emit(target, visit)

    def _emit(self, target: Target, visit: Visit) -> None:
        try:
            self._tell(visit)
        except Exception as error:
            self._failure = self._failure or error
            return self._over(target, done=False)
        self._over(target)

    def _tell(self, visit: Visit) -> None:
        """Judge, add up, save. Raises what the sink raises."""
        try:
            measurement = visit.measurement()
            record = judged(measurement)
        except Exception as error:
            visit.forget()
            visit.failed(our_fault(error))
            measurement = visit.measurement()
            record = judged(measurement)
        if record.verdict == "closed":  # it answered at first, and no longer
            self.totals.closed += 1
            if (record.address, record.port) in self._known:
                self._sink.absent(record.address, record.port, _refusal(measurement), record.observed_at)
            return
        archive = self.totals.add(record, visit.counted)
        progress = self.progress
        progress.found += 1
        if record.service == "dicom":
            progress.measured += 1
        if record.verdict == "exposed":
            progress.exposed += 1
            progress.studies, progress.images = self.totals.studies, self.totals.images
        self._sink.put(measurement, record, visit.counted, archive.doors[0] if archive is not None else None)

    def _over(self, target: Target, done: bool = True) -> None:
        """``done`` False: it has no verdict, so that a resumed scan visits it again."""
        self._in_flight -= 1
        self.progress.done += 1
        if done:
            self._targets.finished(target)
        self._pacer.done(target, asyncio.get_running_loop().time())
        self._news.set()

    # ---- ending ------------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Let what is in hand come to its end: all of it, or for a while when stopping."""
        if not self._in_flight:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + STOP_GRACE_S + self._options.timeout
        while self._in_flight and loop.time() < until:
            await self._wait(min(1.0, until - loop.time()))

    def _save_position(self) -> None:
        checkpoint = self._targets.checkpoint()
        low = checkpoint.pending[0] if checkpoint.pending else checkpoint.position
        try:
            self._sink.checkpoint(low, {"closed": self.totals.closed})
        except Exception as error:
            self._failure = self._failure or error


def _refusal(measurement: Measurement) -> str:
    """The errno's name of the refusal that a visit ended with."""
    outcomes = [attempt.outcome for attempt in measurement.attempts]
    return next((outcome.error for outcome in reversed(outcomes) if isinstance(outcome, Refused)), "EIO")


class _First(Touch):
    """The touch of a target, told to its scanner."""

    __slots__ = ("_is_open", "_scanner", "_started", "_target")

    def __init__(self, scanner: Scanner, target: Target) -> None:
        options = scanner._options
        super().__init__(
            self._finished,
            called=scanner.called(target.port),
            calling=options.calling[0],
            depth=options.depth,
            timeout=options.timeout,
        )
        self._scanner, self._target = scanner, target
        self._started = scanner._clock.monotonic()
        self._is_open = False

    def opened(self, link: Link) -> None:  # type: ignore[override]
        self._is_open = True
        self._scanner._open += 1
        super().opened(link)

    def _finished(self, touched: Touched) -> None:
        if self._is_open:
            self._scanner._open -= 1
        self._scanner._first_done(self._target, touched, self._started)


class _Opening(Conversation):
    """Connects for TLS: the socket goes on to asyncio once it stands."""

    __slots__ = ("_scanner", "_started", "_target")

    def __init__(self, scanner: Scanner, target: Target) -> None:
        self._scanner, self._target = scanner, target
        self._started = scanner._clock.monotonic()

    def opened(self, link: Link) -> None:
        self._scanner._opened_for_tls(self._target, link, self._started)

    def refused(self, error: int) -> None:
        outcome = Refused(errno.errorcode.get(error, str(error)))
        self._scanner._first_done(self._target, Touched(outcome, None, 0, False), self._started)

    def failed(self, error: Exception) -> None:
        outcome = Failed(our_fault(error))
        self._scanner._first_done(self._target, Touched(outcome, None, 0, True), self._started)
