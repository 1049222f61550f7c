"""The answers to a C-FIND, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from leadapron.kernel.errors import ProtocolError, TimedOut, WireError
from leadapron.wire.aio.dataset import DataSet, Identifier, encode_identifier
from leadapron.wire.association.negotiate import AgreedContext
from leadapron.wire.dimse.command import CFindRequest, CFindResponse
from leadapron.wire.dimse.status import is_pending

if TYPE_CHECKING:
    from leadapron.wire.aio.requestor import RequestorAssociation


class Find:
    """Iterate for the pending answers; then ``status`` is the final one (None before), ``answers`` their number.

    The request is sent when the first answer is asked for. `cancel` asks the peer to stop; answers that are under way
    still come, and then the final status, FE00H as a rule.
    """

    def __init__(
        self, association: RequestorAssociation, context: AgreedContext, identifier: Identifier, priority: int
    ) -> None:
        self.status: int | None = None
        self.answers = 0
        self._association = association
        self._context = context
        self._identifier = encode_identifier(identifier, context.transfer_syntax)
        self._priority = priority
        self._message_id: int | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DataSet:
        if self.status is not None:
            raise StopAsyncIteration
        try:
            return await self._next()
        except WireError:
            self._association.broken_off()
            raise

    async def _next(self) -> DataSet:
        association = self._association
        seconds = association.timeouts.idle
        if self._message_id is None:
            seconds = association.timeouts.response
            self._message_id = await association.start(self, self._context)
            command = CFindRequest(self._message_id, self._context.abstract_syntax, self._priority)
            await association.send(self._context, command, self._identifier)
        message, response = await association.response(CFindResponse, self._message_id, seconds)
        if is_pending(response.status):
            if not response.has_data_set:
                raise ProtocolError("a pending C-FIND-RSP came without an identifier")
            answer = await message.read()
            self.answers += 1
            return answer
        await message.skip()
        self.status = response.status
        association.finished()
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Sends C-CANCEL, if the C-FIND is under way."""
        if self._message_id is not None and self.status is None:
            self._association.cancel()

    async def aclose(self) -> None:
        """Leaves it early: cancels, and drops what still comes, for ``timeouts.response`` at most."""
        if self._message_id is None or self.status is not None:
            return
        self.cancel()
        seconds = self._association.timeouts.response
        try:
            async with asyncio.timeout(seconds):
                async for _ in self:
                    pass
        except TimeoutError:
            raise TimedOut("a cancelled C-FIND to end", seconds) from None
