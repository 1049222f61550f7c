"""How much a peer may do: studies in an hour over C-GET and C-MOVE, requests in a minute, kinds of objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pydicom
import pytest

from guard.relaying import House, Running, guard, table
from leadapron.guard.audit.events import BulkAlarm, InstancesTransferred, SecurityAlert
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest, RequestorAssociation, StoreRequest, Timeouts, associate
from leadapron.wire.elements import Tag
from peers.loading import load, statistics
from peers.process import HOST, Peer, free_port
from peers.samples import make_studies, sample_files
from peers.servers import start_orthanc, start_storescp

PATIENT = Timeouts(connect=10, tls=10, associate=20, response=20, idle=20, write=20, release=10)
SC = uids.SECONDARY_CAPTURE_STORAGE
GET, MOVE, PATIENT_GET, PATIENT_MOVE = (
    uids.STUDY_ROOT_GET,
    uids.STUDY_ROOT_MOVE,
    uids.PATIENT_ROOT_GET,
    uids.PATIENT_ROOT_MOVE,
)
READING = [ContextRequest(uid) for uid in (GET, MOVE, PATIENT_GET, PATIENT_MOVE, uids.VERIFICATION)]
STORING = [ContextRequest(SC, scp=True)]
REFUSED = 0xA700


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House.build(tmp_path_factory.mktemp("house"))
    for name in ("CT1", "WS1"):
        house.enrol(name)
    return house


@pytest.fixture(scope="module")
def back() -> int:
    return free_port()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, back: int) -> Iterator[Peer]:
    """Twelve studies of two objects; two patients with six each."""
    files = make_studies(tmp_path_factory.mktemp("studies"), 12, instances=2, patients=2)
    with start_orthanc(tmp_path_factory.mktemp("archive"), destinations={"WS1": back}) as peer:
        load(peer, files)
        yield peer


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Patient and study of each."""
    files = make_studies(tmp_path_factory.mktemp("again"), 12, patients=2)
    heads = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    return [(str(head.PatientID), str(head.StudyInstanceUID)) for head in heads]


def joined(
    house: House, running: Running, name: str, contexts: list[ContextRequest]
) -> AbstractAsyncContextManager[RequestorAssociation]:
    return associate(
        HOST, running.port, called=running.archive_ae, calling=name, contexts=contexts, tls=house.context(name),
        timeouts=PATIENT,
    )  # fmt: skip


def study_level(uid: str) -> list[Any]:
    return [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", uid)]


def patient_level(name: str) -> list[Any]:
    return [(Tag.QueryRetrieveLevel, "CS", "PATIENT"), (Tag.PatientID, "LO", name)]


class Keeper:
    """Takes what a C-GET brings; ``studies`` of it."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, instance: StoreRequest) -> int:
        async for _ in instance:
            pass
        self.names.append(instance.sop_instance)
        return 0

    @property
    def studies(self) -> set[str]:
        return {name.rsplit(".", 2)[0] for name in self.names}


async def test_studies_are_counted_over_associations_and_kinds(
    house: House, archive: Peer, studies: list[tuple[str, str]], tmp_path: Path
) -> None:
    keeper = Keeper()
    with guard(house, (HOST, archive.port, archive.ae), table("WS1", studies_per_hour=4)) as running:
        async with joined(house, running, "WS1", READING + STORING) as association:
            for _, study in studies[:3]:
                assert (await association.get(GET, study_level(study), keeper)).status == 0
            for _, study in studies[:3]:  # again: these are counted already
                assert (await association.get(GET, study_level(study), keeper)).status == 0
        async with joined(house, running, "WS1", READING + STORING) as association:
            both = await association.get(GET, study_level(f"{studies[3][1]}\\{studies[4][1]}"), keeper)
            assert both.status == REFUSED
            assert (await association.get(GET, study_level(studies[3][1]), keeper)).status == 0
            assert (await association.get(GET, study_level(studies[4][1]), keeper)).status == REFUSED
            assert await association.echo() == 0
        assert keeper.studies == {study for _, study in studies[:4]}
        assert [alarm.peer.user for alarm in running.told(BulkAlarm)] == ["WS1", "WS1"]


async def test_a_get_of_whole_patients_is_cut_short(
    house: House, archive: Peer, studies: list[tuple[str, str]]
) -> None:
    keeper = Keeper()
    with guard(house, (HOST, archive.port, archive.ae), table("WS1", studies_per_hour=4)) as running:
        async with joined(house, running, "WS1", READING + STORING) as association:
            end = await association.get(PATIENT_GET, patient_level(studies[0][0]), keeper)
            assert end.status == REFUSED
            assert await association.echo() == 0
        # The patient counts as one until its studies are seen.
        assert 3 <= len(keeper.studies) <= 4
        assert running.told(BulkAlarm)


async def test_a_move_of_whole_patients_delivers_no_more(
    house: House, archive: Peer, back: int, studies: list[tuple[str, str]], tmp_path: Path
) -> None:
    mine = house.peers["WS1"]
    tls = ["+tls", str(mine / "peer.key"), str(mine / "peer.pem"), "+cf", str(mine / "authority.pem"), "-rc"]
    with start_storescp(tmp_path / "ws1", *tls, ae="WS1") as station:
        rules = table("WS1", move_to=["WS1"], receive=f"{HOST}:{station.port}", studies_per_hour=4)
        with guard(house, (HOST, archive.port, archive.ae), rules, back=back) as running:
            async with joined(house, running, "WS1", READING) as association:
                await association.move(PATIENT_MOVE, "WS1", patient_level(studies[0][0]))
            running.quiet()
            received = [pydicom.dcmread(path).StudyInstanceUID for path in (station.home / "received").iterdir()]
            assert 3 <= len(set(received)) <= 4
            assert {alarm.peer.user for alarm in running.told(BulkAlarm)} == {"WS1"}
            (carried,) = [
                told for told in running.told(InstancesTransferred) if any(study.sop_classes for study in told.studies)
            ]
            assert sum(sop.instances for study in carried.studies for sop in study.sop_classes) == len(received)


@pytest.mark.parametrize(
    "identifier",
    [
        [(Tag.QueryRetrieveLevel, "CS", "STUDY")],
        study_level(""),
        study_level("*"),
        study_level("1.2\\*"),
        patient_level("?"),
        patient_level(""),
        [(Tag.StudyInstanceUID, "UI", "1.2.3")],
        [(Tag.QueryRetrieveLevel, "CS", "SERIES"), (Tag.StudyInstanceUID, "UI", "1.2.3")],
    ],
)
async def test_a_retrieval_that_names_nothing_is_no_retrieval(
    identifier: list[Any], house: House, archive: Peer
) -> None:
    keeper = Keeper()
    with guard(house, (HOST, archive.port, archive.ae), table("WS1", move_to=["WS1"])) as running:
        async with joined(house, running, "WS1", READING + STORING) as association:
            assert (await association.get(PATIENT_GET, identifier, keeper)).status == 0xA900
            assert (await association.move(PATIENT_MOVE, "WS1", identifier)).status == 0xA900
            assert not keeper.names


async def test_requests_in_a_minute(house: House, archive: Peer) -> None:
    # A tenth of them may come at once, the next a second later.
    with guard(house, (HOST, archive.port, archive.ae), table("WS1", requests_per_minute=50)) as running:
        async with joined(house, running, "WS1", READING) as association:
            statuses = [await association.echo() for _ in range(7)]
        assert statuses == [0] * 5 + [REFUSED] * 2
        (alert,) = running.told(SecurityAlert)
        assert alert.kind.name == "REQUEST_DENIED"


async def test_modalities(house: House, orthanc: Any) -> None:
    """By SOP class where it tells; else by (0008,0060), read before anything of the object goes on."""
    inside = orthanc()
    files = [path for path in sample_files() if path.stat().st_size < 300_000]
    rules = table("CT1", modalities=["CT", "OT", "SR"])
    with guard(house, (HOST, inside.port, inside.ae), rules) as running:
        heads = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in files}
        wanted = {(str(head.SOPClassUID), str(head.file_meta.TransferSyntaxUID)) for head in heads.values()}
        contexts = [ContextRequest(sop, (syntax,)) for sop, syntax in sorted(wanted)]
        allowed = 0
        async with joined(house, running, "CT1", contexts) as association:
            offered = {context.abstract_syntax for context in association.contexts}
            assert uids.MR_IMAGE_STORAGE not in offered and {uids.CT_IMAGE_STORAGE, SC} <= offered
            for path, head in heads.items():
                if str(head.SOPClassUID) in offered:
                    good = head.Modality in ("CT", "OT", "SR")
                    assert await association.store_file(path) == (0 if good else 0x0124)
                    allowed += good
        running.quiet()
        assert statistics(inside)["instances"] == allowed > 3


async def test_rules_that_change_hold_from_the_next_request(house: House, archive: Peer) -> None:
    from leadapron.guard.policy.decide import parse_policy

    with guard(house, (HOST, archive.port, archive.ae), table("WS1")) as running:
        async with joined(house, running, "WS1", READING) as association:
            assert await association.echo() == 0
            running.policy = parse_policy(table("WS1", may=("find",)))
            assert await association.echo() == 0x0124
