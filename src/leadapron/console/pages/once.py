"""A form that is sent twice, as by a double click, is done once; who sent it gets the one answer twice.

The same form of the same person counts as sent twice while the first is being done, and for `AGAIN_S` after it came.
Nobody means to write one note twice within that, and whoever does something else between the two does mean it. What
was refused is tried anew each time. It holds in one process, which all forms of a console come to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from leadapron.kernel.clock import Clock

AGAIN_S: Final = 3.0


class _Sent(Struct):
    mark: bytes
    at: float
    doing: asyncio.Task[Response]


class Once:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, _Sent] = {}

    async def __call__(self, person: str, form: bytes, do: Callable[[], Awaitable[Response]]) -> Response:
        """``form``: all that says what is to be done. Raises what ``do`` raises."""
        mark, now, last = sha256(form).digest(), self._clock.monotonic(), self._last.get(person)
        if last is None or last.mark != mark or _over(last, now):
            last = self._last[person] = _Sent(mark, now, asyncio.ensure_future(_answer(do)))
        return await asyncio.shield(last.doing)


async def _answer(do: Callable[[], Awaitable[Response]]) -> Response:
    return await do()


def _over(last: _Sent, now: float) -> bool:
    if not last.doing.done():
        return False
    failed = last.doing.cancelled() or last.doing.exception() is not None or last.doing.result().status_code >= 400
    return failed or now - last.at >= AGAIN_S
