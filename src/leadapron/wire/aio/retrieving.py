"""C-MOVE and C-GET on the serving side: sub-operations, their counts, and what the final status says of them.

PS3.7 §9.1.3 and §9.1.4, PS3.4 §C.4.2 and §C.4.3. The handler knows the instances; here they are sent and counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from leadapron.kernel.errors import ConnectionLost, ProtocolError
from leadapron.wire.aio.operation import Operation, closing
from leadapron.wire.aio.service import GetRequest, Instance, MoveRequest, Progress
from leadapron.wire.aio.session import Session
from leadapron.wire.dimse.command import CCancelRequest, CGetResponse, CMoveResponse, CStoreRequest, CStoreResponse
from leadapron.wire.dimse.status import PENDING, SUCCESS, StatusClass, classify

MAX_COUNT: Final = 0xFFFF  # the fields are US, (0000,1020) to (0000,1023)
SUB_OPERATIONS_FAILED: Final = 0xA702  # all of them; PS3.4 Table C.4-2
SUB_OPERATIONS_WARNING: Final = 0xB000  # some of them failed or were coerced

_END: Final[Any] = object()


class Tally:
    """The counts of sub-operations as they stand."""

    def __init__(self) -> None:
        self.progress = Progress(0)

    def add(self, status: int, remaining: int) -> None:
        """One more has ended, with a C-STORE status."""
        kind, before = classify(status), self.progress
        self.progress = Progress(
            remaining,
            before.completed + (kind is StatusClass.SUCCESS),
            before.failed + (kind is StatusClass.FAILURE),
            before.warning + (kind is StatusClass.WARNING),
        )

    @property
    def status(self) -> int:
        """The final status: a warning where some went wrong, a failure where all did."""
        counts = self.progress
        if not counts.failed and not counts.warning:
            return SUCCESS
        return SUB_OPERATIONS_WARNING if counts.completed or counts.warning else SUB_OPERATIONS_FAILED

    def fields(self, *, remaining: bool) -> dict[str, Any]:
        """For a response; ``remaining`` is told while pending and when cancelled (PS3.7 §9.1.3.1.6)."""
        counts = self.progress
        return {
            "remaining": min(counts.remaining, MAX_COUNT) if remaining else None,
            "completed": min(counts.completed, MAX_COUNT),
            "failed": min(counts.failed, MAX_COUNT),
            "warning": min(counts.warning, MAX_COUNT),
        }


async def report_move(
    session: Session, operation: Operation, request: MoveRequest, steps: AsyncIterator[Progress], tally: Tally
) -> int:
    """Passes the handler's progress on as pending responses; the final status."""
    command = request.command
    async with closing(steps):
        while (progress := await operation.step(anext(steps, _END))) is not _END:
            tally.progress = progress
            operation.check()
            counts = tally.fields(remaining=True)
            response = CMoveResponse(command.message_id, PENDING, sop_class=command.sop_class, **counts)
            await session.send(request.context, response)
    return tally.status


async def send_instances(
    session: Session, operation: Operation, request: GetRequest, instances: AsyncIterator[Instance], tally: Tally
) -> int:
    """Sends each instance as a C-STORE on the same association, a pending response after each; the final status."""
    command, sent = request.command, 0
    async with closing(instances):
        while (instance := await operation.step(anext(instances, _END))) is not _END:
            sent += 1
            status = await _store(session, operation, request, instance, sent)
            tally.add(status, max(request.total - sent, 0))
            operation.check()
            counts = tally.fields(remaining=True)
            response = CGetResponse(command.message_id, PENDING, sop_class=command.sop_class, **counts)
            await session.send(request.context, response)
    return tally.status


async def _store(session: Session, operation: Operation, request: GetRequest, instance: Instance, number: int) -> int:
    """One sub-operation: the peer's status, or SUB_OPERATIONS_FAILED where no context was accepted for it."""
    wanted = (instance.sop_class, instance.transfer_syntax)
    for context in request.contexts:
        if context.scp and (context.abstract_syntax, context.transfer_syntax) == wanted:
            break
    else:
        return SUB_OPERATIONS_FAILED
    message_id = number & 0xFFFF
    store = CStoreRequest(message_id, instance.sop_class, instance.sop_instance, request.command.priority)
    await session.send(context, store, instance.data)
    while True:
        message = await session.receive("a C-STORE response", session.timeouts.response)
        if message is None:
            await session.upper.respond_release()
            raise ConnectionLost("the peer released the association in the middle of a C-GET")
        if isinstance(message.command, CCancelRequest):
            operation.cancel(message.command.responds_to)
        elif isinstance(message.command, CStoreResponse) and message.command.responds_to == message_id:
            return message.command.status
        else:
            raise ProtocolError("another message came where the response to a C-STORE was due")
