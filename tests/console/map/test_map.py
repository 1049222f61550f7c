"""The map: arcs become rings, the projection is the published one, and what is drawn is safe to stand in a page."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.console.map import draw
from leadapron.console.map.projection import TOP, WIDTH, project
from leadapron.console.map.topojson import shapes


def topology(**changes: object) -> bytes:
    """Two squares side by side that share a border, as arc 0; the second walks it backwards."""
    made = {
        "type": "Topology",
        "transform": {"scale": [2, 1], "translate": [-10, 5]},
        "arcs": [[[1, 0], [0, 1]], [[1, 1], [-1, 0], [0, -1], [1, 0]], [[1, 0], [1, 0], [0, 1], [-1, 0]]],
        "objects": {
            "countries": {
                "type": "GeometryCollection",
                "geometries": [
                    {"type": "Polygon", "arcs": [[0, 1]], "id": "001", "properties": {"name": "West"}},
                    {"type": "MultiPolygon", "arcs": [[[2, -1]]], "id": "002", "properties": {"name": "East"}},
                    {"type": None, "properties": {"name": "Nowhere"}},
                ],
            }
        },
    }
    return msgspec.json.encode(made | changes)


def test_arcs_are_put_together_and_walked_backwards() -> None:
    west, east, nowhere = shapes(topology())
    assert west.name == "West" and west.number == "001"
    assert west.rings == [[(-8, 5), (-8, 6), (-10, 6), (-10, 5), (-8, 5)]]
    assert east.rings == [[(-8, 5), (-6, 5), (-6, 6), (-8, 6), (-8, 5)]]
    assert nowhere.rings == []


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", topology(arcs=[]), topology(objects={}), topology(arcs="x")])
def test_what_is_no_map_is_an_error_and_not_a_fault(content: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, ValueError, IndexError)):
        shapes(content)


def test_the_projection_is_the_published_one() -> None:
    # d3-geo's own tests have these for a radius of 1
    for place, expected in (
        ((0, 0), (0, 0)),
        ((180, 0), (WIDTH / 2, 0)),
        ((0, 90), (0, TOP)),
        ((-180, 0), (-WIDTH / 2, 0)),
    ):
        assert project(*place) == pytest.approx(expected, abs=1e-9)


@given(st.floats(-179, 179), st.floats(-88, 88))
def test_areas_are_true(longitude: float, latitude: float) -> None:
    step = 1e-4
    x0, y0 = project(longitude, latitude)
    x1, y1 = project(longitude + step, latitude)
    x2, y2 = project(longitude, latitude + step)
    drawn = abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    true = math.radians(step) ** 2 * math.cos(math.radians(latitude + step / 2))
    assert drawn == pytest.approx(true, rel=2e-3)


@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-80, 80)), min_size=1, max_size=40))
def test_a_ring_never_leaps_across_the_world(ring: list[tuple[float, float]]) -> None:
    for (before, _), (after, _) in pairwise(draw.whole(ring)):
        assert abs(after - before) <= 180 + 1e-9


def test_russia_is_in_one_piece_and_everything_in_the_picture() -> None:
    drawn = draw.outlines()
    assert drawn is not None, "the browser parts are missing: make setup"
    numbers = [one.number for one in drawn if one.number]
    assert len(numbers) == len(set(numbers)) and {"840", "643", "276", "702", "344"} <= set(numbers)
    for one in drawn:
        points = [float(x) for x in re.findall(r"-?[\d.]+(?= )", one.path)]
        assert not points or (min(points) > -25 and max(points) < draw.PIXELS + 25)
        for ring in one.path.split("M")[1:]:
            across = [float(point.split(" ")[0]) for point in ring.rstrip("Z").split("L")]
            assert all(abs(b - a) < draw.PIXELS / 2 for a, b in pairwise(across)), one.number
    assert all(one.dot for one in drawn if one.number == "702"), "Singapore is a dot"


def test_shades_and_words() -> None:
    found = draw.world({"840": 12_345_678, "276": 300, "702": 7}, {"840": "<b>United States</b>"}, 'a "map"')
    assert found is not None
    svg, legend = found
    assert [step.least for step in legend] == [1, 10_000, 100_000, 1_000_000, 10_000_000]
    assert 'class="v5"' in svg and 'class="v1"' in svg and "<circle" in svg
    assert "<b>" not in svg and "&lt;b&gt;United States" in svg and 'aria-label="a &#34;map&#34;"' in svg
    assert "12,345,678 studies" in svg


@given(st.integers(0, 10**12))
def test_the_legend_rises_and_fits(most: int) -> None:
    least = [step.least for step in draw.legend(most)]
    assert least == sorted(set(least)) and 1 <= len(least) <= draw.LEVELS and least[0] == 1
