"""The guard as ``leadapron up`` runs it: what it says of itself, and its look at itself each night."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from leadapron.cli.looking import Seen, look
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import SecurityAlert
from leadapron.guard.gateway.running import Running, run_guard
from leadapron.guard.settings import Guard, load_guard
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.kernel.hostport import HostPort

Say = Callable[[str], None]


@asynccontextmanager
async def guarding(
    config: Path | None, home: Path, at: int | None, say: Say, others: tuple[str, ...]
) -> AsyncIterator[Running]:
    """``at``: when it looks at itself, minutes after midnight; None: never. ``others``: see `run_guard`."""
    settings = load_guard(config)
    if config is None:
        raise UsageError("a guard needs a configuration file, where its peers stand: leadapron init guard")
    async with run_guard(settings, config, home, say, others=others) as running:
        _welcome(settings, running, say)
        looking = None if at is None else asyncio.create_task(_nightly(settings, running, at, say))
        try:
            yield running
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)


def _welcome(settings: Guard, running: Running, say: Say) -> None:
    listens = HostPort(*running.dimse.address)
    peers = len(running.rules.current.peers)
    archive = settings.archive
    say(f"guarding {archive.ae} at {HostPort(archive.host, archive.port)}; DICOM over TLS on {listens}")
    known = f"{peers} {'peer' if peers == 1 else 'peers'}" if peers else "no peer yet: leadapron peer enrol"
    say(f"known: {known}")
    if running.enrolment is not None:
        say(f"codes are redeemed on port {running.enrolment.port}")
    if running.pages is not None:
        say(f"pages: {settings.origins()[0]}/")


async def _nightly(settings: Guard, running: Running, at: int, say: Say) -> None:
    """Looks now, then each night at ``at`` (minutes after midnight, local time)."""
    while True:
        try:
            _found(await look(settings, settings.scope), running, say)
        except LeadApronError as error:
            say(f"could not look at itself: {error}")
        now = datetime.now().astimezone()
        due = now.replace(hour=at // 60, minute=at % 60, second=0, microsecond=0)
        if due <= now:
            due += timedelta(days=1)
        await asyncio.sleep((due - now).total_seconds())


def _found(seen: list[Seen], running: Running, say: Say) -> None:
    opened = [one for one in seen if one.state == "open"]
    for one in opened:
        text = f"{one.place.role} at {one.place.at} stands open: {one.detail}; {one.advice}"
        say(f"OPEN  {text}")
        running.record(
            SecurityAlert(
                kind=Alert.SECURITY_CONFIGURATION, text=text, resource=str(one.place.at), outcome=Outcome.SERIOUS
            )
        )
    for one in seen:
        if one.state in ("not reached", "not looked at"):
            say(f"{one.place.role} at {one.place.at}: {one.state}; {one.advice}")
    if not opened:
        say("looked at itself as a stranger would: nothing stands open of what could be seen")
