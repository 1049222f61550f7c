"""A device, an edge, a guard, an archive: all real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE

from guard.department import (
    MPPS,
    NAME,
    STEP,
    STUDY,
    SYNTAXES,
    WORKLIST,
    Verification,
    completed,
    created,
    department,
)
from guard.edge.edging import CALLING, HOST, Log, running, until
from guard.relaying import EVERYTHING, House, guard, table
from leadapron.guard.audit.events import InstancesTransferred, ProcedureRecorded
from leadapron.guard.gateway.edge.settings import EdgeSettings
from leadapron.guard.gateway.edge.settings import check as checked
from leadapron.guard.gateway.edge.settings import table as given
from leadapron.guard.policy.decide import parse_policy
from peers.loading import rest, statistics, steady
from peers.process import Peer, free_port, run
from peers.samples import make_studies, sample_files

Factory = Callable[..., Peer]


def enrolled(root: Path) -> House:
    house = House.build(root)
    directory = house.enrol(CALLING)
    (directory / "peer.key").chmod(0o600)
    return house


def beside(house: House, root: Path, called: str, port: int) -> EdgeSettings:
    options: dict[str, Any] = {
        "listen": f"{HOST}:{free_port()}",
        "from": (HOST,),
        "calling": CALLING,
        "called": called,
        "to": f"{HOST}:{port}",
        "identity": str(house.peers[CALLING]),
        "queue": str(root / "queue"),
        "reserve": 0.0,
    }
    return checked(given(None, options))


async def scu(settings: EdgeSettings, program: str, *options: str, files: tuple[str, ...] = ()) -> str:
    target = ("-aet", CALLING, "-aec", settings.called, HOST, str(settings.listen_port))
    result = await asyncio.to_thread(partial(run, [program, *options, *target, *files]))
    assert result.returncode == 0, result.stdout
    return result.stdout


async def test_store_find_and_retrieve_through_both(tmp_path: Path, orthanc: Factory) -> None:
    archive, house, log = orthanc(), enrolled(tmp_path), Log()
    files = sample_files()
    with guard(house, (HOST, archive.port, archive.ae), table(CALLING, may=EVERYTHING)) as front:
        settings = beside(house, tmp_path, archive.ae, front.port)
        async with running(settings, log) as edge:
            await scu(settings, "echoscu")
            await scu(settings, "storescu", "-R", files=tuple(map(str, files)))
            await until(lambda: len(edge.queue) == 0, "all are delivered", 60)
            assert edge.queue.refusals == 0, str(log)
            assert (await asyncio.to_thread(statistics, archive))["instances"] == len(files)
            one = pydicom.dcmread(files[0], stop_before_pixels=True)
            keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={one.StudyInstanceUID}")
            found = await scu(settings, "findscu", "-v", "-S", *keys, "-k", "PatientID")
            assert str(one.PatientID) in found
            got = tmp_path / "got"
            got.mkdir()
            await scu(settings, "getscu", "-v", "-S", "-od", str(got), *keys)
            study = await asyncio.to_thread(rest, archive, "/tools/lookup", str(one.StudyInstanceUID).encode())
            held = await asyncio.to_thread(rest, archive, f"/studies/{study[0]['ID']}/instances")
            assert len(list(got.iterdir())) == len(held) > 0
    assert {told.sender.user for told in front.told(InstancesTransferred)} >= {CALLING}


async def test_a_worklist_and_a_procedure_step_through_both(tmp_path: Path) -> None:
    house, log = enrolled(tmp_path), Log()
    with (
        department() as (ris, port),
        guard(house, (HOST, port, "RIS"), table(CALLING, may=("worklist", "mpps"))) as front,
    ):
        settings = beside(house, tmp_path, "RIS", front.port)

        def work() -> list[Any]:
            ae = AE(ae_title=CALLING)
            for uid in (WORKLIST, MPPS, Verification):
                ae.add_requested_context(uid, SYNTAXES)
            association = ae.associate(HOST, settings.listen_port, ae_title="RIS")
            steady(association)
            wanted = Dataset()
            wanted.PatientName, wanted.StudyInstanceUID = "*", ""
            said = list(association.send_c_find(wanted, WORKLIST))
            said.append(association.send_n_create(created(), MPPS, STEP))
            said.append(association.send_n_set(completed(5_000), MPPS, STEP))
            association.release()
            return said

        async with running(settings, log):
            planned, end, began, done = await asyncio.to_thread(work)
    assert (planned[0].Status, planned[1].StudyInstanceUID, end[0].Status) == (0xFF00, STUDY, 0)
    assert (began[0].Status, began[1]) == (0, created())
    assert (done[0].Status, done[1].PerformedProcedureStepStatus) == (0, "COMPLETED")
    assert ris.steps[STEP].PerformedSeriesSequence == completed(5_000).PerformedSeriesSequence
    assert ris.offered == [[WORKLIST, MPPS]]
    assert [(one.action, one.peer.user) for one in front.told(ProcedureRecorded)] == [("C", CALLING), ("U", CALLING)]
    assert NAME not in str(log)


async def test_the_archive_behind_the_guard_is_away_for_a_while(tmp_path: Path, orthanc: Factory) -> None:
    archive, house, log = orthanc(), enrolled(tmp_path), Log()
    files = make_studies(tmp_path / "made", 3, instances=4)
    port, ae = archive.port, archive.ae
    archive.stop()
    with guard(house, (HOST, port, ae), table(CALLING)) as front:
        settings = beside(house, tmp_path, ae, front.port)
        async with running(settings, log) as edge:
            await scu(settings, "storescu", files=tuple(map(str, files)))
            assert len(edge.queue) == len(files)
            await until(lambda: edge.line.up is False, "the line is known to be down")
            archive = await asyncio.to_thread(orthanc, {"DicomPort": port}, ae=ae)
            await until(lambda: len(edge.queue) == 0, "all are delivered", 60)
            assert edge.queue.refusals == 0, str(log)
    assert statistics(archive)["instances"] == len(files)


async def test_a_device_that_may_not_store_waits_until_somebody_allows_it(tmp_path: Path, orthanc: Factory) -> None:
    archive, house, log = orthanc(), enrolled(tmp_path), Log()
    files = make_studies(tmp_path / "made", 1, instances=3)
    with guard(house, (HOST, archive.port, archive.ae), table(CALLING, may=("echo",))) as front:
        settings = beside(house, tmp_path, archive.ae, front.port)
        async with running(settings, log) as edge:
            await scu(settings, "echoscu")
            await scu(settings, "storescu", "-R", files=tuple(map(str, files)))
            await until(lambda: edge.line.up is False, "it is refused")
            front.policy = parse_policy(table(CALLING))
            await until(lambda: len(edge.queue) == 0, "all are delivered", 60)
            assert edge.queue.refusals == 0, str(log)
    assert statistics(archive)["instances"] == len(files)


async def test_a_revoked_edge_keeps_what_it_has(tmp_path: Path, orthanc: Factory) -> None:
    archive, house, log = orthanc(), enrolled(tmp_path), Log()
    (before, after) = make_studies(tmp_path / "made", 2)
    with guard(house, (HOST, archive.port, archive.ae), table(CALLING)) as front:
        settings = beside(house, tmp_path, archive.ae, front.port)
        async with running(settings, log) as edge:
            await scu(settings, "storescu", files=(str(before),))
            await until(lambda: len(edge.queue) == 0, "it is delivered")
            house.registry.revoke(CALLING, "lost")
            await scu(settings, "storescu", files=(str(after),))
            await until(lambda: edge.line.up is False, "the line is refused")
            assert len(edge.queue) == 1
    assert statistics(archive)["instances"] == 1
