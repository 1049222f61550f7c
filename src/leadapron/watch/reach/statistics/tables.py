"""The pack as CSV files: one a table, numbers as they are published, an empty cell for what is suppressed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from leadapron.watch.reach.statistics.pack import BY, TOP, Amount, Pack, Row

Cell = str | int | None
OTHERS = "others"


def files(pack: Pack) -> Iterator[tuple[str, str]]:
    """Name and content of each file."""
    total, size = pack.total, ("archives", "studies", "studies_rounded_to", "images", "images_rounded_to")
    summary: list[Sequence[Cell]] = [
        ("first_day", pack.first),
        ("last_day", pack.last),
        ("minimum", pack.minimum),
        ("percent_of_the_p_rule", pack.percent),
        *zip(size, _sizes(total), strict=True),
        (f"share_of_the_{TOP}_largest_percent", pack.top_share),
        ("median_days_to_fix", pack.median),
    ]
    yield "summary.csv", _csv(("what", "value"), summary)
    for by in BY:
        rows = ((OTHERS if row.name is None else row.name, *_sizes(row)) for row in pack.tables[by])
        yield f"by-{by}.csv", _csv((by, *size), rows)
    if pack.crossed is not None:
        names = [OTHERS if name is None else name for name in pack.crossed.products]
        crossed = zip(pack.crossed.countries, pack.crossed.cells, strict=True)
        rows_ = ((OTHERS if name is None else name, *cells) for name, cells in crossed)
        yield "by-country-and-product.csv", _csv(("country", *names), rows_)
    weekly = (
        (row.end, row.open, row.opened, row.closed, *_amount(row.studies), *_amount(row.images)) for row in pack.weeks
    )
    yield "by-week.csv", _csv(("week_ending", "archives", "opened", "closed", *size[1:]), weekly)
    fixes = ((row.day, row.share, row.low, row.high) for row in pack.fixes)
    yield "time-to-fix.csv", _csv(("days", "open_percent", "low_percent", "high_percent"), fixes)


def _sizes(row: Row) -> tuple[Cell, ...]:
    return (row.archives, *_amount(row.studies), *_amount(row.images))


def _amount(amount: Amount | None) -> tuple[Cell, Cell]:
    return (None, None) if amount is None else (amount.value, amount.unit)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return text.getvalue()
