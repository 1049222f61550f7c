"""A whole scan in one call, and populations moved to addresses of their own, for tests of what comes out at the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from msgspec import structs

from leadapron.lab import ArchiveSpec, EndpointSpec, EndpointTruth, Population, load
from leadapron.watch.measure.dicom.visit import Options
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord, Summary
from leadapron.watch.scan.run import ScanRequest, place, prepare, run
from leadapron.wire.aio.loop import run as run_loop
from peers.process import Peer

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Scanned:
    """All that a scan gives. ``endpoints``: how many (address, port) pairs were to be visited."""

    records: dict[Endpoint, EndpointRecord]
    measurements: dict[Endpoint, Measurement]
    summary: Summary
    endpoints: int

    def at(self, peer: Peer | EndpointTruth) -> EndpointRecord:
        """The record of this server. Fails where there is none."""
        return self.records[peer.host if isinstance(peer, Peer) else peer.address, peer.port]


def scan(
    targets: str | Peer | Iterable[str],
    *,
    ports: Sequence[int] = (),
    files: Sequence[str | Path] = (),
    location: str | Path | None = None,
    scope: str | Path | None = None,
    resume: bool = False,
    **options: Any,
) -> Scanned:
    """Scan to the end, as the command does; ``options`` are those of ``visit.Options``.

    Each endpoint must have exactly one verdict (invariant 8), whatever the test is about.
    """
    if isinstance(targets, Peer):
        targets, ports = targets.host, (targets.port,)
    request = ScanRequest(
        targets=(targets,) if isinstance(targets, str) else tuple(targets),
        files=tuple(map(str, files)),
        ports=tuple(ports) or ScanRequest().ports,
        options=Options(**options),
        scope=None if scope is None else str(scope),
        resume=resume,
        seed=20261121,
    )
    with place(None if location is None else str(location)) as where:
        scanned = run_loop(_scan(request, where))
    verdicts = scanned.summary.endpoints
    assert sum(verdicts.values()) == scanned.endpoints, "an endpoint without a verdict, or with two"
    assert sum(verdicts.values()) - verdicts["closed"] == len(scanned.records)
    return scanned


async def _scan(request: ScanRequest, where: str) -> Scanned:
    records: dict[Endpoint, EndpointRecord] = {}
    measurements: dict[Endpoint, Measurement] = {}

    def put(measurement: Measurement, record: EndpointRecord) -> None:
        key = record.address, record.port
        assert key not in records, "an endpoint was reported twice"
        records[key], measurements[key] = record, measurement

    prepared = await prepare(request, where, put)
    summary = await run(prepared)
    return Scanned(records, measurements, summary, prepared.scanner.progress.endpoints)


# ---- populations -----------------------------------------------------------------------------------------------------


def moved(population: str | Population, *, families: Sequence[str] = (), but: Sequence[str] = ()) -> Population:
    """A shipped population at addresses of this test process alone, the ports as they are, with the same archives.

    Several test processes run on one machine, and a lab that somebody plays with. ``families``: only endpoints whose
    persona is of one of these; ``but``: none of these.
    """
    from leadapron.lab.personas import personas

    whole = load(population) if isinstance(population, str) else population
    chosen = [
        spec
        for spec in whole.endpoint
        if (not families or personas()[spec.persona].family in families) and personas()[spec.persona].family not in but
    ]
    seconds = [int(spec.address.split(".")[1]) for spec in chosen]
    first, width = min(seconds), max(seconds) - min(seconds) + 1
    shift = reserve(width) - first
    return Population(whole.name, [_shifted(spec, shift) for spec in chosen])


_PLACES = range(100, 196)  # second octets that neither shipped populations nor other tests use
_RESERVED: list[socket.socket] = []  # kept open to the end of the process


def reserve(width: int) -> int:
    """Where ``width`` neighbouring /16 of 127.0.0.0/8 begin that are now ours: a socket in each says so."""
    starts = list(_PLACES[: len(_PLACES) - width])
    turn = os.getpid() * 7 % len(starts)
    for start in starts[turn:] + starts[:turn]:
        taken: list[socket.socket] = []
        try:
            for second in range(start, start + width):
                sock = socket.create_server((f"127.{second}.255.254", 11112))
                taken.append(sock)
        except OSError:
            for sock in taken:
                sock.close()
            continue
        _RESERVED.extend(taken)
        return start
    raise AssertionError(f"no {width} neighbouring networks of loopback are free")


def _shifted(spec: EndpointSpec, shift: int) -> EndpointSpec:
    first, second, rest = spec.address.split(".", 2)
    port = spec.port if isinstance(spec.port, int) else spec.port[0]
    archive: ArchiveSpec = spec.archive
    if archive.seed is None:  # by default from the address: it stays what it was
        archive = structs.replace(archive, seed=crc32(f"{spec.address}:{port}".encode()))
    return structs.replace(spec, address=f"{first}.{int(second) + shift}.{rest}", archive=archive)
