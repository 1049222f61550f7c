"""What a person does next about a case, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa

from leadapron.watch.reach.cases.facts import IN_HAND
from leadapron.watch.reach.cases.model import OPEN, TITLES, Case, Due
from leadapron.watch.reach.cases.reading import Reading
from leadapron.watch.track.database import failures
from leadapron.watch.track.tables import notices, steps

_WHAT: Final[dict[Due, str]] = {
    "first": "first notice to the owner",
    "reminder": "reminder to the {level}",
    "raise": "next level",
    "escalation": "notice to the {level}",
    "thanks": "thanks to the owner",
    "close": "closing",
}


def advice(engine: sa.Engine, reading: Reading, cases: Sequence[Case]) -> dict[int, str]:
    """For each case what is to be done next, or what is waited for."""
    ids = [case.id for case in cases]
    waiting: dict[int, tuple[int, str, str]] = {}
    last: dict[int, str] = {}
    with failures(engine), engine.connect() as connection:
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            in_hand = (
                sa.select(notices.c.case_id, notices.c.id, notices.c.state, notices.c.channel)
                .where(notices.c.case_id.in_(some), notices.c.state.in_(IN_HAND))
                .order_by(notices.c.id)
            )
            waiting.update(
                {case_id: (id, state, channel) for case_id, id, state, channel in connection.execute(in_hand)}
            )
            newest = (
                sa.select(sa.func.max(steps.c.id))
                .where(steps.c.case_id.in_(some), steps.c.kind != "note")
                .group_by(steps.c.case_id)
            )
            kinds = sa.select(steps.c.case_id, steps.c.kind).where(steps.c.id.in_(newest))
            last.update({case_id: kind for case_id, kind in connection.execute(kinds)})
    return {case.id: _of(reading, case, waiting, last) for case in cases}


def _of(reading: Reading, case: Case, waiting: Mapping[int, tuple[int, str, str]], last: Mapping[int, str]) -> str:
    if case.hold is not None:
        return f"on hold: {case.hold}"
    if case.id in waiting:
        return _notice(*waiting[case.id])
    if case.state == "new":
        return "confirm the owner, or escalate"
    if case.state == "reopened":
        return "look whether the owner is still the same; confirm"
    if case.state == "closed":
        return "nothing"
    if case.due_at is None:
        if last.get(case.id) == "bounced":
            return "the notice came back: confirm another mailbox, or escalate"
        return "no rule goes on with it: escalate, or close"
    what = _WHAT[case.due or "first"].format(level=TITLES[case.level])
    if case.trouble is not None:
        return f"{what} cannot be written: {case.trouble}"
    if case.state in OPEN and reading.needs_person(case):
        return f"{what} is overdue: re-tests have no answer"
    return f"{what} {'is due' if reading.is_due(case) else f'on {case.due_at[:10]}'}"


def _notice(id: int, state: str, channel: str) -> str:
    if state == "draft":
        return f"approve notice {id}"
    if state == "unsure":
        return f"say whether notice {id} went out"
    if channel == "letter":
        return f"post notice {id}"
    return f"notice {id} is going out"
