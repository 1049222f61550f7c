"""Ten thousand endpoints of other services on a DICOM port: not one of them may be taken for an imaging server."""

from __future__ import annotations

import resource
from collections import Counter
from ipaddress import IPv4Address

import pytest

from leadapron.lab import EndpointSpec, EndpointTruth, LabProcess
from leadapron.watch.measure.other import PROTOCOLS
from scan.scanning import Scanned, moved, scan

NEEDED_FILES = 10_256
BOUND_S = 90.0
CLOSED = 40  # addresses without a server, on top
EXPECTED = {  # what each is called in the record
    "http": "http",
    "https": "http",  # over the transport "tls"
    "ssh": "ssh",
    "smtp": "smtp",
    "ftp": "ftp",
    "telnet": "telnet",
    "rdp": "rdp",
}


def span(spec: EndpointSpec, beyond: int = 0) -> str:
    """The addresses of one entry of the population, and some behind them where nobody lives."""
    assert spec.count is not None
    first = IPv4Address(spec.address.partition("/")[0]) + 1
    return f"{first}-{first + spec.count - 1 + beyond}"


@pytest.fixture(scope="module")
def others() -> tuple[Scanned, dict[tuple[str, int], EndpointTruth]]:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < NEEDED_FILES:
        pytest.fail(f"this test needs {NEEDED_FILES} open files: raise the hard limit (ulimit -Hn)")
    population = moved("ten-thousand-others")
    first, *rest = population.endpoint
    with LabProcess(population) as lab:
        scanned = scan([span(first, CLOSED), *map(span, rest)], ports=(11112,), timeout=4)
        return scanned, {(truth.address, truth.port): truth for truth in lab.truth()}


Others = tuple[Scanned, dict[tuple[str, int], EndpointTruth]]


def test_none_is_taken_for_an_imaging_server(others: Others) -> None:
    scanned, truth = others
    summary = scanned.summary.endpoints
    assert (summary["exposed"], summary["open"], summary["guarded"], summary["decoy"], summary["failed"]) == (0,) * 5
    assert scanned.summary.archives == 0
    for key, record in scanned.records.items():
        assert record.verdict in truth[key].verdicts, (truth[key].persona, record)
        assert record.service in PROTOCOLS and record.capabilities is None and not record.findings


def test_all_are_accounted_for(others: Others) -> None:
    scanned, truth = others
    assert len(truth) == 10_000
    assert scanned.records.keys() == truth.keys()
    assert scanned.summary.targets == 10_000 + CLOSED
    assert scanned.summary.endpoints["closed"] == CLOSED


def test_each_is_called_by_its_name(others: Others) -> None:
    scanned, truth = others
    named: dict[str, Counter[str]] = {}
    for key, record in scanned.records.items():
        named.setdefault(truth[key].persona, Counter())[record.service] += 1
    for persona, service in EXPECTED.items():
        assert named[persona].keys() == {service}, (persona, named[persona])
    assert {r.transport for key, r in scanned.records.items() if truth[key].persona == "https"} == {"tls"}
    assert {record.verdict for key, record in scanned.records.items() if truth[key].persona == "silent"} == {"silent"}


def test_it_ends_in_time(others: Others) -> None:
    """A bound, not a speed: silence costs its time-out once, however many are silent."""
    assert others[0].summary.elapsed_s < BOUND_S
