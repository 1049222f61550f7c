"""Disclosure control: what is kept back or made coarse so that no single archive can be told from what is published.

**Counts.** A count from 1 to below the minimum is not published. Since totals are, one missing number could be computed
back, so what stands beside it must go too:

- In a table with one dimension, small rows are put together as "other". If that is still below the minimum, the next
  smallest row joins it. Only sums of at least the minimum are published, and they add up to the total.
- In a table with two, a small cell is left out, and with it three more that form a rectangle with it: then one can be
  more and its neighbour less without any sum changing. The rectangle is the cheapest there is, and its neighbours are
  not nought, or there would be nothing to take away. Where there is no such rectangle the table is not published.

**Amounts** (studies, images) are published for rows that pass the above, rounded. One archive can be most of a country,
and who holds the second largest could compute the first: the total less one's own. This is the p%-rule: an amount is
sensitive if all but the two largest contributors are together below p % of the largest. Then it is rounded so coarsely
that the largest is uncertain by p % in both directions. Everything else is rounded to three digits. Totals are rounded
as coarsely as the coarsest of their parts, in all tables alike; else the difference of a total and the other parts
would be finer than the part itself. So are the totals by week, and as what changed from one to the next demands: if a
giant opens, the difference of two weeks is that giant.

What this doesn't cover: who compares two packs that differ by a day sees what happened on it. Publish at fixed times,
months rather than days apart. (Hundepool et al., Statistical Disclosure Control, 2012, chapters 4 and 5.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

MINIMUM: Final = 5
PERCENT: Final = 10  # the p of the p%-rule
DIGITS: Final = 3
Cell = int | None  # None: not published


def collapse(counts: Mapping[str, int], minimum: int, most: int | None = None) -> tuple[list[str], list[str]]:
    """The rows that may stand by themselves, largest first, and those that go together as "other". ``most``: rows at
    most. The sum of the others is nought or at least ``minimum``."""
    order = sorted((name for name, count in counts.items() if count), key=lambda name: (-counts[name], name))
    shown = [name for name in order if counts[name] >= minimum][:most]
    others = order[len(shown) :]
    while shown and others and sum(counts[name] for name in others) < minimum:
        others.insert(0, shown.pop())
    return shown, others


def suppress(table: Sequence[Sequence[int]], minimum: int) -> list[list[Cell]] | None:
    """A table of counts whose row and column sums are published, with what must be left out left out; None where it
    cannot be published at all."""
    hidden: set[tuple[int, int]] = set()
    for row, cells in enumerate(table):
        for column, count in enumerate(cells):
            if 0 < count < minimum and (row, column) not in hidden:
                corners = _rectangle(table, row, column, hidden)
                if corners is None:
                    return None
                hidden |= corners
    return [
        [None if (row, column) in hidden else count for column, count in enumerate(cells)]
        for row, cells in enumerate(table)
    ]


def _rectangle(
    table: Sequence[Sequence[int]], row: int, column: int, hidden: set[tuple[int, int]]
) -> set[tuple[int, int]] | None:
    """The corners of the rectangle that costs least, in what would be hidden anew, with neighbours above nought."""
    best: tuple[int, set[tuple[int, int]]] | None = None
    for other_row in range(len(table)):
        for other_column in range(len(table[row])):
            if other_row == row or other_column == column:
                continue
            if not table[row][other_column] or not table[other_row][column]:
                continue
            corners = {(row, column), (row, other_column), (other_row, column), (other_row, other_column)}
            cost = sum(1 + table[r][c] for r, c in corners - hidden)
            if best is None or cost < best[0]:
                best = cost, corners
    return None if best is None else best[1]


def unit(amounts: Sequence[int], percent: int = PERCENT) -> int:
    """What the sum of ``amounts`` is to be rounded to: 1, 2 or 5 times a power of ten."""
    total = sum(amounts)
    least = total / 10**DIGITS
    first, second, *_ = [*sorted(amounts, reverse=True)[:2], 0, 0]
    if (total - first - second) * 100 < percent * first:
        least = max(least, 2 * percent * first / 100)
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if step >= least:
                return step
        power *= 10


def rounded(amount: int, unit: int) -> int:
    """To the nearest multiple of ``unit``."""
    return (2 * amount + unit) // (2 * unit) * unit


def flows(
    stock: Sequence[int], more: Sequence[int], less: Sequence[int], minimum: int
) -> list[tuple[Cell, Cell, Cell]]:
    """A number that stands at the end of each week, and by how much it rose and fell within: what may be published.

    The three hang together (stock = stock before + more - less), so a small rise or fall hides both of its week, and a
    small stock also those before and after it.
    """
    published: list[tuple[Cell, Cell, Cell]] = []
    before_hidden = False
    for now, rise, fall in zip(stock, more, less, strict=True):
        hidden = 0 < now < minimum
        apart = hidden or before_hidden or 0 < rise < minimum or 0 < fall < minimum
        published.append((None if hidden else now, None if apart else rise, None if apart else fall))
        before_hidden = hidden
    return published
