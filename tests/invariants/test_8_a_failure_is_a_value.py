"""Invariant 8: a failed measurement is a value with its reason, never a missing row, an empty result or a crash.

Failures are put into every step: descriptors that run out, bugs in what touches, asks, counts and judges, TLS that is
none, a sink that breaks. Each time there are as many verdicts as endpoints (``scan`` checks that too), and the record
says what failed in our words.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invariants.tap import addresses
from leadapron.lab import ArchiveSpec, EndpointSpec, EndpointTruth, LabProcess, Population
from leadapron.watch.find.gather import gather
from leadapron.watch.find.pace import Pace
from leadapron.watch.find.plan import ScanTargets
from leadapron.watch.measure.dicom.visit import Options
from leadapron.watch.measure.record import EndpointRecord
from leadapron.watch.scan.run import ScanRequest, prepare, run
from leadapron.watch.scan.scanner import Scanner
from leadapron.watch.scope import Scope, ScopeGuard
from leadapron.wire.aio.loop import run as run_loop
from leadapron.wire.aio.swarm import Conversation, End, Swarm
from scan.commanding import command
from scan.scanning import moved, scan

AUDITED = (str(Path(__file__).parents[1] / "scan" / "audited.py"),)
PORTS = (2762, 11112)
KINDS = {"dcmtk": 11112, "rejects-everybody": 11112, "http": 11112, "silent-limit-100": 11112, "tls-open": 2762}


@pytest.fixture(scope="module")
def lab() -> Iterator[dict[str, EndpointTruth]]:
    archive = ArchiveSpec(studies=120, seed=9)
    specs = [EndpointSpec(f"127.2.0.{n + 1}", p, kind, archive=archive) for n, (kind, p) in enumerate(KINDS.items())]
    with LabProcess(moved(Population("failures", specs))) as lab:
        yield {truth.persona: truth for truth in lab.truth()}


def visit_all(lab: dict[str, EndpointTruth], **options: Any) -> dict[str, EndpointRecord]:
    """Scan the lab; each server's record by its persona. A server without a record fails the test."""
    done = scan(sorted({truth.address for truth in lab.values()}), ports=PORTS, **options)
    return {persona: done.at(truth) for persona, truth in lab.items()}


def broken(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("patient: DOE^JANE")


def says_bug(record: EndpointRecord) -> None:
    assert record.reason is not None and "a bug of ours: ZeroDivisionError" in record.reason, record
    assert "JANE" not in record.reason


# ---- bugs ------------------------------------------------------------------------------------------------------------


def test_without_failures_all_is_well(lab: dict[str, EndpointTruth]) -> None:
    records = visit_all(lab)
    assert {kind: record.verdict for kind, record in records.items()} == {
        "dcmtk": "exposed",
        "rejects-everybody": "guarded",
        "http": "other",
        "silent-limit-100": "exposed",
        "tls-open": "exposed",
    }
    assert all(record.exposed is None or record.exposed.studies == 120 for record in records.values())


def test_a_bug_in_reading_the_accept(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the swarm's callback, and in that of a TLS transport."""
    monkeypatch.setattr("leadapron.watch.measure.dicom.touch.read_accept", broken)
    records = visit_all(lab)
    for kind in ("dcmtk", "silent-limit-100", "tls-open"):
        assert records[kind].verdict == "failed", kind
        says_bug(records[kind])
    assert (records["rejects-everybody"].verdict, records["http"].verdict) == ("guarded", "other")


def test_a_bug_in_deepening(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadapron.watch.scan.scanner.deepen", broken)
    records = visit_all(lab)
    for kind in ("dcmtk", "silent-limit-100", "tls-open"):
        assert records[kind].verdict == "open" and records[kind].exposed is None, "what is known stays"
        says_bug(records[kind])


def test_a_bug_in_counting(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadapron.watch.measure.count.tally.Tally.finish", broken)
    records = visit_all(lab)
    for kind in ("dcmtk", "silent-limit-100", "tls-open"):
        assert records[kind].exposed is None
        says_bug(records[kind])


def test_a_bug_in_the_handshake(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadapron.watch.measure.dicom.tls._describe", broken)
    records = visit_all(lab, timeout=1.0)
    assert records["tls-open"].verdict in ("failed", "other", "silent") and records["tls-open"].reason
    assert records["dcmtk"].verdict == "exposed"


def test_a_bug_in_judging(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some measurements, not of all."""
    from leadapron.watch.scan import scanner

    judged = scanner.judged

    def sometimes(measurement: Any) -> EndpointRecord:
        if measurement.count is not None or (
            measurement.address == lab["http"].address
            and measurement.attempts[0].outcome.__class__.__name__ == "NotDicom"
        ):
            broken()
        return judged(measurement)

    monkeypatch.setattr(scanner, "judged", sometimes)
    records = visit_all(lab)
    for kind in ("dcmtk", "silent-limit-100", "tls-open", "http"):
        assert records[kind].verdict == "failed", kind
        says_bug(records[kind])
        assert records[kind].load.connections >= 1, "what it was asked is known all the same"
    assert records["rejects-everybody"].verdict == "guarded"


# ---- what our own machine refuses ------------------------------------------------------------------------------------


def short_of(code: int) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return refuse


class NoSockets:
    """The module ``socket`` where none can be opened."""

    def __init__(self, code: int) -> None:
        self.socket = short_of(code)

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


def test_no_descriptor_for_the_first_connection(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadapron.wire.aio.swarm._socket", short_of(errno.EMFILE))
    monkeypatch.setattr("leadapron.watch.scan.scanner.RETRY_S", 0.01)
    with LabProcess(moved(Population("one", [EndpointSpec("127.2.0.1", 11112, "http")]))) as one:
        done = scan(one.truth()[0].address, ports=(11112,))
        record = done.at(one.truth()[0])
    assert record.verdict == "failed"
    assert record.reason == "no connection could be opened: EMFILE"


def test_no_descriptor_for_tls(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch) -> None:
    """A hang-up is asked again over TLS: where that can't be, what is known stays."""
    monkeypatch.setattr("leadapron.watch.measure.dicom.tls._connect", short_of(errno.EMFILE))
    with LabProcess(moved(Population("one", [EndpointSpec("127.2.0.1", 11112, "closes")]))) as one:
        record = scan(one.truth()[0].address, ports=(11112,)).at(one.truth()[0])
    assert record.verdict == "silent" and record.reason == "closed the connection without an answer"


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EADDRNOTAVAIL])
def test_no_descriptor_for_counting(lab: dict[str, EndpointTruth], monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """It is said to be ours, not taken for the server's."""
    monkeypatch.setattr("leadapron.wire.aio.connect.socket", NoSockets(code))
    records = visit_all(lab)
    for kind in ("dcmtk", "silent-limit-100"):
        assert records[kind].verdict == "open" and records[kind].exposed is None
        assert f"no connection could be opened: {errno.errorcode[code]}" in (records[kind].reason or "")


@pytest.mark.parametrize("descriptors", [34, 60])
def test_a_process_with_few_descriptors(tmp_path: Path, descriptors: int) -> None:
    """Real ones: the kernel says no, here and there, and each endpoint has its verdict all the same."""
    archive = ArchiveSpec(studies=15, seed=10)
    specs = [
        EndpointSpec("127.2.1.0/24", 11112, "dcmtk", count=40, archive=archive),
        EndpointSpec("127.2.2.0/24", 11112, "ssh", count=60),
        EndpointSpec("127.2.3.0/24", 2762, "tls-open", count=20, archive=archive),
    ]
    with LabProcess(moved(Population("many", specs))) as lab:
        truth = lab.truth()
        targets = tmp_path / "targets"
        targets.write_text("\n".join({one.address for one in truth}))
        done = command(
            tmp_path / "home",
            *(tmp_path / "seen", f"RLIMIT_NOFILE={descriptors}", "scan", "--from", targets),
            *("--port", "11112,2762", "--format", "jsonl", "--data", tmp_path / "data"),
            program=AUDITED,
        )
    if done.code != 0:
        assert done.code == 1 and done.err.startswith("leadapron: ") and "Traceback" not in done.err, done.err[-2000:]
        return
    *records, summary = done.lines
    assert sum(summary["endpoints"].values()) == 2 * len(truth)
    found = {(record["address"], record["port"]): record for record in records}
    for one in truth:
        record = found[one.address, one.port]
        if record["verdict"] not in one.verdicts:
            assert record["reason"] and "no connection could be opened" in record["reason"], record
        if record["exposed"] is not None and record["exposed"]["complete"]:
            assert record["exposed"]["studies"] == one.studies
    assert "a bug of ours" not in done.out


# ---- TLS that is none ------------------------------------------------------------------------------------------------

RECORD = b"\x16\x03\x03"
GARBAGE: dict[str, bytes | None] = {
    "noise": bytes(range(7, 250)) * 4,
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "half an alert": b"\x15\x03\x03\x00",
    "a record of noise": RECORD + struct.pack(">H", 16384) + bytes(16384),
    "a record too long": RECORD + b"\xff\xff" + bytes(65535),
    "half a ServerHello": RECORD + b"\x00\x5a\x02\x00\x00\x56\x03\x03" + bytes(30),
    "a ServerHello of nothing": RECORD + b"\x00\x04\x02\x00\x00\x00",
    "plain DICOM": b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x07",
    "plain HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nothing, and a close": b"",
    "nothing, and a reset": None,
    "silence": b"...",
}


class Rubbish:
    """Answers whatever comes with the same octets, then closes, resets or is silent."""

    def __init__(self, address: str, port: int, answer: bytes | None) -> None:
        self._answer = answer
        self._listener = socket.create_server((address, port))
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Rubbish:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for sock in self._held:
            sock.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with contextlib.suppress(OSError):
                    sock.settimeout(5)
                    sock.recv(4096)
                    if self._answer == b"...":
                        self._held.append(sock)
                        continue
                    if self._answer is None:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    else:
                        sock.sendall(self._answer)
                    sock.close()


@pytest.mark.parametrize("port", [2762, 11112])
def test_tls_that_is_none(port: int) -> None:
    """On a port where TLS is spoken first, and on one where it follows a hang-up."""
    places = addresses(len(GARBAGE))
    with contextlib.ExitStack() as stack:
        for place, answer in zip(places, GARBAGE.values(), strict=True):
            stack.enter_context(Rubbish(place, port, answer))
        done = scan(places, ports=(port,), timeout=1.0)
    for place, name in zip(places, GARBAGE, strict=True):
        record = done.records[place, port]
        assert record.verdict in ("other", "silent", "guarded"), (name, record)
        assert record.verdict == "guarded" or name != "plain DICOM"
        assert record.reason or record.verdict == "other", (name, record)
        assert "bug" not in (record.reason or ""), (name, record)
        assert record.load.connections >= 1, name


# ---- a sink that breaks ----------------------------------------------------------------------------------------------


def test_what_could_not_be_told_is_told_by_the_resumed_scan(lab: dict[str, EndpointTruth], tmp_path: Path) -> None:
    """A listener that fails ends the scan; nothing that had a verdict is lost, nothing is told twice."""
    targets = tuple(sorted({truth.address for truth in lab.values()}))
    request = ScanRequest(targets=targets, ports=PORTS, location=str(tmp_path))
    told: list[EndpointRecord] = []

    def listener(_: object, record: EndpointRecord) -> None:
        if len(told) == 2:
            raise BrokenPipeError(errno.EPIPE, "nobody listens")
        told.append(record)

    async def first() -> None:
        await run(await prepare(request, str(tmp_path), listener))

    with pytest.raises(BrokenPipeError):
        run_loop(first())
    rest: list[EndpointRecord] = []

    async def second() -> Any:
        prepared = await prepare(
            ScanRequest(targets=targets, ports=PORTS, location=str(tmp_path), resume=True),
            str(tmp_path),
            lambda _, record: rest.append(record),
        )
        return prepared, await run(prepared)

    prepared, summary = run_loop(second())
    assert len(prepared.recorded) >= 2
    assert prepared.recorded | {(record.address, record.port) for record in rest} == {
        (truth.address, truth.port) for truth in lab.values()
    }
    assert not prepared.recorded & {(record.address, record.port) for record in rest}
    assert sum(summary.endpoints.values()) == len(targets) * len(PORTS)


# ---- any fate for any endpoint ---------------------------------------------------------------------------------------


class Line:
    """A link that goes nowhere."""

    open, unsent = True, 0

    def send(self, data: bytes) -> None: ...
    def deadline(self, seconds: float | None) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


def fated(fate: str, conversation: Conversation) -> None:
    """What becomes of a connection that was begun."""
    line: Any = Line()
    kind, _, detail = fate.partition(" ")
    if kind == "refused":
        conversation.refused(getattr(errno, detail))
        return
    conversation.opened(line)
    if kind == "silent":
        conversation.timed_out()
    elif kind == "rejected":
        conversation.received(b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01")
    elif kind == "says":
        conversation.received(bytes.fromhex(detail))
        conversation.ended(End.PEER_CLOSED)
    elif kind == "reset":
        conversation.ended(End.RESET)
    elif kind == "fails":
        conversation.failed(KeyError("of ours"))


FATES = [
    *("refused ECONNREFUSED", "refused ETIMEDOUT", "refused EHOSTUNREACH", "silent", "rejected", "reset", "fails"),
    *(
        "says 485454502f312e3120",
        "says 0200000000",
        "says 020000000004ffffffff",
        "says 07000000000400000206",
        "says 00",
    ),
    *("raises EMFILE", "raises EADDRNOTAVAIL", "raises EACCES", "raises EINVAL", "raises ENOBUFS"),
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(FATES), min_size=1, max_size=25), st.randoms(use_true_random=False))
def test_as_many_verdicts_as_endpoints_whatever_happens(fates: list[str], order: Any) -> None:
    records: list[EndpointRecord] = []

    class Sink:
        def put(self, measurement: object, record: EndpointRecord, fingerprint: object, door: object) -> None:
            records.append(record)

        def checkpoint(self, position: int, tally: object) -> None: ...

    fate_of = {f"127.77.0.{number + 1}": fate for number, fate in enumerate(fates)}

    def connect(self: Swarm, address: str, port: int, conversation: Conversation, timeout: float) -> None:
        kind, _, detail = fate_of[address].partition(" ")
        if kind == "raises":
            raise OSError(getattr(errno, detail), detail)
        self.loop.call_soon(fated, fate_of[address], conversation)

    async def scanned() -> Any:
        plan = ScanTargets(
            (await gather(list(fate_of))).targets, (11112,), Scope.loopback_only(), seed=order.getrandbits(20)
        )
        options = Options(timeout=0.2, pause=0.0)
        pace = Pace(host_pause=0.0)
        scanner = Scanner(plan, pace=pace, guard=ScopeGuard(Scope.loopback_only()), options=options, sink=Sink())
        async with asyncio.timeout(60):
            return await scanner.run()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Swarm, "connect", connect)
        patch.setattr("leadapron.watch.scan.scanner.RETRY_S", 0.001)
        summary = asyncio.run(scanned())
    assert sum(summary.endpoints.values()) == len(fates)
    assert len(records) == len(fates) - summary.endpoints["closed"] == len({record.address for record in records})
    assert summary.endpoints["closed"] == sum(fate.startswith("refused") for fate in fates)
    for record in records:
        fate = fate_of[record.address]
        if fate.startswith("raises"):
            assert (record.verdict, record.reason) == ("failed", f"no connection could be opened: {fate[7:]}")
        elif fate == "fails":
            assert record.verdict == "failed" and record.reason == "a bug of ours: KeyError"
        else:
            assert record.verdict != "failed", (fate, record)
        assert json.dumps(record.reason) and (record.reason or record.verdict == "other")
