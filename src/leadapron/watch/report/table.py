"""The table on the terminal: one line an endpoint, what matters first.

At 80 columns it holds where, verdict, studies, images and software; wider terminals get patients, then the gravest
finding, then why. Strings of peers come through ``text.clean`` into ``rich.text.Text``, which reads no markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from leadapron.watch.measure.record import SEVERITIES, EndpointRecord, Exposed, Verdict
from leadapron.watch.report import text
from leadapron.watch.report.columns import Column, lay_out

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
_ENDPOINT = 21  # 255.255.255.255:65535; only longer ones, of IPv6, are shortened
_WHOLE_FROM = 160  # from this width on they are not
_SOFTWARE = 14
_WHY = 30


def endpoint_table(
    records: Sequence[EndpointRecord], width: int, left_out: Mapping[Verdict, int] | None = None
) -> RenderableType:
    """Records, in the order given, as a table that fits ``width`` columns.

    ``left_out``: how many of which verdict are not shown, for a line below the table.
    """
    columns = [
        Column(header="endpoint", cells=[Text(place(record, width)) for record in records], least=_ENDPOINT),
        Column(header="verdict", cells=[Text(record.verdict, style=STYLES[record.verdict]) for record in records]),
        _counts("patients", records, lambda exposed: exposed.patients, optional=True),
        _counts("studies", records, lambda exposed: exposed.studies),
        _counts("images", records, lambda exposed: exposed.images),
        Column(header="findings", cells=[Text(gravest(record)) for record in records], optional=True),
        Column(header="software", cells=[Text(what(record)) for record in records], least=_SOFTWARE),
        Column(header="why", cells=[Text(why(record), style="dim") for record in records], least=_WHY, optional=True),
    ]
    table = lay_out(columns, width)
    if not left_out:
        return table
    counts = text.listing([f"{text.number(count)} {verdict}" for verdict, count in left_out.items()])
    more = text.number(sum(left_out.values()))
    return Group(table, Text(f"and {more} more: {counts}. --format csv lists them all.", style="dim"))


def _counts(
    header: str,
    records: Sequence[EndpointRecord],
    value: Callable[[Exposed], int | None],
    *,
    optional: bool = False,
) -> Column:
    cells = [Text(text.counted(value(record.exposed), record.exposed) if record.exposed else "") for record in records]
    return Column(header=header, cells=cells, justify="right", optional=optional)


def place(record: EndpointRecord, width: int) -> str:
    """``127.1.0.5:11112``, marked where it is reached over TLS. A long address is shortened in its middle, so that its
    port is always there."""
    where = text.endpoint(text.clean(record.address), record.port)
    if len(where) > _ENDPOINT and width < _WHOLE_FROM and "]" in where:
        tail = where[where.rindex("]") :]
        where = f"{where[: _ENDPOINT - len(tail) - 1]}…{tail}"
    return f"{where} TLS" if record.transport == "tls" else where


def what(record: EndpointRecord) -> str:
    """The software, or else which other service answers there."""
    return text.software(record) or ("" if record.service in ("dicom", "unknown") else text.clean(record.service))


def gravest(record: EndpointRecord) -> str:
    """``critical +5``: the gravest finding and how many more there are."""
    if not record.findings:
        return ""
    worst = min((finding.severity for finding in record.findings), key=SEVERITIES.index)
    more = len(record.findings) - 1
    return f"{worst} +{more}" if more else worst


def severities(record: EndpointRecord) -> str:
    """``1 critical, 2 medium``, the worst first."""
    found = [finding.severity for finding in record.findings]
    return ", ".join(f"{found.count(s)} {s}" for s in SEVERITIES if s in found)


def why(record: EndpointRecord) -> str:
    """Why the verdict or the count is as it is, in the words of the record."""
    note = record.exposed.note if record.exposed else None
    return text.clean("; ".join(part for part in (record.reason, note) if part))
