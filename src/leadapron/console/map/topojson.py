"""Reading TopoJSON: shapes whose borders are kept once, as arcs that neighbours share.

Points are whole numbers, each the difference from the one before, and become degrees by ``transform``. A ring is a list
of arcs; ``~n`` (that is -n-1) is arc n walked backwards, and where two arcs meet the point is in both. That is all of
https://github.com/topojson/topojson-specification that a map of countries has.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import Struct

Point = tuple[float, float]
Ring = list[Point]


class _Transform(Struct, frozen=True):
    scale: tuple[float, float]
    translate: tuple[float, float]


class _Geometry(Struct, frozen=True):
    type: str | None = None
    arcs: Any = None
    id: str | None = None
    properties: dict[str, Any] = {}


class _Collection(Struct, frozen=True):
    geometries: list[_Geometry]


class _Topology(Struct, frozen=True):
    objects: dict[str, _Collection]
    arcs: list[list[tuple[int, int]]]
    transform: _Transform


class Shape(Struct, frozen=True):
    """One country. ``number``: ISO 3166-1 numeric, '' where it has none; rings of longitude and latitude."""

    number: str
    name: str
    rings: list[Ring]


def shapes(content: bytes, name: str = "countries") -> list[Shape]:
    """The shapes of one object. Raises `msgspec.DecodeError` or ``ValueError`` for what is no such file."""
    topology = msgspec.json.decode(content, type=_Topology)
    if name not in topology.objects:
        raise ValueError(f"the map has no {name}")
    arcs = [_arc(arc, topology.transform) for arc in topology.arcs]
    return [
        Shape(one.id or "", str(one.properties.get("name", "")), [_ring(ring, arcs) for ring in _rings(one)])
        for one in topology.objects[name].geometries
    ]


def _arc(steps: list[tuple[int, int]], transform: _Transform) -> Ring:
    (across, up), (left, bottom) = transform.scale, transform.translate
    xs = accumulate(step[0] for step in steps)
    ys = accumulate(step[1] for step in steps)
    return [(x * across + left, y * up + bottom) for x, y in zip(xs, ys, strict=True)]


def _rings(geometry: _Geometry) -> Iterator[list[int]]:
    if geometry.type == "Polygon":
        yield from geometry.arcs
    elif geometry.type == "MultiPolygon":
        for polygon in geometry.arcs:
            yield from polygon


def _ring(numbers: list[int], arcs: list[Ring]) -> Ring:
    ring: Ring = []
    for number in numbers:
        arc = arcs[number] if number >= 0 else arcs[~number][::-1]
        ring.extend(arc if not ring else arc[1:])
    return ring
