"""An association that we asked for, and its operations, one at a time (PS3.7 without an asynchronous window).

Each operation sends one request and reads until its final response. An operation that is broken off (cancelled, timed
out, a handler that raised) leaves octets behind that belong to nobody, so nothing else can follow on that association;
a C-FIND that is simply left early is cancelled, and what is still under way is dropped.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from leadapron.kernel.errors import ConnectionLost, Failure, NotAccepted, ProtocolError, WireError
from leadapron.wire import uids
from leadapron.wire.aio.dataset import Data, DataSet, Identifier, encode_identifier
from leadapron.wire.aio.find import Find
from leadapron.wire.aio.part10 import open_part10
from leadapron.wire.aio.service import EndWith, StoreRequest
from leadapron.wire.aio.session import Message, Session
from leadapron.wire.aio.tls import tls_info
from leadapron.wire.aio.transport import Consumer
from leadapron.wire.aio.upper import Upper
from leadapron.wire.association.negotiate import AgreedContext, agreed
from leadapron.wire.dimse.command import (
    RESPONSE_OF,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NCreateRequest,
    NEventReportRequest,
    NSetRequest,
    Request,
    Response,
    encode_command,
)
from leadapron.wire.dimse.fragments import Fragmenter
from leadapron.wire.dimse.rawfind import Identifier as Sink
from leadapron.wire.dimse.rawfind import RawFind
from leadapron.wire.dimse.status import is_pending
from leadapron.wire.pdu import AssociateAccept, AssociateRequest

StoreHandler = Callable[[StoreRequest], Awaitable[int]]
"""Takes an instance that arrives within a C-GET and gives the status to answer with."""

R = TypeVar("R", bound=Response)
_MAX_MESSAGE_ID: Final = 0xFFFF


class FindConsumer(Consumer, Protocol):
    """What `RequestorAssociation.find_into` feeds: see ``wire.dimse.rawfind``."""

    @property
    def status(self) -> int | None:
        """The final status, once done."""
        ...

    @property
    def answers(self) -> int:
        """Pending responses so far."""
        ...


class FindEnd(Struct, frozen=True):
    """The final status of a C-FIND, and how many answers came before."""

    status: int
    answers: int


class Retrieved(Struct, frozen=True):
    """A response to C-MOVE or C-GET: the status, and sub-operations by outcome (None where the peer left it out)."""

    status: int
    remaining: int | None
    completed: int | None
    failed: int | None
    warning: int | None


class Replied(Struct, frozen=True):
    """The response to N-ACTION, N-EVENT-REPORT, N-CREATE or N-SET. ``instance``: which one, if it says."""

    status: int
    data: DataSet | None
    instance: str | None = None


class RequestorAssociation:
    """See ``client.associate``, which makes these. ``request`` and ``accept`` are the PDUs that were exchanged."""

    def __init__(self, upper: Upper, request: AssociateRequest, accept: AssociateAccept) -> None:
        self.request = request
        self.accept = accept
        self.contexts = agreed(request, accept)
        self.timeouts = upper.timeouts
        self.tls = tls_info(upper.connection.info("ssl_object"))
        """What TLS agreed on, with the peer's certificate; None on a plain connection."""
        self._upper = upper
        self._session = Session(upper, self.contexts, accept.user.maximum_length or 0)
        self._message_id = 1
        self._current: tuple[int, AgreedContext] | None = None  # the operation under way
        self._find: Find | None = None

    # ---- what was agreed --------------------------------------------------------------------------------------------

    def accepted(self, abstract_syntax: str, transfer_syntax: str | None = None) -> AgreedContext | None:
        """The first presentation context that was accepted for it (in this transfer syntax), or None."""
        for context in self.contexts:
            if context.abstract_syntax == abstract_syntax and transfer_syntax in (None, context.transfer_syntax):
                return context
        return None

    def _context(self, abstract_syntax: str, transfer_syntax: str | None = None) -> AgreedContext:
        context = self.accepted(abstract_syntax, transfer_syntax)
        if context is None:
            more = "" if transfer_syntax is None else f" in transfer syntax {transfer_syntax}"
            raise NotAccepted(f"no presentation context was accepted for {abstract_syntax}{more}")
        return context

    @property
    def next_message_id(self) -> int:
        """The message ID of the next request: for who prepares a consumer for its answers."""
        return self._message_id

    # ---- operations -------------------------------------------------------------------------------------------------

    async def echo(self) -> int:
        """C-ECHO; the status."""
        context = self._context(uids.VERIFICATION)
        message_id = await self._begin(context)
        response = await self._ask(context, CEchoRequest(message_id), CEchoResponse)
        self._current = None
        return response.status

    async def store(
        self,
        sop_class: str,
        sop_instance: str,
        data: Data,
        *,
        transfer_syntax: str | None = None,
        priority: int = 0,
        move_originator: str | None = None,
        move_originator_message_id: int | None = None,
    ) -> int:
        """C-STORE; the status. ``data`` is the encoded data set, in the transfer syntax that was accepted.

        An iterable of chunks is sent as it goes; an asynchronous one too, and neither is ever held as a whole. Name the
        ``transfer_syntax`` that the data is in where several were proposed. Raises NotAccepted, and WireErrors.
        """
        context = self._context(sop_class, transfer_syntax)
        message_id = await self._begin(context)
        command = CStoreRequest(
            message_id, sop_class, sop_instance, priority, move_originator, move_originator_message_id
        )
        response = await self._ask(context, command, CStoreResponse, data)
        self._current = None
        return response.status

    async def store_file(self, path: str | os.PathLike[str]) -> int:
        """C-STORE of a DICOM file (PS3.10) as it lies on disk; the status. Nothing is transcoded.

        Raises NotAccepted where its SOP class was not accepted in its transfer syntax, ProtocolError for a file that is
        no DICOM, OSError.
        """
        file = open_part10(path)
        return await self.store(file.sop_class, file.sop_instance, file.chunks(), transfer_syntax=file.transfer_syntax)

    def find(self, model: str, identifier: Identifier, *, priority: int = 0) -> Find:
        """C-FIND with an information model, a SOP class such as ``uids.STUDY_ROOT_FIND``.

        Iterate over it (``async for``) for the answers, each a DataSet; then its ``status`` is the final one.
        """
        return Find(self, self._context(model), identifier, priority)

    def raw_find(self, model: str, sink: Sink) -> RawFind:
        """A consumer for `find_into` that calls ``sink(buffer, start, end)`` for each answer's data set."""
        longest = self.request.user.maximum_length or self._session.connection.limits.p_data
        return RawFind(self._context(model).id, self._message_id, longest, sink)

    async def find_into(self, model: str, identifier: Identifier, consumer: FindConsumer) -> FindEnd:
        """C-FIND whose answers go to ``consumer`` straight from the receive buffer, without an object for each.

        ``timeouts.response`` bounds the wait for the first answer, ``timeouts.idle`` every further one. Raises what the
        consumer raises, too.
        """
        context = self._context(model)
        message_id = await self._begin(context)
        data = encode_identifier(identifier, context.transfer_syntax)
        await self._session.send(context, CFindRequest(message_id, model), data)
        await self._session.consume(consumer, "C-FIND answers")
        self._current = None
        if consumer.status is None:
            raise ProtocolError("a C-FIND ended without a status")
        return FindEnd(consumer.status, consumer.answers)

    async def move(
        self,
        model: str,
        destination: str,
        identifier: Identifier,
        *,
        priority: int = 0,
        progress: Callable[[Retrieved], None] | None = None,
    ) -> Retrieved:
        """C-MOVE to the AE title ``destination``; the final response. ``progress`` is called for each pending one."""
        context = self._context(model)
        message_id = await self._begin(context)
        data = encode_identifier(identifier, context.transfer_syntax)
        await self._session.send(context, CMoveRequest(message_id, model, destination, priority), data)
        seconds = self.timeouts.response
        while True:
            message = await self._receive("a C-MOVE response", seconds)
            ended = self._retrieved(message, CMoveResponse, message_id)
            if not is_pending(ended.status):
                await message.skip()
                self._current = None
                return ended
            if progress is not None:
                progress(ended)
            seconds = self.timeouts.idle

    async def get(
        self,
        model: str,
        identifier: Identifier,
        handler: StoreHandler,
        *,
        priority: int = 0,
        progress: Callable[[Retrieved], None] | None = None,
    ) -> Retrieved:
        """C-GET; the final response. Each instance is given to ``handler`` while it arrives, and its status answered.

        The storage classes must have been proposed with ``ContextRequest(…, scp=True)``.
        """
        context = self._context(model)
        message_id = await self._begin(context)
        data = encode_identifier(identifier, context.transfer_syntax)
        await self._session.send(context, CGetRequest(message_id, model, priority), data)
        seconds = self.timeouts.response
        while True:
            message = await self._receive("a C-GET response", seconds)
            seconds = self.timeouts.idle
            if isinstance(message.command, CStoreRequest):
                await self._take(message, message.command, handler)
                continue
            ended = self._retrieved(message, CGetResponse, message_id)
            if not is_pending(ended.status):
                await message.skip()
                self._current = None
                return ended
            if progress is not None:
                progress(ended)

    async def n_action(
        self, sop_class: str, sop_instance: str, action_type: int, data: Identifier | None = None
    ) -> Replied:
        """N-ACTION, such as a request for storage commitment (PS3.4 §J.3.2)."""
        context = self._context(sop_class)
        message_id = await self._begin(context)
        encoded = None if data is None else encode_identifier(data, context.transfer_syntax)
        command = NActionRequest(message_id, sop_class, sop_instance, action_type, encoded is not None)
        return await self._reply(context, command, encoded)

    async def n_event_report(
        self, sop_class: str, sop_instance: str, event_type: int, data: Identifier | None = None
    ) -> Replied:
        """N-EVENT-REPORT, such as the result of a storage commitment (PS3.4 §J.3.3)."""
        context = self._context(sop_class)
        message_id = await self._begin(context)
        encoded = None if data is None else encode_identifier(data, context.transfer_syntax)
        command = NEventReportRequest(message_id, sop_class, sop_instance, event_type, encoded is not None)
        return await self._reply(context, command, encoded)

    async def n_create(self, sop_class: str, sop_instance: str | None, data: Identifier | None = None) -> Replied:
        """N-CREATE, such as the beginning of a performed procedure step (PS3.4 §F.7.2.1). None: the peer names it."""
        context = self._context(sop_class)
        message_id = await self._begin(context)
        encoded = None if data is None else encode_identifier(data, context.transfer_syntax)
        return await self._reply(
            context, NCreateRequest(message_id, sop_class, sop_instance, encoded is not None), encoded
        )

    async def n_set(self, sop_class: str, sop_instance: str, data: Identifier) -> Replied:
        """N-SET, such as the end of a performed procedure step (PS3.4 §F.7.2.2)."""
        context = self._context(sop_class)
        message_id = await self._begin(context)
        encoded = encode_identifier(data, context.transfer_syntax)
        return await self._reply(context, NSetRequest(message_id, sop_class, sop_instance), encoded)

    def cancel(self) -> None:
        """Asks the peer to stop the C-FIND, C-MOVE or C-GET under way (C-CANCEL-RQ, PS3.7 §9.3.2.3). Does not wait.

        The operation still ends with a final response, whatever that says. Does nothing when none is under way.
        """
        if self._current is not None:
            message_id, context = self._current
            cutter = Fragmenter(context.id, self._session.max_length)
            self._session.connection.write(cutter.command(encode_command(CCancelRequest(message_id))))

    # ---- the end ----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Releases the association, or aborts it where an operation was broken off. Never raises a WireError."""
        try:
            await self._settle()
            if self._current is None and not self._session.within_message and self._upper.standing:
                await self._upper.release()
        except WireError:
            pass  # the work is done; that the good-bye was not heard changes nothing
        finally:
            await self._upper.abort()

    async def abort(self) -> None:
        """Sends A-ABORT if there is still somebody to hear it, and closes."""
        await self._upper.abort()

    # ---- below ------------------------------------------------------------------------------------------------------

    async def _begin(self, context: AgreedContext) -> int:
        """The message ID for a new operation."""
        await self._settle()
        if self._current is not None:
            raise Failure("an operation is under way on this association, or was broken off; it cannot take another")
        message_id = self._message_id
        self._message_id = message_id % _MAX_MESSAGE_ID + 1
        self._current = (message_id, context)
        return message_id

    async def _settle(self) -> None:
        """Ends a C-FIND that was left early."""
        if self._find is not None:
            await self._find.aclose()

    async def start(self, find: Find, context: AgreedContext) -> int:
        """A C-FIND begins: its message ID."""
        message_id = await self._begin(context)
        self._find = find
        return message_id

    def finished(self) -> None:
        """The final response to a C-FIND has been read."""
        self._current = self._find = None

    def broken_off(self) -> None:
        """A C-FIND failed: nothing can follow it here."""
        self._find = None

    async def send(self, context: AgreedContext, command: Request, data: Data | None) -> None:
        await self._session.send(context, command, data)

    async def _ask(self, context: AgreedContext, command: Request, kind: type[R], data: Data | None = None) -> R:
        """A request that has one response, without a data set."""
        await self._session.send(context, command, data)
        message, response = await self.response(kind, command.message_id, self.timeouts.response)
        await message.skip()
        return response

    async def _reply(
        self,
        context: AgreedContext,
        command: NActionRequest | NEventReportRequest | NCreateRequest | NSetRequest,
        data: bytes | None,
    ) -> Replied:
        await self._session.send(context, command, data)
        kind = RESPONSE_OF[type(command)]
        message, response = await self.response(kind, command.message_id, self.timeouts.response)
        answer = await message.read() if response.has_data_set else None
        self._current = None
        return Replied(response.status, answer, getattr(response, "sop_instance", None))

    async def response(self, kind: type[R], message_id: int, seconds: float) -> tuple[Message, R]:
        """The next response to a request, and the message that it stands in."""
        message = await self._receive("a response", seconds)
        response = message.command
        if not isinstance(response, kind) or response.responds_to != message_id:
            raise ProtocolError("another message came where the response to a request was due")
        return message, response

    async def _receive(self, waiting_for: str, seconds: float) -> Message:
        message = await self._session.receive(waiting_for, seconds)
        if message is None:
            await self._upper.respond_release()
            raise ConnectionLost("the peer released the association before it had answered")
        return message

    def _retrieved(
        self, message: Message, kind: type[CMoveResponse] | type[CGetResponse], message_id: int
    ) -> Retrieved:
        response = message.command
        if not isinstance(response, kind) or response.responds_to != message_id:
            raise ProtocolError("another message came where the response to a retrieval was due")
        return Retrieved(response.status, response.remaining, response.completed, response.failed, response.warning)

    async def _take(self, message: Message, command: CStoreRequest, handler: StoreHandler) -> None:
        """One sub-operation of a C-GET: we are the SCP for once."""
        if not message.context.scp:
            raise ProtocolError("an instance came on a context for which we had not agreed to receive")
        try:
            status = await handler(StoreRequest(None, command, message))
        except EndWith as end:
            status = end.status
        await message.skip()
        response = CStoreResponse(
            command.message_id, status, sop_class=command.sop_class, sop_instance=command.sop_instance
        )
        await self._session.send(message.context, response)
