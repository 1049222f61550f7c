"""Invariant 1: nothing is taken. The watch asks C-ECHO and C-FIND, and never for an image, whoever it meets.

Taps stand in front of servers of every kind and of a real Orthanc that would give and take everything; what the scanner
said to them is read with pydicom.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from invariants.tap import ABORT, ASSOCIATE_RQ, P_DATA, RELEASE_RP, RELEASE_RQ, Connection, Tap, addresses
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.lab.personas import personas
from peers.loading import load, statistics
from peers.samples import make_studies
from peers.servers import start_orthanc
from scan.scanning import Scanned, moved, scan

PORT = 11112
ALLOWED = {"C-ECHO-RQ", "C-FIND-RQ", "C-CANCEL-RQ"}
ROLE_SELECTION, USER_IDENTITY, EXTENDED = 0x54, 0x58, {0x56, 0x57}
FAMILIES = ("open archives", "peculiar answers", "limits", "decoys", "guarded", "open, with little to give", "fragile")
SLOW = ("slow-answers",)
OUR_PATTERN = re.compile(r"|(?=.*[*?])[*?]*[0-9A-Za-z]{0,6}[*?]*")  # a few characters that we count through
QUERY_KEYS = {  # what may stand in an identifier, and the only ones that may have a value
    "QueryRetrieveLevel": True,
    "StudyDate": True,
    "StudyTime": True,
    "PatientID": True,  # wildcards of ours, see below
    "StudyInstanceUID": True,
    "SeriesInstanceUID": True,
    "SOPInstanceUID": False,
    "PatientName": False,
    "PatientBirthDate": False,
    "NumberOfStudyRelatedInstances": False,
    "NumberOfSeriesRelatedInstances": False,
    "NumberOfPatientRelatedStudies": False,
    "NumberOfPatientRelatedInstances": False,
}


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, list[Connection]], Scanned]]:
    """What each server heard, by its name, over plain connections."""
    home = tmp_path_factory.mktemp("taken")
    names = [
        p.name for p in personas().values() if p.family in FAMILIES and p.transport == "tcp" and p.name not in SLOW
    ]
    archive = ArchiveSpec(studies=90, seed=5, images=6.0)
    places = addresses(len(names) + 1)
    specs = [
        EndpointSpec(f"127.2.{number // 200}.{number % 200 + 1}", 0, name, archive=archive)
        for number, name in enumerate(names)
    ]
    with ExitStack() as stack:
        truth = stack.enter_context(LabProcess(Population("takers", specs), free_ports=True)).truth()
        orthanc = stack.enter_context(start_orthanc(home / "orthanc"))
        load(orthanc, make_studies(home / "images", 4, series=2, instances=2))
        before = statistics(orthanc)
        behind = [(one.address, one.port) for one in truth] + [(orthanc.host, orthanc.port)]
        taps = [stack.enter_context(Tap(address, {PORT: door})) for address, door in zip(places, behind, strict=True)]
        scanned = scan(places, ports=(PORT,), max_requests=120)
        assert statistics(orthanc) == before
        named = zip([*names, "Orthanc"], taps, strict=True)
        yield {name: tap.settled() for name, tap in named}, scanned


Heard = tuple[dict[str, list[Connection]], Scanned]


def test_only_echo_find_and_cancel_are_ever_asked(heard: Heard) -> None:
    asked = Counter(
        message for connections in heard[0].values() for one in connections for message, _, _ in one.messages()
    )
    assert asked.keys() <= ALLOWED, asked
    assert asked["C-FIND-RQ"] > 300 and asked["C-ECHO-RQ"] > 30, "or this proves nothing"
    assert asked["C-CANCEL-RQ"] > 0


def test_they_would_have_given(heard: Heard) -> None:
    """Retrieval and storage were accepted by many of them: it was not for want of an offer."""
    capabilities = [record.capabilities for record in heard[1].records.values() if record.capabilities is not None]
    assert sum(bool(one.retrieve) for one in capabilities) > 30
    assert sum(one.store > 0 for one in capabilities) > 30
    assert sum(one.commitment for one in capabilities) >= 3


def test_no_role_is_offered_in_which_images_could_be_sent_to_us(heard: Heard) -> None:
    for name, connections in heard[0].items():
        for connection in connections:
            assert ROLE_SELECTION not in connection.request.user_types, name


def test_no_password_is_guessed(heard: Heard) -> None:
    """No User Identity item, nothing negotiated that would be a credential; a server that wants one is left alone."""
    for name, connections in heard[0].items():
        for connection in connections:
            assert not connection.request.user_types & {USER_IDENTITY, *EXTENDED}, name
    assert len(heard[0]["needs-identity"]) == 1


def test_nothing_but_pdus_of_a_requestor_is_sent(heard: Heard) -> None:
    for name, connections in heard[0].items():
        assert connections, f"nobody came to {name}"
        for connection in connections:
            kinds = [kind for kind, _ in connection.pdus]
            assert kinds[0] == ASSOCIATE_RQ and kinds.count(ASSOCIATE_RQ) == 1, name
            assert set(kinds) <= {ASSOCIATE_RQ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT}, name


def test_only_keys_that_are_counted_are_asked_for(heard: Heard) -> None:
    """And PatientID is matched by counters of ours alone: no number of a patient's is ever sent."""
    levels: Counter[str] = Counter()
    for name, connections in heard[0].items():
        for connection in connections:
            for message, _, data in connection.messages():
                if message != "C-FIND-RQ":
                    continue
                for element in identifier(data):
                    assert element.keyword in QUERY_KEYS, (name, element.keyword)
                    assert QUERY_KEYS[element.keyword] or not element.value, (name, element.keyword)
                assert OUR_PATTERN.fullmatch(identifier(data).get("PatientID") or ""), name
                levels[identifier(data).QueryRetrieveLevel] += 1
    assert {"STUDY", "SERIES", "IMAGE"} <= levels.keys() <= {"PATIENT", "STUDY", "SERIES", "IMAGE"}


def identifier(data: bytes) -> Dataset:
    return read_dataset(BytesIO(data), is_implicit_VR=True, is_little_endian=True)


def test_over_tls_too() -> None:
    """There the tap sees ciphers; the lab's own book of visitors says what was asked."""
    specs = [EndpointSpec("127.2.0.1", 2762, "tls-open", archive=ArchiveSpec(studies=60, seed=3))]
    with LabProcess(moved(Population("tls", specs))) as lab:
        (truth,) = lab.truth()
        record = scan(truth.address, ports=(truth.port,)).at(truth)
        assert record.verdict == "exposed" and record.transport == "tls"
        assert lab.truth()[0].seen.requests.keys() == {"C-ECHO", "C-FIND"}
