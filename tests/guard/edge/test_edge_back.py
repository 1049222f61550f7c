"""The way back: what the archive has for a device comes through guard and edge to it, and from nobody else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel as COMMITMENT  # type: ignore[attr-defined]

from guard.edge.edging import CALLED, CALLING, HOST, Log, device, running, until
from guard.edge.test_edge_guard import beside, enrolled, scu
from guard.relaying import EVERYTHING, House, guard, table
from leadapron.guard.gateway.edge.settings import EdgeSettings
from leadapron.guard.gateway.edge.settings import check as checked
from leadapron.guard.gateway.edge.settings import table as given
from leadapron.kernel.errors import AssociationAborted, AssociationRejected, ConnectionLost, UsageError, WireError
from leadapron.wire import uids
from leadapron.wire.aio import (
    ActionRequest,
    Call,
    ContextRequest,
    EchoRequest,
    EventRequest,
    Reply,
    Server,
    Service,
    StoreRequest,
    Supported,
    Timeouts,
    associate,
    choose,
    recognised,
    serve,
)
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.certificates import Certificates
from peers.loading import steady
from peers.process import Peer, free_port
from peers.samples import make_studies
from peers.servers import start_storescp

Factory = Callable[..., Peer]
SOON = Timeouts(connect=5, tls=5, associate=10, response=20, idle=20, write=20, release=2)
BACK = [
    ContextRequest(uids.STORAGE_COMMITMENT_PUSH, scp=True),
    ContextRequest(uids.VERIFICATION),
    ContextRequest(uids.CT_IMAGE_STORAGE, (uids.EXPLICIT_LE,)),
    ContextRequest(uids.STUDY_ROOT_FIND),
]


def with_way_back(house: House, root: Path, called: str, guard_port: int, receive: int, device: int) -> EdgeSettings:
    options: dict[str, Any] = {
        "listen": f"{HOST}:{free_port()}",
        "from": (HOST,),
        "calling": CALLING,
        "called": called,
        "to": f"{HOST}:{guard_port}",
        "receive": f"{HOST}:{receive}",
        "device": f"{HOST}:{device}",
        "identity": str(house.peers[CALLING]),
        "queue": str(root / "queue"),
        "reserve": 0.0,
    }
    return checked(given(None, options))


@contextmanager
def scanner(port: int, reports: list[tuple[int, Dataset]]) -> Iterator[AE]:
    """A device that asks for commitment and takes what it is told of it, in plain."""

    def on_report(event: evt.Event) -> tuple[int, None]:
        reports.append((event.event_type, event.event_information))
        return 0x0000, None

    ae = AE(ae_title=CALLING)
    ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    ae.add_requested_context(COMMITMENT)
    server = ae.start_server((HOST, port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)])
    assert server is not None
    try:
        yield ae
    finally:
        server.shutdown()


def asked(ae: AE, settings: EdgeSettings, transaction: str, objects: list[tuple[str, str]]) -> int:
    """The status with which a request for commitment is answered; the association is gone then."""
    association = ae.associate(HOST, settings.listen_port, ae_title=settings.called)
    assert association.is_established
    steady(association)
    request = Dataset()
    request.TransactionUID, request.ReferencedSOPSequence = transaction, Sequence([])
    for sop_class, sop_instance in objects:
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = sop_class, sop_instance
        request.ReferencedSOPSequence.append(one)
    status, _ = association.send_n_action(request, 1, COMMITMENT, uids.STORAGE_COMMITMENT_PUSH_INSTANCE)
    association.release()
    return int(status.Status)


async def test_a_commitment_is_told_on_another_association(tmp_path: Path, orthanc: Factory) -> None:
    """Device, edge, guard, Orthanc; Orthanc calls back when it has looked."""
    back, receive, port = free_port(), free_port(), free_port()
    archive, house, log = orthanc(destinations={CALLING: back}), enrolled(tmp_path), Log()
    files = make_studies(tmp_path / "made", 1, instances=3)
    kept = [
        (str(head.SOPClassUID), str(head.SOPInstanceUID))
        for head in (pydicom.dcmread(path, stop_before_pixels=True) for path in files)
    ]
    reports: list[tuple[int, Dataset]] = []
    rules = table(CALLING, may=("store", "commit"), receive=f"{HOST}:{receive}")
    with (
        scanner(port, reports) as ct1,
        guard(house, (HOST, archive.port, archive.ae), rules, back=back) as front,
    ):
        settings = with_way_back(house, tmp_path, archive.ae, front.port, receive, port)
        async with running(settings, log):
            await scu(settings, "storescu", files=tuple(map(str, files)))
            assert await asyncio.to_thread(asked, ct1, settings, "1.2.3.1", kept) == 0
            await until(lambda: len(reports) == 1, "the device is told", 60)
            lost = [(kept[0][0], "1.2.3.4.5")]
            assert await asyncio.to_thread(asked, ct1, settings, "1.2.3.2", [*kept, *lost]) == 0
            await until(lambda: len(reports) == 2, "the device is told again", 60)
            await until(
                lambda: str(log).count("the device took 1 storage commitment report") == 2, "it stands in the log"
            )
    (good, first), (bad, second) = reports
    assert (good, first.TransactionUID) == (1, "1.2.3.1")
    assert {str(one.ReferencedSOPInstanceUID) for one in first.ReferencedSOPSequence} == {uid for _, uid in kept}
    assert (bad, second.TransactionUID) == (2, "1.2.3.2")
    assert [str(one.ReferencedSOPInstanceUID) for one in second.FailedSOPSequence] == ["1.2.3.4.5"]


async def test_images_are_moved_to_a_device_without_tls(tmp_path: Path, orthanc: Factory) -> None:
    back, receive = free_port(), free_port()
    archive, house, log = orthanc(destinations={CALLING: back}), enrolled(tmp_path), Log()
    files = make_studies(tmp_path / "made", 1, instances=4)
    one = pydicom.dcmread(files[0], stop_before_pixels=True)
    rules = table(CALLING, may=EVERYTHING, move_to=[CALLING], receive=f"{HOST}:{receive}")
    with (
        start_storescp(tmp_path / "device", ae=CALLING) as station,
        guard(house, (HOST, archive.port, archive.ae), rules, back=back) as front,
    ):
        settings = with_way_back(house, tmp_path, archive.ae, front.port, receive, station.port)
        async with running(settings, log) as edge:
            await scu(settings, "storescu", files=tuple(map(str, files)))
            await until(lambda: len(edge.queue) == 0, "all are delivered", 60)
            keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={one.StudyInstanceUID}")
            await scu(settings, "movescu", "-S", "-aem", CALLING, *keys)
            await until(lambda: "the device took 4 data sets" in str(log), "it stands in the log")
        assert len(list((station.home / "received").iterdir())) == len(files)


class Device(Service):
    """Takes everything. ``heard``: what came."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.called: list[tuple[str, str]] = []

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        assert call.tls is None
        self.called.append((call.request.calling, call.request.called))
        every = (uids.STORAGE_COMMITMENT_PUSH, uids.VERIFICATION, uids.CT_IMAGE_STORAGE, uids.STUDY_ROOT_FIND)
        supported = Supported(
            dict.fromkeys(every, (uids.EXPLICIT_LE, uids.IMPLICIT_LE)),
            roles={uids.STORAGE_COMMITMENT_PUSH: (True, True)},
        )
        return choose(call.request, supported, recognised(called={CALLING}, calling={CALLED}))

    async def echo(self, request: EchoRequest) -> int:
        self.heard.append("echo")
        return 0

    async def store(self, request: StoreRequest) -> int:
        self.heard.append(f"store {sum([len(chunk) async for chunk in request])}")
        return 0

    async def n_event_report(self, request: EventRequest) -> Reply:
        self.heard.append(f"report {request.command.event_type}")
        return Reply(0)

    async def n_action(self, request: ActionRequest) -> Reply:
        self.heard.append("action")
        return Reply(0)


def listening_device(service: Service, port: int) -> Server:
    return serve(HOST, port, service, timeouts=SOON, grace=0)


def as_guard(house: House) -> ssl.SSLContext:
    """What the guard has in its hands."""
    return holding(house, house.home / "server.pem", house.home / "server.key")


def holding(house: House, certificate: Path | None, key: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(house.home / "authority.pem"))
    context.check_hostname = False  # devices have no host names
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def delivering(settings: EdgeSettings, tls: ssl.SSLContext | None, calling: str = CALLED, called: str = CALLING) -> Any:
    assert settings.receive is not None
    return associate(HOST, settings.receive.port, called=called, calling=calling, contexts=BACK, tls=tls, timeouts=SOON)


async def test_what_the_guard_delivers(tmp_path: Path) -> None:
    house, log, ct1, port = enrolled(tmp_path), Log(), Device(), free_port()
    settings = with_way_back(house, tmp_path, CALLED, free_port(), free_port(), port)
    transaction = [(Tag.TransactionUID, "UI", "1.2")]
    async with running(settings, log):
        with pytest.raises(AssociationRejected, match="temporary congestion"):  # and the archive tries again
            async with delivering(settings, as_guard(house)):
                pass
        assert f"the device does not take deliveries at {HOST}:{port}" in str(log)
        async with listening_device(ct1, port), delivering(settings, as_guard(house)) as association:
            accepted = {context.abstract_syntax for context in association.contexts}
            assert accepted == {one.abstract_syntax for one in BACK[:3]}  # a device is not asked for its images
            assert await association.echo() == 0
            assert await association.store(uids.CT_IMAGE_STORAGE, "1.2.3", bytes(900_000)) == 0
            reply = await association.n_event_report(uids.STORAGE_COMMITMENT_PUSH, "1.2", 1, transaction)
            assert reply.status == 0
            reply = await association.n_action(uids.STORAGE_COMMITMENT_PUSH, "1.2", 1, transaction)
            assert reply.status == 0x0124  # it is the device that asks for commitment
        await until(lambda: "the device took" in str(log), "it stands in the log")
    assert ct1.heard == ["echo", "store 900000", "report 1"]
    assert ct1.called == [(CALLED, CALLING)]
    assert "the device took 1 data set, 1 storage commitment report" in str(log)


async def test_nobody_but_the_guard_comes_in(tmp_path: Path, certificates: Certificates) -> None:
    house, log, ct1, port = enrolled(tmp_path), Log(), Device(), free_port()
    other = house.enrol("CT2")
    settings = with_way_back(house, tmp_path, CALLED, free_port(), free_port(), port)
    own = house.peers[CALLING]
    strangers: list[tuple[ssl.SSLContext | None, str, str]] = [
        (None, CALLED, CALLING),
        (holding(house, None), CALLED, CALLING),
        (holding(house, certificates.client_certificate, certificates.client_key), CALLED, CALLING),
        (holding(house, other / "peer.pem", other / "peer.key"), CALLED, CALLING),  # of our authority, no guard
        (holding(house, own / "peer.pem", own / "peer.key"), CALLED, CALLING),  # the edge's own
        (as_guard(house), "EVIL", CALLING),
        (as_guard(house), CALLED, "EVIL"),
        (as_guard(house), CALLING, CALLED),
    ]
    async with running(settings, log), listening_device(ct1, port):
        for number, (tls, calling, called) in enumerate(strangers, 1):
            with pytest.raises((AssociationRejected, AssociationAborted, ConnectionLost, WireError)):
                async with delivering(settings, tls, calling, called):
                    raise AssertionError("a stranger was let in")
            await until(lambda: str(log).count("turned away") == number, "it is told")  # noqa: B023
        assert str(log).count("on the way back") == len(strangers)
        assert ct1.called == [] and ct1.heard == []
        async with delivering(settings, as_guard(house)) as association:
            assert await association.echo() == 0


async def test_a_renewed_certificate_is_shown_there_too(tmp_path: Path) -> None:
    house, log = enrolled(tmp_path), Log()
    settings = with_way_back(house, tmp_path, CALLED, free_port(), free_port(), free_port())
    certificate = house.peers[CALLING] / "peer.pem"
    assert settings.receive is not None
    async with running(settings, log):
        assert await shown(house, settings.receive.port) == ssl.PEM_cert_to_DER_cert(first_of(certificate))
        house.enrol(CALLING)
        (house.peers[CALLING] / "peer.key").chmod(0o600)
        async with device(settings, [ContextRequest(uids.VERIFICATION)]) as association:
            assert await association.echo() == 0x0110  # the line is down, and was tried with what is there now
        assert await shown(house, settings.receive.port) == ssl.PEM_cert_to_DER_cert(first_of(certificate))


def first_of(chain: Path) -> str:
    return chain.read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"


async def shown(house: House, port: int) -> bytes | None:
    _, writer = await asyncio.open_connection(HOST, port, ssl=as_guard(house), server_hostname=HOST)
    try:
        session = writer.get_extra_info("ssl_object")
        return bytes(session.getpeercert(binary_form=True))
    finally:
        writer.transport.abort()


async def test_without_a_way_back_nothing_listens_there(tmp_path: Path) -> None:
    house, log = enrolled(tmp_path), Log()
    settings = beside(house, tmp_path, CALLED, free_port())
    assert settings.receive is None and settings.device is None
    async with running(settings, log):
        assert "deliveries from the guard" not in str(log)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"receive": "192.168.1.2:2762"}, "belong together"),
        ({"device": "192.168.1.50:104"}, "belong together"),
        ({"receive": "192.168.1.2:2762", "device": "192.168.1.51:104"}, "--from has only 192.168.1.50"),
        ({"receive": "192.168.1.2:2762", "device": "ct1.example:104"}, "--device takes addresses"),
        ({"receive": "192.168.1.2:2762", "device": "192.168.1.50"}, "--device: .* HOST:PORT"),
        ({"receive": "0.0.0.0:2762", "device": "192.168.1.50:104"}, "--receive needs one address"),
    ],
)
def test_what_is_refused(options: dict[str, str], words: str) -> None:
    good: dict[str, Any] = {
        "from": ("192.168.1.50",), "calling": "CT1", "called": "PACS", "to": "guard.example.org:2762",
        "identity": "identity", "queue": "queue",
    }  # fmt: skip
    with pytest.raises(UsageError, match=words):
        checked(given(None, good | options))
