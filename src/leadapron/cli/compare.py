"""``leadapron report --compare`` and ``--campaign``: what changed from one scan to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from leadapron.cli.place import Place, campaign_of
from leadapron.cli.writing import console_on, put
from leadapron.kernel.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa


def show(
    place: Place, older: int | None, newer: int | None, campaign: str | None, format_: str, output: Path | None
) -> None:
    """Compare the scans of these numbers (``newer`` None: the latest), or the last two rounds of a campaign."""
    from leadapron.watch.report import compare as shown
    from leadapron.watch.track.exposures.compare import compare

    with place.opened() as engine:
        if campaign is not None:
            campaign_of(engine, place, campaign)
        changes, both = compare(engine, *_scans(engine, older, newer, campaign))
    if format_ == "table":
        with console_on(output) as console:
            console.print(shown.comparison(changes, both, console.width))
        return
    if format_ == "csv":
        pieces = shown.rows(changes)
    else:
        pieces = (shown.lines if format_ == "jsonl" else shown.document)(changes, both)
    put(output, pieces)


def _scans(engine: sa.Engine, older: int | None, newer: int | None, campaign: str | None) -> tuple[int, int]:
    from leadapron.watch.track.store import Store

    store = Store(engine)
    if campaign is not None:
        rounds = [scan.id for scan in store.rounds(campaign, 100) if scan.state == "done"]
        if len(rounds) < 2:
            raise UsageError(
                f"{len(rounds)} of the rounds of {campaign!a} came to an end; it takes two to compare. "
                f"`leadapron scan --campaign {campaign}` runs one"
            )
        return rounds[1], rounds[0]
    assert older is not None
    if newer is None:
        latest = store.latest()
        newer = older if latest is None else latest.id
    return older, newer
