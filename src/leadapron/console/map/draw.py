"""The map as SVG: each country a path, its shade by how much stands open there.

Shapes are projected and written once for the process; what changes is the class of each path. Colours stand in the
style sheet, by class, so that they follow light and dark. Countries too small for the coarse outlines get a dot where
the fine ones have them. What the map shows a table beside it says in words; the drawing is one picture for a screen
reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec
from markupsafe import Markup, escape
from msgspec import Struct

from leadapron.console.browser_parts import DETAIL, WORLD, part
from leadapron.console.map.projection import TOP, WIDTH, project
from leadapron.console.map.topojson import Ring, shapes

PIXELS: Final = 960
SOUTH: Final = -58.0  # Antarctica has no hospitals
CENTRE: Final = 11.0  # the world is cut at 169° W, through the Bering Strait, and not through Russia
LEVELS: Final = 5
DOT: Final = 4.5
_SCALE: Final = PIXELS / WIDTH


class Outline(Struct, frozen=True):
    """A country's path, and its middle for a dot."""

    number: str
    path: str
    dot: tuple[float, float] | None


class Legend(Struct, frozen=True):
    """One shade: ``level`` from 1, and from which number of studies on."""

    level: int
    least: int


@lru_cache(maxsize=1)
def outlines() -> tuple[Outline, ...] | None:
    """All countries; None where the world's outlines are not there."""
    coarse = part(WORLD)
    if coarse is None:
        return None
    try:
        found = [Outline(s.number, _path(s.rings), None) for s in shapes(coarse) if s.number != "010"]
        known = {one.number for one in found}
        fine = part(DETAIL)
        for shape in shapes(fine) if fine is not None else ():
            if shape.number and shape.number not in known:
                known.add(shape.number)
                found.append(Outline(shape.number, "", _middle(max(shape.rings, key=len))))
    except (msgspec.DecodeError, ValueError, TypeError, IndexError):
        return None
    return tuple(found)


def legend(most: int) -> tuple[Legend, ...]:
    """Shades by powers of ten down from the largest: volumes differ by six orders of magnitude."""
    least = [1]
    power = 10
    while power <= most:
        least.append(power)
        power *= 10
    least = [1, *least[-(LEVELS - 1) :]] if len(least) > LEVELS else least
    return tuple(Legend(level, value) for level, value in enumerate(dict.fromkeys(least), start=1))


def world(studies: Mapping[str, int], names: Mapping[str, str], label: str) -> tuple[Markup, tuple[Legend, ...]] | None:
    """SVG for ``studies`` by numeric code, and its legend; ``names`` by the same code. None without outlines."""
    drawn = outlines()
    if drawn is None:
        return None
    steps = legend(max(studies.values(), default=0))
    parts = []
    for one in drawn:
        count = studies.get(one.number, -1)
        level = sum(count >= step.least for step in steps) if count >= 0 else 0
        if one.dot is not None:
            if level:
                x, y = one.dot
                title = _title(names, one.number, count)
                parts.append(f'<circle class="v{level}" cx="{x:.1f}" cy="{y:.1f}" r="{DOT}">{title}</circle>')
        elif level:
            parts.append(f'<path class="v{level}" d="{one.path}">{_title(names, one.number, count)}</path>')
        else:
            parts.append(f'<path d="{one.path}"/>')
    height = _place(0, SOUTH)[1]
    head = f'<svg class="world" viewBox="0 0 {PIXELS} {height:.0f}" role="img" aria-label="{escape(label)}">'
    return Markup(f"{head}{''.join(parts)}</svg>"), steps


def _title(names: Mapping[str, str], number: str, count: int) -> str:
    return f"<title>{escape(names.get(number, number))}: {count:,} studies</title>"


def _place(longitude: float, latitude: float) -> tuple[float, float]:
    x, y = project(longitude - CENTRE, latitude)
    return (x + WIDTH / 2) * _SCALE, (TOP - y) * _SCALE


def _middle(ring: Ring) -> tuple[float, float]:
    count = len(ring)
    return _place(sum(x for x, _ in ring) / count, sum(y for _, y in ring) / count)


def whole(ring: Ring) -> Ring:
    """A ring without the leap from 180° E to 180° W, on that side of the cut where most of it lies."""
    unrolled: Ring = []
    turn, before = 0.0, ring[0][0]
    for longitude, latitude in ring:
        turn += 360.0 if longitude - before < -180 else -360.0 if longitude - before > 180 else 0.0
        before = longitude
        unrolled.append((longitude + turn, latitude))
    middle = sum(longitude for longitude, _ in unrolled) / len(unrolled)
    shift = 360.0 if middle < CENTRE - 180 else -360.0 if middle > CENTRE + 180 else 0.0
    return [(longitude + shift, latitude) for longitude, latitude in unrolled] if shift else unrolled


def _path(rings: list[Ring]) -> str:
    """To half a pixel, without points that fall on the one before."""
    drawn = []
    for ring in rings:
        points: list[str] = []
        for longitude, latitude in whole(ring):
            x, y = _place(longitude, max(latitude, SOUTH))
            point = f"{round(x * 2) / 2:g} {round(y * 2) / 2:g}"
            if not points or points[-1] != point:
                points.append(point)
        if len(points) > 3:
            drawn.append("M" + "L".join(points) + "Z")
    return "".join(drawn)
