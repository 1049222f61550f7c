"""What a running scan shows on stderr: a bar that moves where a person watches, a line now and then in a log."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leadapron.watch.scan.progress import Progress

LOG_EVERY_S = 10.0


@contextlib.asynccontextmanager
async def shown(progress: Progress, *, quiet: bool = False) -> AsyncIterator[None]:
    """Show ``progress`` until the block ends."""
    if quiet:
        yield
        return
    show = _bar if sys.stderr.isatty() else _log
    task = asyncio.get_running_loop().create_task(show(progress))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _bar(progress: Progress) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    console = Console(stderr=True)
    started = time.monotonic()

    def draw() -> Table:
        now = time.monotonic()
        grid = Table.grid(padding=(0, 1))
        share = progress.done / progress.endpoints if progress.endpoints else 1.0
        width = 24
        filled = int(share * width)
        bar = Text("━" * filled, style="cyan") + Text("━" * (width - filled), style="bright_black")
        grid.add_row(
            bar,
            Text(f"{share:4.0%}"),
            Text(f"{progress.done:,} of {progress.endpoints:,} endpoints"),
            Text(_left(progress, now, started)),
        )
        lines = Table.grid()
        lines.add_row(grid)
        lines.add_row(Text(_figures(progress), style="bold" if progress.exposed else ""))
        return lines

    with Live(draw(), console=console, refresh_per_second=8, transient=True, get_renderable=draw):
        await asyncio.Event().wait()  # until cancelled; the display refreshes itself


async def _log(progress: Progress) -> None:
    started = time.monotonic()
    while True:
        progress.rate(time.monotonic())
        await asyncio.sleep(LOG_EVERY_S)
        now = time.monotonic()
        line = f"{progress.done:,} of {progress.endpoints:,} endpoints, {_left(progress, now, started)}"
        print(f"{line}; {_figures(progress)}", file=sys.stderr, flush=True)


def _figures(progress: Progress) -> str:
    text = (
        f"{progress.found:,} answered · {progress.measured:,} speak DICOM · {progress.exposed:,} exposed · "
        f"{progress.studies_so_far:,} studies so far"
    )
    if progress.counting:
        text += f" · counting at {len(progress.counting)}"
    return text


def _left(progress: Progress, now: float, started: float) -> str:
    left = progress.left(now)
    rate = progress.rate(now)
    told = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    if left is None or now - started < 1:
        return told
    return f"{told}, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    whole = int(seconds) + 1
    if whole < 60:
        return f"{whole} s"
    if whole < 5400:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
