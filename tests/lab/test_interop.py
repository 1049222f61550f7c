"""DCMTK and pynetdicom as visitors of the lab: they see servers like any others."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from lab_client import only
from pydicom.data.data_manager import DATA_ROOT
from pydicom.dataset import Dataset

from leadapron.lab import EndpointTruth, LabProcess
from peers.loading import steady
from peers.process import program

FIND_KEYS = ("0008,0052=STUDY", "0020,000d", "0020,1208", "0010,0010", "0010,0020")


@pytest.fixture(scope="module")
def lab() -> Iterator[dict[str, EndpointTruth]]:
    """Some hard cases in a process of their own, by persona."""
    names = (
        *("orthanc", "dcm4chee", "conquest", "clearcanvas", "pynetdicom", "ge-pacs", "osirix"),
        *("rejects-calling", "rejects-called", "refuses-contexts", "not-authorized", "echo-only", "store-only"),
        *("cancels-at-limit", "refuses-c001", "undated", "one-pdu", "dicompot", "fragile", "never-releases"),
    )
    with LabProcess(only("hard-cases", *names), free_ports=True) as process:
        yield {truth.persona: truth for truth in reversed(process.truth())}


def run(tool: str, truth: EndpointTruth, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [program(tool), "-v", *options, truth.address, str(truth.port)], capture_output=True, timeout=60, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode("latin-1")


def findscu(truth: EndpointTruth, *keys: str, model: str = "-S") -> tuple[list[str], str]:
    """Study UIDs as printed, and the final line."""
    arguments = [argument for key in (*FIND_KEYS, *keys) for argument in ("-k", key)]
    code, said = run("findscu", truth, model, *arguments)
    assert code == 0, said
    final = re.search(r"Received Final Find Response \((.*)\)", said)
    return re.findall(r"\(0020,000d\) UI \[([\d.]+)", said), final.group(1) if final else ""


@pytest.mark.parametrize(
    "persona", ["orthanc", "conquest", "clearcanvas", "ge-pacs", "echo-only", "dicompot", "fragile"]
)
def test_echoscu(lab: dict[str, EndpointTruth], persona: str) -> None:
    code, said = run("echoscu", lab[persona])
    assert code == 0 and "Received Echo Response (Success)" in said, said


@pytest.mark.parametrize(
    ("persona", "reason"),
    [("rejects-calling", "Calling AE Title Not Recognized"), ("rejects-called", "Called AE Title Not Recognized")],
)
def test_echoscu_is_rejected(lab: dict[str, EndpointTruth], persona: str, reason: str) -> None:
    code, said = run("echoscu", lab[persona])
    assert code != 0 and reason in said, said


def test_echoscu_finds_no_context(lab: dict[str, EndpointTruth]) -> None:
    code, said = run("echoscu", lab["refuses-contexts"])
    assert code != 0 and "No Acceptable Presentation Contexts" in said, said


@pytest.mark.parametrize("persona", ["orthanc", "conquest", "clearcanvas", "undated", "one-pdu", "ge-pacs", "fragile"])
def test_findscu_lists_every_study(lab: dict[str, EndpointTruth], persona: str) -> None:
    studies, final = findscu(lab[persona])
    assert len(studies) == len(set(studies)) == lab[persona].studies
    assert final == "Success"


def test_findscu_by_date_and_by_patient(lab: dict[str, EndpointTruth]) -> None:
    truth = lab["conquest"]
    halves = [findscu(truth, f"0008,0020={dates}")[0] for dates in ("-20181231", "20190101-")]
    assert sum(map(len, halves)) == truth.studies and all(halves)
    patients = findscu(truth, "0008,0052=PATIENT", "0020,1200", model="-P")[0]
    assert patients == []  # a patient has no study's UID
    _, said = run("findscu", truth, "-P", "-k", "0008,0052=PATIENT", "-k", "0010,0020", "-k", "0020,1200")
    told = [int(number) for number in re.findall(r"\(0020,1200\) IS \[(\d+)", said)]
    assert (len(told), sum(told)) == (truth.patients, truth.studies)


def test_findscu_hears_how_limits_end(lab: dict[str, EndpointTruth]) -> None:
    studies, final = findscu(lab["cancels-at-limit"])
    assert len(studies) == 200 and "Cancel" in final
    studies, final = findscu(lab["refuses-c001"])
    assert studies == [] and "UnableToProcess" in final
    studies, final = findscu(lab["not-authorized"])
    assert studies == [] and "0x124" in final


def test_findscu_below_the_study(lab: dict[str, EndpointTruth]) -> None:
    truth = lab["orthanc"]
    total = 0
    for uid in findscu(truth)[0][:8]:
        keys = ["-k", "0008,0052=SERIES", "-k", f"0020,000d={uid}", "-k", "0020,000e", "-k", "0020,1209"]
        _, said = run("findscu", truth, "-S", *keys)
        series = re.findall(r"\(0020,000e\) UI \[([\d.]+)", said)
        assert len(series) == len(set(series)) > 0
        total += sum(int(n) for n in re.findall(r"\(0020,1209\) IS \[(\d+)", said))
    assert total >= 8


def test_storescu_and_movescu(lab: dict[str, EndpointTruth]) -> None:
    image = f"{DATA_ROOT}/test_files/CT_small.dcm"
    done = subprocess.run(
        [program("storescu"), "-v", lab["store-only"].address, str(lab["store-only"].port), image],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and b"Received Store Response (Success)" in done.stdout + done.stderr
    keys = ["-k", "0008,0052=STUDY", "-k", "0020,000d=1.2.3"]
    _, said = run("movescu", lab["orthanc"], "-S", "-aem", "NOWHERE", *keys)
    assert "MoveDestinationUnknown" in said, said


def pynetdicom_find(truth: EndpointTruth, max_pdu: int = 16382, **matches: str) -> tuple[list[Any], int]:
    from pynetdicom import AE
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification  # type: ignore[attr-defined]

    ae = AE("PYNET")
    ae.maximum_pdu_size = max_pdu
    ae.add_requested_context(Verification)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    association = ae.associate(truth.address, truth.port)
    assert association.is_established
    steady(association)
    assert association.send_c_echo().Status == 0
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    for keyword in ("StudyInstanceUID", "StudyDate", "PatientName", "NumberOfStudyRelatedInstances"):
        setattr(query, keyword, matches.get(keyword))
    answers, final = [], -1
    for status, identifier in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind):
        if identifier is None:
            final = status.Status
        else:
            answers.append(identifier)
    association.release()
    return answers, final


@pytest.mark.parametrize("persona", ["orthanc", "pynetdicom", "osirix", "one-pdu", "undated"])
@pytest.mark.parametrize("max_pdu", [16382, 128])
async def test_pynetdicom(lab: dict[str, EndpointTruth], persona: str, max_pdu: int) -> None:
    truth = lab[persona]
    answers, status = await asyncio.to_thread(pynetdicom_find, truth, max_pdu)
    assert status == 0
    assert len({answer.StudyInstanceUID for answer in answers}) == len(answers) == truth.studies
    assert sum(answer.NumberOfStudyRelatedInstances for answer in answers) == truth.images
    assert all(str(answer.PatientName) for answer in answers) or persona == "orthanc"


async def test_pynetdicom_reads_japanese_names(lab: dict[str, EndpointTruth]) -> None:
    answers, _ = await asyncio.to_thread(pynetdicom_find, lab["conquest"])
    assert {"山川^一郎", "水野^花子"} <= {str(answer.PatientName) for answer in answers}


async def test_pynetdicom_meets_a_server_that_never_releases(lab: dict[str, EndpointTruth]) -> None:
    from pynetdicom import AE
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    def visit() -> bool:
        ae = AE("PYNET")
        ae.acse_timeout = 0.5
        ae.add_requested_context(Verification)
        truth = lab["never-releases"]
        association = ae.associate(truth.address, truth.port)
        established = bool(association.is_established)
        association.release()
        return established and not association.is_released

    assert await asyncio.to_thread(visit)
