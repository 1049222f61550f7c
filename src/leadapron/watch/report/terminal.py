"""What a scan looks like on a terminal: the table, then the sentences, then the next step."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.text import Text

from leadapron.watch.report import words
from leadapron.watch.report.model import Report
from leadapron.watch.report.table import endpoint_table

ROWS = 60  # on a terminal, where a person reads; a file or a pipe gets all


def show(report: Report, console: Console, page: str | None = None) -> None:
    """Print it. Nothing is written but to ``console``. ``page``: the HTML report, where one was written just now."""
    limit = ROWS if console.is_terminal else len(report.endpoints)
    records = [point.record for point in report.endpoints[:limit]]
    shown = Counter(record.verdict for record in records)
    left_out = {verdict: count - shown[verdict] for verdict, count in report.verdicts.items() if count > shown[verdict]}
    if records:
        console.print(endpoint_table(records, console.width, left_out))
        console.print()
    headline, *rest = words.sentences(report.summary, report.estimated)
    console.print(Text(headline, style="bold red" if report.summary.endpoints.get("exposed") else "bold"))
    if rest:
        console.print(Text(" ".join(rest)))
    console.print(Text(words.KEPT, style="green"))
    first = records[0] if records else None
    console.print(Text.assemble(("Next: ", "bold"), words.next_step(report.summary, first, report.facts.number, page)))
