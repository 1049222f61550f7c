"""One (address, port) of another tool's output, checked. What the file said stays out of the message: exports carry
banners, and a banner may carry a patient."""

from __future__ import annotations

from leadapron.watch.find.formats.source import Source
from leadapron.watch.find.parse import Spec
from leadapron.watch.scope.addresses import Block, try_point


def endpoint(source: Source, line: int, address: object, port: object = None) -> Spec:
    """A target of one address; ``port`` None: the scan's ports. Raises UsageError with file and line."""
    point = try_point(address) if isinstance(address, str) else None
    if point is None:
        raise source.error(line, "the address of this record is no IPv4 or IPv6 address")
    if port is None:
        return Spec((Block(point, point),))
    if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) < 6:
        port = int(port)
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise source.error(line, "the port of this record is no number from 1 to 65535")
    return Spec((Block(point, point),), port=port)
