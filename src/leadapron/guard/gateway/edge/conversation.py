"""One association of the device: what it stores goes to the queue, everything else passes through live.

Messages are relayed, not operations: commands keep their numbers, contexts theirs, so a C-GET with its sub-operations,
a C-CANCEL, and a storage commitment whose N-EVENT-REPORT comes back on the same association need no knowledge here but
one: which request is under way, so that it can be answered with a failure when the line breaks. The task of the
association reads the device; a second one reads the far side while there is one. Requests and answers are read whole
before they are passed on (they are small, and bounded), so a side that breaks off leaves the other one whole; the
instances of a C-GET are streamed.

The far side is called when it is needed: for a proposal that was never met (see ``contexts``), or for the first
request that is not a C-STORE. Its loss costs the operation under way and nothing more.

Storage commitment is relayed live, after what this device stored before has been delivered: asked for earlier, the
archive would say that it has no such instances. If that takes too long, or the line is down, it is refused as a lack of
resources (0213H), which says "later", and nothing is promised by the edge itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from leadapron.guard.gateway.edge.contexts import Agreements, Use, anew, use_of
from leadapron.guard.gateway.edge.item import Full
from leadapron.guard.gateway.edge.line import Far, Line
from leadapron.guard.gateway.edge.queue import Queue
from leadapron.kernel.errors import LimitExceeded, ProtocolError, TimedOut, WireError
from leadapron.wire import uids
from leadapron.wire.aio.session import Message, Session
from leadapron.wire.aio.upper import Upper
from leadapron.wire.association.negotiate import agreed
from leadapron.wire.dimse.command import (
    RESPONSE_OF,
    CCancelRequest,
    CFindRequest,
    CGetRequest,
    CMoveRequest,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NCreateRequest,
    NEventReportRequest,
    NSetRequest,
    Request,
    Response,
)
from leadapron.wire.dimse.status import (
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    is_pending,
)
from leadapron.wire.pdu import AssociateAccept, AssociateReject, AssociateRequest

SETTLE_S: Final = 20.0
"""For the queue to empty before a storage commitment is passed on; devices wait 30 s or more for the response."""
RESOURCE_LIMITATION: Final = 0x0213
SUB_OPERATIONS_NOT_PERFORMED: Final = 0xA702

_DOWN: Final = "the line to the archive is down"
_FAILURES: Final[dict[type[Request], int]] = {
    CFindRequest: OUT_OF_RESOURCES,
    CMoveRequest: SUB_OPERATIONS_NOT_PERFORMED,
    CGetRequest: SUB_OPERATIONS_NOT_PERFORMED,
    NActionRequest: RESOURCE_LIMITATION,
    NCreateRequest: RESOURCE_LIMITATION,
    NSetRequest: RESOURCE_LIMITATION,
}
"""What a device is told while the line is down; PROCESSING_FAILURE of the others."""


class Shared(Struct, frozen=True):
    """What all conversations have in common. ``told`` gets lines for the log."""

    queue: Queue
    line: Line
    agreements: Agreements
    told: Callable[[str], None]


class Conversation:
    """``upper`` is the device's association, its A-ASSOCIATE-RQ read and its titles found good."""

    def __init__(self, upper: Upper, request: AssociateRequest, shared: Shared) -> None:
        self.stored = 0
        """Data sets that were acknowledged."""
        self._upper, self._request, self._shared = upper, request, shared
        self._local: Session
        self._speaking = asyncio.Lock()
        self._far: Far | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._asked: Request | None = None  # of the device, passed on, and not finally answered
        self._asked_on = 0  # its presentation context
        self._asked_at = 0.0
        self._far_asks: int | None = None  # message ID of a request of the far side that the device has not answered

    async def run(self) -> None:
        """To the association's end. Raises the WireError that ends it, if it is not released."""
        try:
            answer = await self._negotiate()
            if isinstance(answer, AssociateReject):
                self._upper.do(self._upper.machine.reject(answer))
                return
            self._upper.do(self._upper.machine.accept(answer))
            contexts = agreed(self._request, answer)
            self._local = Session(self._upper, contexts, self._request.user.maximum_length or 0)
            if self._far is not None:
                if any(use_of(context.abstract_syntax) is Use.LIVE or context.scp for context in contexts):
                    self._listen(self._far)
                else:  # it was asked for its answer only
                    self._ending = asyncio.create_task(self._far.end())
                    self._far = None
            while (message := await self._next()) is not None:
                await self._take(message)
            await self._upper.respond_release()
        finally:
            await self._hang_up()

    async def _negotiate(self) -> AssociateAccept | AssociateReject:
        shared = self._shared
        far: Far | None = None
        passed_on = shared.agreements.passed_on(self._request)
        if passed_on is not None and not shared.agreements.complete(self._request) and not shared.line.failed_lately:
            with contextlib.suppress(WireError):  # then it is answered as with the line down
                far = await shared.line.call(passed_on)
                shared.agreements.learn(passed_on, far.accept)
        self._far = far
        return shared.agreements.answer(self._request, far.accept if far is not None else None)

    async def _next(self) -> Message | None:
        """The next message of the device. While its request is under way it may be silent for as long as that takes."""
        while True:
            try:
                return await self._local.receive("the next message", self._local.timeouts.idle)
            except TimedOut:
                if self._asked is None:
                    raise

    # ---- from the device --------------------------------------------------------------------------------------------

    async def _take(self, message: Message) -> None:
        command = message.command
        if isinstance(command, CCancelRequest):
            if self._far is not None and self._asked is not None and self._asked.message_id == command.responds_to:
                await self._pass_on(self._far, message, None)
        elif isinstance(command, Response):
            far = self._far
            if self._far_asks is not None and self._far_asks != command.responds_to:
                raise ProtocolError("a response came to what had not been asked")
            data = (await message.read()).data if command.has_data_set else None
            if far is not None and self._far_asks is not None:
                self._far_asks = None
                await self._pass_on(far, message, data)
        elif self._asked is not None:
            raise ProtocolError("a request came while another was under way, and no window for that was agreed")
        elif isinstance(command, CStoreRequest):
            await self._store(message, command)
        else:
            await self._relay(message, command)

    async def _store(self, message: Message, command: CStoreRequest) -> None:
        """Success only when the data set is on stable storage (invariant 6)."""
        status, comment = SOP_CLASS_NOT_SUPPORTED, None
        if command.sop_class == message.context.abstract_syntax and message.context.scu and command.has_data_set:
            try:
                await self._queue(message, command)
            except Full as full:
                status, comment = OUT_OF_RESOURCES, "the queue is full"
                self._shared.told(f"a data set was refused: {full}")
            else:
                status = SUCCESS
                self.stored += 1
        await self._skip(message)
        response = CStoreResponse(
            command.message_id,
            status,
            sop_class=command.sop_class,
            sop_instance=command.sop_instance,
            error_comment=comment,
        )
        await self._say(message.context.id, response)

    async def _queue(self, message: Message, command: CStoreRequest) -> None:
        receipt = self._shared.queue.begin(
            sop_class=command.sop_class,
            sop_instance=command.sop_instance,
            transfer_syntax=message.context.transfer_syntax,
            calling=self._request.calling,
            called=self._request.called,
            priority=command.priority,
            move_originator=command.move_originator,
            move_originator_message_id=command.move_originator_message_id,
        )
        try:
            async for chunk in message:
                await receipt.add(chunk)
            await receipt.commit()
        finally:
            await receipt.discard()

    async def _skip(self, message: Message) -> None:
        """What is left of a data set that is not wanted; not without end."""
        if not message.command.has_data_set:
            return
        octets = 0
        async for chunk in message:
            octets += len(chunk)
            if octets > self._shared.queue.limits.largest:
                raise LimitExceeded("a data set that is not taken does not end")

    async def _relay(self, message: Message, command: Request) -> None:
        data = (await message.read()).data if command.has_data_set else None
        if command.sop_class != message.context.abstract_syntax or not message.context.scu:
            await self._refuse(message, command, SOP_CLASS_NOT_SUPPORTED, None)
            return
        if command.sop_class == uids.STORAGE_COMMITMENT_PUSH and isinstance(command, NActionRequest):
            queue = self._shared.queue
            if not await queue.settled(queue.last_number(), 0 if self._shared.line.up is False else SETTLE_S):
                await self._refuse(message, command, None, "instances are still on their way to the archive")
                return
        try:
            far = await self._far_side()
        except WireError:
            await self._refuse(message, command, None, _DOWN)
            return
        if message.context.id not in far.session.contexts:
            await self._refuse(message, command, SOP_CLASS_NOT_SUPPORTED, None)
            return
        self._asked, self._asked_on = command, message.context.id
        self._asked_at = asyncio.get_running_loop().time()
        await self._pass_on(far, message, data)

    async def _pass_on(self, far: Far, message: Message, data: bytes | None) -> None:
        """To the far side. Its loss is found, and answered, by who listens to it."""
        context = far.session.contexts.get(message.context.id)
        if context is not None:
            with contextlib.suppress(WireError):
                await far.session.send(context, message.command, data)

    async def _refuse(self, message: Message, command: Request, status: int | None, comment: str | None) -> None:
        await self._say(message.context.id, _failure(command, status, comment))

    # ---- from the far side ------------------------------------------------------------------------------------------

    async def _far_side(self) -> Far:
        """The association there is, or another one."""
        if self._far is not None and self._far.upper.standing:
            return self._far
        await self._hang_up()
        self._far = far = await self._shared.line.call(anew(self._request, tuple(self._local.contexts.values())))
        self._listen(far)
        return far

    def _listen(self, far: Far) -> None:
        self._listener = asyncio.create_task(self._hear(far))

    async def _hear(self, far: Far) -> None:
        """Brings what the far side says, until it is gone; then answers for it what is still open."""
        try:
            while (message := await self._heard(far)) is not None:
                await self._bring(far, message)
            await far.upper.respond_release()
        except WireError:
            await far.upper.abort()
        finally:
            if self._far is far:
                self._far = None
        self._far_asks = None
        if self._local.within_message:  # an instance broke off in the middle: the device cannot be told otherwise
            await self._upper.abort()
        elif self._asked is not None:
            asked, self._asked = self._asked, None
            with contextlib.suppress(WireError):  # the device is gone, too, as its own task finds out
                await self._say(self._asked_on, _failure(asked, None, _DOWN))

    async def _heard(self, far: Far) -> Message | None:
        seconds = far.session.timeouts.response
        while True:
            try:
                return await far.session.receive("a response", seconds)
            except TimedOut:
                waited = asyncio.get_running_loop().time() - self._asked_at
                if self._asked is not None and waited >= seconds:
                    raise

    async def _bring(self, far: Far, message: Message) -> None:
        command, context = message.command, self._local.contexts.get(message.context.id)
        if context is None:
            raise ProtocolError("a message came on a context that the device does not have")
        if isinstance(command, Response):
            asked = self._asked
            if asked is None or command.responds_to != asked.message_id:
                raise ProtocolError("a response came, and nothing had been asked")
            data = (await message.read()).data if command.has_data_set else None
            if not is_pending(command.status):
                self._asked = None
            self._asked_at = asyncio.get_running_loop().time()
            await self._say(context.id, command, data)
        elif isinstance(command, CStoreRequest) and isinstance(self._asked, CGetRequest) and context.scp:
            self._far_asks, self._asked_at = command.message_id, asyncio.get_running_loop().time()
            await self._say(context.id, command, message)
        elif isinstance(command, NEventReportRequest):
            data = (await message.read()).data if command.has_data_set else None
            self._far_asks = command.message_id
            await self._say(context.id, command, data)
        else:
            raise ProtocolError("the far side asked for something that a device does not do")

    async def _say(self, context_id: int, command: Request | Response, data: bytes | Message | None = None) -> None:
        """To the device. Messages never mix (PS3.7 §6.3.1), and both tasks have some."""
        async with self._speaking:
            await self._local.send(self._local.contexts[context_id], command, data)

    # ---- the end ----------------------------------------------------------------------------------------------------

    async def _hang_up(self) -> None:
        far, self._far = self._far, None
        listener, self._listener = self._listener, None
        if self._ending is not None:
            await asyncio.gather(self._ending, return_exceptions=True)
        if listener is not None:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        if far is not None:
            if self._asked is not None or self._far_asks is not None:
                await far.upper.abort()
            else:
                await far.end()


def _failure(request: Request, status: int | None, comment: str | None) -> Response:
    """The answer to what is not done. ``status`` None: what the line's loss means to it."""
    if status is None:
        status = _FAILURES.get(type(request), PROCESSING_FAILURE)
    return RESPONSE_OF[type(request)](request.message_id, status, sop_class=request.sop_class, error_comment=comment)
