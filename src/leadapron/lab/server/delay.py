"""Everything that visitors say, a little later: how a server twenty milliseconds away is simulated.

All of a neighbourhood's endpoints share one latency, mostly, so what waits is a queue in order of time and one timer
serves it; a timer for each word would cost more than the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

_EARLY_S: Final = 0.0005  # the loop's timers are no finer


class DelayLine:
    """Runs functions ``seconds`` later, in the order in which they came. A function must not raise."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._timed = False

    def later(self, function: Callable[[], None]) -> None:
        due = self._loop.time() + self._seconds
        self._waiting.append((due, function))
        if not self._timed:
            self._timed = True
            self._loop.call_at(due, self._run)

    def _run(self) -> None:
        waiting, now = self._waiting, self._loop.time() + _EARLY_S
        while waiting and waiting[0][0] <= now:
            waiting.popleft()[1]()
        self._timed = bool(waiting)
        if waiting:
            self._loop.call_at(waiting[0][0], self._run)
