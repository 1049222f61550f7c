"""Running a handler while the peer may cancel the operation, abort, or be gone.

An association has one task. While that task waits in a handler nobody awaits the connection, so the connection calls
back when something is there; this looks whether it is a C-CANCEL for the operation, an A-ABORT or the end, and if so
cancels the task, which then finds out here that the cancellation was meant for the handler only. A cancellation from
outside (the server shuts down) passes through.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Self, TypeVar

from leadapron.kernel.errors import WireError
from leadapron.wire.aio.session import Session

T = TypeVar("T")


class Cancelled(Exception):
    """The peer sent C-CANCEL for this operation."""


class Operation:
    """A context manager for the time of one operation; `step` runs each piece of the handler."""

    __slots__ = ("_error", "_fired", "_message_id", "_session", "_task", "_waiting", "cancelled")

    def __init__(self, session: Session, message_id: int) -> None:
        self._session = session
        self._message_id = message_id
        self._task: asyncio.Task[object] | None = None
        self._waiting = self._fired = False
        self._error: WireError | None = None
        self.cancelled = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._session.connection.on_input = self._look
        return self

    def __exit__(self, *_: object) -> None:
        self._session.connection.on_input = None
        self._task = None

    def cancel(self, message_id: int) -> None:
        """A C-CANCEL came by another way: within the answers to sub-operations."""
        self.cancelled = self.cancelled or message_id == self._message_id

    def check(self) -> None:
        """Raises `Cancelled`, or what ended the association."""
        self._look()
        if self._error is not None:
            raise self._error
        if self.cancelled:
            raise Cancelled

    async def step(self, handler: Awaitable[T]) -> T:
        """The handler's result. Raises what `check` raises when the peer interrupts it."""
        self._waiting = True
        try:
            return await handler
        except asyncio.CancelledError:
            if not self._settled():
                raise
            self.check()
            raise
        finally:
            self._waiting = False
            self._settled()

    def _settled(self) -> bool:
        """Takes our own cancellation back. False if there was none, or another one is meant for the whole task."""
        if not self._fired or self._task is None:
            return False
        self._fired = False
        return self._task.uncancel() == 0

    def _look(self) -> None:
        if self._error is not None:
            return
        try:
            request = self._session.look()
        except WireError as error:
            self._error = error
        else:
            if request is None:
                return
            self.cancel(request.responds_to)
            if not self.cancelled:
                return
        if self._waiting and not self._fired and self._task is not None:
            self._fired = True
            self._task.cancel()


@contextlib.asynccontextmanager
async def closing(iterator: AsyncIterator[Any]) -> AsyncIterator[None]:
    """Ends a generator that is left early, so that its ``finally`` runs now and not when it is collected."""
    try:
        yield
    finally:
        aclose = getattr(iterator, "aclose", None)
        if aclose is not None:
            await aclose()
