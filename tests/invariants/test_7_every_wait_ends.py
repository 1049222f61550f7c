"""Invariant 7: every wait ends, every size is bounded.

A server falls silent, or begins to pour, after any number of octets of an honest conversation: within the accept, the
echo, the release, the answers, in the first association or the second, plain or within TLS. Each time the scan ends in
its time, with an honest record. And each PDU type announces 4 GiB wherever an answer is due.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from invariants.tap import Tap, addresses
from leadapron.lab import ArchiveSpec, EndpointSpec, EndpointTruth, LabProcess, Population
from leadapron.watch.measure.record import EndpointRecord
from scan.commanding import command
from scan.scanning import scan

TIME_OUT_S, PATIENCE_S = 1.0, 3.0
# One time-out for each step, the counting's patience with what ends it, the tries over TLS: a bound, not a speed.
LONGEST_S = 40.0
STUDIES = 30
MOST_MEMORY = 200 << 20
HUGE = 0xFFFFFFFF
PLAIN_VERDICTS = {"silent", "other", "open", "exposed", "guarded"}


@dataclass(frozen=True)
class Cut:
    """Where the server stops: in connection number ``connection``, after ``octets`` of its answers."""

    connection: int
    octets: int

    def mute(self, number: int) -> int | None:
        return self.octets if number == self.connection else None


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, EndpointTruth]]:
    archive = ArchiveSpec(studies=STUDIES, seed=8)
    kinds = {"dcmtk": 11112, "tls-open": 2762}
    specs = [EndpointSpec("127.2.0.1", port, kind, archive=archive) for kind, port in kinds.items()]
    with LabProcess(Population("waits", specs), free_ports=True) as lab:
        yield dict(zip(kinds, lab.truth(), strict=True))


@pytest.fixture(scope="module")
def lengths(servers: dict[str, EndpointTruth]) -> dict[str, list[list[int]]]:
    """The octets of an undisturbed visit: for each connection, where each PDU (TLS record) of the server's ends."""
    found = {}
    for kind, port in (("dcmtk", 11112), ("tls-open", 2762)):
        truth = servers[kind]
        (place,) = addresses(1)
        with Tap(place, {port: (truth.address, truth.port)}) as tap:
            assert scan(place, ports=(port,)).summary.exposed.studies == STUDIES
            found[kind] = [_ends(bytes(connection.answered), kind) for connection in tap.settled()]
    assert len(found["dcmtk"]) == 2 and len(found["dcmtk"][0]) == 3, "accept, echo, release"
    return found


def _ends(answered: bytes, kind: str) -> list[int]:
    ends, at = [], 0
    while at < len(answered):
        if kind == "dcmtk":
            at += 6 + int.from_bytes(answered[at + 2 : at + 6], "big")
        else:
            at += 5 + int.from_bytes(answered[at + 3 : at + 5], "big")  # a TLS record, RFC 8446 §5.1
        ends.append(at)
    return ends


def cuts(ends: list[list[int]], most: int) -> list[Cut]:
    """At the beginning, at the end of PDUs and within them, in each connection; the first ones and some later ones."""
    found = []
    for connection, boundaries in enumerate(ends):
        places = {0, 1, 6}
        for start, end in zip([0, *boundaries], boundaries, strict=False):
            places |= {start, start + 3, (start + end) // 2, end - 1}
        ordered = sorted(place for place in places if place < boundaries[-1])
        step = max(1, len(ordered) // most)
        found += [Cut(connection, place) for place in sorted({*ordered[:10], *ordered[::step]})]
    return found


def visited(server: EndpointTruth, port: int, places: list[Cut], flood: bytes = b"") -> list[EndpointRecord]:
    """One scan over as many taps as there are cuts; the records in their order."""
    hosts = addresses(len(places))
    with ExitStack() as stack:
        for host, cut in zip(hosts, places, strict=True):
            stack.enter_context(Tap(host, {port: (server.address, server.port)}, mute=cut.mute, flood=flood))
        began = time.monotonic()
        done = scan(hosts, ports=(port,), timeout=TIME_OUT_S, patience=PATIENCE_S)
        assert time.monotonic() - began < LONGEST_S
    return [done.records[host, port] for host in hosts]


def honest(record: EndpointRecord) -> None:
    """Nothing is claimed that was not seen, and nothing is our fault."""
    assert record.verdict in PLAIN_VERDICTS, record
    assert "bug" not in (record.reason or ""), record
    if record.exposed is not None:
        assert record.exposed.studies <= STUDIES
        if record.exposed.complete:
            assert record.exposed.studies == STUDIES
        else:
            assert record.exposed.note


@pytest.mark.parametrize(("kind", "port"), [("dcmtk", 11112), ("tls-open", 2762)])
def test_a_server_may_fall_silent_at_any_step(
    servers: dict[str, EndpointTruth], lengths: dict[str, list[list[int]]], kind: str, port: int
) -> None:
    places = cuts(lengths[kind], 12)
    assert len(places) > 20
    records = visited(servers[kind], port, places)
    for cut, record in zip(places, records, strict=True):
        honest(record)
        if kind == "dcmtk" and cut == Cut(0, 0):
            assert record.verdict == "silent" and "nothing within" in (record.reason or ""), record
        if kind == "dcmtk" and 6 < cut.octets < lengths[kind][0][0] and cut.connection == 0:
            assert record.verdict == "silent" and "no whole answer" in (record.reason or ""), record
        if kind == "dcmtk" and cut.connection == 1:
            assert record.verdict in ("open", "exposed"), "the first association had gone well"


def test_a_server_may_pour_at_any_step(servers: dict[str, EndpointTruth], lengths: dict[str, list[list[int]]]) -> None:
    """Octets without end and without sense, instead of the rest of an answer."""
    places = cuts(lengths["dcmtk"], 4)
    records = visited(servers["dcmtk"], 11112, places, flood=bytes(range(256)) * 256)
    for record in records:
        honest(record)


def test_a_wait_is_no_longer_than_it_is_said_to_be(servers: dict[str, EndpointTruth]) -> None:
    """The time-out bounds each wait by itself; the record of a silent server tells how long it was waited for."""
    for seconds in (0.3, 1.2):
        (host,) = addresses(1)
        server = servers["dcmtk"]
        with Tap(host, {11112: (server.address, server.port)}, mute=Cut(0, 0).mute):
            record = scan(host, ports=(11112,), timeout=seconds).records[host, 11112]
        assert record.verdict == "silent"
        assert seconds <= record.elapsed_s < seconds + 5


def test_every_pdu_type_may_announce_4_gibibytes_wherever_an_answer_is_due(
    servers: dict[str, EndpointTruth], lengths: dict[str, list[list[int]]], tmp_path: Path
) -> None:
    """And pour them. In the memory of the process as a whole: each is refused by its announcement."""
    accept, echo, _ = lengths["dcmtk"][0]
    dues = [Cut(0, 0), Cut(0, accept), Cut(0, echo), Cut(1, 0), Cut(1, lengths["dcmtk"][1][0])]
    server = servers["dcmtk"]
    steps = [(due, kind) for due in dues for kind in range(1, 9)]
    hosts = addresses(len(steps))
    with ExitStack() as stack:
        for host, (due, kind) in zip(hosts, steps, strict=True):
            head = struct.pack(">BxI", kind, HUGE)
            doors = {11112: (server.address, server.port)}
            stack.enter_context(Tap(host, doors, mute=due.mute, flood=head + bytes(65536)))
        bounds = ("--timeout", str(TIME_OUT_S), "--patience", str(PATIENCE_S))
        done = command(tmp_path, "scan", *hosts, "--port", "11112", *bounds, "--format", "jsonl", "--no-save")
    assert done.code == 0, done.err[-2000:]
    *records, summary = done.lines
    assert sum(summary["endpoints"].values()) == len(records) == len(steps)
    assert {record["verdict"] for record in records} <= PLAIN_VERDICTS
    assert done.peak <= MOST_MEMORY, f"{done.peak / 2**20:.0f} MiB"
