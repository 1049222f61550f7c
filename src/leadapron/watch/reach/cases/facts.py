"""What happens to a case from outside: notices that go out and come back, answers, what scans prove.

A fact is never refused, at worst it changes nothing but the history; and told twice, as somebody does who was killed
before it could note that it had told, it counts once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from leadapron.watch.reach.cases.changing import NOTHING_DUE, Changing, Values
from leadapron.watch.reach.cases.model import OPEN, TITLES, Case, Kind, actor, after
from leadapron.watch.reach.cases.words import said
from leadapron.watch.track.tables import cases, notices, steps

IN_HAND: Final = ("draft", "approved", "sending", "unsure")
"""States of notices of which somebody still has to make something."""


class Facts(Changing):
    """All of them take a ``connection`` to happen inside the caller's transaction."""

    def drafted(
        self, id: int, notice_id: int, purpose: str, by: str, *, connection: sa.Connection | None = None
    ) -> None:
        """A notice lies there for a person to approve: the rule has done its part."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            due: Values = {}
            if purpose == "thanks":
                due = self._due("close", self._settings.span("close"))
            elif case.state in OPEN and self._level(inside, notice_id) == case.level:
                due = NOTHING_DUE
            if not self._told(inside, notice_id, "drafted"):
                self._step(inside, case, "drafted", by, purpose, notice_id, **due)
            elif case.due == purpose:
                inside.execute(cases.update().where(cases.c.id == id).values(due))

    def notified(self, id: int, notice_id: int, by: str, *, connection: sa.Connection | None = None) -> None:
        """A notice went out. Told twice, it counts once."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            if self._told(inside, notice_id, "sent"):
                return
            notice = inside.execute(sa.select(notices).where(notices.c.id == notice_id)).mappings().one()
            purpose = str(notice["purpose"])
            values: Values = {}
            # What was planned since, for another owner or another level, stays planned.
            overtaken = case.due in ("first", "escalation") or notice["level"] != case.level
            if purpose != "thanks" and case.state in OPEN and not overtaken:
                reminders = case.reminders + 1 if purpose == "reminder" else 0
                values = {"reminders": reminders, **self._rung(case.level, reminders, notice["sent_at"])}
            self._step(inside, case, "sent", by, f"{purpose}, to the {TITLES[notice['level']]}", notice_id, **values)

    def bounced(
        self, id: int, notice_id: int, text: str, by: str = "mail", *, connection: sa.Connection | None = None
    ) -> None:
        """It did not arrive: a person has to find another way. Told twice, it counts once.

        Above the owner the ladder goes on meanwhile; a notice to somebody who is no longer the one to write to changes
        nothing but the history."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            if self._told(inside, notice_id, "bounced"):
                return
            level = self._level(inside, notice_id)
            if level != case.level or self._past(inside, case, notice_id):
                self._step(inside, case, "note", by, f"notice to the {TITLES[level]}: {text}", notice_id)
                return
            values: Values = {}
            if case.state in OPEN and case.due not in ("first", "escalation"):
                values = NOTHING_DUE
                if level or case.state == "acknowledged":
                    rung = self._rung(case.level, case.reminders, None)
                    values = {**rung, "trouble": f"the {TITLES[level]}: {said(text)}"}
            self._step(inside, case, "bounced", by, text, notice_id, **values)

    def dropped(self, id: int, *, connection: sa.Connection | None = None) -> None:
        """A notice is not sent, for ever, and none is in hand. Where nothing else is planned, what it was for is due
        again after the days that an owner who answered gets."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            waits = sa.select(notices.c.id).where(notices.c.case_id == id, notices.c.state.in_(IN_HAND))
            if (
                case.state in OPEN - {"new", "reopened"}
                and case.due is None
                and inside.execute(waits.limit(1)).first() is None
            ):
                values = self._owed(inside, case, self._settings.span("answered"))
                inside.execute(cases.update().where(cases.c.id == id).values(values))

    def answered(
        self,
        id: int,
        text: str,
        by: str = "mail",
        *,
        notice_id: int | None = None,
        connection: sa.Connection | None = None,
    ) -> None:
        """Somebody wrote back; a person reads it. Nothing is written for a while."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            heard = after(case.state, "answered", actor(by)) == "acknowledged"
            values = self._answered(inside, case) if heard else {}
            self._step(inside, case, "answered", by, text, notice_id, **values)

    def doubted(self, id: int, why: str, by: str = "mail", *, connection: sa.Connection | None = None) -> None:
        """Somebody opted out in its owner's name, and nobody can know whether it was them. Nothing is written until a
        person has decided: the mailbox is refused, or the case released. Once: who was found not to be the owner can't
        stop it a second time."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            before = sa.select(steps.c.id).where(steps.c.case_id == id, steps.c.kind == "held", steps.c.by == by)
            if case.hold is not None or inside.execute(before.limit(1)).first() is not None:
                self._step(inside, case, "note", by, why)
            else:
                self._hold(inside, case, "held", why, by)
            inside.execute(cases.update().where(cases.c.id == id).values(trouble=said(why)))

    def whom(self, id: int, *, connection: sa.Connection) -> tuple[str | None, str]:
        """The owner's mailbox, and the server's address."""
        case = self._get(connection, id)
        return case.mailbox, case.address

    def scanned(
        self, id: int, event_id: int, kind: Kind, text: str, *, connection: sa.Connection, **values: Any
    ) -> bool:
        """What folding a scan found out, once for each event, in their order; whether it was news."""
        case = self.lock(id, connection)
        if event_id <= case.event_id:
            return False
        values["event_id"] = event_id
        to = after(case.state, kind, "scan")
        if to != case.state:
            self._withdraw(connection, id, f"the case is {to}")
            values |= self._proved(connection, case) if to == "fixed" else NOTHING_DUE
        elif kind == "moved" and (withdrawn := self._withdraw(connection, id, "it stands at another address")):
            values |= self._due(withdrawn[0], timedelta())
        if to == "reopened" and case.state != "reopened":
            values |= {"level": 0, "reminders": 0}
        self._step(connection, case, kind, "scan", text, **values)
        return True

    def _level(self, connection: sa.Connection, notice_id: int) -> int:
        return int(connection.execute(sa.select(notices.c.level).where(notices.c.id == notice_id)).scalar_one())

    def _past(self, connection: sa.Connection, case: Case, notice_id: int) -> bool:
        """Whether another owner was confirmed since this notice was drafted."""
        latest = sa.select(sa.func.max(steps.c.id)).where(steps.c.case_id == case.id)
        confirmed = connection.execute(latest.where(steps.c.kind == "confirmed")).scalar()
        drafted = connection.execute(latest.where(steps.c.notice_id == notice_id)).scalar()
        return drafted is not None and (confirmed or 0) > drafted
