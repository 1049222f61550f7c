"""ZMap's CSV with a header (``saddr`` is who answered, ``sport`` from which port) and its JSON records.

Its default output, one address a line, is a plain target list.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from leadapron.watch.find.formats.endpoint import endpoint
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec

NAME = "ZMap CSV"


def recognises(head: str) -> bool:
    return "saddr" in _columns(head.partition("\n")[0])


def read(source: Source) -> Iterator[tuple[int, Spec]]:
    """(line, target). Raises UsageError with file and line."""
    lines = source.lines()
    columns = _columns(next(lines)[1])
    for number, line in lines:
        if not line.strip():
            continue
        try:
            (cells,) = csv.reader([line], strict=True)
        except (csv.Error, ValueError):
            raise source.error(number, "not a line of CSV") from None
        if len(cells) != len(columns):
            raise source.error(number, f"{len(cells)} columns where the first line has {len(columns)}")
        for address, port in endpoints(dict(zip(columns, cells, strict=True))) or ():
            yield number, endpoint(source, number, address, port)


def endpoints(record: dict[str, Any]) -> list[tuple[object, object]] | None:
    """(address, port) of a row that answered; None where it is not ZMap's."""
    if "saddr" not in record:
        return None
    if str(record.get("success", "1")).lower() not in ("1", "true"):
        return []
    return [(record["saddr"], record.get("sport") or None)]


def _columns(line: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.split(",")]
