"""An edge, the device beside it and the far side behind it, as real parts on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from leadapron.guard.gateway.edge.run import Running, edge
from leadapron.guard.gateway.edge.settings import EdgeSettings, check, table
from leadapron.wire import uids
from leadapron.wire.aio import (
    Call,
    ContextRequest,
    EchoRequest,
    Encoded,
    FindRequest,
    GetRequest,
    Instance,
    MoveRequest,
    Progress,
    RequestorAssociation,
    Server,
    Service,
    StoreRequest,
    Supported,
    Timeouts,
    associate,
    choose,
    recognised,
    serve,
    server_context,
)
from leadapron.wire.aio.dataset import Identifier
from leadapron.wire.aio.service import ActionRequest, CreateRequest, Reply, SetRequest
from leadapron.wire.elements import Tag
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.certificates import Certificates
from peers.process import free_port

HOST = "127.0.0.1"
CALLING, CALLED = "CT1", "PACS"
QUICK = Timeouts(connect=5, tls=5, associate=5, response=20, idle=20, write=20, release=2)
SWIFT = {"first_wait": 0.05, "longest_wait": 0.2, "linger": 0.3}
SYNTAXES = (uids.EXPLICIT_LE, uids.IMPLICIT_LE)
LIVE = (
    uids.VERIFICATION,
    uids.MODALITY_WORKLIST_FIND,
    uids.MODALITY_PERFORMED_PROCEDURE_STEP,
    uids.STUDY_ROOT_MOVE,
    uids.STUDY_ROOT_GET,
)
STORED = (uids.CT_IMAGE_STORAGE, uids.MR_IMAGE_STORAGE, uids.SECONDARY_CAPTURE_STORAGE)
STORE_CONTEXTS = [ContextRequest(uids.CT_IMAGE_STORAGE, (uids.EXPLICIT_LE,))]


def identity(home: Path, certificates: Certificates) -> Path:
    """A directory as ``peer join`` leaves it."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, source in (
        ("peer.pem", certificates.client_certificate),
        ("peer.key", certificates.client_key),
        ("authority.pem", certificates.authority),
    ):
        shutil.copy(source, home / name)
        (home / name).chmod(0o600)
    return home


def configured(home: Path, certificates: Certificates, to: int, **more: Any) -> EdgeSettings:
    """An edge on a free port of loopback, for ``CT1`` at 127.0.0.1, whose far side is on port ``to``."""
    options = {
        "listen": f"{HOST}:{free_port()}",
        "from": (HOST,),
        "calling": CALLING,
        "called": CALLED,
        "to": f"{HOST}:{to}",
        "identity": str(identity(home / "identity", certificates)),
        "queue": str(home / "queue"),
        "reserve": 0.0,
    }
    return check(table(None, options | more))


class FarSide(Service):
    """An archive that keeps digests in order of arrival. ``status`` and ``answer`` can be changed while it runs."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, str, str]] = []  # instance, transfer syntax, SHA-256 of the data set
        self.attempts: list[str] = []
        self.calls: list[tuple[str, str]] = []
        self.actions: list[tuple[str, int]] = []
        self.steps: dict[str, int] = {}  # octets of what was last said of each
        self.answer: Callable[[StoreRequest], int] = lambda request: 0
        self.supported = Supported(
            dict.fromkeys((*LIVE, *STORED, uids.STORAGE_COMMITMENT_PUSH), SYNTAXES),
            roles={uid: (True, True) for uid in STORED},
        )
        self.gate = asyncio.Event()
        self.gate.set()
        self.instances: list[Instance] = []
        self.cancelled = asyncio.Event()
        self.endless = False

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        assert call.tls is not None and call.tls.certificate is not None
        self.calls.append((call.request.calling, call.request.called))
        return choose(call.request, self.supported, recognised(called={CALLED}, calling={CALLING}))

    async def echo(self, request: EchoRequest) -> int:
        return 0

    async def store(self, request: StoreRequest) -> int:
        self.attempts.append(request.sop_instance)
        digest = hashlib.sha256()
        async for chunk in request:
            digest.update(chunk)
        await self.gate.wait()
        status = self.answer(request)
        if status == 0 or status >> 12 == 0xB:
            self.stored.append((request.sop_instance, request.transfer_syntax, digest.hexdigest()))
        return status

    async def find(self, request: FindRequest) -> AsyncIterator[Identifier | Encoded]:
        name = request.identifier.text(Tag.PatientName, "PN")
        try:
            for number in range(1_000_000 if self.endless else 3):
                yield [(Tag.PatientName, "PN", f"{name}^{number}")]
                if self.endless:
                    await asyncio.sleep(0.001)
        finally:
            self.cancelled.set()

    async def move(self, request: MoveRequest) -> AsyncIterator[Progress]:
        assert request.command.destination == "WS1"
        yield Progress(1, 1)
        yield Progress(0, 2)

    async def get(self, request: GetRequest) -> AsyncIterator[Instance]:
        request.total = len(self.instances)
        for instance in self.instances:
            yield instance

    async def n_action(self, request: ActionRequest) -> Reply:
        self.actions.append((request.command.sop_instance, len(self.stored)))
        return Reply(0)

    async def n_create(self, request: CreateRequest) -> Reply:
        assert request.data is not None
        name = request.command.sop_instance or "1.2.840.77"
        if name in self.steps:
            return Reply(0x0111)
        self.steps[name] = len(request.data.data)
        return Reply(0, request.data.data, name)

    async def n_set(self, request: SetRequest) -> Reply:
        assert request.data is not None
        await self.gate.wait()
        if request.command.sop_instance not in self.steps:
            return Reply(0x0112)
        self.steps[request.command.sop_instance] = len(request.data.data)
        return Reply(0)


def far_side(service: Service, certificates: Certificates, port: int = 0) -> Server:
    """Serves it over mutual TLS: ``async with far_side(…) as server``."""
    context = server_context(
        certificates.server_certificate, certificates.server_key, authorities=certificates.authority
    )
    return serve(HOST, port, service, tls=context, timeouts=QUICK, grace=0)


class Log:
    """What an edge told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, text: str) -> None:
        self.lines.append(text)

    def __str__(self) -> str:
        return "\n".join(self.lines)


@contextlib.asynccontextmanager
async def running(settings: EdgeSettings, log: Log | None = None, **options: Any) -> AsyncIterator[Running]:
    """An edge that does not wait long before it tries again."""
    async with edge(settings, log or Log(), sender_options=SWIFT, **options) as it:
        yield it


def device(
    settings: EdgeSettings, contexts: Sequence[ContextRequest] = STORE_CONTEXTS, **options: Any
) -> contextlib.AbstractAsyncContextManager[RequestorAssociation]:
    """An association of the device beside the edge."""
    given: dict[str, Any] = {"calling": CALLING, "called": CALLED, "timeouts": QUICK, **options}
    return associate(settings.listen_host, settings.listen_port, contexts=contexts, **given)


def data_set(number: int, size: int = 3000) -> bytes:
    """A data set for the wire, different for each number; nothing looks into it."""
    return hashlib.shake_256(str(number).encode()).digest(size & ~1)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def store(association: RequestorAssociation, number: int, size: int = 3000) -> int:
    """Stores ``data_set(number, size)`` as instance ``1.2.3.number``."""
    return await association.store(uids.CT_IMAGE_STORAGE, f"1.2.3.{number}", data_set(number, size))


async def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Polls; fails when the bound is reached."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds:g} s") from None
