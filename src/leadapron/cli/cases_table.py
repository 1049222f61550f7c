"""Cases as tables for people, and as JSON and CSV for programs. What strangers wrote is shown as text, cleaned."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.text import Text

from leadapron.cli.options import none_there
from leadapron.cli.tables import laid_out, wrapped
from leadapron.watch.reach.cases.model import LEVELS, TITLES, Case, State, Step
from leadapron.watch.reach.follow import Followed
from leadapron.watch.report.columns import Column
from leadapron.watch.report.csv import cell
from leadapron.watch.report.jsonl import line
from leadapron.watch.report.text import clean, moment, quantity

_COLUMNS: Final = (
    *("case", "state", "endpoint", "country", "product", "studies", "organisation", "mailbox", "level", "reminders"),
    *("opened_at", "changed_at", "due", "due_at", "hold", "next"),
)


class Listed(msgspec.Struct, frozen=True):
    """A line for programs."""

    case: int
    state: str
    endpoint: str
    country: str | None
    product: str | None
    studies: int | None
    organisation: str | None
    mailbox: str | None
    level: str
    reminders: int
    opened_at: str
    changed_at: str
    due: str | None
    due_at: str | None
    hold: str | None
    next: str


class Whole(msgspec.Struct, frozen=True):
    """A case for programs."""

    case: Case
    next: str
    steps: tuple[Step, ...]
    notices: tuple[dict[str, int | str], ...]


def listing(cases: Sequence[Case], advice: Mapping[int, str], format_: str) -> Iterator[str]:
    """The list in that format, line by line. ``advice``: by the number of the case."""
    rows = [_listed(case, advice[case.id]) for case in cases]
    if format_ == "jsonl":
        yield from (line(row) + "\n" for row in rows)
    elif format_ == "json":
        yield '{"cases":[' + ",".join("\n" + line(row) for row in rows) + "\n]}\n"
    elif format_ == "csv":
        yield from _csv(rows)
    elif rows:
        yield from _table(rows)


def foot(cases: Sequence[Case], total: int, offset: int, only: bool, counts: Mapping[State, int]) -> str:
    """Below the table: how many there are in all, and what to ask next."""
    every = sum(counts.values())
    if not every:
        return (
            "There is no case yet. 'leadapron cases follow' opens them for what scans found exposed; 'leadapron report "
            "--list' shows the scans."
        )
    if not total:
        return (
            f"Nothing needs a person now. 'leadapron cases --all' lists {quantity(every, 'case')}."
            if only
            else f"No case fits. 'leadapron cases --all' lists {quantity(every, 'case')}."
        )
    if behind := none_there(offset, total):
        return f"{behind}."
    states = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    shown = quantity(total, "case")
    if only:
        shown += " needs a person" if total == 1 else " need a person"
    if len(cases) < total:
        shown += f", {offset + 1:,} to {offset + len(cases):,} shown"
    first = cases[0].id if cases else 1
    return f"{shown}; of all {every:,}: {states}. 'leadapron cases show {first}' tells more."


def whole(
    case: Case,
    steps: Sequence[Step],
    notices: Sequence[tuple[int, str, str, int, str]],
    advice: str,
    format_: str,
    *,
    refused: bool = False,
) -> Iterator[str]:
    """All of one case. ``refused``: nobody may be written to in it, and nothing takes that back."""
    if format_ == "json":
        names = ("id", "purpose", "channel", "level", "state")
        document = Whole(case, advice, tuple(steps), tuple(dict(zip(names, one, strict=True)) for one in notices))
        yield msgspec.json.format(line(document), indent=2) + "\n"
        return
    place = f", {case.country}" if case.country else ""
    yield f"Case {case.id}: {case.state}. {case.endpoint}{place}, {clean(case.product or 'unknown product')}, "
    yield f"{'?' if case.studies is None else quantity(case.studies, 'study', 'studies')}, "
    yield f"{'open' if case.is_open else 'closed'} (exposure {case.exposure_id}).\n"
    if case.owner is not None:
        owner = [case.owner.organisation, case.owner.person, case.owner.mailbox, case.owner.postal]
        yield f"Owner: {', '.join(clean(' '.join(part.split())) for part in owner if part)}.\n"
    if case.level:
        yield f"Taken to the {TITLES[case.level]}.\n"
    yield f"Next: {clean(advice)}.\n"
    yield from (f"  {line}\n" for line in _how(case, notices, refused))
    yield "\n"
    yield from wrapped(
        ("when", "who", "what", "then", ""),
        [
            (moment(step.at), clean(step.by), step.kind, step.after if step.after != step.before else "", _said(step))
            for step in steps
        ],
    )
    if notices:
        yield "\n"
        yield from laid_out(
            [
                Column(header="notice", cells=[Text(str(one[0])) for one in notices], justify="right"),
                Column(header="purpose", cells=[Text(one[1]) for one in notices]),
                Column(header="channel", cells=[Text(one[2]) for one in notices]),
                Column(header="to the", cells=[Text(TITLES[one[3]]) for one in notices]),
                Column(header="state", cells=[Text(one[4]) for one in notices]),
            ]
        )


def _how(case: Case, notices: Sequence[tuple[int, str, str, int, str]], refused: bool) -> Iterator[str]:
    """The commands by which a person does what is next, where it is theirs to do."""
    waiting = [(id, state, channel) for id, _, channel, _, state in notices if state in ("draft", "approved", "unsure")]
    if case.hold is not None:
        yield f"leadapron cases {'close' if refused else 'release'} {case.id} --why TEXT"
    elif waiting:
        id, state, channel = waiting[-1]
        if state == "draft":
            yield from (f"leadapron notices show {id}", f"leadapron notices approve {id}")
        elif channel == "letter":
            yield f"leadapron notices letter {id} --output letter-{id}.pdf"
            yield f"leadapron notices resolve {id} --sent"
        elif state == "unsure":
            yield f"leadapron notices resolve {id} --sent, or --not-sent"
        else:
            yield "leadapron notices send"
    elif case.state in ("new", "reopened"):
        yield f"leadapron owner show {case.exposure_id}"
        yield f"leadapron cases confirm {case.id} --organisation NAME --mailbox MAILBOX"
        yield f"leadapron cases escalate {case.id} --level cert"


def round_(done: Followed, retest: Sequence[str], format_: str) -> Iterator[str]:
    """What a round of the rules did."""
    if format_ == "json":
        yield msgspec.json.format(msgspec.json.encode(done), indent=2).decode() + "\n"
        return
    said = [
        (done.opened, "opened", "case"),
        (done.fixed, "proved closed", "case"),
        (done.reopened, "open again", "case"),
        (done.moved, "moved to another address", "case"),
        (done.escalated, "taken up", "case"),
        (done.closed, "closed", "case"),
        (done.waiting, "waiting: their owner has another notice under way", "case"),
        (done.drafted, "drafted; 'leadapron notices' lists them, for you to approve", "notice"),
    ]
    lines = [f"{quantity(len(ids), what)} {text}{_few(ids)}\n" for ids, text, what in said if ids]
    if retest:
        lines.append(f"{quantity(len(retest), 'server')} to be looked at before anything is written about them:\n")
        lines.append(f"  leadapron scan {' '.join(retest[:20])}{' …' if len(retest) > 20 else ''}\n")
    if not lines and not done.problems:
        lines.append("Nothing was to be done.\n")
    yield from lines


def _few(ids: Sequence[int]) -> str:
    return f": {', '.join(map(str, ids))}" if len(ids) <= 12 else ""


def _listed(case: Case, advice: str) -> Listed:
    return Listed(
        case=case.id,
        state=case.state,
        endpoint=case.endpoint,
        country=case.country,
        product=case.product,
        studies=case.studies,
        organisation=case.owner.organisation if case.owner else None,
        mailbox=case.owner.mailbox if case.owner else None,
        level=LEVELS[case.level],
        reminders=case.reminders,
        opened_at=case.opened_at,
        changed_at=case.changed_at,
        due=case.due,
        due_at=case.due_at,
        hold=case.hold,
        next=advice,
    )


def _table(rows: Sequence[Listed]) -> Iterator[str]:
    yield from laid_out(
        [
            Column(header="case", cells=[Text(str(row.case)) for row in rows], justify="right"),
            Column(header="state", cells=[Text(row.state) for row in rows]),
            Column(header="endpoint", cells=[Text(row.endpoint) for row in rows]),
            Column(header="owner", cells=[Text(clean(row.organisation or "")) for row in rows], least=12),
            Column(header="next", cells=[Text(clean(row.next)) for row in rows], least=40),
            Column(
                header="studies",
                cells=[Text("?" if row.studies is None else f"{row.studies:,}") for row in rows],
                justify="right",
                optional=True,
            ),
            Column(header="country", cells=[Text(row.country or "") for row in rows], optional=True),
            Column(header="with", cells=[Text(TITLES[LEVELS.index(row.level)]) for row in rows], optional=True),
            Column(header="changed", cells=[Text(row.changed_at[:10]) for row in rows], optional=True),
        ]
    )


def _csv(rows: Sequence[Listed]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        values: dict[str, Any] = msgspec.structs.asdict(row)
        writer.writerow([cell(values[column]) for column in _COLUMNS])
    yield text.getvalue()


def _said(step: Step) -> str:
    notice = f"notice {step.notice_id}: " if step.notice_id is not None else ""
    return notice + clean(" ".join(step.text.split()))
