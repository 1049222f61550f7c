"""What happens to a case from outside: notices that go out and come back, answers, what scans prove.

A fact is never refused, at worst it changes nothing but the history; and told twice, as somebody does who was killed
before it could note that it had told, it counts once.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from leadapron.watch.reach.cases.changing import NOTHING_DUE, Changing, Values
from leadapron.watch.reach.cases.model import OPEN, TITLES, Kind, actor, after
from leadapron.watch.track.tables import cases, notices


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
            elif case.state in OPEN:
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
        """It did not arrive: a person has to find another way. Told twice, it counts once."""
        with self._within(connection) as inside:
            case = self.lock(id, inside)
            if not self._told(inside, notice_id, "bounced"):
                values = NOTHING_DUE if case.state in OPEN else {}
                self._step(inside, case, "bounced", by, text, notice_id, **values)

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
