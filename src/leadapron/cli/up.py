"""``leadapron up``: run what the configuration has. By now that is the guard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from leadapron.cli.looking import Seen
    from leadapron.guard.gateway.running import Running
    from leadapron.guard.settings import Guard

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(name="up", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=_FILE, metavar="FILE", help="The configuration. [default: ./leadapron.toml, then yours]")
@click.option("--data", metavar="DIR", help="Where keys and the audit trail are. [default: as the configuration says]")
@click.option(
    "--check-at", metavar="HH:MM", default="03:30", show_default=True, help="When to look at itself each night."
)
@click.option("--no-check", is_flag=True, help="Do not look at itself, neither now nor at night.")
def command(config: Path | None, data: str | None, check_at: str, no_check: bool) -> None:
    """Run what the configuration has, until it is stopped (Ctrl-C or SIGTERM): the guard, its pages, enrolment.

    The rules of peers in leadapron.toml are read again when the file changes; associations go on. At start, and each
    night, it looks at itself and at the archive as a stranger would and says what stands open.
    """
    from datetime import time

    from leadapron.guard.gateway.setup import guard_home
    from leadapron.guard.settings import load_guard
    from leadapron.kernel.config import Settings, find_file, load
    from leadapron.kernel.errors import UsageError
    from leadapron.wire.aio.loop import run

    file = config or find_file()
    settings = load_guard(file)
    assert file is not None
    try:
        at = None if no_check else time.fromisoformat(check_at)
    except ValueError:
        raise UsageError("--check-at: write it as HH:MM, 03:30 for example") from None
    home = guard_home(data if data is not None else load(Settings, path=file).data)
    run(_run(settings, file, home, None if at is None else at.hour * 60 + at.minute))


async def _run(settings: Guard, config: Path, home: Path, at: int | None) -> None:
    import asyncio
    import logging
    import signal

    from leadapron.guard.gateway.running import run_guard

    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what strangers send stands in the trail, not here
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    async with run_guard(settings, config, home, _say) as running:
        _welcome(settings, running)
        looking = None if at is None else asyncio.create_task(_nightly(settings, running, at))
        await over.wait()
        _say("stopping: associations may end, new ones are not taken")
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    _say("stopped")


def _say(line: str) -> None:
    from datetime import datetime

    click.echo(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {line}", err=True)


def _welcome(settings: Guard, running: Running) -> None:
    host, port = running.dimse.address
    peers = len(running.rules.current.peers)
    archive = settings.archive
    _say(f"guarding {archive.ae} at {archive.host}:{archive.port}; DICOM over TLS on {host}:{port}")
    known = f"{peers} {'peer' if peers == 1 else 'peers'}" if peers else "no peer yet: leadapron peer enrol"
    _say(f"known: {known}")
    if running.enrolment is not None:
        _say(f"codes are redeemed on port {running.enrolment.port}")
    if running.pages is not None:
        _say(f"pages: https://{settings.names[0]}:{running.pages.port}/")


async def _nightly(settings: Guard, running: Running, at: int) -> None:
    """Looks now, then each night at ``at`` (minutes after midnight, local time)."""
    import asyncio
    from datetime import datetime, timedelta

    from leadapron.cli.looking import look
    from leadapron.kernel.errors import LeadApronError

    while True:
        try:
            _found(await look(settings, settings.scope), running)
        except LeadApronError as error:
            _say(f"could not look at itself: {error}")
        now = datetime.now().astimezone()
        due = now.replace(hour=at // 60, minute=at % 60, second=0, microsecond=0)
        if due <= now:
            due += timedelta(days=1)
        await asyncio.sleep((due - now).total_seconds())


def _found(seen: list[Seen], running: Running) -> None:
    from leadapron.guard.audit.codes import Alert, Outcome
    from leadapron.guard.audit.events import SecurityAlert

    opened = [one for one in seen if one.state == "open"]
    for one in opened:
        text = f"{one.place.role} at {one.place.at} stands open: {one.detail}; {one.advice}"
        _say(f"OPEN  {text}")
        running.record(
            SecurityAlert(
                kind=Alert.SECURITY_CONFIGURATION, text=text, resource=str(one.place.at), outcome=Outcome.SERIOUS
            )
        )
    for one in seen:
        if one.state in ("not reached", "not looked at"):
            _say(f"{one.place.role} at {one.place.at}: {one.state}; {one.advice}")
    if not opened:
        _say("looked at itself as a stranger would: nothing stands open of what could be seen")
