"""The list of scans: one line each, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from leadapron.watch.report import text
from leadapron.watch.report.columns import Column, lay_out
from leadapron.watch.track.store import Scan

_STYLES = {"running": "cyan", "stopped": "yellow", "done": "", "failed": "red"}


def scans_table(scans: Sequence[Scan], verdicts: Mapping[int, Mapping[str, int]], width: int) -> Table:
    """``verdicts``: for each scan how many sightings have which verdict, as they were judged at the time."""
    exposed = [verdicts.get(scan.id, {}).get("exposed", 0) for scan in scans]
    rounds = [scan.start.campaign or "" for scan in scans]
    columns = [
        Column(header="scan", cells=[Text(str(scan.id)) for scan in scans], justify="right"),
        Column(header="started", cells=[Text(text.moment(scan.started_at)) for scan in scans]),
        Column(header="state", cells=[Text(scan.state, style=_STYLES[scan.state]) for scan in scans]),
        Column(
            header="exposed",
            cells=[Text(text.number(count), style="bold red" if count else "") for count in exposed],
            justify="right",
        ),
        Column(
            header="open",
            cells=[Text(text.number(verdicts.get(scan.id, {}).get("open", 0))) for scan in scans],
            justify="right",
        ),
        Column(header="studies", cells=[Text(_studies(scan)) for scan in scans], justify="right", optional=True),
        Column(
            header="targets",
            cells=[Text(text.clean(", ".join(scan.start.targets))) for scan in scans],
            least=8 if any(rounds) else 16,
        ),
    ]
    if any(rounds):
        columns.insert(1, Column(header="campaign", cells=[Text(text.clean(name)) for name in rounds], least=8))
    return lay_out(columns, width)


def _studies(scan: Scan) -> str:
    if scan.summary is None:
        return text.UNKNOWN
    total = scan.summary.exposed
    return text.number(total.studies) if total.complete else f"≥ {text.number(total.studies)}"
