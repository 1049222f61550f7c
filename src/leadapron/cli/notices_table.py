"""Notices as tables for people, and as JSON for programs; the comparison of arms in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from rich.text import Text as Cell

from leadapron.cli.tables import laid_out
from leadapron.watch.reach.arms.analysis import Analysis
from leadapron.watch.reach.cases.model import TITLES
from leadapron.watch.reach.notices.layout import wrapped
from leadapron.watch.reach.notices.model import Notice, Read, Sent, State, Text
from leadapron.watch.report.columns import Column
from leadapron.watch.report.jsonl import line
from leadapron.watch.report.text import clean, moment, quantity

_FACTORS: Final = {"sender": "Who writes", "framing": "Framing", "medium": "Medium", "language": "Language"}


def listing(notices: Sequence[Notice], format_: str) -> Iterator[str]:
    """The list in that format, line by line; without the texts."""
    if format_ == "jsonl":
        yield from (line(notice) + "\n" for notice in notices)
    elif format_ == "json":
        yield '{"notices":[' + ",".join("\n" + line(notice) for notice in notices) + "\n]}\n"
    elif notices:
        yield from _table(notices)


def _table(notices: Sequence[Notice]) -> Iterator[str]:
    def cells(of: Callable[[Notice], str]) -> list[Cell]:
        return [Cell(clean(of(one))) for one in notices]

    columns = [
        Column(header="notice", cells=cells(lambda one: str(one.id)), justify="right"),
        Column(header="case", cells=cells(lambda one: str(one.case_id)), justify="right"),
        Column(header="state", cells=cells(lambda one: one.state)),
        Column(header="what", cells=cells(_what)),
        Column(header="to", cells=cells(lambda one: one.recipient.partition("\n")[0]), least=16),
        Column(header="subject", cells=cells(lambda one: one.subject), least=24),
        Column(header="channel", cells=cells(lambda one: one.channel), optional=True),
        Column(header="since", cells=cells(lambda one: moment(_since(one))), optional=True),
    ]
    yield from laid_out(columns)


def _what(notice: Notice) -> str:
    return notice.purpose if not notice.level else f"{notice.purpose}, {TITLES[notice.level]}"


def _since(notice: Notice) -> str:
    return notice.sent_at or notice.approved_at or notice.created_at


def foot(notices: Sequence[Notice], total: int, counts: Mapping[State, int]) -> str:
    """Below the table: how many there are in all, and what to do next."""
    every = sum(counts.values())
    if not every:
        return "There is no notice yet. 'leadapron cases follow' drafts what is due."
    states = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    if not total:
        return f"No notice fits; of all {every:,}: {states}."
    shown = quantity(total, "notice") + (f", {len(notices)} shown" if len(notices) < total else "")
    following = "Nothing waits for you here."
    if unsure := next((one for one in notices if one.state == "unsure"), None):
        following = f"Did notice {unsure.id} go out? 'leadapron notices resolve {unsure.id} --sent' or --not-sent."
    elif draft := next((one for one in notices if one.state == "draft"), None):
        following = f"Read a draft: 'leadapron notices show {draft.id}', then 'leadapron notices approve {draft.id}'."
    elif counts.get("approved"):
        following = "'leadapron notices send' sends what is approved."
    return f"{shown}; of all {every:,}: {states}. {following}"


def whole(notice: Notice) -> Iterator[str]:
    """One notice as it is sent, below what is known of it."""
    yield f"Notice {notice.id}, case {notice.case_id}: {notice.purpose} to the {TITLES[notice.level]}, {notice.state}\n"
    for what, value in (
        ("drafted", f"{moment(notice.created_at)} by {clean(notice.created_by)}"),
        ("approved", notice.approved_at and f"{moment(notice.approved_at)} by {clean(notice.approved_by or '')}"),
        ("not before", notice.not_before and moment(notice.not_before)),
        ("sent", notice.sent_at and moment(notice.sent_at)),
        ("answer", notice.answer and clean(notice.answer)),
        ("message", notice.message_id),
        ("arms", ", ".join(f"{factor}: {arm}" for factor, arm in sorted(notice.arms.items()))),
    ):
        if value:
            yield f"  {what:<10} {value}\n"
    yield "\n"
    yield from text(notice)


def text(notice: Notice | Text) -> Iterator[str]:
    """What it says, as its reader sees it."""
    lines = [clean(part) for part in notice.recipient.split("\n")]
    yield f"By {notice.channel}, in {notice.language}\nFrom: {clean(notice.sender)}\nTo: {', '.join(lines)}\n"
    yield f"Subject: {clean(notice.subject)}\n\n{wrapped(notice.body)}"


def document(notice: Notice) -> str:
    return msgspec.json.format(msgspec.json.encode(notice), indent=2).decode() + "\n"


def sent(done: Sent) -> Iterator[str]:
    """A round of sending in words."""
    said = False
    for numbers, words in (
        (done.sent, "sent"),
        (done.later, "put off by the receiving server, to be tried again"),
        (done.failed, "refused by the receiving server: the case needs another way"),
        (done.unsure, "unsure: look at the mail server's log, then 'leadapron notices resolve N --sent|--not-sent'"),
        (done.dropped, "dropped: refused, held or closed in the meantime"),
    ):
        if numbers:
            said = True
            yield f"{quantity(len(numbers), 'notice')} {words}: {', '.join(map(str, numbers))}\n"
    if done.limited:
        said = True
        yield f"{quantity(done.limited, 'notice')} more within the hour than the limits allow: they go later\n"
    if not said and not done.trouble:
        yield "Nothing is approved and due.\n"


def read(found: Read) -> str:
    parts = [
        quantity(found.bounces, "bounce"),
        quantity(found.refusals, "opt-out"),
        quantity(found.answers, "answer"),
        quantity(found.others, "other message"),
    ]
    doubts = f"; {quantity(found.doubts, 'opt-out')} without our code: a person decides" if found.doubts else ""
    unread = f"; {quantity(found.unread, 'message')} could not be understood" if found.unread else ""
    return f"Read: {', '.join(parts)}{doubts}{unread}.\n"


def arms(analysis: Analysis) -> Iterator[str]:
    """The comparison in words."""
    if not analysis.comparisons:
        yield 'No arms were drawn yet: [notices] arms names the factors, as arms = ["medium"].\n'
        return
    yield f"Closed within {analysis.days} days of the first notice, by the arm that was drawn:\n"
    for comparison in analysis.comparisons:
        yield f"\n{_FACTORS.get(comparison.factor, comparison.factor)}\n"
        for arm in comparison.arms:
            share = "–" if arm.share is None else f"{round(100 * arm.share)} %"
            between = f", 95 % {round(100 * arm.low)}–{round(100 * arm.high)}" if arm.cases else ""
            extra = [f"{arm.crossed} went another way than drawn"] if arm.crossed else []
            extra += [f"{arm.early} too young to count"] if arm.early else []
            beside = f" ({'; '.join(extra)})" if extra else ""
            yield f"  {clean(arm.name):<12} {arm.closed} of {arm.cases}  {share}{between}{beside}\n"
        for difference in comparison.differences:
            yield f"  {clean(difference.sentence())}\n"
