"""What README.md says of nmap's scripts for DICOM is what they do: nmap and our scan visit the same servers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from leadapron.lab import EndpointSpec, EndpointTruth, LabProcess, Population

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
NETWORK = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 256}."
OPEN, STRANGERS, BUSY, TLS = (f"{NETWORK}{last}" for last in (231, 232, 233, 234))
STREET = Population(
    "nmap",
    [
        EndpointSpec(OPEN, 11112, "dcmtk"),
        EndpointSpec(STRANGERS, 11112, "rejects-calling"),
        EndpointSpec(BUSY, 11112, "congested"),
        EndpointSpec(TLS, 2762, "tls-open"),
    ],
)
DISCOVERED = "DICOM Service Provider discovered!"


@dataclass(frozen=True)
class Visited:
    """What nmap said of each address, and what each endpoint saw of it."""

    said: dict[str, str]
    seen: dict[str, EndpointTruth]


def nmap(*arguments: str) -> str:
    program = shutil.which("nmap")
    assert program is not None, "nmap is not installed, and README.md compares with it: apt-get install -y nmap"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def visited(script: str, *addresses: str) -> Visited:
    with LabProcess(STREET) as lab:
        said = nmap("-sT", "-Pn", "-n", "-p", "11112,2762", "--open", "--script", script, *addresses)
        seen = {truth.address: truth for truth in lab.truth()}
    parts = re.split(r"^Nmap scan report for (\S+)$", said, flags=re.M)
    return Visited(dict(zip(parts[1::2], parts[2::2], strict=True)), seen)


@pytest.fixture(scope="module")
def ping() -> Iterator[Visited]:
    yield visited("dicom-ping", OPEN, STRANGERS, BUSY, TLS)


def compared() -> bool:
    """Whether the nmap of this machine is the one that the table is about."""
    version = re.search(r"Nmap version (\S+)", nmap("--version"))
    about = re.search(r"of nmap (\d+\.\d+)", README)
    assert version is not None and about is not None
    return version[1] == about[1]


def test_ping_finds_dicom(ping: Visited) -> None:
    assert all(DISCOVERED in ping.said[address] for address in (OPEN, STRANGERS, BUSY))


def test_ping_asks_for_an_association_and_no_more(ping: Visited) -> None:
    seen = ping.seen[OPEN].seen
    assert seen.associations == 1 and not seen.requests
    assert not seen.released or not compared()


def test_ping_tells_every_rejection_alike(ping: Visited) -> None:
    assert "Any AET is accepted" in ping.said[OPEN]
    told = [("Called AET check enabled" in ping.said[address]) for address in (STRANGERS, BUSY)]
    assert all(told) or not compared()


def test_ping_does_not_speak_tls(ping: Visited) -> None:
    assert DISCOVERED not in ping.said[TLS] or not compared()


def test_brute_goes_through_a_word_list() -> None:
    brute = visited("dicom-brute", STRANGERS)
    guesses = re.search(r"Performed (\d+) guesses", brute.said[STRANGERS])
    assert guesses is not None, brute.said
    seen = brute.seen[STRANGERS].seen
    assert len(seen.called) > 1_000 and seen.most_at_once > 1
    assert (guesses[1] == "5000" and "5,000 by default" in README) or not compared()


def test_our_scan_reads_what_each_server_says(tmp_path: Path) -> None:
    from leadapron.watch.measure.record import EndpointRecord
    from scan.scanning import scan

    with LabProcess(STREET) as lab:
        records = scan([OPEN, STRANGERS, BUSY, TLS], ports=(11112, 2762)).records
        seen = {truth.address: truth.seen for truth in lab.truth()}
    found: dict[str, EndpointRecord] = {address: record for (address, _), record in records.items()}
    assert found[OPEN].verdict == found[TLS].verdict == "exposed" and found[TLS].transport == "tls"
    assert "calling AE title not recognized" in (found[STRANGERS].reason or "")
    assert "congestion" in (found[BUSY].reason or "")
    assert seen[OPEN].released == seen[OPEN].associations > 0
    assert all(len(one.called) <= 3 and one.most_at_once == 1 for one in seen.values())
