"""One scan in several processes: each visits the hosts of its shard, this one saves, adds up and shows.

Python runs one core; a census has more. So the plan is made once, then forked: every worker walks the same order with
the same position and visits each n-th host, at its part of the pace, so that hosts and networks are treated as by one.
What a worker finds comes back over a socket pair, framed and encoded. The keyed hashes are the same in all of them, for
the key was drawn before the fork: two doors to one archive are recognised whoever measured them.

Workers are forked before there is an event loop or a thread, for neither survives a fork. A worker whose parent is gone
reads the end of its socket and stops; a worker that dies is a failure of the scan, which can be resumed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from leadapron.kernel.errors import Failure, LeadApronError
from leadapron.watch.find.plan import ScanTargets
from leadapron.watch.measure.count.hashes import Fingerprint
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord, Summary
from leadapron.watch.scan.progress import Progress
from leadapron.watch.scan.scanner import Scanner, Sink
from leadapron.watch.scan.totals import Totals
from leadapron.wire.aio.loop import run

TELL_EVERY_S: Final = 0.2
END_S: Final = 30.0
MAX_FRAME: Final = 4 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")
_STOP: Final = b"S"


class Finished(Struct, frozen=True, tag=True):
    """An endpoint has its verdict."""

    measurement: Measurement
    record: EndpointRecord
    fingerprint: Fingerprint | None


class Absent(Struct, frozen=True, tag=True):
    """An endpoint that was known to be open gave no connection."""

    address: str
    port: int
    error: str
    observed_at: str


class Standing(Struct, frozen=True, tag=True):
    """How far a worker is. ``position``: all targets of the order before it are done, as far as its shard goes."""

    position: int
    done: int
    closed: int
    counting: dict[str, int]


class Ended(Struct, frozen=True, tag=True):
    """A worker came to its end. ``failure``: why before its time, with the exit code that goes with it."""

    exhausted: bool
    left_out: int
    failure: str | None = None
    exit_code: int = 1


Frame = Finished | Absent | Standing | Ended
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Frame).decode


class Workers:
    """The forked processes. ``child`` makes the scanner of one shard, in the worker; see ``run.start_workers``."""

    def __init__(self, number: int, child: Callable[[int, Sink], Scanner]) -> None:
        self.sockets: list[socket.socket] = []
        self.pids: list[int] = []
        for shard in range(number):
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    for other in (*self.sockets, ours):
                        other.close()
                    code = _work(shard, theirs, child)
                finally:
                    os._exit(code)
            theirs.close()
            self.sockets.append(ours)
            self.pids.append(pid)

    def reap(self) -> None:
        """Wait for the processes, with a bound; what does not end is killed."""
        for sock in self.sockets:
            sock.close()
        until = time.monotonic() + END_S
        for pid in self.pids:
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)
        self.pids = []


class Fleet:
    """Runs the workers' scan; the same to its user as a ``Scanner``."""

    def __init__(self, workers: Workers, targets: ScanTargets, sink: Sink, earlier: Totals | None) -> None:
        self._workers = workers
        self._targets = targets
        self._sink = sink
        self._ended: dict[int, Ended] = {}
        self._standing: dict[int, Standing] = {}
        self._stopping = False
        self._failure: Exception | None = None
        self._started = time.monotonic()
        self._before = targets.position
        self._recorded_before = 0 if earlier is None else earlier.closed
        self.totals = earlier or Totals()
        self.progress = Progress(endpoints=len(targets))
        self.progress.done = targets.position

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` ended it before its end."""
        return self._stopping

    def stop(self) -> None:
        """As ``Scanner.stop``, for all workers."""
        self._stopping = True
        for sock in self._workers.sockets:
            try:
                sock.send(_STOP)
            except OSError:
                continue  # it has ended by itself

    async def run(self) -> Summary:
        """Until every worker has ended. Raises what ended one before its time."""
        self._started = time.monotonic()
        try:
            await asyncio.gather(*(self._listen(n, sock) for n, sock in enumerate(self._workers.sockets)))
        finally:
            self._workers.reap()
        self._save_position()
        if self._failure is not None:
            raise self._failure
        return self.summary()

    def summary(self) -> Summary:
        """The totals as they stand."""
        closed = self._recorded_before + sum(standing.closed for standing in self._standing.values())
        if len(self._ended) == len(self._workers.sockets) and all(end.exhausted for end in self._ended.values()):
            left_out = sum(end.left_out for end in self._ended.values())
            closed = max(0, len(self._targets) - left_out - self.totals.endpoints)
        return self.totals.summary(
            targets=self._targets.addresses, closed=closed, elapsed_s=time.monotonic() - self._started
        )

    async def _listen(self, number: int, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            while True:
                try:
                    size = _LENGTH.unpack(await reader.readexactly(4))[0]
                    if size > MAX_FRAME:
                        raise Failure("a worker sent more than it can have found")
                    self._take(number, _decode(await reader.readexactly(size)))
                except asyncio.IncompleteReadError:
                    break
        except Exception as error:
            self._fail(error)
        finally:
            writer.close()
        if number not in self._ended and self._failure is None:
            self._fail(Failure("a worker process died; what was found is saved, --resume goes on from there"))

    def _take(self, number: int, frame: Frame) -> None:
        if isinstance(frame, Finished):
            record = frame.record
            archive = self.totals.add(record, frame.fingerprint)
            progress = self.progress
            progress.found += 1
            progress.measured += record.service == "dicom"
            progress.exposed += record.verdict == "exposed"
            progress.studies, progress.images = self.totals.studies, self.totals.images
            door = archive.doors[0] if archive is not None else None
            self._sink.put(frame.measurement, record, frame.fingerprint, door)
        elif isinstance(frame, Absent):
            self._sink.absent(frame.address, frame.port, frame.error, frame.observed_at)
        elif isinstance(frame, Standing):
            self._standing[number] = frame
            self.progress.done = self._before + sum(standing.done for standing in self._standing.values())
            self.progress.counting = {
                (place, worker): studies
                for worker, standing in self._standing.items()
                for place, studies in standing.counting.items()
            }
            self._save_position()
        else:
            self._ended[number] = frame
            if frame.failure is not None:
                failure = LeadApronError(frame.failure)
                failure.exit_code = frame.exit_code
                self._fail(failure)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
            self.stop()

    def _save_position(self) -> None:
        if len(self._standing) < len(self._workers.sockets):
            return  # who has not told yet has done nothing that is known
        position = min(standing.position for standing in self._standing.values())
        closed = self._recorded_before + sum(standing.closed for standing in self._standing.values())
        self._sink.checkpoint(position, {"closed": closed})


# ---- in the worker ---------------------------------------------------------------------------------------------------


class _PipeSink:
    """Sends what is found to the parent; waits for it where it is slower (the socket is blocking)."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.position = 0

    def put(
        self,
        measurement: Measurement,
        record: EndpointRecord,
        fingerprint: Fingerprint | None,
        door: tuple[str, int] | None,
    ) -> None:
        self.send(Finished(measurement, record, fingerprint))  # which door was first, the parent knows

    def absent(self, address: str, port: int, error: str, observed_at: str) -> None:
        self.send(Absent(address, port, error, observed_at))

    def checkpoint(self, position: int, tally: Mapping[str, int]) -> None:
        self.position = position

    def send(self, frame: Frame) -> None:
        data = _encode(frame)
        self._sock.sendall(_LENGTH.pack(len(data)) + data)


def _work(shard: int, sock: socket.socket, child: Callable[[int, Sink], Scanner]) -> int:
    # Ctrl-C goes to the whole group of processes: the parent tells us what it means.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    sink = _PipeSink(sock)
    try:
        sink.send(run(_scan(shard, sock, sink, child)))
        return 0
    except OSError:
        return 1  # the parent is gone: nobody to tell


async def _scan(shard: int, sock: socket.socket, sink: _PipeSink, child: Callable[[int, Sink], Scanner]) -> Ended:
    scanner = child(shard, sink)
    sink.position = before = scanner.progress.done
    loop = asyncio.get_running_loop()

    def told() -> None:
        sock.recv(1)  # a word from the parent, or its end; unread, it would reset the socket when we close it
        loop.remove_reader(sock.fileno())
        scanner.stop()

    loop.add_reader(sock.fileno(), told)

    def tell() -> None:
        counting = {f"{address}:{port}": n for (address, port), n in scanner.progress.counting.items()}
        done = scanner.progress.done - before
        sink.send(Standing(sink.position, done, scanner.totals.closed, counting))

    async def keep_telling() -> None:
        while True:
            tell()
            await asyncio.sleep(TELL_EVERY_S)

    telling = loop.create_task(keep_telling())
    try:
        await scanner.run()
        failure, code = None, 0
    except LeadApronError as error:
        failure, code = str(error), error.exit_code
    except OSError:
        raise
    except Exception as error:
        failure, code = f"this is a bug of ours ({type(error).__name__})", 1
    finally:
        telling.cancel()
        loop.remove_reader(sock.fileno())
    tell()
    return Ended(scanner.exhausted, scanner.left_out, failure, code)
