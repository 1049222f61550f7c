"""C-FIND on the serving side: what the handler yields, as pending responses, as fast as it yields them.

The command set of a pending response is the same for every answer (PS3.7 §9.3.2.2), so it is encoded once. Answers are
joined for one write as long as the handler has more at once; when it waits, what there is goes out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from leadapron.kernel.errors import WireError
from leadapron.wire.aio.dataset import Identifier, encode_identifier
from leadapron.wire.aio.operation import Operation, closing
from leadapron.wire.aio.service import Encoded, FindRequest
from leadapron.wire.aio.session import Session
from leadapron.wire.dimse.command import CFindResponse, encode_command
from leadapron.wire.dimse.fragments import Fragmenter
from leadapron.wire.dimse.status import SUCCESS

BATCH: Final = 64 * 1024  # octets for one write

_END: Final[Any] = object()


class _Answers:
    """Answers on their way out, joined."""

    def __init__(self, session: Session, request: FindRequest) -> None:
        self._connection = session.connection
        self._max_length = session.max_length
        self._request = request
        self._context_id = request.context.id
        self._syntax = request.context.transfer_syntax
        self._pending: int | None = None
        self._command = b""
        self._batch = bytearray()
        self._flushing = False

    def add(self, item: Identifier | Encoded) -> bool:
        """True when a batch is full, and it is time to see whether the peer keeps up."""
        if isinstance(item, Encoded):
            self._batch += item.pdus
        else:
            cutter = Fragmenter(self._context_id, self._max_length)
            if self._pending != self._request.pending:
                command = self._request.command
                self._pending = self._request.pending
                pending = CFindResponse(command.message_id, self._pending, True, command.sop_class)
                self._command = cutter.command(encode_command(pending))
            self._batch += self._command
            self._batch += cutter.data(encode_identifier(item, self._syntax))
            self._batch += cutter.finish()
        if len(self._batch) >= BATCH:
            self.flush()
            return True
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_soon)
        return False

    def flush(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, bytearray()
            self._connection.write(bytes(batch))

    def _flush_soon(self) -> None:
        self._flushing = False
        with contextlib.suppress(WireError):  # whoever writes next finds out
            self.flush()


async def send_answers(
    session: Session, operation: Operation, request: FindRequest, items: AsyncIterator[Identifier | Encoded]
) -> int:
    """All that the handler yields; the final status. Raises Cancelled, and what ends the association."""
    answers = _Answers(session, request)
    try:
        async with closing(items):
            while (item := await operation.step(anext(items, _END))) is not _END:
                if answers.add(item):
                    await session.drain()
                    await asyncio.sleep(0)  # a handler that never waits must not keep the loop from the others
                    operation.check()
    finally:
        answers.flush()
    return SUCCESS
