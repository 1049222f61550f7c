"""How a case changes: the one way in, with a row in the history, and what follows from it.

Each change is one transaction: the case is locked first (a write that changes nothing, which SQLite and PostgreSQL both
understand as "mine until I am done"), looked at again, changed, and its step added. So two people, a person and the
rules, or two processes that follow up at once never act on a state that is no longer there.

When a case changes, notices that were drafted for what it was are withdrawn in the same transaction. Those that a
sender has already taken can't be; it asks `objection` in the transaction in which it takes them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from leadapron.kernel.clock import iso
from leadapron.kernel.hostport import HostPort
from leadapron.watch.reach.cases import refusals
from leadapron.watch.reach.cases.model import Case, Due, Kind, Owner, State, actor, after
from leadapron.watch.reach.cases.reading import Reading
from leadapron.watch.reach.cases.words import said, who
from leadapron.watch.reach.mailbox import canonical
from leadapron.watch.track.tables import cases, exposures, notices, sightings, steps

_DUE: Final[dict[str, Due]] = {"first": "first", "reminder": "reminder", "escalation": "escalation", "thanks": "thanks"}
Values = dict[str, Any]
NOTHING_DUE: Final[Values] = {"due": None, "due_at": None}


class Changing(Reading):
    """What decisions and facts have in common."""

    def refused(
        self, owner: Owner | None, address: str | None, *mailboxes: str, connection: sa.Connection | None = None
    ) -> str | None:
        """Why this owner, whoever is behind this address, or one of these mailboxes is not to be written to."""
        boxes = [*mailboxes, *([owner.mailbox] if owner is not None and owner.mailbox else [])]
        with self._within(connection) as inside:
            return refusals.refused(inside, self._settings, boxes, address)

    def hold_refused(self, id: int, connection: sa.Connection) -> bool:
        """Put a case on hold whose owner or network is not to be written to; whether it was one."""
        case = self.lock(id, connection)
        if (why := self._refused(connection, case)) is not None and case.hold != why:
            self._hold(connection, case, "refused", why, "rule")
        return why is not None

    def objection(self, id: int, purpose: str, *recipients: str, connection: sa.Connection | None = None) -> str | None:
        """Why a notice of that purpose must not go out to them now; None: it may. To be asked when it is drafted, when
        it is approved, and in the transaction in which a sender takes it."""
        with self._within(connection) as inside:
            case = self._get(inside, id)
            if (why := self._refused(inside, case, *recipients)) is not None:
                return why
        if case.hold is not None:
            return f"the case is on hold: {case.hold}"
        # What scans proved counts before the next round tells the case.
        if purpose == "thanks":
            if case.state not in ("fixed", "closed") or case.is_open:
                return "it is not closed any more"
            with self._within(connection) as inside:
                left = self._other_door(inside, case)
            return None if left is None else f"the same archive stands open at {left}"
        if case.state in ("fixed", "closed"):
            return f"the case is {case.state}"
        if not case.is_open:
            return "scans proved it closed"
        if case.state in ("new", "reopened"):
            return "nobody has confirmed who the owner is"
        return None

    def lock(self, id: int, connection: sa.Connection) -> Case:
        """The case, which nobody else changes until the transaction ends."""
        connection.execute(cases.update().where(cases.c.id == id).values(changed_at=cases.c.changed_at))
        return self._get(connection, id)

    def _step(
        self,
        connection: sa.Connection,
        case: Case,
        kind: Kind,
        by: str,
        text: str,
        notice_id: int | None = None,
        **values: Any,
    ) -> None:
        """The one place where a state changes: by the table, with a row in the history."""
        to: State = after(case.state, kind, actor(by))
        now = iso(self._clock.now())
        row = {"case_id": case.id, "at": now, "by": who(by), "kind": kind, "before": case.state, "after": to}
        connection.execute(steps.insert().values(**row, text=said(text), notice_id=notice_id))
        if kind != "note" and (case.hold is None or "hold" in values):
            values.setdefault("trouble", None)  # something happened; the rule tries again
        connection.execute(cases.update().where(cases.c.id == case.id).values(state=to, changed_at=now, **values))

    def trouble(self, id: int, why: str) -> None:
        """A rule could not do what is due: a person has to know. It tries again in the next round."""
        with self._within(None) as connection:
            case = self.lock(id, connection)
            if case.due is not None and case.trouble != said(why):
                connection.execute(cases.update().where(cases.c.id == id).values(trouble=said(why)))

    def _due(self, due: Due, wait: timedelta) -> Values:
        return {"due": due, "due_at": iso(self._clock.now() + wait)}

    def _rung(self, level: int, reminders: int, sent_at: str | None) -> Values:
        """What is due after a notice that went out at that time."""
        found = self._settings.next_rung(level, reminders)
        if found is None:
            return dict(NOTHING_DUE)
        sent = self._clock.now() if sent_at is None else datetime.fromisoformat(sent_at)
        return {"due": found[0].due, "due_at": iso(sent + found[1])}

    def _owed(self, connection: sa.Connection, case: Case, wait: timedelta) -> Values:
        """What is due where nothing is, because a notice did not go out or did not arrive: the same again after
        ``wait``, where none went out at this level; else what comes after it."""
        at_level = sa.and_(notices.c.case_id == case.id, notices.c.level == case.level, notices.c.purpose != "thanks")
        came_back = (
            sa.select(notices.c.recipient)
            .join(steps, steps.c.notice_id == notices.c.id)
            .where(at_level, steps.c.kind == "bounced")
        )
        back = [canonical(recipient) for recipient in connection.execute(came_back).scalars() if "@" in recipient]
        if case.state == "confirmed":
            return dict(NOTHING_DUE) if case.mailbox in back else self._due("first", wait)
        sent = sa.select(sa.func.max(notices.c.sent_at)).where(at_level, notices.c.state == "sent")
        sent_at = connection.execute(sent).scalar()
        if case.level and sent_at is None and not back:
            return self._due("escalation", wait)
        values = self._rung(case.level, case.reminders, sent_at)
        if values["due_at"] is not None:
            values["due_at"] = max(values["due_at"], iso(self._clock.now() + wait))
        return values

    def _answered(self, connection: sa.Connection, case: Case) -> Values:
        """What is due once the owner has answered: the same as before, but not for a while."""
        withdrawn = self._withdraw(connection, case.id, "the owner has answered")
        if withdrawn:
            values = self._due(withdrawn[0], timedelta())
        elif case.due is None:
            values = self._rung(case.level, case.reminders, None)
        else:
            values = {"due": case.due, "due_at": case.due_at}
        if values["due_at"] is not None:
            values["due_at"] = max(values["due_at"], iso(self._clock.now() + self._settings.span("answered")))
        return values

    def _proved(self, connection: sa.Connection, case: Case) -> Values:
        """What is due once it is proved closed: thanks to an owner who was written to, then the end. Nobody is thanked
        for one door while another of the same archive stands open: its patients are no safer for it."""
        written = sa.select(notices.c.id).where(
            notices.c.case_id == case.id, notices.c.level == 0, notices.c.state == "sent"
        )
        told = connection.execute(written.limit(1)).first() is not None
        if self._settings.thanks and case.hold is None and told and self._other_door(connection, case) is None:
            return self._due("thanks", timedelta())
        return self._due("close", self._settings.span("close"))

    def _other_door(self, connection: sa.Connection, case: Case) -> str | None:
        """Where the same archive still stands open, as the last scan that saw it open could tell."""
        mine = sa.and_(sightings.c.address == case.address, sightings.c.port == case.port)
        last = sa.select(sightings.c.scan_id, sightings.c.archive).where(mine, sightings.c.archive.is_not(None))
        seen = connection.execute(last.order_by(sightings.c.id.desc()).limit(1)).first()
        if seen is None:
            return None
        same = sa.and_(exposures.c.address == sightings.c.address, exposures.c.port == sightings.c.port)
        others = (
            sa.select(exposures.c.address, exposures.c.port)
            .join_from(sightings, exposures, same)
            .where(sightings.c.scan_id == seen.scan_id, sightings.c.archive == seen.archive)
            .where(exposures.c.id != case.exposure_id, exposures.c.state == "open")
        )
        found = connection.execute(others.order_by(exposures.c.id).limit(1)).first()
        return None if found is None else str(HostPort(found.address, found.port))

    def _withdraw(self, connection: sa.Connection, id: int, why: str, keep: str | None = None) -> list[Due]:
        """Drop what was drafted or approved and no sender has taken; the purposes it had."""
        waiting = [notices.c.case_id == id, notices.c.state.in_(["draft", "approved"])]
        if keep is not None:
            waiting.append(notices.c.purpose != keep)
        dropped = notices.update().where(*waiting).values(state="dropped", answer=why)
        return [_DUE[purpose] for purpose in connection.execute(dropped.returning(notices.c.purpose)).scalars()]

    def _hold(self, connection: sa.Connection, case: Case, kind: Kind, why: str, by: str) -> None:
        """Nothing is written; what was drafted is due again as soon as somebody releases it."""
        withdrawn = self._withdraw(connection, case.id, "the case is on hold")
        values = self._due(withdrawn[0], timedelta()) if withdrawn else {}
        if case.state == "fixed" and (withdrawn or case.due == "thanks"):
            values = self._due("close", self._settings.span("close"))
        self._step(connection, case, kind, by, why, hold=said(why), **values)

    def _refused(self, connection: sa.Connection, case: Case, *mailboxes: str) -> str | None:
        boxes = [*mailboxes, *([case.mailbox] if case.mailbox else [])]
        return refusals.refused(connection, self._settings, boxes, case.address)

    def _told(self, connection: sa.Connection, notice_id: int, kind: Kind) -> bool:
        query = sa.select(steps.c.id).where(steps.c.notice_id == notice_id, steps.c.kind == kind)
        return connection.execute(query.limit(1)).first() is not None
