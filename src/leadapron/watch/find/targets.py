"""The targets of a scan as a set: merged ranges, however many addresses they hold.

Every address stands in it once, with the ports that were named for it and whether the scan's own ports are meant as
well. Neighbours that agree on both share one row, so 10.0.0.0/8 is a row, not 16 million. Rows are what the memory
goes by: about 150 octets each.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from msgspec import Struct

from leadapron.watch.find.parse import Spec
from leadapron.watch.scope.addresses import Address, Block, point_of, text_of

_SCAN_PORTS = 0  # stands for "the ports of the scan" among the ports of an address


class Row(Struct, frozen=True, gc=False):
    """Points ``start`` to ``end`` (included): asked on ``ports`` (sorted), if ``scan_ports`` on the scan's as well."""

    start: int
    end: int
    ports: tuple[int, ...]
    scan_ports: bool

    @property
    def size(self) -> int:
        return self.end - self.start + 1


class TargetSet:
    """Distinct addresses in ascending order, IPv4 before IPv6. Made by ``TargetSetBuilder``."""

    def __init__(self, rows: list[Row], names: Mapping[int, tuple[str, ...]]) -> None:
        self.rows = rows
        self._names = names
        self._starts = [row.start for row in rows]
        self._before = list(accumulate((row.size for row in rows), initial=0))

    def __len__(self) -> int:
        return self._before[-1]

    def __contains__(self, address: Address) -> bool:
        return self._row(point_of(address)) is not None

    def __iter__(self) -> Iterator[str]:
        return (text_of(point) for row in self.rows for point in range(row.start, row.end + 1))

    def address(self, index: int) -> str:
        """The address at ``index``, 0 to len−1. Raises IndexError."""
        if not 0 <= index < len(self):
            raise IndexError(f"no target {index:,}: there are {len(self):,}")
        row = bisect_right(self._before, index) - 1
        return text_of(self.rows[row].start + index - self._before[row])

    def ports_of(self, address: Address) -> tuple[tuple[int, ...], bool]:
        """The ports named for an address, and whether the scan's ports are meant as well; ((), False) if no target."""
        row = self._row(point_of(address))
        return (row.ports, row.scan_ports) if row is not None else ((), False)

    def names_of(self, address: Address) -> tuple[str, ...]:
        """The host names by which an address came in."""
        return self._names.get(point_of(address), ())

    def _row(self, point: int) -> Row | None:
        number = bisect_right(self._starts, point) - 1
        return self.rows[number] if number >= 0 and point <= self.rows[number].end else None


class TargetSetBuilder:
    """Collects targets in any order; duplicates and overlaps count once."""

    def __init__(self) -> None:
        self._by_port: dict[int, list[Block]] = {}
        self._names: dict[int, dict[str, None]] = {}

    def add(self, spec: Spec) -> None:
        """Add the blocks of a spec; its name, if it has one, is for ``add_named``."""
        self._by_port.setdefault(spec.port or _SCAN_PORTS, []).extend(spec.blocks)

    def add_named(self, spec: Spec, addresses: Iterable[Address]) -> None:
        """Add the addresses that the name of a spec resolved to, and keep the name with each."""
        assert spec.name is not None
        for point in map(point_of, addresses):
            self._by_port.setdefault(spec.port or _SCAN_PORTS, []).append(Block(point, point))
            self._names.setdefault(point, {})[spec.name] = None

    def build(self) -> TargetSet:
        """The set; the builder is empty afterwards, since both together would need twice the memory."""
        names = {point: tuple(found) for point, found in self._names.items()}
        by_port = {port: blocks for port, blocks in self._by_port.items() if blocks}
        self._by_port, self._names = {}, {}
        if len(by_port) == 1:  # the usual case, and a list of a million takes seconds less
            ((port, blocks),) = by_port.items()
            ports = () if port == _SCAN_PORTS else (port,)
            return TargetSet([Row(start, end, ports, port == _SCAN_PORTS) for start, end in _merged(blocks)], names)
        return TargetSet(_swept(by_port), names)


def _swept(by_port: dict[int, list[Block]]) -> list[Row]:
    """The rows of several ports' blocks: one sweep over where each begins and ends."""
    edges = heapq.merge(*(_edges(port, blocks) for port, blocks in by_port.items()))
    rows: list[Row] = []
    active: set[int] = set()
    known: dict[tuple[int, ...], tuple[int, ...]] = {}  # a million rows share a handful of port lists
    since = 0
    for point, port, begins in edges:
        if active and point > since:
            key = tuple(sorted(active))
            ports = known.setdefault(key, tuple(port for port in key if port != _SCAN_PORTS))
            _append(rows, Row(since, point - 1, ports, _SCAN_PORTS in active))
        since = point
        (active.add if begins else active.discard)(port)
    return rows


def _append(rows: list[Row], row: Row) -> None:
    last = rows[-1] if rows else None
    if last and last.end + 1 == row.start and last.ports == row.ports and last.scan_ports == row.scan_ports:
        rows[-1] = Row(last.start, row.end, row.ports, row.scan_ports)
    else:
        rows.append(row)


def _edges(port: int, blocks: list[Block]) -> Iterator[tuple[int, int, bool]]:
    """Where the merged blocks of a port begin (True) and end (False), in ascending order."""
    for start, end in _merged(blocks):
        yield start, port, True
        yield end + 1, port, False


def _merged(blocks: list[Block]) -> Iterator[tuple[int, int]]:
    blocks.sort()
    start, end = blocks[0]
    for first, last in blocks:
        if first <= end + 1:
            if last > end:
                end = last
        else:
            yield start, end
            start, end = first, last
    yield start, end
