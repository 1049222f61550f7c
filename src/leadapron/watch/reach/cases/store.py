"""Changing cases: what people decide, what mail and scans report, and what follows from it.

Each method is one transaction: the case is locked first (a write that changes nothing, which SQLite and PostgreSQL both
understand as "mine until I am done"), looked at again, changed, and its step added. So two people, a person and the
rules, or two processes that follow up at once never act on a state that is no longer there. A method that is given a
``connection`` does the same inside the caller's transaction: a notice is marked as sent and its case told in one.

When a case changes, notices that were drafted for what it was are withdrawn in the same transaction. Those that a
sender has already taken can't be; it asks `objection` in the transaction in which it takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases import refusals
from leadapron.watch.reach.cases.model import LEVELS, OPEN, Case, Due, Kind, Owner, State, actor, after
from leadapron.watch.reach.cases.reading import Reading
from leadapron.watch.reach.cases.words import said, who
from leadapron.watch.reach.mailbox import Kind as Who
from leadapron.watch.reach.mailbox import canonical, classify, is_mailbox
from leadapron.watch.track.tables import cases, events, exposures, notices, steps

REGULATOR: Final = LEVELS.index("regulator")
_DUE: Final[dict[str, Due]] = {"first": "first", "reminder": "reminder", "escalation": "escalation", "thanks": "thanks"}


class Cases(Reading):
    """The cases of one database, to read and to change.

    ``by``: a person's name, or ``rule``, ``scan``, ``mail``. Methods raise `NotAllowed` where the table has no such
    step, ``UsageError`` for what can't be meant, ``Failure`` where the database fails; then nothing has happened.
    """

    # ---- decisions ---------------------------------------------------------------------------------------------------

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
        made = refusals.insert_once(connection, cases).from_select(columns, found).returning(cases.c.id)
        ids = sorted(connection.execute(made).scalars())
        if ids:
            step = {"at": now, "by": who(by), "kind": "opened", "before": None, "after": "new", "text": ""}
            connection.execute(steps.insert(), [{"case_id": id, **step} for id in ids])
            self._hold_refused(connection, ids)
        return ids

    def confirm(self, id: int, owner: Owner, by: str, *, connection: sa.Connection | None = None) -> Case:
        """A person says who the owner is; the first notice is due at once. Where it was another before, all begins anew
        with this one."""
        owner = _checked(owner)
        with self._within(connection) as inside:
            case = self._lock(inside, id)
            self._withdraw(inside, id, "the owner is another one")
            text = owner.organisation + (f", {owner.mailbox}" if owner.mailbox else ", by letter")
            values: dict[str, Any] = {
                "owner": msgspec.json.encode(owner).decode(),
                "mailbox": canonical(owner.mailbox) if owner.mailbox else None,
                "language": owner.language,
                "level": 0,
                "reminders": 0,
                **self._due("first", timedelta()),
            }
            self._step(inside, case, "confirmed", by, text, **values)
            self._hold_refused(inside, [id])
            return self._get(inside, id)

    def acknowledge(self, id: int, by: str, text: str = "", *, connection: sa.Connection | None = None) -> Case:
        """The owner knows: they said so to a person. Nothing is written for a while (``[cases] answered``)."""
        with self._within(connection) as inside:
            case = self._lock(inside, id)
            self._step(inside, case, "acknowledged", by, text, **self._answered(inside, case))
            return self._get(inside, id)

    def escalate(
        self, id: int, by: str, level: int | None = None, text: str = "", *, connection: sa.Connection | None = None
    ) -> Case:
        """Take the case up: to the network's operator (1), the CERT (2), the regulator (3); None: the next one. The
        notice is due at once. A rule goes only where ``[cases]`` has a rung."""
        with self._within(connection) as inside:
            case = self._lock(inside, id)
            to = case.level + 1 if level is None else level
            if not case.level < to <= REGULATOR:
                raise UsageError(
                    f"case {id} is with the {LEVELS[case.level]}; it can be taken to " + _above(case.level)
                )
            if actor(by) != "person" and not self._settings.may_raise(to):
                raise UsageError(f"only a person may take a case to the {LEVELS[to]}: [cases] has no time for it")
            self._withdraw(inside, id, f"goes to the {LEVELS[to]}")
            due = self._due("escalation", timedelta())
            self._step(inside, case, "escalated", by, f"to the {LEVELS[to]}. {text}", level=to, reminders=0, **due)
            return self._get(inside, id)

    def close(self, id: int, by: str, why: str, *, connection: sa.Connection | None = None) -> Case:
        """Nothing more is done about it. It reopens by itself where it was closed, and then stands open again."""
        if not why.strip():
            raise UsageError("say why the case is closed; its history has to tell")
        with self._within(connection) as inside:
            case = self._lock(inside, id)
            self._withdraw(inside, id, "the case is closed", keep="thanks" if case.state == "fixed" else None)
            self._step(inside, case, "closed", by, why, due=None, due_at=None)
            return self._get(inside, id)

    def hold(self, id: int, why: str, by: str, *, connection: sa.Connection | None = None) -> Case:
        """Nothing is written until somebody releases it; scans are still followed."""
        if not why.strip():
            raise UsageError("say why the case is held; somebody will have to decide whether to release it")
        with self._within(connection) as inside:
            self._hold(inside, self._lock(inside, id), "held", why, by)
            return self._get(inside, id)

    def release(self, id: int, by: str, text: str = "", *, connection: sa.Connection | None = None) -> Case:
        """Rules go on with it. Raises ``UsageError`` where its owner, mailbox or network is not to be written to."""
        with self._within(connection) as inside:
            case = self._lock(inside, id)
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
            self._step(inside, self._lock(inside, id), "note", by, text)

    def set_arms(self, id: int, arms: dict[str, str], *, connection: sa.Connection | None = None) -> None:
        """What was drawn by lot for this case; drawn once, so what is there already stays."""
        with self._within(connection) as inside:
            case = self._lock(inside, id)
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
                case = self._lock(inside, id)
                if (reason := self._refused(inside, case)) is not None and case.hold != reason:
                    self._hold(inside, case, "refused", reason, by)
        return held

    def refused(
        self, owner: Owner | None, address: str | None, *mailboxes: str, connection: sa.Connection | None = None
    ) -> str | None:
        """Why this owner, whoever is behind this address, or one of these mailboxes is not to be written to."""
        boxes = [*mailboxes, *([owner.mailbox] if owner is not None and owner.mailbox else [])]
        with self._within(connection) as inside:
            return refusals.refused(inside, self._settings, boxes, address)

    def objection(self, id: int, purpose: str, *recipients: str, connection: sa.Connection | None = None) -> str | None:
        """Why a notice of that purpose must not go out to them now; None: it may. To be asked when it is drafted, when
        it is approved, and in the transaction in which a sender takes it."""
        with self._within(connection) as inside:
            case = self._get(inside, id)
            if (why := self._refused(inside, case, *recipients)) is not None:
                return why
        if case.hold is not None:
            return f"the case is on hold: {case.hold}"
        if purpose == "thanks":
            return None if case.state in ("fixed", "closed") else "it is not closed any more"
        if case.state in ("fixed", "closed"):
            return f"the case is {case.state}"
        if case.state in ("new", "reopened"):
            return "nobody has confirmed who the owner is"
        return None

    # ---- facts -------------------------------------------------------------------------------------------------------

    def drafted(
        self, id: int, notice_id: int, purpose: str, by: str, *, connection: sa.Connection | None = None
    ) -> None:
        """A notice lies there for a person to approve: the rule has done its part."""
        with self._within(connection) as inside:
            case = self._lock(inside, id)
            if self._told(inside, notice_id, "drafted"):
                return
            if purpose == "thanks":
                due = self._due("close", self._settings.span("close"))
            else:
                due = {"due": None, "due_at": None} if case.state in OPEN else {}
            self._step(inside, case, "drafted", by, purpose, notice_id, **due)

    def notified(self, id: int, notice_id: int, by: str, *, connection: sa.Connection | None = None) -> None:
        """A notice went out. Told twice, it counts once."""
        with self._within(connection) as inside:
            case = self._lock(inside, id)
            if self._told(inside, notice_id, "sent"):
                return
            notice = inside.execute(sa.select(notices).where(notices.c.id == notice_id)).mappings().one()
            purpose, values = str(notice["purpose"]), {}
            if purpose != "thanks" and case.state in OPEN:
                reminders = case.reminders + 1 if purpose == "reminder" else 0
                values = {"reminders": reminders, **self._rung(case.level, reminders, notice["sent_at"])}
            self._step(inside, case, "sent", by, f"{purpose}, to the {LEVELS[notice['level']]}", notice_id, **values)

    def bounced(
        self, id: int, notice_id: int, text: str, by: str = "mail", *, connection: sa.Connection | None = None
    ) -> None:
        """It did not arrive: a person has to find another way. Told twice, it counts once."""
        with self._within(connection) as inside:
            case = self._lock(inside, id)
            if not self._told(inside, notice_id, "bounced"):
                values = {"due": None, "due_at": None} if case.state in OPEN else {}
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
            case = self._lock(inside, id)
            values = self._answered(inside, case) if case.state in OPEN else {}
            self._step(inside, case, "answered", by, text, notice_id, **values)

    def scanned(
        self, id: int, event_id: int, kind: Kind, text: str, *, connection: sa.Connection, **values: Any
    ) -> None:
        """What folding a scan found out; once for each event, in their order."""
        case = self._lock(connection, id)
        if event_id <= case.event_id:
            return
        values["event_id"] = event_id
        to = after(case.state, kind, "scan")
        if to != case.state:
            withdrawn = self._withdraw(connection, id, f"the case is {to}")
            values |= self._proved(connection, case) if to == "fixed" else {"due": None, "due_at": None}
        elif kind == "moved" and (withdrawn := self._withdraw(connection, id, "it stands at another address")):
            values |= self._due(withdrawn[0], timedelta())
        if to == "reopened" and case.state != "reopened":
            values |= {"level": 0, "reminders": 0}
        self._step(connection, case, kind, "scan", text, **values)

    # ---- how ---------------------------------------------------------------------------------------------------------

    def _lock(self, connection: sa.Connection, id: int) -> Case:
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
        connection.execute(cases.update().where(cases.c.id == case.id).values(state=to, changed_at=now, **values))

    def _due(self, due: Due, wait: timedelta) -> dict[str, Any]:
        return {"due": due, "due_at": iso(self._clock.now() + wait)}

    def _rung(self, level: int, reminders: int, sent_at: str | None) -> dict[str, Any]:
        """What is due after a notice that went out at that time."""
        found = self._settings.next_rung(level, reminders)
        if found is None:
            return {"due": None, "due_at": None}
        sent = self._clock.now() if sent_at is None else datetime.fromisoformat(sent_at)
        return {"due": found[0].due, "due_at": iso(sent + found[1])}

    def _answered(self, connection: sa.Connection, case: Case) -> dict[str, Any]:
        """What is due once the owner has answered: the same as before, but not for a while."""
        withdrawn = self._withdraw(connection, case.id, "the owner has answered")
        values = {"due": case.due, "due_at": case.due_at}
        if case.due is None or case.due == "first" or case.state == "reopened":
            values = self._rung(case.level, case.reminders, None)
        if withdrawn and withdrawn[0] != "first":
            values = self._due(withdrawn[0], timedelta())
        if values["due_at"] is not None:
            values["due_at"] = max(values["due_at"], iso(self._clock.now() + self._settings.span("answered")))
        return values

    def _proved(self, connection: sa.Connection, case: Case) -> dict[str, Any]:
        """What is due once it is proved closed: thanks to an owner who was written to, then the end."""
        written = sa.select(notices.c.id).where(
            notices.c.case_id == case.id, notices.c.level == 0, notices.c.state == "sent"
        )
        if self._settings.thanks and case.hold is None and connection.execute(written.limit(1)).first() is not None:
            return self._due("thanks", timedelta())
        return self._due("close", self._settings.span("close"))

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

    def _hold_refused(self, connection: sa.Connection, ids: Iterable[int]) -> None:
        for id in ids:
            case = self._get(connection, id)
            if (why := self._refused(connection, case)) is not None and case.hold != why:
                self._hold(connection, case, "refused", why, "rule")

    def _told(self, connection: sa.Connection, notice_id: int, kind: Kind) -> bool:
        query = sa.select(steps.c.id).where(steps.c.notice_id == notice_id, steps.c.kind == kind)
        return connection.execute(query.limit(1)).first() is not None


def _above(level: int) -> str:
    names = [f"the {name} ({at})" for at, name in enumerate(LEVELS) if at > level]
    return " or ".join(names) or "nobody above"


def _checked(owner: Owner) -> Owner:
    """Raises ``UsageError`` for an owner who can't be written to."""
    organisation = " ".join(owner.organisation.split())
    if not organisation or len(organisation) > 200 or not organisation.isprintable():
        raise UsageError("the owner's organisation should be one line of at most 200 printable characters")
    if owner.mailbox is None and owner.postal is None:
        raise UsageError("an owner needs a mailbox or a postal address; where neither can be found, escalate the case")
    if owner.mailbox is not None and not is_mailbox(owner.mailbox):
        raise UsageError("the owner's mailbox should be a plain one, as it@clinic.example")
    if owner.postal is not None and (len(owner.postal) > 500 or not owner.postal.replace("\n", "").isprintable()):
        raise UsageError("the owner's postal address should be lines of printable characters, 500 at most")
    if owner.person is not None and (len(owner.person) > 200 or not owner.person.isprintable()):
        raise UsageError("the owner's person should be one line of at most 200 printable characters")
    for key, code in (("language", owner.language), ("country", owner.country)):
        if code is not None and not (len(code) == 2 and code.isascii() and code.isalpha()):
            raise UsageError(f"the owner's {key} should be a code of two letters, as de")
    return msgspec.structs.replace(
        owner,
        organisation=organisation,
        language=owner.language.lower() if owner.language else None,
        country=owner.country.upper() if owner.country else None,
    )
