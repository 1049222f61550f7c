"""Rounds of campaigns, one after the other, for as long as the program runs.

One at a time, retests among them, because each scan paces itself and none knows of another. What is due is computed
from the newest scan of each campaign, so that a restart changes nothing; what people want (a pause, a round now) stands
in the database and is looked up every few seconds, so that any process may say it. A campaign that cannot be scanned
(its scope has ended) is said and tried again later; the others go on. When the database fails under a round, all wait
and that one goes on: soon the first time, since a server that was restarted is back in seconds, then after longer and
longer waits, because each attempt asks again whom the last one could not save.

When the block ends, the scan that runs is stopped as by Ctrl-C: what is in hand is finished, everything is saved and
folded, and the next start goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final

from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.campaign.board import Board, Post
from leadapron.watch.campaign.outage import Outage
from leadapron.watch.campaign.retest import retest
from leadapron.watch.campaign.round import anew, last_of, request_of
from leadapron.watch.campaign.schedule import due, first
from leadapron.watch.campaign.settings import Campaign, Watch
from leadapron.watch.scan.progress import Progress
from leadapron.watch.scan.run import Prepared, assemble, make_plan, run
from leadapron.watch.track.database import DatabaseFailure, open_engine
from leadapron.watch.track.exposures.fold import Folded
from leadapron.watch.track.exposures.model import Kind
from leadapron.watch.track.store import Store

LOOK_EVERY_S: Final = 5.0
AGAIN_AFTER: Final = timedelta(hours=1)
REST: Final = timedelta(seconds=20)
END_S: Final = 20.0
log = logging.getLogger(__name__)

After = Callable[[int, Folded], None]


class Running(Struct):
    """The round that runs. ``progress`` moves; ``started`` is ISO 8601 UTC."""

    name: str
    started: str
    scan_id: int
    progress: Progress


class Rounds:
    """``async with Rounds(location, watch) as rounds:`` — rounds run while the block does.

    ``location``: data directory or database URL. ``after``: each is called after every scan, in a thread, with the
    number of the scan and what it changed. ``say`` gets a line for people now and then. While ``may`` says no, no round
    begins and one that runs is stopped.
    """

    def __init__(
        self,
        location: str,
        watch: Watch,
        *,
        after: Sequence[After] = (),
        say: Callable[[str], None] = log.info,
        clock: Clock | None = None,
        look_every_s: float = LOOK_EVERY_S,
        outage: Outage | None = None,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self._location = location
        self._watch = watch
        self._after = tuple(after)
        self._say = say
        self._clock = clock or SystemClock()
        self._look_every_s = look_every_s
        self._outage = outage or Outage(say)
        self._may = may
        self._engine = open_engine(location)
        self._store = Store(self._engine, clock)
        self.board = Board(self._engine)
        self._again: dict[str, datetime] = {}  # when a campaign that could not be scanned is tried again
        self._rest_until: datetime | None = None
        self._rests = 0
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()
        self._stopping = False
        self._prepared: Prepared | None = None
        self._running: Running | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def progress(self) -> Running | None:
        """The round that runs now."""
        return self._running

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        return self._watch.campaign

    # ---- what people say; from any thread ----------------------------------------------------------------------------

    def pause(self, name: str, by: str) -> None:
        """No round of it begins; one that runs is stopped, to go on later."""
        self.board.pause(self._watch.named(name).name, by)
        self._look()

    def resume(self, name: str, by: str) -> None:
        self.board.resume(self._watch.named(name).name, by)
        self._look()

    def now(self, name: str, by: str) -> None:
        """A round as soon as none other runs. Raises ``UsageError`` for one that is paused."""
        campaign = self._watch.named(name)
        if self.board.posts([name])[name].paused:
            raise UsageError(f"{name} is paused; resume it first: leadapron campaign resume {name}")
        self.board.now(campaign.name, by)
        self._look()

    async def retest(self, exposure_ids: Collection[int], *, scope: str | None = None) -> int:
        """Look at these exposures again, as soon as no round runs; gives the scan's number."""
        async with self._turn:
            return await retest(self._location, exposure_ids, self._watch, scope=scope)

    def _look(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._news.set)

    # ---- the life ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Rounds:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._news.set()
        if self._prepared is not None:
            self._prepared.scanner.stop()
        assert self._task is not None
        _, left = await asyncio.wait([self._task], timeout=END_S)
        if left:
            self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._loop = None
        self._engine.dispose()

    async def _keep(self) -> None:
        while not self._stopping:
            self._news.clear()
            try:
                campaign = await asyncio.to_thread(self._next)
                self._outage.worked("campaigns")
                if campaign is not None:
                    async with self._turn:
                        await self._round(campaign)
                    continue
            except DatabaseFailure as error:
                self._outage.failed("campaigns", error)
            except LeadApronError as error:
                self._say(f"campaigns: {error}")
            except Exception as error:  # nothing may end the rounds but the end of the block
                log.exception("what is due has a fault")
                self._say(f"campaigns: a fault of our own ({type(error).__name__})")
            await self._wait(self._look_every_s)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    # ---- what is next ------------------------------------------------------------------------------------------------

    def _next(self) -> Campaign | None:
        """The campaign whose round is to run now: the one that waits longest."""
        waiting: list[tuple[datetime, Campaign]] = []
        now = self._clock.now()
        if not self._may() or (self._rest_until is not None and now < self._rest_until):
            return None
        posts = self.board.posts(campaign.name for campaign in self._watch.campaign)
        for campaign in self._watch.campaign:
            post = posts[campaign.name]
            since = self._since(campaign, post, now)
            if since is not None and since <= now:
                waiting.append((since, campaign))
        return min(waiting, key=lambda one: one[0])[1] if waiting and not self._stopping else None

    def _since(self, campaign: Campaign, post: Post, now: datetime) -> datetime | None:
        """From when on it waits for its round; a moment still to come is written down for others to see."""
        last = last_of(self._store, campaign, self._clock)
        if post.paused or last.left == "running":
            return None
        if post.wanted:
            return now
        again = self._again.get(campaign.name)
        if again is not None and now < again:
            planned: datetime | None = again
        elif last.left in ("interrupted", "failed"):
            planned = last.begun
        else:
            planned = first(campaign, post.next_at, now) if last.begun is None else due(campaign, last.begun, now)
        if planned is not None and planned > now and post.next_at != iso(planned):
            self.board.put(campaign.name, next_at=iso(planned))
        return planned

    # ---- a round -----------------------------------------------------------------------------------------------------

    async def _round(self, campaign: Campaign) -> None:
        self._again.pop(campaign.name, None)
        try:
            prepared = await self._prepare(campaign)
            number = await asyncio.to_thread(lambda: prepared.writer.scan_id)
            self.board.put(campaign.name, wanted=False, last_scan=number)
            await self._scan(campaign, prepared, number)
            self._rests = 0
            self._outage.worked("rounds")
        except DatabaseFailure as error:
            self._outage.failed("rounds", error)
            self._rest_until = self._clock.now() + min(REST * 2 ** min(self._rests, 10), AGAIN_AFTER)
            self._rests += 1
        except LeadApronError as error:
            self._say(f"{campaign.name}: {error}")
            self._put_off(campaign)
        except Exception as error:  # a campaign must not end the others
            log.exception("a round of the campaign %s has a fault", campaign.name)
            self._say(f"{campaign.name}: a fault of our own ended the round ({type(error).__name__})")
            self._put_off(campaign)

    def _put_off(self, campaign: Campaign) -> None:
        self._again[campaign.name] = self._clock.now() + AGAIN_AFTER
        self.board.put(campaign.name, wanted=False, next_at=iso(self._again[campaign.name]))

    async def _prepare(self, campaign: Campaign) -> Prepared:
        """The scan, ready to run: one that was interrupted where that can go on, else a new one."""
        last = await asyncio.to_thread(last_of, self._store, campaign, self._clock)
        request = request_of(campaign, self._location, self._watch, resume=last.left in ("interrupted", "failed"))
        try:
            plan = await make_plan(request, self._location)
        except UsageError as error:
            if not request.resume:
                raise
            self._say(f"{campaign.name}: scan {last.scan_id} cannot go on ({error}); a new round begins")
            plan = await make_plan(anew(request), self._location)
        for note in plan.notes:
            self._say(f"{campaign.name}: {note}")
        return assemble(plan)

    async def _scan(self, campaign: Campaign, prepared: Prepared, number: int) -> None:
        self._prepared = prepared
        self._running = Running(campaign.name, iso(self._clock.now()), number, prepared.scanner.progress)
        going_on = " goes on" if prepared.resumed is not None else ""
        self._say(f"{campaign.name}: scan {number}{going_on}, {prepared.scanner.progress.endpoints:,} endpoints")
        watching = asyncio.get_running_loop().create_task(self._stop_when_paused(campaign, prepared))
        try:
            if self._stopping:
                prepared.scanner.stop()
            await run(prepared)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self._prepared = self._running = None
            if prepared.folded is not None:
                self._say(f"{campaign.name}: scan {number} {_ended(prepared)}; {said(prepared.folded)}")
                for hook in self._after:
                    await self._call(hook, number, prepared.folded)

    async def _stop_when_paused(self, campaign: Campaign, prepared: Prepared) -> None:
        paused = False
        while True:
            await self._wait(self._look_every_s)
            self._news.clear()
            with contextlib.suppress(DatabaseFailure):  # whoever writes says so
                posts = await asyncio.to_thread(self.board.posts, [campaign.name])
                paused = posts[campaign.name].paused
            if paused or not self._may():
                prepared.scanner.stop()
                return

    async def _call(self, hook: After, number: int, folded: Folded) -> None:
        try:
            await asyncio.to_thread(hook, number, folded)
        except LeadApronError as error:
            self._say(f"after scan {number}: {error}")
        except Exception as error:
            log.exception("what follows a scan has a fault")
            self._say(f"after scan {number}: a fault of our own ({type(error).__name__})")


def _ended(prepared: Prepared) -> str:
    return "was stopped" if prepared.scanner.stopped else "is done"


def said(folded: Folded) -> str:
    """What a scan changed, in a line."""
    kinds: tuple[Kind, ...] = ("opened", "reopened", "moved", "grew", "shrank", "closed")
    changes = [f"{number:,} {kind}" for kind in kinds if (number := folded.number(kind))]
    return f"{', '.join(changes) or 'nothing changed'}; {folded.standing.open:,} open"
