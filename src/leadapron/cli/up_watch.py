"""The watch as ``leadapron up`` runs it: rounds of campaigns, what follows from them, and the console over both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from leadapron.kernel.config import Settings
from leadapron.kernel.errors import LeadApronError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from leadapron.console.parts import Parts
    from leadapron.guard.gateway.refusals import Refusals
    from leadapron.guard.gateway.running import Running
    from leadapron.guard.identity.people.model import Event as PeopleEvent
    from leadapron.watch.campaign.instance import Instance
    from leadapron.watch.campaign.outage import Outage

Say = Callable[[str], None]
SUMS_S: Final = 1.0


class Database(NamedTuple):
    """Where the watch keeps everything. ``location``: as it was named."""

    engine: sa.Engine
    location: str
    instance: Instance
    outage: Outage


@asynccontextmanager
async def database(settings: Settings, location: str, say: Say) -> AsyncIterator[Database | None]:
    """The watch's database, of which no other ``up`` has hold; None where the configuration has neither ``[watch]`` nor
    ``[console]``. ``location``: data directory or database URL. Raises ``UsageError`` where another runs on it."""
    if settings.watch is None and settings.console is None:
        yield None
        return
    from leadapron.watch.campaign.instance import Instance
    from leadapron.watch.campaign.outage import Outage
    from leadapron.watch.track.database import open_engine

    outage = Outage(say)
    engine = await asyncio.to_thread(open_engine, location)
    try:
        async with Instance(engine, say, outage=outage) as instance:
            yield Database(engine, location, instance, outage)
    finally:
        engine.dispose()


@asynccontextmanager
async def watching(
    settings: Settings, config: Path | None, database: Database | None, home: Path, guard: Running | None, say: Say
) -> AsyncIterator[None]:
    """Nothing without a database. ``guard``: the one that runs here."""
    if database is None:
        yield
        return
    from leadapron.console.parts import Parts
    from leadapron.watch.campaign.settings import load_watch
    from leadapron.watch.campaign.upkeep import Upkeep
    from leadapron.watch.reach.cases.settings import load_cases
    from leadapron.watch.reach.cases.store import Cases
    from leadapron.watch.reach.notices.settings import load_notices
    from leadapron.watch.reach.notices.store import Notices
    from leadapron.watch.track.exposures.fold import fold_all
    from leadapron.watch.track.owner.hints import Hints
    from leadapron.watch.track.owner.settings import load_lookups

    watch, rules = load_watch(config), load_cases(config)
    notices, lookups = load_notices(config), load_lookups(config)
    async with AsyncExitStack() as stack:
        engine, location, instance, outage = database
        await asyncio.to_thread(partial(fold_all, location, closed_after=watch.closed_after))
        upkeep = Upkeep(
            *(engine, watch, location),
            rules=rules,
            notices=notices,
            lookups=lookups,
            say=say,
            outage=outage,
            may=lambda: instance.held,
        )
        rounds = upkeep.rounds
        if settings.console is not None:
            parts = Parts(
                cases=Cases(engine, rules),
                notices=Notices(engine, notices, rules=rules),
                send=upkeep.send,
                hints=Hints(engine),
                rounds=rounds,
            )
            await _console(stack, config, engine, home, parts, guard, say)
        # Last, so that nothing is scanned before a port that is taken is noticed.
        await stack.enter_async_context(upkeep)
        _welcome([campaign.name for campaign in watch.campaign], notices.missing(), say)
        yield


def _welcome(campaigns: list[str], missing: tuple[str, ...], say: Say) -> None:
    if campaigns:
        say(f"campaigns: {', '.join(campaigns)}")
    else:
        say("no campaign yet: leadapron init watch, or [[watch.campaign]] in leadapron.toml")
    if missing:
        say(f"notices cannot be written yet: [notices] lacks {', '.join(missing)}")


async def _console(
    stack: AsyncExitStack,
    config: Path | None,
    engine: sa.Engine,
    home: Path,
    parts: Parts,
    guard: Running | None,
    say: Say,
) -> None:
    from leadapron.console.running import run_console
    from leadapron.console.settings import load_console

    settings = load_console(config)
    assert settings is not None
    if guard is not None:
        await stack.enter_async_context(
            run_console(settings, engine=engine, home=home, parts=parts, people=guard.people, tell=say)
        )
        return
    from leadapron.guard.audit.trail import Trail
    from leadapron.guard.gateway.refusals import Refusals
    from leadapron.guard.gateway.setup import KEY_FILE
    from leadapron.guard.gateway.told import of_people
    from leadapron.kernel.clock import SystemClock
    from leadapron.kernel.seal import key_file

    trail = await asyncio.to_thread(Trail, home, key_file(home / KEY_FILE), None, "leadapron console")
    stack.callback(trail.close)
    refusals = Refusals(trail.record, SystemClock())
    stack.callback(_attempt, refusals.close, say)
    stack.push_async_callback(_ended, asyncio.create_task(_sums(refusals, say)))

    def told(event: PeopleEvent) -> None:
        refusals(of_people(event))

    await stack.enter_async_context(
        run_console(
            settings,
            engine=engine,
            home=home,
            parts=parts,
            on_event=told,
            tell=say,
        )
    )


async def _sums(refusals: Refusals, say: Say) -> None:
    """Tells the trail how many were refused beyond those that stand there one by one."""
    while True:
        await asyncio.sleep(SUMS_S)
        _attempt(refusals.sweep, say)


def _attempt(work: Callable[[], None], say: Say) -> None:
    try:
        work()
    except LeadApronError as error:
        say(f"console: {error}")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
