"""``nmap -oG`` and ``masscan -oG``: a line for a host, or for each open port of it.

nmap writes two lines for a host whose ports were looked at, ``Status: Up`` first; where only the first one comes
(``-sn``), the host is a target on the scan's ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from leadapron.watch.find.formats.endpoint import endpoint
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec

NAME = "nmap greppable"

_HOST = re.compile(r"(?:Timestamp: \d+\s+)?Host: (\S+) \([^\t]*\)\s")
_FIRST = re.compile(rf"(?:#[^\n]*\n)*{_HOST.pattern}")


def recognises(head: str) -> bool:
    return _FIRST.match(head.replace("\r\n", "\n")) is not None


def read(source: Source) -> Iterator[tuple[int, Spec]]:
    """(line, target): open TCP ports. Raises UsageError with file and line."""
    up: tuple[int, str] | None = None  # a host of which nothing else is known yet
    for number, line in source.lines():
        if not line.strip() or line.startswith("#"):
            continue
        host = _HOST.match(line)
        if host is None:
            raise source.error(number, "expected lines as nmap -oG writes them: Host: ADDRESS (NAME) and a tab")
        address = host[1]
        if up is not None and up[1] != address:
            yield up[0], endpoint(source, *up)
        up = None
        fields = dict(field.partition(": ")[::2] for field in line[host.end() :].split("\t"))
        if "Ports" not in fields and "Ignored State" not in fields:
            up = (number, address) if fields.get("Status") == "Up" else None
        for port in fields.get("Ports", "").split(", "):
            what = port.strip().split("/")
            if what[1:3] == ["open", "tcp"]:
                yield number, endpoint(source, number, address, what[0])
    if up is not None:
        yield up[0], endpoint(source, *up)
