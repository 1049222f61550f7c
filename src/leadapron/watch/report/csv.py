"""Records as a spreadsheet reads them: one header, stable columns, a line an endpoint.

Columns are the record's fields, flattened; new ones are only ever added at the end. A field that is null is empty, a
list is joined by spaces. The summary has no place in a table and is left out.

A spreadsheet runs a cell that starts like a formula, and peers choose some of the strings: those get an apostrophe in
front, which spreadsheets hide (the usual defence, OWASP "CSV Injection"). Programs that want exact strings read JSON.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from leadapron.watch.measure.record import EndpointRecord
from leadapron.watch.report.text import clean

COLUMNS: tuple[str, ...] = (
    "address",
    "port",
    "transport",
    "service",
    "verdict",
    "reason",
    "product",
    "version",
    "implementation_class_uid",
    "implementation_version_name",
    "echo",
    "find",
    "retrieve",
    "store",
    "worklist",
    "commitment",
    "any_calling_ae",
    "any_called_ae",
    "patients",
    "studies",
    "images",
    "complete",
    "method",
    "studies_low",
    "studies_high",
    "images_low",
    "images_high",
    "note",
    "names",
    "birth_dates",
    "national_ids",
    "findings",
    "severity",
    "connections",
    "associations",
    "requests",
    "observed_at",
    "elapsed_s",
)

# Also the full-width forms, which some spreadsheets take for the same, and what they skip before looking.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")

Cell = str | int | float | None


def rows(records: Iterable[EndpointRecord]) -> Iterator[str]:
    """The header, then a line a record; line ends (LF) included."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        yield _take(buffer)
        values = _flat(record)
        writer.writerow([cell(values[column]) for column in COLUMNS])
    yield _take(buffer)


def _take(buffer: io.StringIO) -> str:
    line = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return line


def cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{clean(value)}" if value.startswith(_FORMULA) else clean(value)
    return str(value)


def _flat(record: EndpointRecord) -> dict[str, Cell]:
    software, capabilities, exposed, shapes = record.software, record.capabilities, record.exposed, record.shapes
    studies = exposed.interval.studies if exposed and exposed.interval else (None, None)
    images = (exposed.interval.images if exposed and exposed.interval else None) or (None, None)
    return {
        "address": record.address,
        "port": record.port,
        "transport": record.transport,
        "service": record.service,
        "verdict": record.verdict,
        "reason": record.reason,
        "product": software.product if software else None,
        "version": software.version if software else None,
        "implementation_class_uid": software.implementation_class_uid if software else None,
        "implementation_version_name": software.implementation_version_name if software else None,
        "echo": capabilities.echo if capabilities else None,
        "find": " ".join(capabilities.find) if capabilities else None,
        "retrieve": " ".join(capabilities.retrieve) if capabilities else None,
        "store": capabilities.store if capabilities else None,
        "worklist": capabilities.worklist if capabilities else None,
        "commitment": capabilities.commitment if capabilities else None,
        "any_calling_ae": capabilities.any_calling_ae if capabilities else None,
        "any_called_ae": capabilities.any_called_ae if capabilities else None,
        "patients": exposed.patients if exposed else None,
        "studies": exposed.studies if exposed else None,
        "images": exposed.images if exposed else None,
        "complete": exposed.complete if exposed else None,
        "method": exposed.method if exposed else None,
        "studies_low": studies[0],
        "studies_high": studies[1],
        "images_low": images[0],
        "images_high": images[1],
        "note": exposed.note if exposed else None,
        "names": shapes.names if shapes else None,
        "birth_dates": shapes.birth_dates if shapes else None,
        "national_ids": shapes.national_ids if shapes else None,
        "findings": " ".join(finding.id for finding in record.findings),
        "severity": " ".join(finding.severity for finding in record.findings),
        "connections": record.load.connections,
        "associations": record.load.associations,
        "requests": record.load.requests,
        "observed_at": record.observed_at,
        "elapsed_s": record.elapsed_s,
    }
