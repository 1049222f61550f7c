"""kill -9 of each part in each phase of a store, with real processes.

A sender, an edge, the guard (``leadapron up``), Orthanc behind it and a syslog collector beside it. Whoever dies and
whenever: what the sender was told was stored is in the archive with each of its octets, else the sender sees an error
within a bound; what is in the archive is whole; and what is started again works with the same peers and a trail that
verifies.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from guard.survive.besieged import HOST, Besieged, besieged, image
from guard.survive.sending import PHASES, store
from peers.certificates import Certificates
from peers.loading import rest
from peers.process import Peer, free_port, launch, listening, wait_until
from peers.servers import start_orthanc
from scan.commanding import Command

COLLECTING = Path(__file__).parents[1] / "audit" / "collecting.py"
SIZE = 400_000
LONG = "LEADAPRON_TEST_LONG" in os.environ
"""Also what takes half a minute more."""
BEHIND_THE_EDGE = [("edge", phase) for phase in PHASES] + [
    (victim, phase) for victim in ("guard", "archive") for phase in (PHASES if LONG else ("middle",))
]


@dataclass
class Chain:
    """All of it. ``told``: what a sender was told was stored; ``sent``: digests of all that anybody began to send."""

    guard: Besieged
    certificates: Certificates
    collector_port: int
    edge_port: int
    command: list[str] = field(default_factory=list)
    collector: subprocess.Popen[bytes] | None = None
    edge: Command | None = None
    sent: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    @property
    def collected(self) -> Path:
        return self.guard.home / "collected"

    def start_collector(self) -> None:
        known = self.certificates
        log = (self.guard.home / "collector.log").open("ab")
        with log:
            self.collector = subprocess.Popen(
                [
                    *(sys.executable, COLLECTING, str(self.collector_port), known.server_certificate),
                    *(known.server_key, "-", self.collected, "abrupt", "0"),
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: listening(self.collector_port), "the collector listens")

    def start_edge(self) -> None:
        home = self.guard.home
        number = len(list(home.glob("edge-*")))
        self.edge = Command(
            home / f"edge-{number}",
            *("edge", "--listen", f"{HOST}:{self.edge_port}", "--from", HOST, "--calling", "EDGE", "--called", "PACS"),
            *("--to", f"localhost:{self.guard.port}", "--identity", self.guard.house.peers["EDGE"]),
            *("--queue", home / "queue", "--reserve", "0"),
        )
        edge = self.edge
        edge.until("the edge listens", lambda: listening(self.edge_port))

    # ---- who dies ---------------------------------------------------------------------------------------------------

    def kill(self, victim: str) -> None:
        if victim == "archive":
            self.guard.archive.stop()  # SIGKILL, children included
        elif victim == "collector":
            assert self.collector is not None
            self.collector.kill()
            self.collector.wait(10)
        else:
            program = self.guard.up if victim == "guard" else self.edge
            assert program is not None
            os.kill(program.pid, signal.SIGKILL)

    def revive(self, victim: str) -> None:
        if victim == "archive":
            archive = self.guard.archive
            launch(archive, self.command, also=(cast("int", archive.http_port),))
        elif victim == "collector":
            self.start_collector()
        elif victim == "guard":
            assert self.guard.up.end(10).code == 128 + signal.SIGKILL
            self.guard.start()
        else:
            assert self.edge is not None and self.edge.end(10).code == 128 + signal.SIGKILL
            self.start_edge()

    def end(self) -> None:
        for program in (self.edge, self.guard.up):
            if program is not None:
                program.__exit__()
        if self.collector is not None:
            self.kill("collector")

    # ---- what is sent, and what is there ----------------------------------------------------------------------------

    def send(self, at: str = "", deed: Callable[[], None] | None = None, *, edge: bool = False) -> int | None:
        instance = f"1.2.840.99.7.{next(self.numbers)}"
        pixels = random.Random(instance).randbytes(SIZE)
        self.sent[instance] = hashlib.sha256(pixels).hexdigest()
        guard = self.guard
        begin = time.monotonic()
        if edge:
            status = store(self.edge_port, "EDGE", instance, image(instance, pixels), None, at, deed)
        else:
            status = store(guard.port, "GOOD", instance, image(instance, pixels), guard.house.context("GOOD"), at, deed)
        assert time.monotonic() - begin < 20
        if status == 0:
            self.told.add(instance)
        return status

    def there(self) -> dict[str, str]:
        """Instances in the archive and the digest of their pixels, by Orthanc's own account."""
        found = {}
        archive = self.guard.archive
        for one in rest(archive, "/instances?expand"):
            file = fetched(archive, f"/instances/{one['ID']}/file")  # whose last octets are the pixels
            found[one["MainDicomTags"]["SOPInstanceUID"]] = hashlib.sha256(file[-SIZE:]).hexdigest()
        return found

    def check(self) -> None:
        """What was told is there; what is there is whole."""
        there = self.there()
        for instance, digest in there.items():
            assert self.sent[instance] == digest, f"{instance} is half-written"
        assert self.told <= set(there), "what was told to be stored is not there"


def fetched(archive: Peer, path: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(f"http://{HOST}:{archive.http_port}{path}", timeout=20) as answer:
        return cast("bytes", answer.read())


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Chain]:
    home = tmp_path_factory.mktemp("chain")
    collector = free_port()
    syslog = f'[guard.syslog]\naddress = "localhost:{collector}"\nca = "{certificates.authority}"\n'
    with (
        start_orthanc(home / "archive", ae="PACS") as archive,
        besieged(home, archive, peers=("GOOD", "EDGE"), web=False, more=syslog, start=False) as guard,
    ):
        (guard.house.peers["EDGE"] / "peer.key").chmod(0o600)
        chain = Chain(guard, certificates, collector, free_port())
        chain.command = cast("list[str]", archive.processes[-1].args)
        with contextlib.ExitStack() as stack:
            stack.callback(chain.end)
            chain.start_collector()
            guard.start()
            chain.start_edge()
            assert chain.send() == 0 and chain.send(edge=True) == 0
            yield chain


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", ["guard", "archive", "collector"])
def test_killed_while_a_peer_stores_through_the_guard(victim: str, phase: str, chain: Chain) -> None:
    status = chain.send(phase, lambda: chain.kill(victim))
    if victim == "collector":
        assert status == 0, "syslog is nobody's reason to wait"
    elif phase not in ("last", "response"):
        assert status is None, "it was told that something was stored, and nobody was there to store it"
    else:
        assert status in (None, 0)
    chain.revive(victim)
    chain.check()
    assert chain.send() == 0
    chain.check()


@pytest.mark.parametrize(("victim", "phase"), BEHIND_THE_EDGE)
def test_killed_while_a_device_stores_through_an_edge(victim: str, phase: str, chain: Chain) -> None:
    """What the edge took it delivers, whoever else is gone; what it did not take the device knows of."""
    status = chain.send(phase, lambda: chain.kill(victim), edge=True)
    if victim == "edge":
        assert status is None or phase in ("last", "response")
    else:
        assert status == 0, "the edge stands in for who is away"
    chain.revive(victim)
    assert chain.send(edge=True) == 0
    wait_until(lambda: chain.told <= set(chain.there()), "what the edge took is delivered")
    chain.check()


def test_what_is_left_after_all_of_it(chain: Chain) -> None:
    """The trail verifies while the guard runs and when it has ended, and the collector has every record of it."""
    guard = chain.guard
    assert chain.edge is not None
    chain.edge.signal(signal.SIGTERM)
    assert chain.edge.end(30).code == 0
    assert guard.lead("audit", "verify", "--data", guard.data).code == 0
    queue = [path for path in (guard.home / "queue").rglob("*") if path.is_file() and path.suffix == ".item"]
    assert not queue
    guard.up.signal(signal.SIGTERM)
    assert guard.up.end(30).code == 0, guard.up.err
    verified = guard.lead("audit", "verify", "--data", guard.data)
    assert verified.code == 0, verified.err
    guard.start()  # what it could not forward before it ended
    records = guard.lead("audit", "show", "--data", guard.data, "--type", "transfer", "--format", "jsonl").lines
    assert len(records) > len(chain.told) // 2

    def transfers() -> int:
        texts = [json.loads(line)[-1] for line in chain.collected.read_text().splitlines() if line.endswith("]")]
        return sum("DICOM Instances Transferred" in text for text in texts)

    wait_until(lambda: transfers() >= len(records), "the collector has all transfers")
    assert not any("Traceback" in path.read_text() for path in guard.home.glob("up*/stderr"))
