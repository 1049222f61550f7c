"""What was answered, kept in the table ``lookups``, so that nobody is asked twice for the same within some days.

Only what was kept of an answer lies there, never the answer. When somebody cannot be reached, what they said before
still serves, with the time at which they said it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
import sqlalchemy as sa

from leadapron.kernel.clock import Clock, iso
from leadapron.watch.track.database import failures
from leadapron.watch.track.owner.asking import Unanswered
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.owner.upsert import upsert
from leadapron.watch.track.tables import lookups

LONGEST_KEY: Final = 200  # of the column
Founds = tuple[Found, ...]


class Kept(msgspec.Struct, frozen=True):
    """``missing``: why it is not of today, or not there."""

    found: Founds
    at: str
    missing: str | None = None


class Cache:
    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    async def found(self, what: str, days: int, ask: Callable[[], Awaitable[Founds]]) -> Kept:
        """What was found by ``ask``, now or not more than ``days`` ago."""

        async def asked() -> bytes:
            return msgspec.json.encode(await ask())

        text, at, missing = await self._kept(what, days, asked)
        try:
            return Kept(() if text is None else msgspec.json.decode(text, type=Founds), at, missing)
        except msgspec.DecodeError:
            return Kept((), at, "what was kept of an earlier answer cannot be read")

    async def text(self, what: str, days: int, ask: Callable[[], Awaitable[bytes]]) -> bytes:
        """The same for text that is kept as it is. Raises `Unanswered` where there is none."""
        text, _, missing = await self._kept(what, days, ask)
        if text is None:
            raise Unanswered(missing or "not there")
        return text.encode()

    async def _kept(
        self, what: str, days: int, ask: Callable[[], Awaitable[bytes]]
    ) -> tuple[str | None, str, str | None]:
        now = self._clock.now()
        if len(what) > LONGEST_KEY:
            return None, iso(now), "the name is too long"
        earlier = await asyncio.to_thread(self._read, what)
        if earlier is not None and days and datetime.fromisoformat(earlier[1]) > now - timedelta(days=days):
            return earlier[0], earlier[1], None
        try:
            text = (await ask()).decode()
        except Unanswered as error:
            return (None, iso(now), str(error)) if earlier is None else (*earlier, str(error))
        at = iso(self._clock.now())
        await asyncio.to_thread(self._write, what, text, at)
        return text, at, None

    def _read(self, what: str) -> tuple[str, str] | None:
        query = sa.select(lookups.c.answer, lookups.c.at).where(lookups.c.what == what)
        with failures(self._engine), self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (str(row[0]), str(row[1]))

    def _write(self, what: str, answer: str, at: str) -> None:
        with failures(self._engine), self._engine.begin() as connection:
            upsert(connection, lookups, [{"what": what, "answer": answer, "at": at}], ("what",), ("answer", "at"))
