"""HTTP/1.1 on one connection, with the deadlines that uvicorn's protocol lacks.

It bounds the head of a request in size, not in time: an octet a minute keeps a connection for weeks (slow loris).
And a client that was refused in the middle of its upload may go on sending for ever. So a head must be whole within
`HEAD_S` of the connection or of its first octet, and what comes after an answer is read for `LINGER_S`, then the
line is cut.

Nothing that a client sent is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_S: Final = 10.0
LINGER_S: Final = 2.0

_log: Final = logging.getLogger(__name__)
_log.setLevel(logging.ERROR)  # uvicorn warns of whatever is no request, and anybody can send that: it is in the trail


class BoundedProtocol(H11Protocol):
    """uvicorn's h11 protocol with deadlines. ``on_end`` is called once, when the connection is over; ``on_malformed``
    when it begins with what is no request."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        on_end: Callable[[], None],
        head_s: float = HEAD_S,
        on_malformed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.logger = _log
        self.access_log = False
        self._on_end: Callable[[], None] | None = on_end
        self._on_malformed = on_malformed
        self._head_s = head_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm(self._head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        if self._on_end is not None:
            self._on_end()
            self._on_end = None

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.cycle is not before and not self.cycle.response_complete:
            self._disarm()
        elif (self.cycle is None or self.cycle.response_complete) and self._deadline is None:
            self._arm(self._head_s)  # the begin of a head, or of what nobody asked for

    def send_400_response(self, msg: str) -> None:
        if self.cycle is None:  # else the application sees how its request ends
            self._on_malformed()
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        before = self.cycle
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.SEND_BODY and self.cycle is before:
            self._arm(LINGER_S)  # refused before its body was read

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()
