"""``masscan -oL`` (``open tcp 104 192.0.2.5 1700000000``) and the records of ``masscan -oJ`` and ``-oD``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from leadapron.watch.find.formats.endpoint import endpoint
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec

NAME = "masscan list"

_LINE = re.compile(r"(open|closed|banner) (tcp|udp|sctp|icmp) ", re.M)


def recognises(head: str) -> bool:
    return head.startswith("#masscan") or _LINE.match(head) is not None


def read(source: Source) -> Iterator[tuple[int, Spec]]:
    """(line, target): open TCP ports. Raises UsageError with file and line."""
    for number, line in source.lines():
        words = line.split(maxsplit=5)
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 4 or not _LINE.match(line):
            raise source.error(number, "expected lines as masscan -oL writes them: open tcp PORT ADDRESS TIME")
        if words[:2] == ["open", "tcp"]:
            yield number, endpoint(source, number, words[3], words[2])


def endpoints(record: dict[str, Any]) -> list[tuple[object, object]] | None:
    """(address, port) of each open TCP port in a JSON record; None where it is not masscan's."""
    if "ip" not in record:
        return None
    if record.get("rec_type") in ("status", "banner"):  # -oD
        rows = [{**record, **_table(record.get("data"))}]
    elif isinstance(record.get("ports"), list):  # -oJ
        rows = [row for row in record["ports"] if isinstance(row, dict)]
    else:
        return None
    return [
        (record["ip"], row.get("port"))
        for row in rows
        if row.get("proto", "tcp") == "tcp" and row.get("status", "open") == "open"
    ]


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
