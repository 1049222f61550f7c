"""Our SCU against real servers: Orthanc, dcmqrscp, storescp, qrscp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from leadapron.kernel.errors import AssociationAborted, AssociationRejected, ConnectionLost, TlsFailed
from leadapron.wire import uids
from leadapron.wire.aio import ContextRequest, StoreRequest, Timeouts, associate, client_context
from leadapron.wire.dimse.status import CANCEL, SUCCESS
from leadapron.wire.elements import Tag
from peers.certificates import Certificates
from peers.loading import load, statistics
from peers.process import Peer
from peers.samples import make_studies, totals
from peers.servers import start_dcmqrscp, start_orthanc, start_qrscp, start_storescp

Factory = Callable[..., Peer]
QUICK = Timeouts(connect=5, tls=5, associate=10, response=20, idle=20, write=20, release=5)
STUDY = [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", ""), (Tag.StudyDate, "DA", "")]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Where the archives can send to."""
    with start_storescp(tmp_path_factory.mktemp("target")) as peer:
        yield peer


@pytest.fixture(scope="module", params=[start_orthanc, start_dcmqrscp, start_qrscp])
def archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, target: Peer, sample: list[Path]
) -> Iterator[Peer]:
    """Each archive in turn, with the sample in it."""
    with request.param(tmp_path_factory.mktemp("archive"), destinations={target.ae: target.port}) as peer:
        load(peer, sample)
        yield peer


def storage_contexts(files: list[Path], *, scp: bool = False) -> list[ContextRequest]:
    """One context for each SOP class and transfer syntax among the files."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    pairs = sorted({(str(h.SOPClassUID), str(h.file_meta.TransferSyntaxUID)) for h in headers})
    return [ContextRequest(sop_class, (syntax,), scp=scp) for sop_class, syntax in pairs]


@pytest.mark.parametrize("name", ["orthanc", "dcmqrscp", "qrscp", "storescp"])
async def test_echo_and_store(name: str, request: pytest.FixtureRequest, sample: list[Path]) -> None:
    peer: Peer = request.getfixturevalue(name)()
    contexts = [ContextRequest(uids.VERIFICATION), *storage_contexts(sample)]
    async with associate(
        peer.host, peer.port, called=peer.ae, calling="OURS", contexts=contexts, timeouts=QUICK
    ) as association:
        assert await association.echo() == SUCCESS
        for path in sample:
            assert await association.store_file(path) == SUCCESS
    if name == "orthanc":
        assert statistics(peer)["instances"] == len(sample)
    if name == "storescp":
        received = {str(pydicom.dcmread(path).SOPInstanceUID) for path in (peer.home / "received").iterdir()}
        assert received == {str(pydicom.dcmread(path).SOPInstanceUID) for path in sample}


async def test_find(archive: Peer, sample: list[Path]) -> None:
    peer = archive
    async with associate(
        peer.host,
        peer.port,
        called=peer.ae,
        calling="OURS",
        contexts=[ContextRequest(uids.STUDY_ROOT_FIND)],
        timeouts=QUICK,
    ) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        found = [answer.text(Tag.StudyInstanceUID, "UI") async for answer in find]
        assert find.status == SUCCESS
        # A set: pynetdicom's qrscp answers at STUDY level with one row for each image.
        assert set(found) == {str(pydicom.dcmread(p).StudyInstanceUID) for p in sample}

        spans: list[bytes] = []
        consumer = association.raw_find(uids.STUDY_ROOT_FIND, lambda data, at, end: spans.append(data[at:end]))
        end = await association.find_into(uids.STUDY_ROOT_FIND, STUDY, consumer)
        assert (end.status, end.answers, len(spans)) == (SUCCESS, len(found), len(found))


async def test_a_find_left_early_is_cancelled(orthanc: Factory, tmp_path: Path) -> None:
    peer = orthanc()
    load(peer, make_studies(tmp_path / "made", 40))
    async with associate(
        peer.host,
        peer.port,
        called=peer.ae,
        calling="OURS",
        contexts=[ContextRequest(uids.STUDY_ROOT_FIND), ContextRequest(uids.VERIFICATION)],
        timeouts=QUICK,
    ) as association:
        find = association.find(uids.STUDY_ROOT_FIND, STUDY)
        async for _ in find:
            break
        assert find.status is None
        assert await association.echo() == SUCCESS  # the rest of the answers is out of the way
        assert find.status in (CANCEL, SUCCESS)


async def test_get(archive: Peer, sample: list[Path]) -> None:
    peer, files = archive, sample[:5]
    got: dict[str, int] = {}

    async def keep(instance: StoreRequest) -> int:
        got[instance.sop_instance] = sum([len(chunk) async for chunk in instance])
        return SUCCESS

    async with associate(
        peer.host,
        peer.port,
        called=peer.ae,
        calling="OURS",
        contexts=[ContextRequest(uids.STUDY_ROOT_GET), *storage_contexts(files, scp=True)],
        timeouts=QUICK,
    ) as association:
        for path in files:
            study = str(pydicom.dcmread(path).StudyInstanceUID)
            end = await association.get(
                uids.STUDY_ROOT_GET,
                [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", study)],
                keep,
            )
            assert (end.status, end.failed) == (SUCCESS, 0)
    assert set(got) == {str(pydicom.dcmread(path).SOPInstanceUID) for path in files}
    assert min(got.values()) > 100


async def test_move(archive: Peer, target: Peer, sample: list[Path]) -> None:
    peer = archive
    study = str(pydicom.dcmread(sample[0]).StudyInstanceUID)
    expected = totals(path for path in sample if str(pydicom.dcmread(path).StudyInstanceUID) == study)
    async with associate(
        peer.host,
        peer.port,
        called=peer.ae,
        calling="OURS",
        contexts=[ContextRequest(uids.STUDY_ROOT_MOVE)],
        timeouts=QUICK,
    ) as association:
        level = (Tag.QueryRetrieveLevel, "CS", "STUDY")
        identifier = [level, (Tag.StudyInstanceUID, "UI", study)]
        end = await association.move(uids.STUDY_ROOT_MOVE, target.ae, identifier)
        assert (end.status, end.completed, end.failed) == (SUCCESS, expected.instances, 0)
        nowhere = await association.move(uids.STUDY_ROOT_MOVE, "NOWHERE", identifier)
        assert nowhere.status != SUCCESS
    received = {str(pydicom.dcmread(path).StudyInstanceUID) for path in (target.home / "received").iterdir()}
    assert study in received


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("name", ["orthanc", "storescp", "dcmqrscp"])
async def test_tls(
    name: str, mutual: bool, request: pytest.FixtureRequest, sample: list[Path], certificates: Certificates
) -> None:
    peer: Peer = request.getfixturevalue(name)(tls=certificates, mutual=mutual)
    known = client_context(
        authorities=certificates.authority, certificate=certificates.client_certificate, key=certificates.client_key
    )
    contexts = [ContextRequest(uids.VERIFICATION), *storage_contexts(sample[:3])]
    async with associate(
        peer.host, peer.port, called=peer.ae, calling="OURS", contexts=contexts, timeouts=QUICK, tls=known
    ) as association:
        assert association.tls is not None
        assert association.tls.version in ("TLSv1.2", "TLSv1.3")
        assert association.tls.certificate
        for path in sample[:3]:
            assert await association.store_file(path) == SUCCESS
    if mutual:
        stranger = client_context(authorities=certificates.authority)
        with pytest.raises((TlsFailed, ConnectionLost)):  # the alert, or the reset that overtakes it
            async with associate(
                peer.host, peer.port, called=peer.ae, calling="OURS", contexts=contexts, timeouts=QUICK, tls=stranger
            ) as association:
                await association.echo()


async def test_an_unknown_called_ae_title_is_a_rejection(orthanc: Factory) -> None:
    peer = orthanc({"DicomCheckCalledAet": True})
    with pytest.raises(AssociationRejected) as caught:
        async with associate(
            peer.host, peer.port, called="WRONG", calling="OURS", contexts=[ContextRequest(uids.VERIFICATION)]
        ):
            pass
    assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--refuse", AssociationRejected),
        ("--abort-during", AssociationAborted),
        ("--abort-after", AssociationAborted),
    ],
)
async def test_storescp_that_refuses_or_aborts(
    option: str, error: type[Exception], storescp: Factory, tmp_path: Path
) -> None:
    peer = storescp(option)
    (path,) = make_studies(tmp_path / "made", 1, pixels=2000)
    with pytest.raises(error):
        async with associate(
            peer.host, peer.port, called=peer.ae, calling="OURS", contexts=storage_contexts([path]), timeouts=QUICK
        ) as association:
            await association.store_file(path)
