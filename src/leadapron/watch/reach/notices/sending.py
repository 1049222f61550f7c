"""One round of sending: what is approved, due and within the limits, one after the other.

Volumes are small (a hundred messages an hour are many here), so one connection at a time is enough and keeps the order
plain: take, envelope, `begin`, message, outcome. The database is asked in a thread, the mail server awaited. Who is
killed in the middle leaves what the database says; what happens then is told in `claims`.

Who is stopped ends what it began: a message that is being handed over gets `GRACE_S`, so that a restart makes none of
them unsure without need; one of which nothing had left is given back. What the mail server answered is known here
alone, so a database that is away at that moment (a restart, a lock) is asked again for a minute before it is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, TypeVar

import sqlalchemy as sa

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.notices.claims import Claims, Taken
from leadapron.watch.reach.notices.message import message
from leadapron.watch.reach.notices.model import Sent
from leadapron.watch.reach.notices.post import Interrupted, Lost, PostOffice, Refused, SenderRefused
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.database import DatabaseFailure

T = TypeVar("T")

MOST: Final = 10_000  # notices of one round
GRACE_S: Final = 10.0
TOLD_AGAIN_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # waits for a database that is away


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
        self._trouble: LeadApronError | None = None
        self._not_from: set[str] = set()
        self._post = True
        self._done: dict[str, list[int]] = {key: [] for key in ("sent", "later", "failed", "unsure", "dropped")}

    async def run(self) -> Sent:
        self._done["unsure"] += await asyncio.to_thread(self._claims.recover)
        try:
            for _ in range(MOST):
                taken = await self._take()
                if taken is None:
                    break
                if isinstance(taken, int):
                    self._done["dropped"].append(taken)
                else:
                    await self._next(taken)
        finally:
            if self._office is not None:
                await self._office.close()
        if isinstance(self._trouble, UsageError):
            raise self._trouble
        limited = 0 if self._trouble else await asyncio.to_thread(self._claims.due)
        lists = {key: tuple(numbers) for key, numbers in self._done.items()}
        return Sent(**lists, limited=limited, trouble=None if self._trouble is None else str(self._trouble))

    async def _next(self, taken: Taken) -> None:
        """Send one. A mail server that can't be used keeps only those waiting that need it: not the feed's entries, nor
        those of another sender where it refuses one."""
        try:
            self._done[await self._one(taken)].append(taken.notice.id)
        except DatabaseFailure:
            raise
        except SenderRefused as refused:
            self._trouble = self._trouble or refused
            self._not_from.add(taken.notice.sender)
        except LeadApronError as error:
            self._trouble = self._trouble or error
            self._post = False

    async def _take(self) -> Taken | int | None:
        """Take one. Who is stopped meanwhile gives it back: else it would be nobody's for as long as we live."""
        take = asyncio.to_thread(self._claims.take, post=self._post, not_from=frozenset(self._not_from))
        taking = asyncio.ensure_future(take)
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            with contextlib.suppress(DatabaseFailure):
                taken = await taking
                if isinstance(taken, Taken):
                    await self._release(taken)
            raise

    async def _one(self, taken: Taken) -> str:
        """Send one; the list that it belongs to."""
        try:
            if taken.notice.channel == "feed":
                return await self._tell(self._claims.sent, "sent", taken, "stands in the feed")
            try:
                made = message(taken.notice, self._settings, self._clock, taken.before)
                if self._office is None:
                    self._office = PostOffice(self._settings)
                await self._office.envelope(taken.notice.sender, taken.notice.recipient)
                begun = await asyncio.to_thread(self._claims.begin, taken)
            except Refused as refused:
                return await self._refused(taken, refused)
            except Interrupted:  # later, so that one on which the server chokes does not keep the others waiting
                return await self._later(taken, "the mail server was lost before it was handed over")
            except BaseException as error:  # stopped, or the server or the database can't be used
                if self._office is not None:
                    self._office.hang_up()
                await self._release(taken, patient=isinstance(error, DatabaseFailure))
                raise
            if begun:
                return await self._begun(self._office, taken, made)
            self._office.hang_up()  # its envelope is no other's
            return "dropped"
        finally:
            self._claims.leave(taken)

    async def _begun(self, office: PostOffice, taken: Taken, made: bytes) -> str:
        """The message itself. Who is stopped meanwhile lets it come to its end, for a while."""
        handing = asyncio.ensure_future(self._hand_over(office, taken, made))
        try:
            return await asyncio.shield(handing)
        except asyncio.CancelledError:
            await asyncio.wait([handing], timeout=GRACE_S)
            raise
        finally:
            if not handing.done():
                handing.cancel()
                await asyncio.wait([handing])
            if not handing.cancelled():
                handing.exception()  # of who is stopped nobody asks for it, and asyncio would complain

    async def _hand_over(self, office: PostOffice, taken: Taken, made: bytes) -> str:
        try:
            code = await office.message(made)
        except Refused as refused:
            return await self._refused(taken, refused)
        except Lost:
            answer = "the connection ended while it was handed over"
            return await self._tell(self._claims.unsure, "unsure", taken, answer)
        except BaseException:
            office.hang_up()
            with contextlib.suppress(DatabaseFailure):  # then it is found in ``data`` by whoever comes next
                answer = "the sender was stopped while it was handed over"
                await asyncio.to_thread(self._claims.unsure, taken, answer)
            raise
        return await self._tell(self._claims.sent, "sent", taken, f"accepted with {code}")

    # ---- what became of it -------------------------------------------------------------------------------------------

    async def _refused(self, taken: Taken, refused: Refused) -> str:
        if refused.later:
            return await self._later(taken, f"put off with {refused.code}")
        return await self._tell(self._claims.failed, "failed", taken, f"refused with {refused.code}")

    async def _later(self, taken: Taken, answer: str) -> str:
        return await self._tell(self._claims.later, "later", taken, answer)

    async def _release(self, taken: Taken, *, patient: bool = False) -> None:
        with contextlib.suppress(DatabaseFailure):  # then whoever comes next finds that nobody works on it
            await (_often if patient else asyncio.to_thread)(self._claims.release, taken)

    async def _tell(self, write: Callable[[Taken, str], bool | None], what: str, taken: Taken, answer: str) -> str:
        """Write it down; gives the list that the notice belongs to."""
        return "failed" if await _often(write, taken, answer) is False else what


async def _often(write: Callable[..., T], *arguments: object) -> T:
    """In a thread, and again for a while where the database fails."""
    for wait in TOLD_AGAIN_S:
        try:
            return await asyncio.to_thread(write, *arguments)
        except DatabaseFailure:
            await asyncio.sleep(wait)
    return await asyncio.to_thread(write, *arguments)
