"""Two scans compared, for people: totals before and after, what changed, and what each word means.

A word that a reader meets here for the first time ("silent") is told where it is used, not in a manual.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from leadapron.watch.report import text
from leadapron.watch.report.columns import Column, lay_out
from leadapron.watch.report.csv import cell
from leadapron.watch.report.jsonl import line
from leadapron.watch.track.exposures.compare import KINDS, Change, Comparison, Side, What

SHOWN: Final = 40  # of a kind, in the table
_STYLES: Final[dict[What, str]] = {
    "opened": "bold red",
    "reopened": "bold red",
    "moved": "yellow",
    "grew": "yellow",
    "closed": "bold green",
    "shrank": "green",
    "silent": "dim",
    "unseen": "dim",
    "again": "dim",
}
MEANINGS: Final[dict[What, str]] = {
    "opened": "stands open now and never did before",
    "reopened": "was closed for a while and stands open again",
    "moved": "the same server at another address; 'perhaps' marks a guess from software and volume",
    "grew": "more studies can be listed than before, for certain",
    "closed": "the port refuses connections, or what answers there lets strangers list nothing: proved",
    "shrank": "fewer studies can be listed than before, for certain",
    "silent": "was open and gave no answer this time: no proof that it is closed",
    "unseen": "was open, and the newer scan did not look at it",
    "again": "was open before, gave no answer to the older scan, and answers again",
}
_SUMS: Final = (
    ("endpoints open", "open"),
    ("archives", "archives"),
    ("studies", "studies"),
    ("images", "images"),
    ("patients", "patients"),
)
COLUMNS: Final = Change.__struct_fields__


def comparison(changes: Sequence[Change], both: Comparison, width: int) -> RenderableType:
    """All of it as a page of text of ``width`` columns."""
    parts: list[RenderableType] = [_head(both), Text(""), _totals(both, width), Text("")]
    if not changes:
        parts.append(Text("Nothing changed as far as can be said for certain."))
        return Group(*parts)
    parts += [_changes(changes, width), Text("")]
    for kind in KINDS:
        if number := both.counts.get(kind, 0):
            more = f" (the first {SHOWN} are shown; --format csv lists all)" if number > SHOWN else ""
            parts.append(Text.assemble((f"{number:,} {kind}", _STYLES[kind]), f": {MEANINGS[kind]}{more}"))
    if both.unchanged:
        parts.append(Text(f"{text.number(both.unchanged)} as before, as far as can be said for certain."))
    return Group(*parts)


def lines(changes: Sequence[Change], both: Comparison) -> Iterator[str]:
    """A line of JSON for each change, the comparison last."""
    for one in (*changes, both):
        yield line(one) + "\n"


def document(changes: Sequence[Change], both: Comparison) -> Iterator[str]:
    """``{"changes": […], "comparison": {…}}``."""
    yield '{"changes":['
    for index, one in enumerate(changes):
        yield ("\n" if index == 0 else ",\n") + line(one)
    yield '\n],\n"comparison":' + line(both) + "}\n"


def rows(changes: Sequence[Change]) -> Iterator[str]:
    """CSV with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in changes:
        writer.writerow([cell(getattr(one, name)) for name in COLUMNS])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _head(both: Comparison) -> Text:
    def named(side: Side) -> str:
        whose = f" of {side.campaign}" if side.campaign else ""
        half = "" if side.state == "done" else f", {side.state} before its end"
        return f"scan {side.scan}{whose}, {text.moment(side.started_at)}{half}"

    head = Text(f"From {named(both.before)}\n  to {named(both.after)}")
    if not both.alike:
        head.append(
            "\nThe two did not ask the same (targets, ports, scope or depth): differences may be of the question only.",
            style="yellow",
        )
    return head


def _totals(both: Comparison, width: int) -> RenderableType:
    before, after = ([getattr(side, key) for _, key in _SUMS] for side in (both.before, both.after))
    mark = ["" if side.complete else "≥ " for side in (both.before, both.after)]

    def cells(values: list[int], bound: str) -> list[Text]:
        return [Text((bound if index > 1 else "") + text.number(value)) for index, value in enumerate(values)]

    return lay_out(
        [
            Column(header="", cells=[Text(name) for name, _ in _SUMS]),
            Column(header="before", cells=cells(before, mark[0]), justify="right"),
            Column(header="after", cells=cells(after, mark[1]), justify="right"),
            Column(
                header="difference",
                cells=[Text(f"{b - a:+,}" if b != a else "–") for a, b in zip(before, after, strict=True)],
                justify="right",
            ),
        ],
        width,
    )


def _changes(changes: Sequence[Change], width: int) -> RenderableType:
    shown: list[Change] = []
    for kind in KINDS:
        shown += [one for one in changes if one.what == kind][:SHOWN]
    columns = [
        Column(header="what", cells=[Text(one.what, style=_STYLES[one.what]) for one in shown]),
        Column(header="endpoint", cells=[Text(text.endpoint(one.address, one.port)) for one in shown]),
        Column(header="studies before", cells=[_count(one.studies_before) for one in shown], justify="right"),
        Column(header="now", cells=[_count(one.studies) for one in shown], justify="right"),
    ]
    if any(one.moved_from for one in shown):
        columns.append(Column(header="from", cells=[Text(_origin(one)) for one in shown], least=12))
    columns.append(
        Column(header="software", cells=[Text(text.clean(one.product or "")) for one in shown], optional=True)
    )
    return lay_out(columns, width)


def _count(value: int | None) -> Text:
    return Text("" if value is None else text.number(value))


def _origin(one: Change) -> str:
    if one.moved_from is None:
        return ""
    return one.moved_from if one.sure else f"perhaps {one.moved_from}"
