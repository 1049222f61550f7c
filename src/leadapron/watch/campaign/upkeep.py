"""What is done beside the rounds: owners looked up, rules followed, mail read, what a person approved sent.

One turn after every scan, and one every few minutes, because waiting times end without a scan. Each step is safe to
repeat and to kill (see `reach.follow`, `reach.notices.claims`); one that fails is said and tried in the next turn, and
the others go on. Nothing leaves by itself: notices are drafted here, and sent once a person has approved them.

When the database was away, the next turn does not wait its whole time: it comes soon, and later each time that the
database fails again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

import sqlalchemy as sa

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import LeadApronError
from leadapron.watch.campaign.outage import Outage
from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.campaign.settings import Watch
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.follow import Followed, follow
from leadapron.watch.reach.notices.incoming.reading import read_mail
from leadapron.watch.reach.notices.model import Sent
from leadapron.watch.reach.notices.sending import send_due
from leadapron.watch.reach.notices.settings import Notices as NoticeSettings
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.database import DatabaseFailure, failures
from leadapron.watch.track.exposures.fold import Folded
from leadapron.watch.track.owner.gather import gather
from leadapron.watch.track.owner.settings import Lookups
from leadapron.watch.track.tables import exposures, hints

TURN_S: Final = 300.0
AGAIN_S: Final = 5.0
MOST_LOOKED_UP: Final = 500  # exposures in a turn

log = logging.getLogger(__name__)


class Upkeep:
    """``async with Upkeep(…) as upkeep:`` — rounds run and are followed up while the block lasts.

    ``location``: data directory or database URL, which ``engine`` is open on. While ``may`` says no, nothing is done.
    """

    def __init__(
        self,
        engine: sa.Engine,
        watch: Watch,
        location: str,
        *,
        rules: Rules,
        notices: NoticeSettings,
        lookups: Lookups,
        say: Callable[[str], None] = log.info,
        clock: Clock | None = None,
        turn_s: float = TURN_S,
        outage: Outage | None = None,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._engine = engine
        self._outage, self._may = outage or Outage(say), may
        self.rounds = Rounds(location, watch, after=(self._due,), say=say, clock=clock, outage=self._outage, may=may)
        self._rules, self._settings, self._lookups = rules, notices, lookups
        self._say, self._clock, self._turn_s = say, clock or SystemClock(), turn_s
        self._notices = Notices(engine, notices, self._clock, rules=rules)
        self._news = asyncio.Event()
        self._sending = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._said: dict[str, str] = {}
        self._asked: set[int] = set()

    async def __aenter__(self) -> Upkeep:
        self._loop = asyncio.get_running_loop()
        await self.rounds.__aenter__()
        self._task = self._loop.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        # Both at once: who stops a service waits for half a minute (deploy/leadapron.service) and kills it then.
        await asyncio.gather(asyncio.wait([self._task]), self.rounds.__aexit__(kind, error, trace))

    def _due(self, scan_id: int, folded: Folded) -> None:
        """A scan was folded, says a thread: what it changed is followed up at once."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    async def _keep(self) -> None:
        away = 0
        while True:
            self._news.clear()
            seconds = AGAIN_S
            if self._may():
                away = 0 if await self.turn() else away + 1
                seconds = self._turn_s if not away else min(self._turn_s, AGAIN_S * 2 ** min(away - 1, 10))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    async def turn(self) -> bool:
        """All steps, once. False: the database failed one of them."""
        well = await self._step("mail", self._read_mail)
        well &= await self._step("lookups", self._look_up)
        well &= await self._step("cases", self._follow)
        well &= await self._step("notices", self.send)
        return well

    async def _step(self, name: str, work: Callable[[], Awaitable[object]]) -> bool:
        try:
            await work()
            self._said.pop(name, None)
        except DatabaseFailure as error:
            self._outage.failed(name, error)
            return False
        except LeadApronError as error:
            self._once(name, str(error))
        except Exception as error:
            log.exception("a fault of our own in the upkeep's %s", name)
            self._once(name, f"a fault of our own ({type(error).__name__})")
        self._outage.worked(name)
        return True

    def _once(self, name: str, text: str) -> None:
        """What goes wrong in each turn is said in the first."""
        if self._said.get(name) != text:
            self._said[name] = text
            self._say(f"{name}: {text}")

    # ---- the steps ---------------------------------------------------------------------------------------------------

    async def _look_up(self) -> None:
        waiting = await asyncio.to_thread(self._without_hints)
        if waiting:
            self._asked.update(waiting)
            try:
                gathered = await gather(self._engine, waiting, self._lookups, clock=self._clock)
            except DatabaseFailure:  # what was found is not kept
                self._asked.difference_update(waiting)
                raise
            self._say(f"lookups: {len(gathered.hints):,} hints at the owners of {len(waiting):,} servers")

    def _without_hints(self) -> list[int]:
        """Open exposures of which nothing is known, and that this process has not asked about yet."""
        asked = sa.select(hints.c.id).where(hints.c.exposure_id == exposures.c.id).exists()
        query = sa.select(exposures.c.id).where(exposures.c.state == "open", ~asked).order_by(exposures.c.id)
        with failures(self._engine), self._engine.connect() as connection:
            unknown = [number for number in connection.execute(query).scalars() if number not in self._asked]
        return unknown[:MOST_LOOKED_UP]

    async def _follow(self) -> None:
        followed = await asyncio.to_thread(follow, self._engine, self._rules, self._notices, self._clock)
        self._tell(followed)
        if followed.retest:
            await self._retest(followed.retest)
            self._tell(await asyncio.to_thread(follow, self._engine, self._rules, self._notices, self._clock))

    async def _retest(self, wanted: tuple[int, ...]) -> None:
        """One scan for all that may be scanned together; those of other scopes one after the other."""
        try:
            await self.rounds.retest(wanted)
        except DatabaseFailure:
            raise
        except LeadApronError:
            for exposure in wanted:
                try:
                    await self.rounds.retest((exposure,))
                except DatabaseFailure:
                    raise
                except LeadApronError as error:
                    self._once(f"re-test of exposure {exposure}", str(error))

    def _tell(self, followed: Followed) -> None:
        parts = [
            f"{len(numbers):,} {what}"
            for what, numbers in (
                ("new", followed.opened),
                ("fixed", followed.fixed),
                ("reopened", followed.reopened),
                ("moved", followed.moved),
                ("escalated", followed.escalated),
                ("closed", followed.closed),
            )
            if numbers
        ]
        if parts:
            self._say(f"cases: {', '.join(parts)}")
        if followed.drafted:
            self._say(f"notices: {len(followed.drafted):,} drafted; they wait for a person: leadapron notices")
        for problem in followed.problems:
            self._once(f"case {problem.case_id}", problem.why)

    async def send(self) -> Sent | None:
        """What is approved and due (entries of the feed need no mail server); None where nothing may be written."""
        if self._settings.missing():
            return None
        async with self._sending:
            sent = await send_due(self._engine, self._settings, self._clock, rules=self._rules)
        for what, numbers in (("sent", sent.sent), ("failed", sent.failed), ("unsure", sent.unsure)):
            if numbers:
                self._say(f"notices: {len(numbers):,} {what}")
        if sent.trouble is not None:
            self._once("mail server", sent.trouble)
        elif sent.sent:
            self._said.pop("mail server", None)
        return sent

    async def _read_mail(self) -> None:
        if self._settings.maildir is None:
            return
        await asyncio.to_thread(read_mail, self._engine, self._settings, self._clock, rules=self._rules)
