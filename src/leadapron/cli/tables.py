"""Tables for people, as lines of text: as wide as the terminal, or wide enough for everything in a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadapron.cli.writing import FILE_WIDTH
from leadapron.watch.report.columns import GAP, Column, lay_out

_ROOM = 16  # what a wrapped column gets at least


def laid_out(columns: list[Column]) -> Iterator[str]:
    """One line a row; what does not fit is cut where the column says that it may be."""
    console = _console()
    console.print(lay_out(columns, console.width))
    yield from _lines(console)


def wrapped(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Nothing is cut: the last column, and others where that is not enough, go on in the next line. What strangers
    wrote is shown as it stands, not as markup."""
    console = _console()
    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0))
    widths = [max(Text(row[at]).cell_len for row in (header, *rows)) for at in range(len(header))]
    whole = sum(widths[:-1]) + GAP * (len(widths) - 1) + _ROOM <= console.width
    for at, title in enumerate(header):
        table.add_column(title, no_wrap=(whole and at < len(header) - 1) or at == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    yield from _lines(console)


def _console() -> Console:
    like = Console()
    return Console(file=io.StringIO(), width=like.width if like.is_terminal else FILE_WIDTH, highlight=False)


def _lines(console: Console) -> Iterator[str]:
    assert isinstance(console.file, io.StringIO)
    yield from (line.rstrip() + "\n" for line in console.file.getvalue().splitlines())
