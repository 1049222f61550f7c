"""CSV in the shape that CERTs know: the first columns are those of Shadowserver's reports on devices, by their names
and in their order, so that what reads those reads this; what is ours stands behind them. Every cell is quoted.

A spreadsheet runs a cell that begins like a formula, and strangers chose some of the strings: those get an apostrophe
in front (OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from leadapron.kernel.hostport import HostPort
from leadapron.watch.reach.feeds.about import About, exposure_id
from leadapron.watch.reach.feeds.entries import Entry

COLUMNS: Final = (
    *("timestamp", "severity", "ip", "protocol", "port", "hostname", "tag", "asn", "geo", "region", "city", "naics"),
    *("hostname_source", "sector", "device_vendor", "device_type", "device_model", "device_version"),
    *("status", "first_seen", "opened", "closed", "verdict", "findings", "patients", "studies", "images"),
    *("count_complete", "as_name", "abuse_contact", "id", "moved_to", "moved_sure"),
)
# Also the full-width forms, and what spreadsheets skip before they look.
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")

Cell = str | int | bool | None


def lines(entries: Iterable[Entry], about: About) -> Iterator[str]:
    """The header, then a line an exposure; line ends (LF) included."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        yield _take(buffer)
        row = _row(entry)
        writer.writerow([cell(row.get(column)) for column in COLUMNS])
    yield _take(buffer)


def cell(value: Cell) -> str:
    """What is written: nothing for None, an apostrophe before what a spreadsheet would run."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" \u00a0\u3000").startswith(_FORMULA) else value
    return str(value)


def _take(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _row(entry: Entry) -> dict[str, Cell]:
    exposure = entry.exposure
    return {
        "timestamp": _time(exposure.last_open),
        "severity": exposure.severity,
        "ip": entry.address,
        "protocol": "tcp",
        "port": exposure.port,
        "hostname": entry.hostname,
        "tag": "dicom;tls" if exposure.transport == "tls" else "dicom",
        "asn": entry.asn,
        "geo": entry.country,
        "hostname_source": "ptr" if entry.hostname else None,
        "device_type": "medical-imaging",
        "device_model": entry.product,
        "device_version": entry.version,
        "status": entry.state,
        "first_seen": _time(exposure.first_seen),
        "opened": _time(exposure.opened_at),
        "closed": _time(exposure.closed_at) if exposure.closed_at and exposure.state == "closed" else None,
        "verdict": exposure.verdict,
        "findings": " ".join(finding.id for finding in entry.findings),
        "patients": exposure.patients,
        "studies": exposure.studies,
        "images": exposure.images,
        "count_complete": exposure.complete,
        "as_name": entry.operator,
        "abuse_contact": entry.abuse,
        "id": str(exposure_id(entry)),
        "moved_to": str(HostPort(*entry.moved_to)) if entry.moved_to else None,
        "moved_sure": bool(exposure.moved_sure) if entry.moved_to else None,
    }


def _time(iso: str) -> str:
    """``2026-11-21 20:00:00``, UTC, as in those reports."""
    return iso.removesuffix("Z").replace("T", " ")
