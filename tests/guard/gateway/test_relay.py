"""Real senders and readers over TLS through the guard to real archives, both directions."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StudyRootQueryRetrieveInformationModelFind

from guard.relaying import House, Running, guard, table
from leadapron.guard.audit.codes import Outcome
from leadapron.guard.audit.events import BeginTransferring, InstancesTransferred, NodeAuthenticationFailed, QueryMade
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest, StoreRequest, Timeouts, associate
from leadapron.wire.elements import Tag
from peers.loading import load, statistics, steady
from peers.process import HOST, Peer, free_port, run, wait_until
from peers.samples import TEST_FILES, sample_files
from peers.servers import start_dcmqrscp, start_orthanc, start_storescp

PATIENT = Timeouts(connect=10, tls=10, associate=20, response=20, idle=20, write=20, release=10)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House.build(tmp_path_factory.mktemp("house"))
    for name in ("CT1", "WS1"):
        house.enrol(name)
    return house


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """An Orthanc with the sample."""
    with start_orthanc(tmp_path_factory.mktemp("stocked")) as peer:
        load(peer, sample_files())
        yield peer


def instances(running: Running) -> int:
    return sum(
        sop.instances
        for told in running.told(InstancesTransferred)
        for study in told.studies
        for sop in study.sop_classes
    )


@pytest.mark.parametrize("name", ["orthanc", "dcmqrscp"])
def test_echoscu_and_storescu(house: House, name: str, request: pytest.FixtureRequest) -> None:
    archive: Peer = request.getfixturevalue(name)()
    files = sample_files()
    with guard(house, (HOST, archive.port, archive.ae), table("CT1")) as running:
        echo = run(["echoscu", *house.dcmtk("CT1"), *running.target(calling="CT1")])
        assert echo.returncode == 0, echo.stdout
        sent = run(["storescu", "-R", *house.dcmtk("CT1"), *running.target(calling="CT1"), *map(str, files)])
        assert sent.returncode == 0, sent.stdout
        running.quiet()
        if archive.http_port is not None:
            assert statistics(archive)["instances"] == len(files)
        (told,) = running.told(InstancesTransferred)
        assert told.sender.user == "CT1" and told.receiver.ae == archive.ae
        assert instances(running) == len(files)
        assert len(running.told(BeginTransferring)) == len(told.studies)


def transfer_syntaxes() -> list[Path]:
    """One of pydicom's files for each transfer syntax and the larger ones of each kind."""
    found: dict[str, Path] = {}
    for path in sorted(TEST_FILES.glob("*.dcm")):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            syntax = header.file_meta.TransferSyntaxUID
        except (pydicom.errors.InvalidDicomError, AttributeError, OSError):
            continue
        if "SOPInstanceUID" in header and "SOPClassUID" in header and UID(syntax).is_transfer_syntax:
            best = found.get(syntax)
            if best is None or best.stat().st_size < path.stat().st_size < 2_000_000:
                found[syntax] = path
    return list(found.values())


def data_set(path: Path) -> bytes:
    """The octets behind the file meta information."""
    octets = path.read_bytes()
    assert octets[128:132] == b"DICM"
    octets = octets[144 + int.from_bytes(octets[140:144], "little") :]
    return octets + bytes(len(octets) & 1)  # a deflated one is padded, PS3.5 §A.5


async def test_each_transfer_syntax_arrives_bit_exact(house: House, storescp: Any) -> None:
    archive = storescp("+B", "+xa")
    files = transfer_syntaxes()
    assert len(files) >= 8
    with guard(house, (HOST, archive.port, archive.ae), table("CT1")) as running:
        kinds = {
            path: (str(head.file_meta.MediaStorageSOPClassUID), str(head.file_meta.TransferSyntaxUID))
            for path in files
            for head in [pydicom.dcmread(path, stop_before_pixels=True)]
        }
        async with associate(
            HOST,
            running.port,
            called=archive.ae,
            calling="CT1",
            tls=house.context("CT1"),
            contexts=[ContextRequest(sop, (syntax,)) for sop, syntax in sorted(set(kinds.values()))],
            timeouts=PATIENT,
        ) as association:
            accepted = {(context.abstract_syntax, context.transfer_syntax) for context in association.contexts}
            stored = [path for path in files if kinds[path] in accepted]
            for number, path in enumerate(stored):  # under names of our own: some are of one and the same object
                (sop_class, syntax), name = kinds[path], f"1.2.3.{number}"
                assert await association.store(sop_class, name, data_set(path), transfer_syntax=syntax) == 0
        assert len(stored) >= 8
        running.quiet()
    received = {data_set(path) for path in (archive.home / "received").iterdir()}
    assert all(data_set(path) in received for path in stored)


def test_findscu(house: House, stocked: Peer) -> None:
    with guard(house, (HOST, stocked.port, stocked.ae), table("WS1")) as running:
        keys = ["-k", "0008,0052=STUDY", "-k", "0020,000D"]
        found = run(["findscu", "-S", "-v", *house.dcmtk("WS1"), *keys, *running.target(calling="WS1")])
        assert found.returncode == 0, found.stdout
        assert found.stdout.count("Find Response") - found.stdout.count("Final") >= statistics(stocked)["studies"]
        (query,) = running.wait_told(QueryMade)
        assert query.peer.user == "WS1" and query.sop_class == uids.STUDY_ROOT_FIND and b"STUDY" in query.query


def test_a_query_that_the_archive_fails_is_told_again_with_what_came_of_it(house: House) -> None:
    archive, port = AE(ae_title="OLDPACS"), free_port()
    archive.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    server = archive.start_server((HOST, port), block=False, evt_handlers=[(evt.EVT_C_FIND, no_answers)])
    assert server is not None
    try:
        with guard(house, (HOST, port, "OLDPACS"), table("WS1")) as running:
            association = reader(house, running, "WS1", StudyRootQueryRetrieveInformationModelFind)
            query = Dataset()
            query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", "1.2.3"
            (answer,) = association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
            assert answer[0].Status == 0xC311
            asked, failed = running.wait_told(QueryMade, 2)
            association.release()
    finally:
        server.shutdown()
    assert (asked.outcome, asked.reason) == (Outcome.SUCCESS, None)
    assert (failed.outcome, failed.reason) == (Outcome.SERIOUS, "it ended with status C311H")
    assert failed.query == asked.query and failed.peer == asked.peer


def no_answers(event: object) -> Iterator[tuple[int, None]]:
    yield 0xC311, None  # unable to process (PS3.4 Table C.4-1)


def reader(house: House, running: Running, calling: str, *contexts: str, role: tuple[str, ...] = ()) -> Any:
    """A pynetdicom association through the guard."""
    ae = AE(ae_title=calling)
    for uid in contexts:
        ae.add_requested_context(uid)
    association = ae.associate(HOST, running.port, ae_title=running.archive_ae, tls_args=(house.context(calling), HOST))
    assert association.is_established
    steady(association)
    return association


def test_a_query_is_cut_short_and_the_association_goes_on(house: House, stocked: Peer) -> None:
    with guard(house, (HOST, stocked.port, stocked.ae), table("WS1", max_results=3)) as running:
        association = reader(house, running, "WS1", StudyRootQueryRetrieveInformationModelFind, "1.2.840.10008.1.1")
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
        for _ in range(2):
            answers = [
                status.Status
                for status, _ in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
            ]
            assert answers == [0xFF00] * 3 + [0xFE00]
        assert association.send_c_echo().Status == 0
        association.release()
        assert [event.kind.name for event in running.events if hasattr(event, "kind")] == ["BROAD_QUERY"] * 2


async def test_get(house: House, stocked: Peer) -> None:
    files = sample_files()[:4]
    heads = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    got: list[str] = []

    async def keep(instance: StoreRequest) -> int:
        octets = sum([len(chunk) async for chunk in instance])
        got.append(instance.sop_instance)
        return 0 if octets else 0xC000

    storage = sorted({str(head.SOPClassUID) for head in heads})
    with guard(house, (HOST, stocked.port, stocked.ae), table("WS1", may=("retrieve",))) as running:
        async with associate(
            HOST,
            running.port,
            called=stocked.ae,
            calling="WS1",
            tls=house.context("WS1"),
            contexts=[
                ContextRequest(uids.STUDY_ROOT_GET),
                *(ContextRequest(name, scp=True) for name in storage),
            ],
            timeouts=PATIENT,
        ) as association:
            assert not any(context.scu for context in association.contexts if context.abstract_syntax in storage)
            for study in {str(head.StudyInstanceUID) for head in heads}:
                end = await association.get(
                    uids.STUDY_ROOT_GET,
                    [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", study)],
                    keep,
                )
                assert (end.status, end.failed) == (0, 0)
        running.quiet()
        assert {str(head.SOPInstanceUID) for head in heads} <= set(got)
        assert instances(running) == len(got)


def test_move_to_a_peer_behind_the_guard(house: House, tmp_path: Path) -> None:
    """WS1 asks, the archive delivers to the guard's back door, the guard carries it to WS1 over TLS."""
    back = free_port()
    files = sample_files()[:12]
    mine = house.peers["WS1"]
    with (
        start_dcmqrscp(tmp_path / "archive", destinations={"WS1": back}) as archive,
        start_storescp(
            tmp_path / "ws1", "+tls", str(mine / "peer.key"), str(mine / "peer.pem"), "+cf",
            str(mine / "authority.pem"), "-rc", ae="WS1",
        ) as station,
    ):  # fmt: skip
        load(archive, files)
        rules = table("WS1", move_to=["WS1"], receive=f"{HOST}:{station.port}") + table("CT1", move_to=["NOBODY"])
        with guard(house, (HOST, archive.port, archive.ae), rules, back=back) as running:
            study = str(pydicom.dcmread(files[0]).StudyInstanceUID)
            expected = [path for path in files if str(pydicom.dcmread(path).StudyInstanceUID) == study]
            association = reader(house, running, "WS1", "1.2.840.10008.5.1.4.1.2.2.2")
            query = Dataset()
            query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
            status = [
                answer.Status for answer, _ in association.send_c_move(query, "WS1", "1.2.840.10008.5.1.4.1.2.2.2")
            ]
            assert status[-1] == 0
            # Elsewhere it may not send anything, and the archive is not even asked.
            refused = [
                answer.Status for answer, _ in association.send_c_move(query, "CT1", "1.2.840.10008.5.1.4.1.2.2.2")
            ]
            assert refused == [0xA801]
            association.release()
            running.quiet()
            received = list((station.home / "received").iterdir())
            assert len(received) == len(expected)
            told = running.told(InstancesTransferred)
            carried = [event for event in told if event.receiver.user == "WS1" and event.studies[0].sop_classes]
            assert len(carried) == 1 and carried[0].requestor is not None and carried[0].requestor.user == "WS1"


def test_commitment(house: House) -> None:
    """N-ACTION goes in; the report comes back on an association of the archive's own, through the back door."""
    back, archive_port, station_port = free_port(), free_port(), free_port()
    asked: list[Dataset] = []
    reported: list[Dataset] = []

    def on_action(event: evt.Event) -> tuple[int, None]:
        asked.append(event.action_information)
        return 0x0000, None

    def on_report(event: evt.Event) -> tuple[int, None]:
        reported.append(event.event_information)
        return 0x0000, None

    archive = AE(ae_title="PACS")
    archive.add_supported_context(StorageCommitmentPushModel)
    station = AE(ae_title="CT1")
    station.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    mine = house.peers["CT1"]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(mine / "authority.pem"))
    context.load_cert_chain(mine / "peer.pem", mine / "peer.key")
    context.verify_mode = ssl.CERT_REQUIRED
    servers = [
        archive.start_server((HOST, archive_port), block=False, evt_handlers=[(evt.EVT_N_ACTION, on_action)]),
        station.start_server(
            (HOST, station_port), block=False, ssl_context=context, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)]
        ),
    ]
    try:
        rules = table("CT1", receive=f"{HOST}:{station_port}")
        with guard(house, (HOST, archive_port, "PACS"), rules, back=back) as running:
            association = reader(house, running, "CT1", StorageCommitmentPushModel)
            request = Dataset()
            request.TransactionUID = "1.2.3.4"
            status, _ = association.send_n_action(
                request, 1, StorageCommitmentPushModel, uids.STORAGE_COMMITMENT_PUSH_INSTANCE
            )
            assert status.Status == 0 and asked[0].TransactionUID == "1.2.3.4"
            association.release()
            from pynetdicom import build_role

            back_ae = AE(ae_title="PACS")
            back_ae.add_requested_context(StorageCommitmentPushModel)
            report = back_ae.associate(
                HOST, back, ae_title="CT1", ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)]
            )
            assert report.is_established
            steady(report)
            status, _ = report.send_n_event_report(
                request, 1, StorageCommitmentPushModel, uids.STORAGE_COMMITMENT_PUSH_INSTANCE
            )
            assert status.Status == 0 and reported[0].TransactionUID == "1.2.3.4"
            report.release()
            stranger = AE(ae_title="EVIL")
            stranger.add_requested_context(StorageCommitmentPushModel)
            assert stranger.associate(HOST, back, ae_title="CT1").is_rejected
            running.quiet()
            assert len(running.told(NodeAuthenticationFailed)) == 1
    finally:
        for server in servers:
            server.shutdown()


def test_a_revocation_ends_a_running_association(tmp_path: Path, stocked: Peer) -> None:
    house = House.build(tmp_path)
    house.enrol("WS1")
    with guard(house, (HOST, stocked.port, stocked.ae), table("WS1")) as running:
        association = reader(house, running, "WS1", "1.2.840.10008.1.1")
        assert association.send_c_echo().Status == 0
        house.registry.revoke("WS1", "stolen")
        assert "Status" not in association.send_c_echo()
        wait_until(lambda: association.is_aborted, "the association is aborted")
        (told,) = running.wait_told(NodeAuthenticationFailed)
        assert told.ae == "WS1"
