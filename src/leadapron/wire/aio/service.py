"""What a server does for its peers: a `Service` with one handler for each operation, to be overridden.

A `Service` as it stands turns everybody away (invariant 5): ``on_associate`` must say who may come and what is spoken.
A handler that is not overridden answers that the operation is not known. To end an operation with a status of its own a
handler raises `EndWith`; any other exception becomes "processing failure" for the peer, and its text goes nowhere.

Handlers run in the task of their association. When the peer cancels the operation, aborts or is gone, the handler is
cancelled at the point where it waits (``CancelledError``), so clean up in ``finally`` as always.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

from msgspec import Struct

from leadapron.kernel.errors import LeadApronError
from leadapron.wire.aio.dataset import Data, DataSet, Identifier
from leadapron.wire.aio.session import Message
from leadapron.wire.aio.tls import TlsInfo
from leadapron.wire.association.negotiate import AgreedContext
from leadapron.wire.association.reasons import NO_REASON_GIVEN
from leadapron.wire.dimse.command import (
    CEchoRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    NActionRequest,
    NCreateRequest,
    NEventReportRequest,
    NSetRequest,
)
from leadapron.wire.dimse.status import PENDING, SUCCESS, UNRECOGNIZED_OPERATION, describe
from leadapron.wire.pdu import AssociateAccept, AssociateReject, AssociateRequest


class EndWith(LeadApronError):
    """Raised by a handler: the operation ends with this DIMSE status. ``comment`` (0000,0902) reaches the peer."""

    def __init__(self, status: int, comment: str | None = None) -> None:
        super().__init__(describe(status))
        self.status, self.comment = status, comment


class Call(Struct, frozen=True):
    """Who is on the line. ``tls`` is None on a plain connection; its certificate is the peer's, if it showed one."""

    request: AssociateRequest
    address: str
    port: int
    tls: TlsInfo | None = None


class EchoRequest(Struct, frozen=True):
    """C-ECHO."""

    call: Call
    command: CEchoRequest
    context: AgreedContext


class StoreRequest:
    """C-STORE: an asynchronous iterator over the chunks of the data set, as they are received.

    Not asking for the next chunk holds the sender back. What is not read when the handler returns is skipped.
    """

    __slots__ = ("_message", "call", "command")

    def __init__(self, call: Call | None, command: CStoreRequest, message: Message) -> None:
        self.call, self.command, self._message = call, command, message

    @property
    def sop_class(self) -> str:
        return self.command.sop_class

    @property
    def sop_instance(self) -> str:
        return self.command.sop_instance

    @property
    def transfer_syntax(self) -> str:
        return self._message.context.transfer_syntax

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes | memoryview:
        return await self._message.__anext__()

    async def read(self, limit: int) -> DataSet:
        """The whole data set; LimitExceeded above ``limit`` octets."""
        return await self._message.read(limit)


class FindRequest(Struct):
    """C-FIND. ``pending`` is the status of the answers, FF00H or FF01H."""

    call: Call
    command: CFindRequest
    context: AgreedContext
    identifier: DataSet
    max_length: int
    """What the requestor takes in one PDU, 0 for any size: for who encodes answers in advance."""
    pending: int = PENDING


class MoveRequest(Struct, frozen=True):
    """C-MOVE to the AE title ``command.destination``."""

    call: Call
    command: CMoveRequest
    context: AgreedContext
    identifier: DataSet


class GetRequest(Struct):
    """C-GET. Set ``total`` to the number of instances, and the requestor is told how many remain."""

    call: Call
    command: CGetRequest
    context: AgreedContext
    identifier: DataSet
    contexts: tuple[AgreedContext, ...]
    """Those with ``scp`` are what the requestor can receive, and in which transfer syntax."""
    total: int = 0


class ActionRequest(Struct, frozen=True):
    """N-ACTION. ``data`` is the action information."""

    call: Call
    command: NActionRequest
    context: AgreedContext
    data: DataSet | None


class EventRequest(Struct, frozen=True):
    """N-EVENT-REPORT. ``data`` is the event information."""

    call: Call
    command: NEventReportRequest
    context: AgreedContext
    data: DataSet | None


class CreateRequest(Struct, frozen=True):
    """N-CREATE. ``data`` is the attribute list; ``command.sop_instance`` is None where we may choose the UID."""

    call: Call
    command: NCreateRequest
    context: AgreedContext
    data: DataSet | None


class SetRequest(Struct, frozen=True):
    """N-SET. ``data`` is the modification list."""

    call: Call
    command: NSetRequest
    context: AgreedContext
    data: DataSet | None


class Encoded(Struct, frozen=True):
    """Answers to a C-FIND as whole P-DATA-TF PDUs, commands included, made in advance: sent as they are."""

    pdus: bytes


class Progress(Struct, frozen=True):
    """How far a C-MOVE is: sub-operations by outcome, as PS3.7 §9.1.4.1.7 counts them."""

    remaining: int
    completed: int = 0
    failed: int = 0
    warning: int = 0


class Instance(Struct, frozen=True):
    """Something to send in a C-GET: the encoded data set, in that transfer syntax."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data: Data


class Reply(Struct, frozen=True):
    """The answer to N-ACTION, N-EVENT-REPORT, N-CREATE or N-SET. ``instance``: the UID that N-CREATE left to us."""

    status: int = SUCCESS
    data: Identifier | None = None
    instance: str | None = None


class Service:
    """Override what is to be served. Handlers may be called for many associations at a time."""

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        """Who may come: see ``negotiate.choose``. Nobody, unless this is overridden."""
        return NO_REASON_GIVEN

    async def echo(self, request: EchoRequest) -> int:
        """C-ECHO: the status."""
        return SUCCESS

    async def store(self, request: StoreRequest) -> int:
        """C-STORE: the status, once the data set is safe."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    def find(self, request: FindRequest) -> AsyncIterator[Identifier | Encoded]:
        """C-FIND, an asynchronous generator: each answer's identifier."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    def move(self, request: MoveRequest) -> AsyncIterator[Progress]:
        """C-MOVE, an asynchronous generator: sends to the destination, and tells how far it is after each instance."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    def get(self, request: GetRequest) -> AsyncIterator[Instance]:
        """C-GET, an asynchronous generator: each instance to be sent back on the same association."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    async def n_action(self, request: ActionRequest) -> Reply:
        """N-ACTION."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    async def n_event_report(self, request: EventRequest) -> Reply:
        """N-EVENT-REPORT."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    async def n_create(self, request: CreateRequest) -> Reply:
        """N-CREATE."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    async def n_set(self, request: SetRequest) -> Reply:
        """N-SET."""
        raise EndWith(UNRECOGNIZED_OPERATION)

    async def ended(self, call: Call, error: LeadApronError | None) -> None:
        """An accepted association is over: released if ``error`` is None."""
