"""Whatever people, scans, mail and the calendar do, in any order: what holds of a case holds after each of it."""

from __future__ import annotations

import contextlib
import itertools

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casework import CLINIC, Desk, empty
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.model import OPEN, Due, Owner, State, Step, actor, after
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.track.tables import exposures, notices

SINGLE = (
    *("gone", "round", "month", "send", "bounce", "answer", "another", "acknowledge"),
    *("hold", "release", "escalate", "close", "refuse", "drop", "stop", "doubt"),
)
# What usually comes together, so that short examples get far.
DRAFTED = ("scan", "confirm", "round")
RUNS = (
    DRAFTED,
    (*DRAFTED, "send"),
    *((*DRAFTED, what) for what in ("hold", "refuse", "close", "another", "escalate", "drop", "stop", "doubt")),
    *((*DRAFTED, "send", what) for what in ("bounce", "answer", "grow", "note", "doubt")),
    ("escalate", "scan", "round", "drop"),
    ("escalate", "scan", "round", "send", "bounce"),
    ("week", "week", "scan", "round"),
    ("week", "week", "scan", "round", "send"),
    ("gone", "gone", "round"),
    ("gone", "gone", "round", "month", "round", "scan", "round"),
    ("release", "scan", "round"),
)
DAYS = {"scan": 0.1, "gone": 0.1, "grow": 0.1, "week": 7.0, "month": 30.0}
MAY_BE_DUE: dict[State, set[Due | None]] = {
    "new": {None},
    "confirmed": {None, "first"},
    "notified": {None, "reminder", "raise"},
    "acknowledged": {None, "first", "reminder", "raise", "escalation"},
    "escalated": {None, "raise", "escalation"},
    "fixed": {"thanks", "close"},
    "closed": {None},
    "reopened": {None},
}


def do(desk: Desk, what: str) -> None:
    """One thing that happens; where the table has no such step, it doesn't."""
    cases = desk.cases
    desk.calendar.day += DAYS.get(what, 0.01)
    if what in ("scan", "grow"):
        desk.scan(1, studies=500 if what == "scan" else 500 + int(desk.calendar.day * 10))
    elif what == "gone":
        desk.scan(closed=(1,))
    elif what == "round":
        written(desk)
    elif what == "send":
        with desk.engine.connect() as connection:
            waiting = connection.execute(
                sa.select(notices.c.id, notices.c.purpose, notices.c.recipient).where(notices.c.state == "draft")
            ).all()
        for id, purpose, _ in waiting:
            if cases.objection(1, purpose) is not None:  # a scan has just proved it closed, or open
                assert cases.get(1).is_open == (purpose == "thanks"), "else it does not lie there for approval"
                becomes(desk, id, "dropped")
                continue
            desk.send(id)
            cases.notified(1, id, "rule")  # as a sender tells it who was killed before it knew that it had told
    else:
        with contextlib.suppress(UsageError):
            {
                "week": lambda: None,
                "month": lambda: None,
                "bounce": lambda: back(desk),
                "drop": lambda: dropped(desk, True),
                "stop": lambda: dropped(desk, False),
                "doubt": lambda: cases.doubted(1, "somebody opted out"),
                "answer": lambda: cases.answered(1, "hello"),
                "confirm": lambda: cases.confirm(1, CLINIC, "ada"),
                "another": lambda: cases.confirm(1, Owner(organisation="Other", mailbox="x@other.example"), "ada"),
                "acknowledge": lambda: cases.acknowledge(1, "ada"),
                "hold": lambda: cases.hold(1, "wait", "ada"),
                "release": lambda: cases.release(1, "ada"),
                "escalate": lambda: cases.escalate(1, "ada"),
                "close": lambda: cases.close(1, "ada", "enough"),
                "note": lambda: cases.note(1, "hello", "ada"),
                "refuse": lambda: cases.refuse("domain", "clinic.example", "ada", "said no"),
            }[what]()


def becomes(desk: Desk, id: int, state: str) -> None:
    with desk.engine.begin() as connection:
        connection.execute(notices.update().where(notices.c.id == id).values(state=state))


def back(desk: Desk) -> None:
    """The newest notice that went out comes back."""
    id = newest(desk)
    becomes(desk, id, "bounced")
    desk.cases.bounced(1, id, "no such user")


def dropped(desk: Desk, told: bool) -> None:
    """A draft is dropped, by a person, or by a sender who tells nobody."""
    with desk.engine.connect() as connection:
        waiting = connection.execute(sa.select(notices.c.id).where(notices.c.state == "draft")).scalars().all()
    for id in waiting:
        becomes(desk, id, "dropped")
        if told:
            desk.cases.dropped(1)


def newest(desk: Desk) -> int:
    with desk.engine.connect() as connection:
        sent = sa.select(sa.func.max(notices.c.id)).where(notices.c.state == "sent")
        found = connection.execute(sent).scalar()
    if found is None:
        raise UsageError("nothing was sent yet")
    return int(found)


def written(desk: Desk) -> None:
    """A round; nothing is drafted about a server that was not just seen open, and the next round has nothing to do."""
    done = desk.follow()
    with desk.engine.connect() as connection:
        purposes = (
            connection.execute(sa.select(notices.c.purpose).where(notices.c.id.in_(done.drafted))).scalars().all()
        )
        state, proofs = connection.execute(sa.select(exposures.c.state, exposures.c.proofs)).one()
    if set(purposes) - {"thanks"}:
        assert (state, proofs) == ("open", 0)
    case = desk.cases.get(1)
    if case.state in ("confirmed", "notified", "acknowledged", "escalated") and not case.hold and case.due is None:
        with desk.engine.connect() as connection:
            waits = connection.execute(sa.select(notices.c.id).where(notices.c.state == "draft")).first()
        ended = desk.rules.next_rung(case.level, case.reminders) is None
        assert waits or ended or "bounced" in desk.told(1), "a rule goes on with it, but at the end of the ladder"
    again = desk.follow()
    assert not (again.opened or again.fixed or again.reopened or again.escalated or again.drafted or again.closed)


def holds(desk: Desk, before: list[Step]) -> list[Step]:
    case, history = desk.cases.get(1), desk.cases.steps(1)
    assert history[: len(before)] == before, "the history is only added to"
    assert (history[0].kind, history[0].before, history[0].after) == ("opened", None, "new")
    for earlier, step in itertools.pairwise(history):
        assert step.before == earlier.after
        assert step.after == after(earlier.after, step.kind, actor(step.by))
    assert history[-1].after == case.state
    assert (case.due is None) == (case.due_at is None)
    assert case.due in MAY_BE_DUE[case.state]
    with desk.engine.connect() as connection:
        rows = connection.execute(sa.select(notices).order_by(notices.c.id)).mappings().all()
    waiting = [row["purpose"] for row in rows if row["state"] == "draft"]
    assert len(waiting) <= 1
    assert not (case.hold and waiting)
    if case.state not in OPEN:
        assert set(waiting) <= {"thanks"}
    if case.state in ("new", "reopened"):
        assert not waiting
    if case.state in OPEN and not case.hold and case.due is None:
        assert desk.cases.needs_person(case), "nobody forgets it"
    told = [step.notice_id for step in history if step.kind == "sent"]
    assert len(told) == len(set(told)) and set(told) == {row["id"] for row in rows if row["sent_at"]}
    if case.hold and case.trouble:
        assert desk.cases.needs_person(case), "whether it was an opt-out is for a person to say"
    if any(step.kind == "refused" for step in history) and case.mailbox == CLINIC.mailbox:
        assert case.hold
    return history


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*RUNS, *((one,) for one in SINGLE)]), min_size=1, max_size=7))
def test_in_any_order(engine: sa.Engine, inputs: list[tuple[str, ...]]) -> None:
    empty(engine)
    desk = Desk(engine, Rules(regulator=70))
    desk.scan(1)
    assert desk.follow().opened == (1,)
    history: list[Step] = []
    for what in itertools.chain.from_iterable(inputs):
        do(desk, what)
        history = holds(desk, history)
