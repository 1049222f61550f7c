"""How many passwords are hashed at once: one, so that memory and processor are bounded whatever strangers send.

It happens in a thread, since argon2 would hold up every association for a tenth of a second else. Two bounded queues
stand before it; who shows a known device or place goes first, so that strangers who fill theirs keep nobody out that
was here before; and one network has few places in a queue, so that it can't fill it. Who finds no place, or waits
too long, is refused as if the server were busy, which it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

PLACES: Final = 1
QUEUE: Final = 64
QUEUE_OF_ONE: Final = 4
"""Of these, for one network."""
WAIT_S: Final = 10.0

T = TypeVar("T")
_Waiting = tuple["asyncio.Future[None]", str]


class Busy(Exception):
    """There are too many before this one. No fault of who asks."""


class Gate:
    """Of one event loop."""

    def __init__(self, places: int = PLACES) -> None:
        self._free = places
        self._known: deque[_Waiting] = deque()
        self._strangers: deque[_Waiting] = deque()
        self._threads = ThreadPoolExecutor(places, thread_name_prefix="argon2")

    async def run(self, work: Callable[[], T], *, network: str, known: bool) -> T:
        """The result of ``work``, done in a thread when it is its turn. Raises `Busy`."""
        await self._turn(self._known if known else self._strangers, network)
        try:
            # A caller that is cancelled frees its place while the thread still works; the pool has as many threads as
            # there are places, so the next one's work waits there.
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._leave()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, queue: deque[_Waiting], network: str) -> None:
        if self._free:
            self._free -= 1
            return
        if len(queue) >= QUEUE or sum(other == network for _, other in queue) >= QUEUE_OF_ONE:
            raise Busy
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (turn, network)
        queue.append(waiting)
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # it was given to us in the same moment
            elif waiting in queue:
                queue.remove(waiting)
            if isinstance(error, TimeoutError):
                raise Busy from None
            raise

    def _leave(self) -> None:
        for queue in (self._known, self._strangers):
            while queue:
                turn, _ = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1
