"""Where memory for exact counts is short, large counts take turns: one goes on, the others wait.

The hashes of a large archive take some octets a study, and a process has a fixed purse for all (``hashes.Memory``), so
that a thousand hostile servers fit too. Once much of it is taken, a count that is large already asks nothing more until
it is its turn. What waits does not grow; the rest of the purse is for the one whose turn it is and for the small ones.
So each is exact in the end, and little time is lost: large counts share the processor anyway. A count waits for so long
and no longer: a server that never ends its answer costs the others their exactness, not their end.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turn:
    """First come, first served. Belongs to one event loop at a time."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, seconds: float) -> bool:
        """Wait for it, at most so long; whether it is ours. Then ``give`` must follow."""
        if not self._taken:
            self._taken = True
            return True
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(seconds):
                await mine
        except TimeoutError:
            return self._ours(mine)
        except asyncio.CancelledError:
            if self._ours(mine):
                self.give()
            raise
        return True

    def give(self) -> None:
        """It is the next one's."""
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._taken = False

    def _ours(self, mine: asyncio.Future[None]) -> bool:
        """Whether it was given to us in the moment in which we gave up."""
        if mine.done() and not mine.cancelled():
            return True
        if mine in self._waiting:
            self._waiting.remove(mine)
        return False
