"""The requests of one association, one after the other, each to its handler and answered."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

from leadapron.kernel.errors import ProtocolError, WireError
from leadapron.wire.aio.dataset import Identifier, encode_identifier
from leadapron.wire.aio.finding import send_answers
from leadapron.wire.aio.operation import Cancelled, Operation
from leadapron.wire.aio.retrieving import Tally, report_move, send_instances
from leadapron.wire.aio.service import (
    ActionRequest,
    Call,
    CreateRequest,
    EchoRequest,
    EndWith,
    EventRequest,
    FindRequest,
    GetRequest,
    MoveRequest,
    Reply,
    Service,
    SetRequest,
    StoreRequest,
)
from leadapron.wire.aio.session import Message, Session
from leadapron.wire.dimse.command import (
    RESPONSE_OF,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NActionResponse,
    NCreateRequest,
    NCreateResponse,
    NDeleteRequest,
    NEventReportRequest,
    NEventReportResponse,
    NGetRequest,
    NSetRequest,
    NSetResponse,
    Request,
    Response,
)
from leadapron.wire.dimse.status import CANCEL, PROCESSING_FAILURE, SOP_CLASS_NOT_SUPPORTED, UNRECOGNIZED_OPERATION

_log: Final = logging.getLogger(__name__)


class Outcome(Struct, frozen=True):
    """How an operation ended, for its final response."""

    status: int
    comment: str | None = None
    data: Identifier | None = None
    instance: str | None = None


class Dialogue:
    """Serves one association that stands."""

    def __init__(self, session: Session, service: Service, call: Call) -> None:
        self._session = session
        self._service = service
        self._call = call
        self._handlers: dict[type, Callable[[Message, Any], Awaitable[None]]] = {
            CEchoRequest: self._echo,
            CStoreRequest: self._store,
            CFindRequest: self._find,
            CMoveRequest: self._move,
            CGetRequest: self._get,
            NActionRequest: self._n_action,
            NEventReportRequest: self._n_event_report,
            NCreateRequest: self._n_create,
            NSetRequest: self._n_set,
            NGetRequest: self._not_served,
            NDeleteRequest: self._not_served,
            CCancelRequest: self._too_late,
        }

    async def run(self) -> None:
        """Until the peer releases the association; raises the WireError that ends it otherwise."""
        session = self._session
        while True:
            message = await session.receive("the next request", session.timeouts.idle)
            if message is None:
                await session.upper.respond_release()
                return
            handler = self._handlers.get(type(message.command))
            if handler is None:
                raise ProtocolError("a response came, and nothing had been asked")
            await handler(message, message.command)

    # ---- one method an operation ------------------------------------------------------------------------------------

    async def _echo(self, message: Message, command: CEchoRequest) -> None:
        outcome = await self._outcome(self._service.echo(EchoRequest(self._call, command, message.context)))
        await self._respond(message, command, CEchoResponse, outcome)

    async def _store(self, message: Message, command: CStoreRequest) -> None:
        outcome = self._mismatch(message, command)
        if outcome is None:
            outcome = await self._outcome(self._service.store(StoreRequest(self._call, command, message)))
        await message.skip()
        await self._respond(message, command, CStoreResponse, outcome, sop_instance=command.sop_instance)

    async def _find(self, message: Message, command: CFindRequest) -> None:
        identifier = await message.read()
        outcome = self._mismatch(message, command)
        if outcome is None:
            request = FindRequest(self._call, command, message.context, identifier, self._session.max_length)
            with Operation(self._session, command.message_id) as operation:

                async def answer() -> int:
                    return await send_answers(self._session, operation, request, self._service.find(request))

                outcome = await self._outcome(answer())
        await self._respond(message, command, CFindResponse, outcome)

    async def _move(self, message: Message, command: CMoveRequest) -> None:
        identifier, tally = await message.read(), Tally()
        outcome = self._mismatch(message, command)
        if outcome is None:
            request = MoveRequest(self._call, command, message.context, identifier)
            with Operation(self._session, command.message_id) as operation:

                async def answer() -> int:
                    steps = self._service.move(request)
                    return await report_move(self._session, operation, request, steps, tally)

                outcome = await self._outcome(answer())
        counts = tally.fields(remaining=outcome.status == CANCEL)
        await self._respond(message, command, CMoveResponse, outcome, **counts)

    async def _get(self, message: Message, command: CGetRequest) -> None:
        identifier, tally = await message.read(), Tally()
        outcome = self._mismatch(message, command)
        if outcome is None:
            contexts = tuple(self._session.contexts.values())
            request = GetRequest(self._call, command, message.context, identifier, contexts)
            with Operation(self._session, command.message_id) as operation:

                async def answer() -> int:
                    instances = self._service.get(request)
                    return await send_instances(self._session, operation, request, instances, tally)

                outcome = await self._outcome(answer())
        counts = tally.fields(remaining=outcome.status == CANCEL)
        await self._respond(message, command, CGetResponse, outcome, **counts)

    async def _n_action(self, message: Message, command: NActionRequest) -> None:
        data = await message.read() if command.has_data_set else None
        outcome = await self._outcome(self._service.n_action(ActionRequest(self._call, command, message.context, data)))
        fields = {"sop_instance": command.sop_instance, "action_type": command.action_type}
        await self._respond(message, command, NActionResponse, outcome, **fields)

    async def _n_event_report(self, message: Message, command: NEventReportRequest) -> None:
        data = await message.read() if command.has_data_set else None
        outcome = await self._outcome(
            self._service.n_event_report(EventRequest(self._call, command, message.context, data))
        )
        fields = {"sop_instance": command.sop_instance, "event_type": command.event_type}
        await self._respond(message, command, NEventReportResponse, outcome, **fields)

    async def _n_create(self, message: Message, command: NCreateRequest) -> None:
        data = await message.read() if command.has_data_set else None
        outcome = self._mismatch(message, command)
        if outcome is None:
            request = CreateRequest(self._call, command, message.context, data)
            outcome = await self._outcome(self._service.n_create(request))
        await self._respond(
            message, command, NCreateResponse, outcome, sop_instance=command.sop_instance or outcome.instance
        )

    async def _n_set(self, message: Message, command: NSetRequest) -> None:
        data = await message.read() if command.has_data_set else None
        outcome = self._mismatch(message, command)
        if outcome is None:
            outcome = await self._outcome(self._service.n_set(SetRequest(self._call, command, message.context, data)))
        await self._respond(message, command, NSetResponse, outcome, sop_instance=command.sop_instance)

    async def _not_served(self, message: Message, command: Request) -> None:
        """N-GET and N-DELETE, which nothing here serves."""
        await message.skip()
        await self._respond(message, command, RESPONSE_OF[type(command)], Outcome(UNRECOGNIZED_OPERATION))

    async def _too_late(self, message: Message, command: CCancelRequest) -> None:
        """A C-CANCEL that crossed the final response is no error, and is not answered: PS3.7 §9.3.2.3."""

    # ---- what they share --------------------------------------------------------------------------------------------

    def _mismatch(
        self,
        message: Message,
        command: CStoreRequest | CFindRequest | CMoveRequest | CGetRequest | NCreateRequest | NSetRequest,
    ) -> Outcome | None:
        """The SOP class must be the one that the context was accepted for, and the peer the SCU of it."""
        if command.sop_class != message.context.abstract_syntax or not message.context.scu:
            return Outcome(SOP_CLASS_NOT_SUPPORTED)
        return None

    async def _outcome(self, handler: Awaitable[int | Reply]) -> Outcome:
        """What the handler says, or what its exception means. Raises only what ends the association."""
        try:
            result = await handler
        except EndWith as end:
            return Outcome(end.status, end.comment)
        except Cancelled:
            return Outcome(CANCEL)
        except Exception as error:
            if self._session.failure is not None:
                raise self._session.failure from None
            if isinstance(error, WireError) and not self._session.connection.open:
                raise
            _log.error("a handler raised %s at %s", type(error).__name__, where(error))
            return Outcome(PROCESSING_FAILURE)
        if isinstance(result, Reply):
            return Outcome(result.status, None, result.data, result.instance)
        return Outcome(result)

    async def _respond(
        self, message: Message, command: Request, kind: type[Response], outcome: Outcome, **fields: Any
    ) -> None:
        data = None
        if outcome.data is not None:
            data = encode_identifier(outcome.data, message.context.transfer_syntax)
        response = kind(
            command.message_id,
            outcome.status,
            has_data_set=data is not None,
            sop_class=command.sop_class,
            error_comment=outcome.comment,
            **fields,
        )
        await self._session.send(message.context, response, data)


def where(error: BaseException) -> str:
    """File and line where it was raised. An exception's text may quote a patient's datum; this cannot."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
