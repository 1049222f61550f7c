"""No cell that was suppressed can be computed back. Held against every table that would look the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.reach.statistics.disclosure import collapse, flows, rounded, suppress, unit

SMALL = st.integers(0, 8) | st.integers(0, 60)


def tables(rows: int, columns: int, numbers: st.SearchStrategy[int] = SMALL) -> st.SearchStrategy[list[list[int]]]:
    sizes = st.tuples(st.integers(1, rows), st.integers(1, columns))
    return sizes.flatmap(
        lambda size: st.lists(st.lists(numbers, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0])
    )


# ---- two dimensions -------------------------------------------------------------------------------------------------


def determined(equations: list[list[int]], unknowns: int) -> set[int]:
    """Which unknowns a system of linear equations determines: those alone in a row of its reduced echelon form."""
    rows = [[Fraction(value) for value in row] for row in equations]
    pivot_row = 0
    for column in range(unknowns):
        pivot = next((r for r in range(pivot_row, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[pivot_row], rows[pivot] = rows[pivot], rows[pivot_row]
        lead = rows[pivot_row][column]
        rows[pivot_row] = [value / lead for value in rows[pivot_row]]
        for r, row in enumerate(rows):
            if r != pivot_row and row[column]:
                rows[r] = [a - row[column] * b for a, b in zip(row, rows[pivot_row], strict=True)]
        pivot_row += 1
    return {row.index(1) for row in rows if sum(1 for value in row if value) == 1 and 1 in row}


def by_subtraction(published: list[list[int | None]]) -> set[tuple[int, int]]:
    """Suppressed cells that sums of rows and columns (and so the total) give away."""
    hidden = [(r, c) for r, row in enumerate(published) for c, cell in enumerate(row) if cell is None]
    lines = [[int(r == n) for r, _ in hidden] for n in range(len(published))]
    lines += [[int(c == n) for _, c in hidden] for n in range(len(published[0]))]
    return {hidden[n] for n in determined(lines, len(hidden))}


@given(tables(7, 6))
def test_nothing_suppressed_can_be_computed_by_subtraction(table: list[list[int]]) -> None:
    published = suppress(table, 5)
    if published is None:
        return
    assert by_subtraction(published) == set()
    for row, shown in zip(table, published, strict=True):
        for count, cell in zip(row, shown, strict=True):
            assert cell is None or (cell == count and not 0 < count < 5)


def alike(
    published: list[list[int | None]], rows: list[int], columns: list[int]
) -> Iterator[dict[tuple[int, int], int]]:
    """Every table of counts with these sums that looks like the published one."""
    hidden = [(r, c) for r, row in enumerate(published) for c, cell in enumerate(row) if cell is None]
    rows = [total - sum(cell or 0 for cell in row) for total, row in zip(rows, published, strict=True)]
    columns = [
        t - sum(cell or 0 for cell in column) for t, column in zip(columns, zip(*published, strict=True), strict=True)
    ]

    def fill(at: int, values: dict[tuple[int, int], int]) -> Iterator[dict[tuple[int, int], int]]:
        if at == len(hidden):
            if not any(rows) and not any(columns):
                yield dict(values)
            return
        r, c = hidden[at]
        for value in range(min(rows[r], columns[c]) + 1):
            rows[r] -= value
            columns[c] -= value
            yield from fill(at + 1, {**values, (r, c): value})
            rows[r] += value
            columns[c] += value

    yield from fill(0, {})


@given(tables(3, 3, st.integers(0, 6)))
def test_each_suppressed_cell_can_be_something_else(table: list[list[int]]) -> None:
    """Counts are not negative, which tells more than subtraction does: so all tables are tried."""
    published = suppress(table, 4)
    if published is None:
        return
    sums = [sum(row) for row in table], [sum(column) for column in zip(*table, strict=True)]
    possible: dict[tuple[int, int], set[int]] = {}
    for one in itertools.islice(alike(published, *sums), 20_000):
        for place, value in one.items():
            possible.setdefault(place, set()).add(value)
    assert all(len(values) > 1 for values in possible.values())


def test_a_table_in_one_line_with_a_small_cell_is_not_published() -> None:
    assert suppress([[3, 20, 30]], 5) is None
    assert suppress([[3], [20]], 5) is None
    assert suppress([[9, 20, 30]], 5) == [[9, 20, 30]]
    assert suppress([[3, 0], [0, 9]], 5) is None, "nothing could be taken from the neighbours"


def test_the_cheapest_rectangle_is_taken() -> None:
    assert suppress([[3, 50, 9], [70, 80, 90], [7, 60, 8]], 5) == [[None, 50, None], [70, 80, 90], [None, 60, None]]


def test_the_checker_notices() -> None:
    assert by_subtraction([[None, 5], [7, 8]]) == {(0, 0)}
    assert by_subtraction([[None, None], [7, 8]]) == {(0, 0), (0, 1)}
    assert by_subtraction([[None, None, 1], [None, None, 2], [3, 4, None]]) == {(2, 2)}
    assert len(list(alike([[None, None], [None, None]], [1, 1], [1, 1]))) == 2


# ---- one dimension --------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), SMALL, max_size=12), st.integers(1, 9))
def test_only_sums_of_the_minimum_are_published(counts: dict[str, int], minimum: int) -> None:
    shown, others = collapse(counts, minimum)
    assert sorted(shown + others) == sorted(name for name, count in counts.items() if count)
    assert all(counts[name] >= minimum for name in shown)
    rest = sum(counts[name] for name in others)
    assert rest == 0 or rest >= minimum or not shown, "and the total alone is judged elsewhere"
    assert len(others) != 1 or counts[others[0]] >= minimum or not shown


def test_rows_beyond_the_most_are_others() -> None:
    assert collapse({"a": 9, "b": 8, "c": 7, "d": 1}, 5, 2) == (["a", "b"], ["c", "d"])
    assert collapse({"a": 9, "b": 8, "c": 1}, 5) == (["a"], ["b", "c"])
    assert collapse({"a": 9, "b": 8, "c": 0}, 5) == (["a", "b"], [])


# ---- amounts --------------------------------------------------------------------------------------------------------

AMOUNTS = st.lists(st.integers(0, 50) | st.integers(0, 3_000_000), min_size=1, max_size=12)


@given(AMOUNTS)
def test_who_holds_the_second_cannot_tell_the_first(amounts: list[int]) -> None:
    """The p%-rule: what the second largest can compute of the first leaves 10 % of it in doubt at least."""
    size = unit(amounts)
    first, _, *rest = [*sorted(amounts, reverse=True), 0, 0]
    # A published X means a sum within half a unit; less one's own, that is the first and the rest.
    assert size + sum(rest) >= first / 10
    if sum(rest) < first / 10:
        assert size >= first / 5, "both ways"
    assert abs(rounded(sum(amounts), size) - sum(amounts)) <= size / 2
    assert rounded(sum(amounts), size) % size == 0


def test_three_digits_where_nobody_dominates_and_fewer_where_one_does() -> None:
    assert unit([41_000] * 30) == 2_000, "of 1,230,000"
    assert unit([1_230_000, 60_000, 40_000, 5_000]) == 500_000
    assert rounded(1_335_000, 500_000) == 1_500_000
    assert unit([0]) == unit([]) == 1
    assert unit([7]) == 2


# ---- weeks ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=20))
def test_no_rise_or_fall_can_be_computed_from_the_stock(weeks: list[tuple[int, int]]) -> None:
    stock, more, less, now = [], [], [], 0
    for rise, fall in weeks:
        fall = min(fall, now + rise)
        now += rise - fall
        stock.append(now)
        more.append(rise)
        less.append(fall)
    published = flows(stock, more, less, 5)
    hidden = [(n, k) for n, row in enumerate(published) for k, cell in enumerate(row) if cell is None]
    place = {key: number for number, key in enumerate(hidden)}
    equations = []
    for week in range(len(published)):
        terms = [((week, 0), 1), ((week, 1), -1), ((week, 2), 1)] + ([((week - 1, 0), -1)] if week else [])
        row = [0] * len(hidden)
        for key, sign in terms:
            if key in place:
                row[place[key]] = sign
        equations.append(row)
    small = {key for key in hidden if 0 < (stock, more, less)[key[1]][key[0]] < 5}
    told = {hidden[n] for n in determined(equations, len(hidden))}
    assert not told & small
    for n, row in enumerate(published):
        assert all(cell is None or not 0 < cell < 5 for cell in row), n
