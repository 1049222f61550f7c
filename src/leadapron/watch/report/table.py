"""The table on the terminal: one line an endpoint, what matters first.

At 80 columns it holds where, verdict, studies, images and software; wider terminals get patients, then findings, then
why. Columns are dropped whole and never squeezed into each other, and a line never wraps, because a person scans down
a column. Strings of peers come through ``text.clean`` into ``rich.text.Text``, which reads no markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from leadapron.watch.measure.record import SEVERITIES, EndpointRecord, Verdict
from leadapron.watch.report import text

# Colour says nothing that the word beside it does not.
STYLES: dict[Verdict, str] = {
    "exposed": "bold red",
    "open": "yellow",
    "guarded": "green",
    "decoy": "magenta",
    "other": "dim",
    "silent": "dim",
    "closed": "dim",
    "failed": "cyan",
}

# From this width of the terminal on, a column is shown.
_PATIENTS_FROM = 90
_FINDING_FROM = 118
_WHY_FROM = 150


def endpoint_table(records: Sequence[EndpointRecord], width: int, left_out: Iterable[Verdict] = ()) -> RenderableType:
    """Records, in the order given, as a table that fits ``width`` columns.

    ``left_out`` are the verdicts of those that are not shown; a line below says how many of which they are.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("endpoint", no_wrap=True, min_width=_longest(records))
    table.add_column("verdict", no_wrap=True, min_width=7)
    if width >= _PATIENTS_FROM:
        table.add_column("patients", justify="right", no_wrap=True, min_width=8)
    table.add_column("studies", justify="right", no_wrap=True, min_width=7)
    table.add_column("images", justify="right", no_wrap=True, min_width=6)
    if width >= _FINDING_FROM:
        table.add_column("findings", no_wrap=True)
    table.add_column("software", no_wrap=True, overflow="ellipsis")
    if width >= _WHY_FROM:
        table.add_column("why", no_wrap=True, overflow="ellipsis")
    for record in records:
        table.add_row(*_cells(record, width))
    rest = [verdict for verdict in left_out]
    if not rest:
        return table
    counts = text.listing([f"{text.number(rest.count(v))} {v}" for v in STYLES if v in rest])
    return Group(table, Text(f"and {text.number(len(rest))} more: {counts}. --format csv lists them all", style="dim"))


def _longest(records: Sequence[EndpointRecord]) -> int:
    """The width of the longest endpoint, up to that of a full IPv4 one: only IPv6 addresses may be cut."""
    return min(21, max((len(text.endpoint(record.address, record.port)) for record in records), default=8))


def _cells(record: EndpointRecord, width: int) -> list[Text]:
    exposed = record.exposed
    where = text.endpoint(text.clean(record.address), record.port)
    cells = [
        Text(where + (" tls" if record.transport == "tls" else "")),
        Text(record.verdict, style=STYLES[record.verdict]),
    ]
    if width >= _PATIENTS_FROM:
        cells.append(Text(text.counted(exposed.patients, exposed) if exposed else ""))
    cells.append(Text(text.counted(exposed.studies, exposed) if exposed else ""))
    cells.append(Text(text.counted(exposed.images, exposed) if exposed else ""))
    if width >= _FINDING_FROM:
        cells.append(Text(severities(record)))
    cells.append(Text(text.software(record) or (record.service if record.service != "dicom" else "")))
    if width >= _WHY_FROM:
        cells.append(Text(text.clean(why(record)), style="dim"))
    return cells


def severities(record: EndpointRecord) -> str:
    """``1 critical, 2 medium``, the worst first."""
    found = [finding.severity for finding in record.findings]
    return ", ".join(f"{found.count(s)} {s}" for s in SEVERITIES if s in found)


def why(record: EndpointRecord) -> str:
    """Why the verdict or the count is as it is, in the words of the record."""
    note = record.exposed.note if record.exposed else None
    return "; ".join(part for part in (record.reason, note) if part)
