"""Their SCUs against our SCP: echoscu, storescu, findscu, getscu, movescu, pynetdicom, Orthanc."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

from leadapron.wire import uids
from leadapron.wire.aio import (
    Call,
    ContextRequest,
    FindRequest,
    GetRequest,
    Instance,
    MoveRequest,
    Progress,
    Reply,
    Server,
    Service,
    StoreRequest,
    Supported,
    Timeouts,
    anyone,
    associate,
    choose,
    serve,
    server_context,
)
from leadapron.wire.aio.part10 import open_part10
from leadapron.wire.aio.service import ActionRequest
from leadapron.wire.dimse.status import SUCCESS
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.certificates import Certificates
from peers.loading import load, rest, steady
from peers.process import Peer, run
from peers.samples import make_studies

Factory = Callable[..., Peer]
QUICK = Timeouts(connect=5, tls=5, associate=10, response=20, idle=20, write=20, release=5)
LITTLE = (uids.EXPLICIT_LE, uids.IMPLICIT_LE)
STUDIES = 300


class Archive(Service):
    """Keeps what it is sent in memory, finds studies by a counter, sends files."""

    def __init__(self, files: list[Path]) -> None:
        self.files = [open_part10(path) for path in files]
        self.stored: dict[str, int] = {}
        self.found = 0
        self.asked: list[str] = []
        classes = {file.sop_class for file in self.files} | set(uids.COMMON_STORAGE)
        models = (uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET, uids.VERIFICATION)
        others = (uids.STORAGE_COMMITMENT_PUSH,)
        self.supported = Supported(
            {uid: LITTLE for uid in (*classes, *models, *others)}, roles={uid: (True, True) for uid in classes}
        )

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        return choose(call.request, self.supported, anyone)

    async def store(self, request: StoreRequest) -> int:
        self.stored[request.sop_instance] = sum([len(chunk) async for chunk in request])
        return SUCCESS

    async def find(self, request: FindRequest) -> AsyncIterator[list[tuple[int, str, str]]]:
        self.asked.append(request.identifier.text(Tag.QueryRetrieveLevel, "CS"))
        try:
            for number in range(STUDIES):
                yield [
                    (Tag.QueryRetrieveLevel, "CS", "STUDY"),
                    (Tag.PatientName, "PN", f"SYNTHETIC^{number}"),
                    (Tag.StudyInstanceUID, "UI", f"1.2.3.{number}"),
                ]
                self.found += 1
        finally:
            self.asked.append("ended")

    async def get(self, request: GetRequest) -> AsyncIterator[Instance]:
        request.total = len(self.files)
        for file in self.files:
            yield Instance(file.sop_class, file.sop_instance, file.transfer_syntax, file.chunks())

    async def move(self, request: MoveRequest) -> AsyncIterator[Progress]:
        port = int(request.command.destination.removeprefix("PORT"))
        contexts = [ContextRequest(c, (s,)) for c, s in sorted({(f.sop_class, f.transfer_syntax) for f in self.files})]
        async with associate(
            "127.0.0.1", port, called="STORESCP", calling="OURS", contexts=contexts, timeouts=QUICK
        ) as target:
            for done, file in enumerate(self.files, 1):
                await target.store(
                    file.sop_class, file.sop_instance, file.chunks(), transfer_syntax=file.transfer_syntax
                )
                yield Progress(len(self.files) - done, completed=done)

    async def n_action(self, request: ActionRequest) -> Reply:
        assert request.data is not None
        self.asked.append(request.data.text(Tag.TransactionUID, "UI"))
        return Reply(SUCCESS)


@contextlib.asynccontextmanager
async def archive(files: list[Path], **options: Any) -> AsyncIterator[tuple[Archive, Server]]:
    service = Archive(files)
    async with serve("127.0.0.1", 0, service, timeouts=QUICK, grace=0.5, **options) as server:
        yield service, server


async def scu(*command: str, seconds: float = 60.0, cwd: Path | None = None) -> str:
    """Runs a peer's program while our loop serves it; its output. It must succeed."""
    result = await asyncio.to_thread(partial(run, command, seconds, cwd))
    assert result.returncode == 0, result.stdout[-2000:]
    return result.stdout


def instance_uids(files: list[Path]) -> set[str]:
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files}


async def test_echoscu(sample: list[Path]) -> None:
    async with archive(sample) as (_, server):
        await scu("echoscu", "-v", "127.0.0.1", str(server.port))
        assert server.turned_away == 0


async def test_storescu_with_nagle_on_does_not_stall(tmp_path: Path) -> None:
    files = make_studies(tmp_path / "made", 1, instances=60, pixels=200)
    async with archive(files) as (service, server):
        began = asyncio.get_running_loop().time()
        await scu("storescu", "127.0.0.1", str(server.port), *map(str, files))
        elapsed = asyncio.get_running_loop().time() - began
    assert len(service.stored) == len(files)
    assert elapsed < len(files) * 0.04  # a delayed ACK takes 40 ms for each of them


async def test_findscu(sample: list[Path]) -> None:
    async with archive(sample) as (service, server):
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "-k", "PatientName")
        printed = await scu("findscu", "-S", "-v", *keys, "127.0.0.1", str(server.port))
        assert printed.count("Pending") >= STUDIES
        assert service.asked == ["STUDY", "ended"]


async def test_findscu_that_cancels(sample: list[Path]) -> None:
    async with archive(sample) as (service, server):
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID")
        await scu("findscu", "-S", "--cancel", "5", *keys, "127.0.0.1", str(server.port))
        assert service.asked == ["STUDY", "ended"]


async def test_getscu(sample: list[Path], tmp_path: Path) -> None:
    files = sample[:6]
    async with archive(files) as (_, server):
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")
        await scu("getscu", "-S", "+B", *keys, "-od", str(tmp_path), "127.0.0.1", str(server.port))
    assert instance_uids(list(tmp_path.iterdir())) == instance_uids(files)


async def test_movescu(sample: list[Path], storescp: Factory) -> None:
    files, target = sample[:6], storescp()
    async with archive(files) as (_, server):
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")
        await scu("movescu", "-S", "-aem", f"PORT{target.port}", *keys, "127.0.0.1", str(server.port))
    assert len(list((target.home / "received").iterdir())) == len(files)


async def test_orthanc_sends_and_queries(orthanc: Factory, sample: list[Path]) -> None:
    async with archive(sample) as (service, server):
        peer = orthanc({"DicomModalities": {"ours": ["OURS", "127.0.0.1", server.port]}})
        load(peer, sample)
        instances = rest(peer, "/instances")
        answer = await asyncio.to_thread(
            rest, peer, "/modalities/ours/store", str(instances).replace("'", '"').encode()
        )
        assert answer["FailedInstancesCount"] == 0
        query = b'{"Level": "Study", "Query": {"PatientName": "*"}}'
        asked = await asyncio.to_thread(rest, peer, "/modalities/ours/query", query)
        assert len(await asyncio.to_thread(rest, peer, f"{asked['Path']}/answers")) == STUDIES
    assert len(service.stored) == len(sample)


async def test_pynetdicom(sample: list[Path]) -> None:
    files = sample[:8]
    async with archive(files) as (service, server):
        await asyncio.to_thread(_converse, server.port, files)
    assert set(service.stored) == instance_uids(files)
    assert service.asked[0] == "STUDY"
    assert service.asked[-1] == "1.2.3.4"


def _converse(port: int, files: list[Path]) -> None:
    """Echo, store, find, cancelled find, get, storage commitment: all on one association."""
    ae = AE(ae_title="PYNETDICOM")
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    classes = sorted({str(header.SOPClassUID) for header in headers})
    models = [uids.VERIFICATION, uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_GET, uids.STORAGE_COMMITMENT_PUSH]
    contexts = [build_context(uid, list(LITTLE)) for uid in models]
    for syntax in LITTLE:
        contexts += [build_context(uid, [syntax]) for uid in classes]
    got: list[str] = []

    def keep(event: Any) -> int:
        got.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    association = ae.associate(
        "127.0.0.1",
        port,
        contexts=contexts,
        ext_neg=[build_role(uid, scu_role=True, scp_role=True) for uid in classes],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    assert association.is_established
    steady(association)
    assert association.send_c_echo().Status == 0
    for path in files:
        assert association.send_c_store(str(path)).Status == 0
    query = pydicom.Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = ""
    answers = list(association.send_c_find(query, uids.STUDY_ROOT_FIND))
    assert [status.Status for status, _ in answers] == [0xFF00] * STUDIES + [0]
    ended = [status for status, _ in association.send_c_get(query, uids.STUDY_ROOT_GET)][-1]
    assert ended.Status == 0
    assert ended.NumberOfCompletedSuboperations == len(files) == len(got)
    commitment = pydicom.Dataset()
    commitment.TransactionUID = "1.2.3.4"
    status, _ = association.send_n_action(
        commitment, 1, uids.STORAGE_COMMITMENT_PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE
    )
    assert status.Status == 0
    association.release()
    assert association.is_released


@pytest.mark.parametrize("mutual", [False, True])
async def test_dcmtk_over_tls(mutual: bool, sample: list[Path], certificates: Certificates) -> None:
    context = server_context(
        certificates.server_certificate,
        certificates.server_key,
        authorities=certificates.authority if mutual else None,
    )
    ours = ("+tls", str(certificates.client_key), str(certificates.client_certificate))
    trust = ("+cf", str(certificates.authority))
    async with archive(sample, tls=context) as (service, server):
        await scu("echoscu", *ours, *trust, "127.0.0.1", str(server.port))
        await scu("storescu", *ours, *trust, "127.0.0.1", str(server.port), *map(str, sample[:4]))
        assert len(service.stored) == 4
        stranger = await asyncio.to_thread(run, ("echoscu", "+tla", *trust, "127.0.0.1", str(server.port)))
        assert (stranger.returncode == 0) is not mutual
