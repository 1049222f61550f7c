"""The cases of a database, to read and to change: what people and rules decide.

A method that is given a ``connection`` acts inside the caller's transaction, so that a notice is marked as sent and its
case told in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
import sqlalchemy as sa

from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases import refusals
from leadapron.watch.reach.cases.changing import NOTHING_DUE, Values
from leadapron.watch.reach.cases.facts import Facts
from leadapron.watch.reach.cases.model import LEVELS, TITLES, Case, Owner, actor, checked_owner
from leadapron.watch.reach.cases.words import said, who
from leadapron.watch.reach.mailbox import Kind as Who
from leadapron.watch.reach.mailbox import canonical, classify, matches
from leadapron.watch.track.tables import cases, events, exposures, steps

REGULATOR: Final = LEVELS.index("regulator")


class Cases(Facts):
    """``by``: a person's name, or ``rule``, ``scan``, ``mail``. Methods raise `NotAllowed` where the table has no such
    step, ``UsageError`` for what can't be meant, ``Failure`` where the database fails; then nothing has happened.
    """

    def open_for(self, exposure_ids: Sequence[int], by: str, *, connection: sa.Connection | None = None) -> list[int]:
        """A case for each open exposure that has none; the numbers of those that were opened now."""
        if not exposure_ids:
            return []
        with self._within(connection) as inside:
            return self.open_where(exposures.c.id.in_(list(exposure_ids)), by, inside)

    def open_where(
        self, where: sa.ColumnElement[bool], by: str, connection: sa.Connection, most: int = 500
    ) -> list[int]:
        """The same for open exposures that fit, ``most`` of them at once."""
        now = iso(self._clock.now())
        last = sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0)).where(events.c.exposure_id == exposures.c.id)
        without = ~sa.exists().where(cases.c.exposure_id == exposures.c.id)
        found = (
            sa.select(
                exposures.c.id,
                *(sa.literal(value) for value in ("new", now, now, 0, 0, "{}")),
                last.scalar_subquery(),
            )
            .where(where, exposures.c.state == "open", without)
            .order_by(exposures.c.id)
            .limit(most)
        )
        columns = ["exposure_id", "state", "opened_at", "changed_at", "level", "reminders", "arms", "event_id"]
        made = refusals.insert_once(connection, cases).from_select(columns, found)
        ids = sorted(connection.execute(made.returning(cases.c.id)).scalars())
        if ids:
            step = {"at": now, "by": who(by), "kind": "opened", "before": None, "after": "new", "text": ""}
            connection.execute(steps.insert(), [{"case_id": id, **step} for id in ids])
        if ids and (networks := refusals.networks(connection, self._settings)):
            query = sa.select(cases.c.id, exposures.c.address).join_from(cases, exposures)
            for id, address in connection.execute(query.where(cases.c.id.in_(ids))).all():
                if any(matches(kind, value, None, address) for kind, value in networks):
                    self.hold_refused(id, connection)
        return ids

    def confirm(self, id: int, owner: Owner, by: str, *, connection: sa.Connection | None = None) -> Case:
        """A person says who the owner is; the first notice is due at once. Where it was another before, all begins anew
        with this one."""
        owner = checked_owner(owner)
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            self._withdraw(inside, id, "the owner is another one")
            text = owner.organisation + (f", {owner.mailbox}" if owner.mailbox else ", by letter")
            values: Values = {
                "owner": msgspec.json.encode(owner).decode(),
                "mailbox": canonical(owner.mailbox) if owner.mailbox else None,
                "language": owner.language,
                "level": 0,
                "reminders": 0,
                **self._due("first", timedelta()),
            }
            self._step(inside, case, "confirmed", by, text, **values)
            self.hold_refused(id, inside)
            return self._get(inside, id)

    def acknowledge(self, id: int, by: str, text: str = "", *, connection: sa.Connection | None = None) -> Case:
        """The owner knows: they said so to a person. Nothing is written for a while (``[cases] answered``)."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            self._step(inside, case, "acknowledged", by, text, **self._answered(inside, case))
            return self._get(inside, id)

    def escalate(
        self, id: int, by: str, level: int | None = None, text: str = "", *, connection: sa.Connection | None = None
    ) -> Case:
        """Take the case up: to the network's operator (1), the CERT (2), the regulator (3); None: the next one. The
        notice is due at once. A rule goes only where ``[cases]`` has a rung."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            to = case.level + 1 if level is None else level
            if not case.level < to <= REGULATOR:
                raise UsageError(
                    f"case {id} is with the {TITLES[case.level]}; it can be taken to " + _above(case.level)
                )
            if actor(by) != "person" and not self._settings.may_raise(to):
                raise UsageError(f"only a person may take a case to the {TITLES[to]}: [cases] has no time for it")
            self._withdraw(inside, id, f"goes to the {TITLES[to]}")
            due = self._due("escalation", timedelta())
            self._step(inside, case, "escalated", by, _to(to, text), level=to, reminders=0, **due)
            return self._get(inside, id)

    def close(self, id: int, by: str, why: str, *, connection: sa.Connection | None = None) -> Case:
        """Nothing more is done about it. It reopens by itself where it was closed, and then stands open again."""
        if not why.strip():
            raise UsageError("say why the case is closed; its history has to tell")
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            self._withdraw(inside, id, "the case is closed", keep="thanks" if case.state == "fixed" else None)
            self._step(inside, case, "closed", by, why, **NOTHING_DUE)
            return self._get(inside, id)

    def hold(self, id: int, why: str, by: str, *, connection: sa.Connection | None = None) -> Case:
        """Nothing is written until somebody releases it; scans are still followed."""
        if not why.strip():
            raise UsageError("say why the case is held; somebody will have to decide whether to release it")
        with self._within(connection) as inside:
            self._hold(inside, self.lock(id, inside), "held", why, by)
            return self._get(inside, id)

    def release(self, id: int, by: str, text: str = "", *, connection: sa.Connection | None = None) -> Case:
        """Rules go on with it. Raises ``UsageError`` where its owner, mailbox or network is not to be written to."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            if (why := self._refused(inside, case)) is not None:
                raise UsageError(f"case {id} stays on hold for ever: {why}")
            if case.hold is None:
                raise UsageError(f"case {id} is not on hold")
            self._step(inside, case, "released", by, text, hold=None)
            return self._get(inside, id)

    def note(self, id: int, text: str, by: str, *, connection: sa.Connection | None = None) -> None:
        """Something to remember."""
        if not text.strip():
            raise UsageError("a note says something")
        with self._within(connection) as inside:
            self._step(inside, self.lock(id, inside), "note", by, text)

    def set_arms(self, id: int, arms: dict[str, str], *, connection: sa.Connection | None = None) -> None:
        """What was drawn by lot for this case; drawn once, so what is there already stays."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            text = msgspec.json.encode({**arms, **case.arms}).decode()
            inside.execute(cases.update().where(cases.c.id == id).values(arms=text))

    # ---- who is not to be written to ---------------------------------------------------------------------------------

    def refuse(self, kind: Who, value: str, by: str, why: str, *, connection: sa.Connection | None = None) -> list[int]:
        """A mailbox, a domain with all below it, or a network is never written to again; the cases it is about."""
        found, value = classify(value)
        if found != kind:
            raise UsageError(f"{value} is no {kind}, but a {found}")
        if not why.strip():
            raise UsageError("say why: who asked for it, and how; nobody can take it back later")
        with self._within(connection) as inside:
            refusals.refuse(inside, kind, value, iso(self._clock.now()), who(by), said(why))
            held = refusals.meant(inside, kind, value)
            for id in held:
                case = self.lock(id, inside)
                if (reason := self._refused(inside, case)) is not None and case.hold != reason:
                    self._hold(inside, case, "refused", reason, by)
        return held


def _above(level: int) -> str:
    names = [f"the {name} ({at})" for at, name in enumerate(TITLES) if at > level]
    return " or ".join(names) or "nobody above"


def _to(level: int, text: str) -> str:
    return f"to the {TITLES[level]}: {text}" if text.strip() else f"to the {TITLES[level]}"
