"""``leadapron statistics``: figures that are fit to publish. What is kept back and why stands in docs/feeds.md."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadapron.cli.options import SETTINGS, placed, writable_directory
from leadapron.kernel.errors import Failure, UsageError

if TYPE_CHECKING:
    from leadapron.cli.place import Place

YEAR_DAYS = 365
MODE = 0o644  # to be published, so not for its owner's eyes alone


@click.command(name="statistics", context_settings=SETTINGS)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    callback=writable_directory,
    help="Write the files there: CSV, statistics.html, statistics.pdf.",
)
@click.option("--since", metavar="DAY", help="The first day. [default: a year before the last, or the first event]")
@click.option("--until", metavar="DAY", help="The last day, as in 2026-11-21. [default: today]")
@click.option(
    "--minimum",
    type=click.IntRange(2, 1000),
    default=5,
    show_default=True,
    metavar="N",
    help="Counts from 1 to below this are kept back.",
)
@placed
def command(output: Path, since: str | None, until: str | None, minimum: int, place: Place) -> None:
    """Write figures that are fit to publish: sums by country, software, network and week, time to fix.

    No address, owner or network is in them; small counts are kept back so that they can't be computed either.

    \b
    leadapron statistics --output november
    leadapron statistics --output autumn --since 2026-09-01 --until 2026-11-30
    """
    from leadapron.kernel.clock import SystemClock
    from leadapron.watch.reach.statistics import history, page, paper, tables
    from leadapron.watch.reach.statistics.pack import publish

    today = SystemClock().now().date()
    last = _day(until, "--until") if until else today
    with place.opened() as engine:
        begun = history.earliest(engine)
        if begun is None:
            raise Failure("nothing has been found open yet, so there is nothing to publish")
        wanted = _day(since, "--since") if since else last - timedelta(days=YEAR_DAYS)
        first = max(wanted, date.fromisoformat(begun))  # before that there is nothing to tell
        if wanted > last:
            raise UsageError(f"--since {wanted} is after --until {last}")
        if first > last:
            raise Failure(f"nothing had been found open by {last}; the first was on {first}")
        pack = publish(history.read(engine, first.isoformat(), last.isoformat()), minimum)
    files = {name: text.encode() for name, text in tables.files(pack)}
    files["statistics.html"] = page.render(pack).encode()
    files["statistics.pdf"] = paper.render(pack)
    _write(output, files)
    print(f"{len(files)} files in {output}", file=sys.stderr)


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: {text!a} is no day; 2026-11-21 is") from None


def _write(directory: Path, files: dict[str, bytes]) -> None:
    """Each file whole; all were made before the first is written."""
    from leadapron.cli.writing import unwritable
    from leadapron.kernel.files import write_whole

    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_whole(directory / name, content, mode=MODE)
    except OSError as error:
        raise unwritable(directory, error) from error
