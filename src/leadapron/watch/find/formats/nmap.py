"""``nmap -oX`` and ``masscan -oX``: the open TCP ports of hosts that are up.

A host that was only pinged (``-sn``: no port in the file) is a target on the scan's ports; one whose ports were looked
at and found shut is none. Parsed as it streams in, by expat. Entity declarations are refused: nmap writes none, and
they are how a small XML file becomes a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from leadapron.watch.find.formats.endpoint import endpoint
from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec
from leadapron.watch.scope.addresses import shown

NAME = "nmap XML"
MAX_DEPTH: Final = 64


def recognises(head: str) -> bool:
    return head.lstrip().startswith("<")


def read(source: Source) -> Iterator[tuple[int, Spec]]:
    """(line, target). Raises UsageError with file and line."""
    hosts = _Hosts(source)
    try:
        for chunk in source.chunks():
            hosts.parser.Parse(chunk, False)
            yield from hosts.take()
        hosts.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise source.error(error.lineno, f"not well-formed XML ({expat.ErrorString(error.code)})") from None
    yield from hosts.take()


class _Hosts:
    """Follows the elements ``nmaprun/host/(status | address | ports/port/state)``."""

    def __init__(self, source: Source) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = self._entity
        self._source = source
        self._path: list[str] = []
        self._found: list[tuple[int, Spec]] = []
        self._forget()

    def take(self) -> list[tuple[int, Spec]]:
        found, self._found = self._found, []
        return found

    def _forget(self) -> None:
        self._up, self._ports_seen = True, False
        self._addresses: list[str] = []
        self._open: list[str] = []
        self._port: str | None = None

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if not self._path and tag != "nmaprun":
            raise self._source.error(line, f"XML of another kind: expected nmaprun, found {shown(tag)}")
        if len(self._path) > MAX_DEPTH:
            raise self._source.error(line, f"elements more than {MAX_DEPTH} deep; nmap never does that")
        self._path.append(tag)
        match self._path[1:]:
            case ["host"]:
                self._forget()
            case ["host", "status"]:
                self._up = attributes.get("state") == "up"
            case ["host", "address"] if attributes.get("addrtype") in ("ipv4", "ipv6"):
                self._addresses.append(attributes.get("addr", ""))
            case ["host", "ports"]:
                self._ports_seen = True
            case ["host", "ports", "port"]:
                self._port = attributes.get("portid") if attributes.get("protocol") == "tcp" else None
            case ["host", "ports", "port", "state"]:
                if self._port is not None and attributes.get("state") == "open":
                    self._open.append(self._port)

    def _end(self, tag: str) -> None:
        if self._path[1:] == ["host"] and self._up:
            ports: list[str | None] = [*self._open] if self._ports_seen else [None]
            line = self.parser.CurrentLineNumber
            for address in self._addresses:
                self._found += [(line, endpoint(self._source, line, address, port)) for port in ports]
        self._path.pop()

    def _entity(self, *_: object) -> None:
        raise self._source.error(self.parser.CurrentLineNumber, "declares an XML entity; nmap never does")
