"""Reading cases: one, a page of many, their steps, and how many are where.

A page of fifty out of twenty thousand is asked for with every click. So a question looks through the cases once, with
their exposures beside them only where something of those is asked, and gives numbers; rows are read for the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.reach.cases.model import OPEN, STATES, Case, Owner, State, Step
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.track.database import failures, name
from leadapron.watch.track.tables import cases, exposures, steps

MOST: Final = 10_000  # rows that one question gives
OVERDUE: Final = timedelta(days=3)
"""A rule that could not do its work for so long needs a person: re-tests had no answer."""

_BESIDE: Final = ("address", "country", "product", "studies")
ORDERS: Final = {
    **{key: cases.c[key] for key in ("id", "state", "opened_at", "changed_at", "due_at", "level", "reminders")},
    **{key: exposures.c[key] for key in _BESIDE},
}
SELECT: Final = sa.select(
    cases,
    exposures.c.address,
    exposures.c.port,
    exposures.c.country,
    exposures.c.product,
    exposures.c.studies,
    (exposures.c.state == "open").label("is_open"),
).join_from(cases, exposures, cases.c.exposure_id == exposures.c.id)
T = TypeVar("T")


class Reading:
    """The cases of one database. Every method raises ``Failure`` with what to do next where the database fails."""

    def __init__(self, engine: sa.Engine, settings: Rules | None = None, clock: Clock | None = None) -> None:
        self._engine = engine
        self._settings = settings or Rules()
        self._clock = clock or SystemClock()

    def get(self, id: int) -> Case:
        """The case of that number. Raises ``UsageError`` where there is none."""
        with self._within(None) as connection:
            return self._get(connection, id)

    def of(self, exposure_id: int) -> Case | None:
        """The case about that exposure."""
        with self._within(None) as connection:
            row = connection.execute(SELECT.where(cases.c.exposure_id == exposure_id)).mappings().first()
        return None if row is None else self._case(row)

    def find(
        self,
        *,
        state: State | Sequence[State] | None = None,
        due: bool | None = None,
        attention: bool | None = None,
        held: bool | None = None,
        country: str | None = None,
        text: str | None = None,
        order: str = "-changed_at",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[Case], int]:
        """Cases that fit, and how many there are in all.

        ``due``: whether a rule's time has come; ``attention``: whether a person has something to do (`needs_person`);
        ``held``: whether nothing is written. ``text``: part of the owner's record, the address or the product.
        ``order``: one of ``ORDERS``, ``-`` before it for the largest first. Raises ``UsageError`` for a state or an
        order that doesn't exist.
        """
        now = iso(self._clock.now())
        wheres: list[sa.ColumnElement[bool]] = []
        if state is not None:
            states = [state] if isinstance(state, str) else list(state)
            if unknown := [one for one in states if one not in STATES]:
                raise UsageError(f"no case is ever {unknown[0]!a}; states are {', '.join(STATES)}")
            wheres.append(cases.c.state.in_(states))
        late = iso(self._clock.now() - OVERDUE)
        for wanted, clause in (
            (due, sa.and_(cases.c.hold.is_(None), cases.c.due_at.is_not(None), cases.c.due_at <= now)),
            (attention, _attention(late)),
            (held, cases.c.hold.is_not(None)),
        ):
            if wanted is not None:
                wheres.append(clause if wanted else sa.not_(clause))
        if country is not None:
            wheres.append(exposures.c.country == country if country else exposures.c.country.is_(None))
        if text:
            wheres.append(_matches(text))
        matching = sa.and_(sa.true(), *wheres)
        beside = bool(text) or country is not None or order.removeprefix("-") in _BESIDE
        source = cases.join(exposures, cases.c.exposure_id == exposures.c.id) if beside else cases
        limit, offset = max(1, min(limit, MOST)), max(0, offset)
        # Numbers first, rows for one page only: what is sorted stays narrow.
        query = sa.select(cases.c.id).select_from(source).where(matching).order_by(*_order(order))
        with self._within(None) as connection:
            if text:  # to search costs more than to hand over what was found: once, and not once more to count
                ids = connection.execute(query).scalars().all()
                page, total = ids[offset : offset + limit], len(ids)
            else:
                page = connection.execute(query.limit(limit).offset(offset)).scalars().all()
                count = sa.select(sa.func.count()).select_from(source if country is not None else cases)
                total = connection.execute(count.where(matching)).scalar_one()
            rows = connection.execute(SELECT.where(cases.c.id.in_(page))).mappings().all()
        found = {row["id"]: self._case(row) for row in rows}
        return [found[id] for id in page], total

    def counts(self) -> dict[State, int]:
        """How many cases are in each state."""
        query = sa.select(cases.c.state, sa.func.count()).group_by(cases.c.state)
        with self._within(None) as connection:
            found = {state: number for state, number in connection.execute(query)}
        return {state: found.get(state, 0) for state in STATES}

    def steps(self, id: int) -> list[Step]:
        """All that happened to a case, the oldest first. Raises ``UsageError`` where there is no such case."""
        with self._within(None) as connection:
            rows = connection.execute(sa.select(steps).where(steps.c.case_id == id).order_by(steps.c.id)).mappings()
            found = [Step(**row) for row in rows]
        if not found:
            self.get(id)
        return found

    def needs_person(self, case: Case) -> bool:
        """Whether it is a person's turn, as ``find(attention=True)`` has it."""
        if case.hold is not None:
            return case.trouble is not None
        if case.state not in OPEN:
            return False
        late = iso(self._clock.now() - OVERDUE)
        turn = case.state in ("new", "reopened") or case.due_at is None or case.due_at < late
        return turn or case.trouble is not None

    def is_due(self, case: Case) -> bool:
        """Whether a rule's time has come."""
        return case.due_at is not None and case.due_at <= iso(self._clock.now())

    @contextmanager
    def _within(self, connection: sa.Connection | None) -> Iterator[sa.Connection]:
        """The caller's transaction, or one of our own."""
        with failures(self._engine):
            if connection is not None:
                yield connection
            else:
                with self._engine.begin() as own:
                    yield own

    def _get(self, connection: sa.Connection, id: int) -> Case:
        row = connection.execute(SELECT.where(cases.c.id == id)).mappings().first()
        if row is None:
            raise UsageError(f"there is no case {id} in {name(self._engine)}; 'leadapron cases --all' lists them")
        return self._case(row)

    def _case(self, row: sa.RowMapping) -> Case:
        owner = None if row["owner"] is None else self._read(row["owner"], Owner)
        return Case(**{**row, "owner": owner, "arms": self._read(row["arms"], dict[str, str])})

    def _read(self, text: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            raise Failure(
                f"{name(self._engine)} holds a row that cannot be read: it was damaged, or changed by hand. "
                "Restore it from a backup"
            ) from error


def _attention(late: str) -> sa.ColumnElement[bool]:
    """See `Reading.needs_person`. Without a ``due_at`` no rule will do anything: a draft waits for approval, a mail
    came back, or the ladder is at its end; with trouble it tried, and could not. On hold with trouble: somebody opted
    out, and a person has to decide whether it was the owner."""
    turn = sa.and_(
        cases.c.hold.is_(None),
        cases.c.state.in_(sorted(OPEN)),
        sa.or_(
            cases.c.state.in_(["new", "reopened"]),
            cases.c.due_at.is_(None),
            cases.c.due_at < late,
            cases.c.trouble.is_not(None),
        ),
    )
    return sa.or_(turn, sa.and_(cases.c.hold.is_not(None), cases.c.trouble.is_not(None)))


def _order(order: str) -> list[sa.ColumnElement[Any]]:
    column: sa.ColumnElement[Any] | None = ORDERS.get(order.removeprefix("-"))
    if column is None:
        raise UsageError(f"cases cannot be put in that order; there are {', '.join(ORDERS)}")
    directed = column.desc() if order.startswith("-") else column.asc()
    return [directed.nulls_last(), cases.c.id.asc()]


def _matches(text: str) -> sa.ColumnElement[bool]:
    text = text.lower()
    names = (sa.func.lower(column).contains(text, autoescape=True) for column in (cases.c.owner, exposures.c.product))
    return sa.or_(exposures.c.address.contains(text, autoescape=True), *names)
