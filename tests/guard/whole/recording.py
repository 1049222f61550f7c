"""An archive that lets everybody in, serves everything, and writes down who came and what for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from guard.web.serving import Asked, Recorder
from leadapron.wire import uids
from leadapron.wire.aio import (
    Call,
    EchoRequest,
    Encoded,
    FindRequest,
    GetRequest,
    Instance,
    MoveRequest,
    Progress,
    Service,
    StoreRequest,
    Supported,
    choose,
)
from leadapron.wire.aio.dataset import Identifier
from leadapron.wire.aio.service import ActionRequest, CreateRequest, Reply
from leadapron.wire.association.negotiate import anyone
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.process import HOST

SYNTAXES = (uids.IMPLICIT_LE, uids.EXPLICIT_LE)
SERVED = (
    uids.VERIFICATION,
    uids.CT_IMAGE_STORAGE,
    uids.STUDY_ROOT_FIND,
    uids.MODALITY_WORKLIST_FIND,
    uids.STUDY_ROOT_MOVE,
    uids.STUDY_ROOT_GET,
    uids.STORAGE_COMMITMENT_PUSH,
    uids.MODALITY_PERFORMED_PROCEDURE_STEP,
)


class Archive(Service):
    """``calls``: titles of those who came; ``heard``: operations, in their order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.heard: list[str] = []
        self._supported = Supported(dict.fromkeys(SERVED, SYNTAXES), roles={uids.CT_IMAGE_STORAGE: (True, True)})

    @property
    def count(self) -> int:
        """Whatever arrived."""
        return len(self.calls) + len(self.heard)

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        self.calls.append(call.request.calling)
        return choose(call.request, self._supported, anyone)

    async def echo(self, request: EchoRequest) -> int:
        self.heard.append("echo")
        return 0

    async def store(self, request: StoreRequest) -> int:
        async for _ in request:
            pass
        self.heard.append("store")
        return 0

    async def find(self, request: FindRequest) -> AsyncIterator[Identifier | Encoded]:
        self.heard.append("find" if request.command.sop_class == uids.STUDY_ROOT_FIND else "worklist")
        return
        yield b""

    async def move(self, request: MoveRequest) -> AsyncIterator[Progress]:
        self.heard.append("move")
        yield Progress(0, 1)

    async def get(self, request: GetRequest) -> AsyncIterator[Instance]:
        self.heard.append("get")
        return
        yield

    async def n_action(self, request: ActionRequest) -> Reply:
        self.heard.append("commit")
        return Reply(0)

    async def n_create(self, request: CreateRequest) -> Reply:
        self.heard.append("mpps")
        return Reply(0)


class WebArchive(Recorder):
    """The same for its web side, on a port of choice."""

    def __init__(self, port: int) -> None:
        super().__init__(reply)
        self.port = port

    async def __aenter__(self) -> Recorder:
        self._server = await asyncio.start_server(self._connection, HOST, self.port)
        return self


def reply(asked: Asked) -> tuple[int, list[tuple[str, str]], bytes]:
    """Something to everything."""
    kind = "application/dicom+json" if asked.target.startswith("/dicom-web") else "application/json"
    return 200, [("Content-Type", kind)], b"{}" if asked.method == "POST" else b"[]"
