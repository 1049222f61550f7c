"""Cases and notices as lists, a board, and one in full."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.reach.notices.model import Notice as Kept
from leadapron.watch.track.tables import cases, exposures, notices, steps

STATES: Final = ("new", "confirmed", "notified", "acknowledged", "escalated", "reopened", "fixed", "closed")
NOTICE_STATES: Final = ("draft", "approved", "sending", "unsure", "failed", "bounced", "sent", "dropped")
PAGE: Final = 50
BOARD: Final = 12
STEPS: Final = 200
ORDERS: Final = ("-changed", "changed", "due", "opened", "-opened", "-studies", "level", "-level")


class Row(Struct, frozen=True, kw_only=True):
    """A case in one line, with what it is about."""

    id: int
    exposure_id: int
    state: str
    opened_at: str
    changed_at: str
    due_at: str | None
    level: int
    reminders: int
    organisation: str | None
    hold: str | None
    place: str
    country: str | None
    studies: int | None
    open: bool


class CaseStep(Struct, frozen=True, kw_only=True):
    at: str
    by: str
    kind: str
    before: str | None
    after: str | None
    text: str


class Notice(Struct, frozen=True, kw_only=True):
    """A row of ``notices`` with the case's place; ``arms`` decoded."""

    id: int
    case_id: int
    purpose: str
    channel: str
    level: int
    language: str
    arms: dict[str, Any]
    recipient: str
    domain: str
    sender: str
    subject: str
    body: str
    state: str
    created_at: str
    created_by: str
    approved_at: str | None
    approved_by: str | None
    not_before: str | None
    claimed_at: str | None
    sent_at: str | None
    tries: int
    answer: str | None
    place: str

    @property
    def mark(self) -> str:
        return mark(self)


class Line(Struct, frozen=True, kw_only=True):
    """A notice in one line."""

    id: int
    case_id: int
    purpose: str
    channel: str
    language: str
    recipient: str
    subject: str
    body: str
    state: str
    created_at: str
    sent_at: str | None
    place: str

    @property
    def mark(self) -> str:
        return mark(self)


class CaseDetail(Struct, frozen=True, kw_only=True):
    row: Row
    owner: dict[str, Any]
    language: str | None
    arms: dict[str, Any]
    steps: tuple[CaseStep, ...]
    notices: tuple[Line, ...]


def mark(notice: Notice | Line | Kept) -> str:
    """Stands for what a person reads of a notice: who approves it says by this what was read."""
    return sha256(msgspec.json.encode((notice.subject, notice.body, notice.recipient))).hexdigest()[:32]


_JOINED: Final = cases.join(exposures, exposures.c.id == cases.c.exposure_id)
_ROW: Final = (
    cases,
    exposures.c.address,
    exposures.c.port,
    exposures.c.country,
    exposures.c.studies,
    exposures.c.state.label("exposure_state"),
)
_BY: Final = {
    "changed": cases.c.changed_at,
    "due": cases.c.due_at,
    "opened": cases.c.opened_at,
    "studies": exposures.c.studies,
    "level": cases.c.level,
}


def counts(connection: sa.Connection) -> dict[str, int]:
    found = connection.execute(sa.select(cases.c.state, sa.func.count()).group_by(cases.c.state)).all()
    return {state: 0 for state in STATES} | {state: count for state, count in found}


def board(connection: sa.Connection) -> dict[str, tuple[Row, ...]]:
    """For each state the cases that are due first, then those that never are."""
    found = {}
    for state in STATES:
        query = sa.select(*_ROW).select_from(_JOINED).where(cases.c.state == state)
        due = query.where(cases.c.due_at.is_not(None)).order_by(cases.c.due_at, cases.c.id).limit(BOARD)
        rows = connection.execute(due).mappings().all()
        if len(rows) < BOARD:
            others = query.where(cases.c.due_at.is_(None)).order_by(cases.c.id).limit(BOARD - len(rows))
            rows = [*rows, *connection.execute(others).mappings()]
        found[state] = tuple(_row(row) for row in rows)
    return found


def listed(
    connection: sa.Connection, *, state: str | None, text: str | None, order: str, now: str, due: bool, offset: int
) -> tuple[tuple[Row, ...], int]:
    """Cases that fit, and how many. ``text``: part of the owner's record or of the address."""
    wheres: list[sa.ColumnElement[bool]] = [sa.true()]
    if state:
        wheres.append(cases.c.state == state)
    if due:
        wheres.append(cases.c.due_at <= now)
    if text:
        kept = msgspec.json.encode(text).decode()[1:-1]  # as it stands in the record
        wheres.append(
            sa.or_(cases.c.owner.icontains(kept, autoescape=True), exposures.c.address.icontains(text, autoescape=True))
        )
    column = _BY[order.removeprefix("-")]
    ordered = column.desc() if order.startswith("-") else column.asc()
    query = sa.select(*_ROW).select_from(_JOINED).where(*wheres)
    query = query.order_by(column.is_(None), ordered, cases.c.id).limit(PAGE).offset(offset)
    total = connection.execute(sa.select(sa.func.count()).select_from(_JOINED).where(*wheres)).scalar_one()
    return tuple(_row(row) for row in connection.execute(query).mappings()), int(total)


def case(connection: sa.Connection, number: int) -> CaseDetail | None:
    row = connection.execute(sa.select(*_ROW).select_from(_JOINED).where(cases.c.id == number)).mappings().first()
    if row is None:
        return None
    names = CaseStep.__struct_fields__
    history = sa.select(*(steps.c[name] for name in names)).where(steps.c.case_id == number)
    history = history.order_by(steps.c.id.desc()).limit(STEPS)
    written = _lines(sa.and_(notices.c.case_id == number)).order_by(notices.c.id.desc()).limit(PAGE)
    return CaseDetail(
        row=_row(row),
        owner=_object(row["owner"]),
        language=row["language"],
        arms=_object(row["arms"]),
        steps=tuple(CaseStep(**one) for one in connection.execute(history).mappings()),
        notices=tuple(_line(one) for one in connection.execute(written).mappings()),
    )


def notice_counts(connection: sa.Connection) -> dict[str, int]:
    found = connection.execute(sa.select(notices.c.state, sa.func.count()).group_by(notices.c.state)).all()
    return {state: 0 for state in NOTICE_STATES} | {state: count for state, count in found}


def notice_list(connection: sa.Connection, state: str, offset: int) -> tuple[Line, ...]:
    query = _lines(notices.c.state == state).order_by(notices.c.id.desc() if state == "sent" else notices.c.id)
    return tuple(_line(row) for row in connection.execute(query.limit(PAGE).offset(offset)).mappings())


def notice(connection: sa.Connection, number: int) -> Notice | None:
    joined = notices.join(cases, cases.c.id == notices.c.case_id).join(exposures, exposures.c.id == cases.c.exposure_id)
    query = sa.select(notices, exposures.c.address, exposures.c.port).select_from(joined)
    row = connection.execute(query.where(notices.c.id == number)).mappings().first()
    if row is None:
        return None
    own = {name: row[name] for name in Notice.__struct_fields__ if name not in ("arms", "place")}
    return Notice(**own, arms=_object(row["arms"]), place=_place(row))


def _lines(where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    joined = notices.join(cases, cases.c.id == notices.c.case_id).join(exposures, exposures.c.id == cases.c.exposure_id)
    names = (name for name in Line.__struct_fields__ if name != "place")
    columns = (*(notices.c[name] for name in names), exposures.c.address, exposures.c.port)
    return sa.select(*columns).select_from(joined).where(where)


def _line(row: sa.RowMapping) -> Line:
    return Line(**{name: row[name] for name in Line.__struct_fields__ if name != "place"}, place=_place(row))


def _row(row: sa.RowMapping) -> Row:
    organisation = _object(row["owner"]).get("organisation")
    plain = ("id", "exposure_id", "state", "opened_at", "changed_at", "due_at", "level", "reminders", "hold")
    return Row(
        **{name: row[name] for name in plain},
        organisation=organisation if isinstance(organisation, str) and organisation else None,
        place=_place(row),
        country=row["country"],
        studies=row["studies"],
        open=row["exposure_state"] == "open",
    )


def _place(row: sa.RowMapping) -> str:
    address = row["address"]
    return f"[{address}]:{row['port']}" if ":" in address else f"{address}:{row['port']}"


def _object(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
