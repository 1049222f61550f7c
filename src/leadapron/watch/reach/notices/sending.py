"""One round of sending: what is approved, due and within the limits, one after the other.

Volumes are small (a hundred messages an hour are many here), so one connection at a time is enough and keeps the order
plain: take, envelope, `begin`, message, outcome. The database is asked in a thread, the mail server awaited. Who is
stopped in the middle leaves what the database says; what happens then is told in `claims`.
"""

from __future__ import annotations

import asyncio
from typing import Final

import sqlalchemy as sa

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.notices.claims import Claims, Taken
from leadapron.watch.reach.notices.message import message
from leadapron.watch.reach.notices.model import Sent
from leadapron.watch.reach.notices.post import Interrupted, Lost, PostOffice, Refused
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.reach.notices.store import Notices

MOST: Final = 10_000  # notices of one round


async def send_due(
    engine: sa.Engine, settings: Settings, clock: Clock | None = None, *, rules: Rules | None = None
) -> Sent:
    """Send what is due now. Raises ``UsageError`` where the settings lack something; ``Failure`` where the database
    fails. A mail server that can't be used is in the result (``trouble``): what was not sent stays approved."""
    settings.require()
    clock = clock or SystemClock()
    kept = Notices(engine, settings, clock, rules=rules)
    return await _Round(Claims(engine, settings, kept, clock), settings, clock).run()


class _Round:
    def __init__(self, claims: Claims, settings: Settings, clock: Clock) -> None:
        self._claims = claims
        self._settings = settings
        self._clock = clock
        self._office: PostOffice | None = None
        self._done: dict[str, list[int]] = {key: [] for key in ("sent", "later", "failed", "unsure", "dropped")}

    async def run(self) -> Sent:
        self._done["unsure"] += await asyncio.to_thread(self._claims.recover)
        trouble = None
        try:
            for _ in range(MOST):
                taken = await self._take()
                if taken is None:
                    break
                if isinstance(taken, int):
                    self._done["dropped"].append(taken)
                    continue
                try:
                    self._done[await self._one(taken)].append(taken.notice.id)
                except Failure as failure:
                    trouble = str(failure)
                    break
        finally:
            if self._office is not None:
                await self._office.close()
        limited = 0 if trouble else await asyncio.to_thread(self._claims.due)
        lists = {key: tuple(numbers) for key, numbers in self._done.items()}
        return Sent(**lists, limited=limited, trouble=trouble)

    async def _take(self) -> Taken | int | None:
        """Take one. Who is stopped meanwhile gives it back: else it would be nobody's for as long as we live."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._claims.take))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            taken = await taking
            if isinstance(taken, Taken):
                self._claims.release(taken)
            raise

    async def _one(self, taken: Taken) -> str:
        """Send one; the list that it belongs to."""
        if taken.notice.channel == "feed":
            await asyncio.to_thread(self._claims.sent, taken, "stands in the feed")
            return "sent"
        begun = False
        try:
            made = message(taken.notice, self._settings, self._clock, taken.before)
            if self._office is None:
                self._office = PostOffice(self._settings)
            await self._office.envelope(taken.notice.sender, taken.notice.recipient)
            begun = await asyncio.to_thread(self._claims.begin, taken)
            if not begun:
                self._office.hang_up()  # its envelope is no other's
                return "dropped"
            code = await self._office.message(made)
            await asyncio.to_thread(self._claims.sent, taken, f"accepted with {code}")
            return "sent"
        except Refused as refused:
            if refused.later:
                return await self._later(taken, f"put off with {refused.code}")
            await asyncio.to_thread(self._claims.failed, taken, f"refused with {refused.code}")
            return "failed"
        except Interrupted:  # later, so that one on which the server chokes does not keep the others waiting
            return await self._later(taken, "the mail server was lost before it was handed over")
        except Lost:
            await asyncio.to_thread(self._claims.unsure, taken, "the connection ended while it was handed over")
            return "unsure"
        except BaseException:
            # Stopped, or the server can't be used. Not in a thread: a task that is cancelled must not wait for one.
            if self._office is not None:
                self._office.hang_up()
            if begun:
                self._claims.unsure(taken, "the sender was stopped while it was handed over")
            else:
                self._claims.release(taken)
            raise
        finally:
            self._claims.leave(taken)

    async def _later(self, taken: Taken, answer: str) -> str:
        return "later" if await asyncio.to_thread(self._claims.later, taken, answer) else "failed"
