"""CSV with a header: ZMap's (``saddr`` is who answered, ``sport`` from which port), Shodan's export, our own, and what
others make of theirs; ZMap's JSON records as well.

ZMap's default output, one address a line, is a plain target list. A table without a header is none of ours: which
column is the port would be a guess.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, Final

from leadapron.watch.find.formats.endpoint import endpoint
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec

NAME = "CSV"

_ADDRESSES: Final = ("saddr", "ip_str", "ip", "address", "ip address")  # Shodan's "ip" is a number beside "ip_str"
_PORTS: Final = ("sport", "port")
_TRANSPORTS: Final = ("transport", "proto", "protocol")


def recognises(head: str) -> bool:
    columns = _columns(head.partition("\n")[0])
    return "saddr" in columns or (len(columns) > 1 and any(name in columns for name in _ADDRESSES))


def read(source: Source) -> Iterator[tuple[int, Spec]]:
    """(line, target). Raises UsageError with file and line."""
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for at, line in source.lines():
            number = at
            yield line + "\n"

    rows = csv.reader(lines(), strict=True)
    columns: list[str] = []
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except (csv.Error, ValueError):
            raise source.error(number, "not a line of CSV") from None
        if not columns:
            columns = [cell.strip().lower() for cell in cells]
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(columns):
            raise source.error(number, f"{len(cells)} columns where the first line has {len(columns)}")
        record = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        address = next(record[name] for name in _ADDRESSES if name in record)
        port = next((record[name] for name in _PORTS if name in record), "")
        if _answered(record) and not any(record.get(name, "").lower() == "udp" for name in _TRANSPORTS):
            yield number, endpoint(source, number, address, port or None)


def endpoints(record: dict[str, Any]) -> list[tuple[object, object]] | None:
    """(address, port) of a JSON record that answered; None where it is not ZMap's."""
    if "saddr" not in record:
        return None
    return [(record["saddr"], record.get("sport") or None)] if _answered(record) else []


def _answered(record: dict[str, Any]) -> bool:
    return str(record.get("success", "1")).lower() in ("1", "true")


def _columns(line: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.split(",")]
