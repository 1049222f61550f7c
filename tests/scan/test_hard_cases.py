"""The shipped populations, every persona of the lab among them: each endpoint against what is true about it.

Personas that answer without end keep a scanner busy until its patience is over, so they have a scan of their own with
little of it; all others are scanned as by default.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from leadapron.lab import EndpointTruth, LabProcess, Population
from leadapron.watch.measure.record import EndpointRecord, Exposed
from leadapron.watch.scan.run import DICOM_PORTS
from scan.scanning import Scanned, moved, scan

PATIENCE_S = 6.0
HOSTILE = ("hostile",)
WITHOUT_PATIENT_ID = ("no-patient-id",)  # its patients can't be told apart, and nobody is to pretend so


@dataclass(frozen=True)
class Street:
    """A population that was scanned, and what was true after that."""

    scanned: Scanned
    truth: dict[tuple[str, int], EndpointTruth]
    took_s: float

    def pairs(self) -> Iterator[tuple[EndpointTruth, EndpointRecord]]:
        """Every endpoint that has a record, with its truth."""
        for key, record in self.scanned.records.items():
            yield self.truth[key], record


def visited(population: Population, **options: object) -> Street:
    with LabProcess(population) as lab:
        ports = sorted({truth.port for truth in lab.truth()} | set(DICOM_PORTS))
        addresses = sorted({truth.address for truth in lab.truth()})
        began = time.monotonic()
        scanned = scan(addresses, ports=ports, **options)
        took_s = time.monotonic() - began
        return Street(scanned, {(truth.address, truth.port): truth for truth in lab.truth()}, took_s)


@pytest.fixture(scope="module")
def civil() -> Street:
    """Everybody in ``hard-cases`` who breaks no protocol."""
    return visited(moved("hard-cases", but=HOSTILE))


@pytest.fixture(scope="module")
def hostile() -> Street:
    return visited(moved("hard-cases", families=HOSTILE), patience=PATIENCE_S, timeout=2.5)


@pytest.fixture(scope="module")
def clinic_street() -> Street:
    """The population of the demo."""
    return visited(moved("clinic-street"))


@pytest.fixture(params=["civil", "hostile", "clinic_street"])
def street(request: pytest.FixtureRequest) -> Street:
    street: Street = request.getfixturevalue(request.param)
    return street


def named(truth: EndpointTruth) -> str:
    return f"{truth.persona} at {truth.address}:{truth.port}"


def test_every_verdict_is_within_the_truth(street: Street) -> None:
    wrong = {named(t): (r.verdict, r.reason) for t, r in street.pairs() if r.verdict not in t.verdicts}
    assert not wrong
    missing = [named(t) for k, t in street.truth.items() if k not in street.scanned.records]
    assert not [name for name in missing if not name.startswith("reset-on-connect")]


def test_what_is_complete_is_the_truth_to_the_last_one(street: Street) -> None:
    complete = 0
    for truth, record in street.pairs():
        exposed = record.exposed
        if exposed is None or not exposed.complete:
            continue
        complete += 1
        assert exposed.method == "exact" and exposed.note is None and exposed.interval is None, named(truth)
        assert exposed.studies == truth.studies, named(truth)
        assert exposed.patients == (None if truth.persona in WITHOUT_PATIENT_ID else truth.patients), named(truth)
        # Where no study is given a number of images, they are counted below that level or not told at all.
        assert exposed.images == truth.images or (exposed.images is None and not truth.images_told), named(truth)
    assert complete


def test_whatever_can_be_counted_to_the_end_is(street: Street) -> None:
    """Never a lower bound where asking differently gives all; for images an interval may be left that says so."""
    for truth, record in street.pairs():
        if truth.completable and record.verdict == "exposed":
            assert record.exposed is not None, named(truth)
            if truth.images_told:
                assert record.exposed.complete, (named(truth), record.exposed)
            else:
                assert record.exposed.studies == truth.studies, (named(truth), record.exposed)


def test_a_lower_bound_is_one(street: Street) -> None:
    for truth, record in street.pairs():
        exposed = record.exposed
        if exposed is None or exposed.method != "lower-bound":
            continue
        assert not exposed.complete and exposed.note, named(truth)
        if truth.studies is not None:
            assert exposed.studies <= truth.studies, named(truth)
            assert (exposed.patients or 0) <= (truth.patients or 0), named(truth)
            assert (exposed.images or 0) <= (truth.images or 0), named(truth)


def test_an_estimate_says_how_far_it_can_be_trusted(street: Street) -> None:
    for truth, record in street.pairs():
        exposed = record.exposed
        if exposed is not None and exposed.method == "estimate":
            assert not exposed.complete and exposed.note and exposed.interval is not None, named(truth)
            low, high = exposed.interval.studies
            assert low <= exposed.studies <= high, named(truth)


def test_no_device_came_to_harm(street: Street) -> None:
    for truth in street.truth.values():
        assert truth.crashed is None, f"{named(truth)} crashed: {truth.crashed}"
        assert sum(truth.seen.requests.values()) <= 400, named(truth)
        assert truth.seen.most_at_once <= 1, named(truth)


def test_the_software_is_named(street: Street) -> None:
    for truth, record in street.pairs():
        if record.software is not None and truth.product:
            assert record.software.product == truth.product, named(truth)


def test_two_doors_to_one_archive_count_once(street: Street) -> None:
    summary = street.scanned.summary
    by_archive: dict[str, list[Exposed]] = defaultdict(list)
    for truth, record in street.pairs():
        if record.verdict == "exposed" and record.exposed is not None:
            assert truth.archive is not None
            by_archive[truth.archive].append(record.exposed)
    assert summary.archives == len(by_archive)
    fullest = [max(counts, key=lambda count: (count.complete, count.studies)) for counts in by_archive.values()]
    assert summary.exposed.studies == sum(exposed.studies for exposed in fullest)
    assert summary.exposed.images == sum(exposed.images or 0 for exposed in fullest)
    assert summary.exposed.patients == sum(exposed.patients or 0 for exposed in fullest)
    assert summary.exposed.complete == all(exposed.complete for exposed in fullest)


def test_doors_there_were(civil: Street, clinic_street: Street) -> None:
    """Else the test above would prove nothing: three doors to one archive here, two there."""
    for street, doors in ((civil, 3), (clinic_street, 2)):
        behind = [t.archive for t, r in street.pairs() if r.exposed is not None]
        assert max(behind.count(archive) for archive in behind) == doors


def test_nobody_holds_the_scan_up(civil: Street, hostile: Street, clinic_street: Street) -> None:
    """Bounds, not speeds: a server that never ends costs its patience and no more."""
    for street in (civil, hostile, clinic_street):
        longest = max((r.elapsed_s, named(t)) for t, r in street.pairs())
        assert longest[0] < 100, longest
    assert hostile.took_s < 60
    for truth, record in hostile.pairs():
        assert record.elapsed_s < 3 * PATIENCE_S + 20, named(truth)
