"""Real peers through the guard: dicomweb-client with a token, OHIF's requests with a session, Orthanc's REST."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file

from guard.web.serving import ALL_WEB, Served, bearer, cookie, guarding
from leadapron.guard.audit.events import (
    BulkAlarm,
    InstancesAccessed,
    InstancesTransferred,
    QueryMade,
    SecurityAlert,
    StudyDeleted,
)
from leadapron.guard.gateway.meter import Bounds, ForWeb, Meter
from peers.certificates import Certificates
from peers.loading import rest
from peers.process import Peer

CT = Path(str(get_testdata_file("CT_small.dcm")))
MR = Path(str(get_testdata_file("MR_small.dcm")))
JPEG = Path(str(get_testdata_file("JPEG2000.dcm")))
OCTETS = ("application/octet-stream",)  # all that this Orthanc gives for frames and bulk data
PE = b"MZ\x90\0".ljust(128, b"\xcc")


@asynccontextmanager
async def before(tmp_path: Path, certificates: Certificates, archive: Peer, **options: Any) -> AsyncIterator[Served]:
    """A guard before that Orthanc; its people are ``reader`` and ``writer``."""
    async with guarding(
        tmp_path, certificates, f"http://127.0.0.1:{archive.http_port}", "orthanc", **options
    ) as served:
        served.person("reader")
        yield served


def loaded(archive: Peer, *files: Path) -> list[pydicom.Dataset]:
    """Puts files into the archive past the guard."""
    for file in files:
        rest(archive, "/instances", file.read_bytes())
    return [pydicom.dcmread(file) for file in files]


def delete(archive: Peer, instance: str) -> None:
    requests.delete(f"http://127.0.0.1:{archive.http_port}/instances/{instance}", timeout=10)


def fetched(archive: Peer, path: str) -> bytes:
    return requests.get(f"http://127.0.0.1:{archive.http_port}{path}", timeout=10).content


def dicomweb(served: Served, headers: dict[str, str]) -> DICOMwebClient:
    session = requests.Session()
    session.verify = str(served.certificates.authority)
    session.trust_env = False
    session.headers.update(headers)
    return DICOMwebClient(url=f"{served.base}/dicom-web", session=session)


def same(one: pydicom.Dataset, other: pydicom.Dataset) -> bool:
    return one == other and one.PixelData == other.PixelData


async def test_dicomweb_client_searches_retrieves_and_stores(
    tmp_path: Path, certificates: Certificates, archive: Peer
) -> None:
    (ct,) = loaded(archive, CT)
    async with before(tmp_path, certificates, archive) as served:
        client = dicomweb(served, bearer(served.token("reader", ALL_WEB)))
        study, series, instance = str(ct.StudyInstanceUID), str(ct.SeriesInstanceUID), str(ct.SOPInstanceUID)
        served.forget()

        found = await asyncio.to_thread(client.search_for_studies, search_filters={"PatientID": ct.PatientID})
        assert [one["0020000D"]["Value"][0] for one in found] == [study]
        assert found[0]["00081190"]["Value"] == [f"{served.base}/dicom-web/studies/{study}"]
        assert isinstance(served.events[-1], QueryMade) and b"PatientID=" in served.events[-1].query
        assert len(await asyncio.to_thread(client.search_for_series, study)) == 1
        assert len(await asyncio.to_thread(client.search_for_instances, study, series)) == 1

        metadata = await asyncio.to_thread(client.retrieve_series_metadata, study, series)
        uri = metadata[0]["7FE00010"]["BulkDataURI"]
        assert uri.startswith(f"{served.base}/dicom-web/studies/{study}/")
        assert (await asyncio.to_thread(client.retrieve_bulkdata, uri, OCTETS))[0] == ct.PixelData

        whole = await asyncio.to_thread(client.retrieve_instance, study, series, instance)
        assert same(whole, ct)
        (of_study,) = await asyncio.to_thread(client.retrieve_study, study)
        assert same(of_study, ct)
        (frame,) = await asyncio.to_thread(client.retrieve_instance_frames, study, series, instance, [1], OCTETS)
        assert frame == ct.PixelData
        picture = await asyncio.to_thread(client.retrieve_instance_rendered, study, series, instance)
        assert picture[:2] == b"\xff\xd8"

        mr = pydicom.dcmread(MR)
        answer = await asyncio.to_thread(client.store_instances, [mr])
        assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == mr.SOPInstanceUID
        stored = served.events[-1]
        assert isinstance(stored, InstancesTransferred) and stored.action == "C"
        assert [one.uid for one in stored.studies] == [mr.StudyInstanceUID]
        back = await asyncio.to_thread(
            client.retrieve_instance, mr.StudyInstanceUID, mr.SeriesInstanceUID, mr.SOPInstanceUID
        )
        assert same(back, mr)


async def test_what_ohif_asks_for_with_a_session(tmp_path: Path, certificates: Certificates, archive: Peer) -> None:
    ct, jpeg = loaded(archive, CT, JPEG)
    async with before(tmp_path, certificates, archive) as served:
        session = cookie(await served.session("reader"))
        async with served.client(headers=session) as client:
            at = "/dicom-web/studies"
            answer = await client.get(
                f"{at}?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090"
            )
            assert answer.status_code == 200 and answer.headers["content-type"] == "application/dicom+json"
            assert len(answer.json()) >= 2
            answer = await client.get(
                f"{at}?PatientName=*{str(ct.PatientName)[:4]}*&StudyDate=19000101-20991231&limit=25"
            )
            assert ct.StudyInstanceUID in answer.text

            study = f"{at}/{jpeg.StudyInstanceUID}"
            answer = await client.get(
                f"{study}/series?includefield=0008103E%2C00080021", headers={"Accept": "application/dicom+json"}
            )
            (series,) = answer.json()
            assert series["00081190"]["Value"][0].startswith(served.base)
            series_at = f"{study}/series/{jpeg.SeriesInstanceUID}"
            (metadata,) = (await client.get(f"{series_at}/metadata")).json()
            assert metadata["00080018"]["Value"] == [jpeg.SOPInstanceUID]
            assert b"127.0.0.1" not in (await client.get(f"{series_at}/metadata")).content.replace(
                b"127.0.0.1:" + str(served.server.port).encode(), b""
            )

            instance = f"{series_at}/instances/{jpeg.SOPInstanceUID}"
            wanted = (
                'multipart/related; type="image/jp2"; transfer-syntax=*, '
                "multipart/related; type=application/octet-stream; transfer-syntax=*"
            )
            answer = await client.get(f"{instance}/frames/1", headers={"Accept": wanted})
            assert answer.status_code == 200
            kind = answer.headers["content-type"]
            assert kind.startswith("multipart/related")
            message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.content)
            (part,) = message.get_payload()
            assert part["Content-Location"].startswith(f"{served.base}/dicom-web/studies/")
            frame = part.get_payload(decode=True)
            assert len(frame) > 200 and frame in jpeg.PixelData

            for what in ("rendered", "frames/1/rendered"):
                at_ct = f"{at}/{ct.StudyInstanceUID}/series/{ct.SeriesInstanceUID}/instances/{ct.SOPInstanceUID}"
                answer = await client.get(f"{at_ct}/{what}?quality=90", headers={"Accept": "image/jpeg"})
                assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg", what
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "sandbox" in answer.headers["content-security-policy"]
            assert (await client.get(f"{instance}/thumbnail")).status_code == 404  # this Orthanc has none
            answer = await client.get(
                instance, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
            )
            assert jpeg.PixelData in answer.content

            uri = (
                f"/wado?requestType=WADO&studyUID={ct.StudyInstanceUID}&seriesUID={ct.SeriesInstanceUID}"
                f"&objectUID={ct.SOPInstanceUID}&contentType=application%2Fdicom"
            )
            answer = await client.get(uri)
            assert answer.headers["content-type"] == "application/dicom"
            assert "attachment" in answer.headers["content-disposition"]
            assert same(pydicom.dcmread(io.BytesIO(answer.content)), ct)
            assert (await client.get(uri.replace(ct.StudyInstanceUID, "1.2.3"))).status_code == 404
            assert (await client.get("/wado?requestType=WADO&objectUID=1.2")).status_code == 400
        accessed = [event for event in served.events if isinstance(event, InstancesAccessed)]
        told = [event.studies[0].uid for event in accessed if event.outcome == 0]
        assert told == [jpeg.StudyInstanceUID, ct.StudyInstanceUID]  # once a study, not once a frame


async def test_orthancs_rest_and_its_explorer(tmp_path: Path, certificates: Certificates, archive: Peer) -> None:
    ct, mr = loaded(archive, CT, MR)
    async with (
        before(tmp_path, certificates, archive) as served,
        served.client(headers=cookie(await served.session("reader"))) as client,
    ):
        answer = await client.get("/orthanc/app/explorer.html")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
        assert "'unsafe-inline'" in answer.headers["content-security-policy"]
        assert (await client.get("/orthanc/app/libs/jquery.min.js?_=1700000000")).status_code == 200
        assert (await client.get("/orthanc/system")).json()["ApiVersion"] > 0
        query = {"Level": "Study", "Query": {"PatientID": ct.PatientID}, "Expand": True, "Limit": 10**9}
        (study,) = (await client.post("/orthanc/tools/find", json=query)).json()
        assert study["MainDicomTags"]["StudyInstanceUID"] == ct.StudyInstanceUID
        (series,) = (await client.get(f"/orthanc/studies/{study['ID']}/series")).json()
        (instance,) = (await client.get(f"/orthanc/series/{series['ID']}/instances")).json()
        at = f"/orthanc/instances/{instance['ID']}"
        assert (await client.get(f"{at}/simplified-tags")).json()["PatientID"] == ct.PatientID
        assert (await client.get(f"{at}/preview")).headers["content-type"] == "image/png"
        got = await client.get(f"{at}/file")
        assert same(pydicom.dcmread(io.BytesIO(got.content)), ct)
        assert int(got.headers["content-length"]) == len(got.content)
        assert (await client.post("/orthanc/tools/lookup", content=str(ct.PatientID))).json() != []
        assert len((await client.get("/orthanc/studies")).json()) >= 2
        assert (await client.get("/orthanc/studies?since=0&limit=1")).json() != []

        served.forget()
        answer = await client.post(
            "/orthanc/instances", content=MR.read_bytes(), headers={"Content-Type": "application/dicom"}
        )
        assert answer.json()["Status"] == "AlreadyStored"
        (stored,) = served.events
        assert isinstance(stored, InstancesTransferred) and stored.studies[0].uid == mr.StudyInstanceUID
        served.forget()
        parent = answer.json()["ParentStudy"]
        assert (await client.delete(f"/orthanc/studies/{parent}")).status_code == 200
        (deleted,) = served.events
        assert isinstance(deleted, StudyDeleted) and deleted.studies[0].uid == mr.StudyInstanceUID
        assert (await client.get(f"/orthanc/studies/{parent}")).status_code == 404


@pytest.mark.parametrize("way", ["stow", "rest"])
async def test_a_program_in_the_preamble_does_not_come_in(
    tmp_path: Path, certificates: Certificates, archive: Peer, way: str
) -> None:
    poisoned = PE + CT.read_bytes()[128:]
    async with before(tmp_path, certificates, archive) as served:
        served.clock.forward(1)
        headers = bearer(served.token("reader", ALL_WEB))
        async with served.client(headers=headers) as client:
            for one in rest(archive, "/instances"):
                delete(archive, one)
            if way == "stow":
                body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + poisoned + b"\r\n--b--\r\n"
                kind = 'multipart/related; type="application/dicom"; boundary=b'
                answer = await client.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})
            else:
                answer = await client.post(
                    "/orthanc/instances", content=poisoned, headers={"Content-Type": "application/dicom"}
                )
            assert answer.status_code == 200
        (kept,) = rest(archive, "/instances")
        file = fetched(archive, f"/instances/{kept}/file")
        assert file == bytes(128) + poisoned[128:]
        assert any(isinstance(event, SecurityAlert) and "preamble" in event.text for event in served.events)


async def test_a_program_in_the_preamble_does_not_go_out(
    tmp_path: Path, certificates: Certificates, archive: Peer
) -> None:
    poisoned = PE + CT.read_bytes()[128:]
    for one in rest(archive, "/instances"):
        delete(archive, one)
    identifier = rest(archive, "/instances", poisoned)["ID"]
    ct = pydicom.dcmread(CT)
    study, series, instance = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
    async with (
        before(tmp_path, certificates, archive) as served,
        served.client(headers=bearer(served.token("reader", ALL_WEB))) as client,
    ):
        for path in (
            f"/orthanc/instances/{identifier}/file",
            f"/dicom-web/studies/{study}/series/{series}/instances/{instance}",
            f"/dicom-web/studies/{study}",
            f"/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}&contentType=application/dicom",
        ):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert bytes(128) + poisoned[128:] in answer.content and PE not in answer.content, path


async def test_a_bulk_retrieval_is_stopped_and_alarmed(
    tmp_path: Path, certificates: Certificates, archive: Peer
) -> None:
    """Whichever way it goes: WADO-RS, WADO-URI, Orthanc's REST; all count together."""
    uids: list[tuple[str, str, str]] = []
    for number in range(8):
        ct = pydicom.dcmread(CT)
        for tag in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            ct[tag].value = f"1.2.3.{number}.{len(tag)}"
        ct.file_meta.MediaStorageSOPInstanceUID = ct.SOPInstanceUID
        uids.append((ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID))
        buffer = io.BytesIO()
        ct.save_as(buffer)
        rest(archive, "/instances", buffer.getvalue())
    meter = ForWeb(Meter(lambda _: Bounds(studies_per_hour=5)), 5)
    async with before(tmp_path, certificates, archive, meter=meter) as served:
        served.forget()
        async with served.client(headers=cookie(await served.session("reader"))) as client:
            statuses = []
            for number, (study, series, instance) in enumerate(uids):
                found = (
                    await client.post(
                        "/orthanc/tools/find", json={"Level": "Study", "Query": {"StudyInstanceUID": study}}
                    )
                ).json()
                path = (
                    f"/dicom-web/studies/{study}/metadata",
                    f"/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}",
                    f"/orthanc/studies/{found[0]}/archive",
                    f"/dicom-web/studies/{study}",
                )[number % 4]
                statuses.append((await client.get(path)).status_code)
            assert statuses == [200] * 5 + [429] * 3
            assert (
                await client.get(f"/dicom-web/studies/{uids[0][0]}/metadata")
            ).status_code == 200  # known ones go on
        (alarm,) = [event for event in served.events if isinstance(event, BulkAlarm)]
        assert alarm.peer.user == "reader" and alarm.limit == 5


async def test_answers_carry_no_trace_of_the_archive(tmp_path: Path, certificates: Certificates, archive: Peer) -> None:
    (ct,) = loaded(archive, CT)
    async with (
        before(tmp_path, certificates, archive) as served,
        served.client(headers=bearer(served.token("reader", ALL_WEB))) as client,
    ):
        inside = str(archive.http_port)
        for path in (
            "/dicom-web/studies",
            f"/dicom-web/studies/{ct.StudyInstanceUID}/metadata",
            "/dicom-web/studies/9.9/metadata",
            "/orthanc/studies/" + "-".join(["0" * 8] * 5),
        ):
            answer = await client.get(path)
            assert inside not in answer.text or path.startswith("/orthanc/system")
            assert "server" not in answer.headers and "set-cookie" not in answer.headers
            assert answer.headers["cache-control"] == "no-store, private"
            if answer.status_code == 404:
                assert answer.text == "Not found" and "Orthanc" not in answer.text
        assert json.loads((await client.get("/dicom-web/studies?PatientID=nobody")).text or "[]") == []
