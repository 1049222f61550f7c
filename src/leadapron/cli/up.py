"""``leadapron up``: run whatever the configuration has: the guard, the watch's campaigns, the console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from leadapron.guard.gateway.running import Running
    from leadapron.kernel.config import Settings

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(name="up", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=_FILE, metavar="FILE", help="The configuration. [default: ./leadapron.toml, then yours]")
@click.option("--data", metavar="DIR", help="Where everything is kept. [default: as the configuration says]")
@click.option(
    "--check-at", metavar="HH:MM", default="03:30", show_default=True, help="When the guard looks at itself each night."
)
@click.option("--no-check", is_flag=True, help="The guard does not look at itself, neither now nor at night.")
def command(config: Path | None, data: str | None, check_at: str, no_check: bool) -> None:
    """Run what the configuration has, until it is stopped (Ctrl-C or SIGTERM): the guard with its pages and enrolment,
    the campaigns of the watch with their follow-up, the console.

    The rules of peers in leadapron.toml are read again when the file changes; associations go on. At start, and each
    night, the guard looks at itself and at the archive as a stranger would and says what stands open.
    """
    from datetime import time

    from leadapron.kernel.config import Settings, find_file, load
    from leadapron.kernel.errors import UsageError
    from leadapron.wire.aio.loop import run

    file = config or find_file()
    settings = load(Settings, path=file)
    if settings.guard is None and settings.watch is None and settings.console is None:
        where = "there is no configuration file" if file is None else f"{file} has none of [guard], [watch], [console]"
        raise UsageError(
            f"{where}: 'leadapron init guard' and 'leadapron init watch' write one, or name another file: --config FILE"
        )
    try:
        at = None if no_check else time.fromisoformat(check_at)
    except ValueError:
        raise UsageError("--check-at: write it as HH:MM, 03:30 for example") from None
    run(_run(settings, file, data, None if at is None else at.hour * 60 + at.minute))


async def _run(settings: Settings, config: Path | None, data: str | None, at: int | None) -> None:
    import asyncio
    import logging
    import signal

    from leadapron.cli.up_watch import database, watching
    from leadapron.guard.gateway.setup import guard_home
    from leadapron.kernel.paths import data_dir

    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what strangers send stands in the trail, not here
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, over.set)
    place = data if data is not None else settings.data
    home = guard_home(place)
    location = settings.database_url if data is None and settings.database_url else str(data_dir(place))
    async with (
        database(settings, location, say) as held,
        _guarding(settings, config, home, at) as guard,
        watching(settings, config, held, home, guard, say),
    ):
        await over.wait()
        say("stopping: what is in hand is ended, nothing new is begun")
    say("stopped")


@asynccontextmanager
async def _guarding(
    settings: Settings, config: Path | None, home: Path, at: int | None
) -> AsyncIterator[Running | None]:
    if settings.guard is None:
        yield None
        return
    from leadapron.cli.up_guard import guarding
    from leadapron.console.settings import load_console

    console = load_console(config)
    others = () if console is None else console.origins(console.place.port)
    async with guarding(config, home, at, say, others) as running:
        yield running


def say(line: str) -> None:
    """A line for who watches it run. Nothing ends because nobody can read it: a full disk, a pipe that was closed."""
    from datetime import datetime

    with suppress(OSError):
        click.echo(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {line}", err=True)
