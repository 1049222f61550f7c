"""Places inside: how many requests of one person or program are with the archive at a time.

The pool of connections is shared. A reader's browser has six requests under way; a script that has a hundred would
take the whole pool, so it waits for its own to end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from leadapron.guard.gateway.web.exchange import Refused

AT_ONCE: Final = 16
WAIT_S: Final = 30.0
MOST_WAITING: Final = 64


class Places:
    def __init__(self, at_once: int = AT_ONCE, wait_s: float = WAIT_S) -> None:
        self._at_once, self._wait = at_once, wait_s
        self._of: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @contextlib.asynccontextmanager
    async def one(self, key: str) -> AsyncIterator[None]:
        """Raises `Refused` (503) where it would take too long."""
        semaphore, users = self._of.get(key, (asyncio.Semaphore(self._at_once), 0))
        if users >= self._at_once + MOST_WAITING:
            raise Refused(503, "too many requests of one at once")
        self._of[key] = (semaphore, users + 1)
        try:
            try:
                async with asyncio.timeout(self._wait):
                    await semaphore.acquire()
            except TimeoutError:
                raise Refused(503, "too many requests of one at once") from None
            try:
                yield
            finally:
                semaphore.release()
        finally:
            semaphore, users = self._of.pop(key)
            if users > 1:
                self._of[key] = (semaphore, users - 1)
