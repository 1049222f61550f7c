from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.scope.addresses import END
from leadapron.watch.scope.ranges import RangeSet
from leadapron.watch.scope.table import Layer, Table

spans = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(spans, st.integers(0, 4))))
def test_the_highest_rank_decides_and_the_earlier_among_equals(layers: list[tuple[tuple[int, int], int]]) -> None:
    names = [f"layer {number}" for number in range(len(layers))]
    table = Table("ground", [Layer(*span, rank, name) for (span, rank), name in zip(layers, names, strict=True)])
    for point in range(90):
        over = [(-rank, number) for number, ((start, end), rank) in enumerate(layers) if start <= point <= end]
        assert table.at(point) == (names[min(over)[1]] if over else "ground")
    pieces = list(table.between(5, 70))
    assert pieces[0][0] == 5 and pieces[-1][1] == 70
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(pieces))
    assert all(table.at(point) == verdict for first, last, verdict in pieces for point in range(first, last + 1))


def test_the_ends_of_the_line() -> None:
    table = Table("ground", [Layer(END - 1, END - 1, 1, "last"), Layer(0, 0, 1, "first")])
    assert [table.at(0), table.at(1), table.at(END - 1)] == ["first", "ground", "last"]
    assert [piece[2] for piece in table.between(0, END - 1)] == ["first", "ground", "last"]


@given(st.lists(spans))
def test_a_range_set_is_a_set(ranges: list[tuple[int, int]]) -> None:
    made = RangeSet(ranges)
    points = {point for start, end in ranges for point in range(start, end + 1)}
    assert made.size == len(points)
    assert {point for point in range(100) if point in made} == points
    assert {point for start, end in made for point in range(start, end + 1)} == points
    pairs = list(made)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(pairs)), "neighbours merge"
    assert made == RangeSet(reversed(ranges))
