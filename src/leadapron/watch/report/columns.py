"""Columns of text that fit a terminal, laid out by us.

A number that is cut is a lie, so only columns that say they may be cut are ever narrowed, and an optional column that
does not fit is left out whole. (Rich's own tables narrow whatever is widest.) A line never wraps: a person reads down a
column, and a program that greps wants a line an endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from rich.table import Table
from rich.text import Text

GAP = 2
_FLOOR = 8  # what a column that may be cut keeps at least


class Column(Struct, frozen=True, kw_only=True):
    """``least``: the width down to which the column may be cut, None for never. ``optional``: left out where it does
    not fit at its least width, the last such column first."""

    header: str
    cells: Sequence[Text]
    justify: Literal["left", "right"] = "left"
    least: int | None = None
    optional: bool = False

    @property
    def natural(self) -> int:
        return max(len(self.header), *(cell.cell_len for cell in self.cells)) if self.cells else len(self.header)

    @property
    def smallest(self) -> int:
        return self.natural if self.least is None else min(self.natural, max(self.least, len(self.header)))


def lay_out(columns: Sequence[Column], width: int) -> Table:
    """The columns as a table of at most ``width``; where even the least does not fit, cut columns get ``_FLOOR``."""
    shown = list(columns)
    while _sum(shown) > width and any(column.optional for column in shown):
        shown.remove([column for column in shown if column.optional][-1])
    widths = [column.smallest for column in shown]
    excess = sum(widths) + GAP * (len(shown) - 1) - width
    for index, column in reversed(list(enumerate(shown))):
        if excess > 0 and column.least is not None:
            less = min(excess, max(0, widths[index] - _FLOOR))
            widths[index] -= less
            excess -= less
    spare = -excess
    for index, column in enumerate(shown):
        more = min(max(spare, 0), column.natural - widths[index])
        widths[index] += more
        spare -= more
    table = Table(box=None, show_header=True, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for column, room in zip(shown, widths, strict=True):
        table.add_column(column.header, justify=column.justify, no_wrap=True, width=room, overflow="ellipsis")
    for row in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*row)
    return table


def _sum(columns: Sequence[Column]) -> int:
    return sum(column.smallest for column in columns) + GAP * (len(columns) - 1)
