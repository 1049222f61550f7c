"""From incoming mail to what cases know: each message once, and of it the fact alone.

The fact, the notice's state and the case's step are one transaction with the row that says the message was read, so a
reader that is killed neither loses nor repeats one. A bounce or an answer also decides a notice that was unsure: it had
gone out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import sqlalchemy as sa

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.reach.cases.refusals import insert_once
from leadapron.watch.reach.cases.settings import Rules
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.mailbox import canonical, domain_of
from leadapron.watch.reach.notices.alone import alone
from leadapron.watch.reach.notices.incoming.boxes import messages
from leadapron.watch.reach.notices.incoming.facts import Kind, Mail, identity, understood
from leadapron.watch.reach.notices.model import Read
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.track.database import failures
from leadapron.watch.track.tables import cases, mails, notices

BY: Final = "mail"
READING: Final = 3
"""Number of the lock, among ours."""
_COUNTED: Final[dict[Kind | Literal["doubt"], str]] = {
    "bounce": "bounces",
    "refusal": "refusals",
    "doubt": "doubts",
    "answer": "answers",
    "other": "others",
}
_DOUBTED: Final = "a mail that names no notice of ours opted out in the owner's name: refuse their mailbox, or release"
_ANOTHER: Final = "it came from another mailbox than ours went to; if that one is theirs: leadapron cases refuse"
_WENT: Final = sa.or_(notices.c.tries > 0, notices.c.state == "sent")  # a letter is posted without a try of ours


def read_mail(
    engine: sa.Engine,
    settings: Settings,
    clock: Clock | None = None,
    *,
    place: Path | None = None,
    rules: Rules | None = None,
) -> Read:
    """Read what is new in ``[notices] maildir``, or in ``place``. Raises ``UsageError`` where there is no mailbox."""
    chosen = place if place is not None else Path(settings.maildir).expanduser() if settings.maildir else None
    if chosen is None:
        raise UsageError("[notices] maildir is missing: name the Maildir, or mbox file, where answers arrive")
    return _Reader(engine, settings, clock or SystemClock(), rules).all(chosen)


class _Reader:
    def __init__(self, engine: sa.Engine, settings: Settings, clock: Clock, rules: Rules | None) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._cases = Cases(engine, rules, clock)

    def all(self, place: Path) -> Read:
        counts = dict.fromkeys([*_COUNTED.values(), "unread"], 0)
        with failures(self._engine):
            with self._engine.connect() as connection:
                known = set(connection.execute(sa.select(mails.c.digest)).scalars())
            for octets in messages(place):
                digest = identity(octets)
                if digest in known:
                    continue
                known.add(digest)
                mail = understood(octets, self._settings.opt_out)
                kind = self._one(mail or Mail(digest, "other"))
                if kind is not None:
                    counts[_COUNTED[kind] if mail is not None else "unread"] += 1
        return Read(**counts)

    def _one(self, mail: Mail) -> Kind | Literal["doubt"] | None:
        """Take in one message; what it was, None where it was read before."""
        with self._engine.begin() as connection:
            alone(connection, READING)
            found = self._found(connection, mail)
            kind = mail.kind if found is not None or mail.kind in ("refusal", "other") else "other"
            row = {
                "digest": mail.digest,
                "at": iso(self._clock.now()),
                "fact": kind,
                "notice_id": None if found is None else found["id"],
            }
            made = connection.execute(insert_once(connection, mails).values(row).returning(mails.c.digest))
            if made.first() is None:
                return None  # another reader was faster
            if kind == "refusal":
                return kind if self._refusal(connection, mail, found) else "doubt"
            elif found is not None and kind == "bounce":
                self._bounce(connection, mail, found)
            elif found is not None and kind == "answer":
                self._went(connection, found)
                text = f"an answer to notice {found['id']} arrived"
                self._cases.answered(found["case_id"], text, BY, notice_id=found["id"], connection=connection)
        return kind

    def _found(self, connection: sa.Connection, mail: Mail) -> sa.RowMapping | None:
        """The newest of our notices that it names. Its case is locked before it is looked at."""
        named: list[sa.ColumnElement[bool]] = [notices.c.message_id.in_(mail.ours)] if mail.ours else []
        for case_id, code in mail.marks:
            ours = notices.c.message_id.like(f"<leadapron.%.{code}%")  # hexadecimal digits, see `facts`
            named.append(sa.and_(notices.c.case_id == case_id, ours))
        if not named:
            return None
        query = sa.select(notices).where(sa.or_(*named), _WENT).order_by(notices.c.id.desc())
        row = connection.execute(query.limit(1)).mappings().first()
        if row is not None:
            self._cases.lock(row["case_id"], connection)
            row = connection.execute(sa.select(notices).where(notices.c.id == row["id"])).mappings().one()
        return row

    def _bounce(self, connection: sa.Connection, mail: Mail, row: sa.RowMapping) -> None:
        said = f"came back{f' with {mail.status}' if mail.status else ''}"
        went = notices.update().where(notices.c.id == row["id"], notices.c.state.in_(("sent", "unsure", "sending")))
        if connection.execute(went.values(state="bounced", answer=said)).rowcount:
            text = f"notice {row['id']} {said}"
            self._cases.bounced(row["case_id"], row["id"], text, BY, connection=connection)

    def _refusal(self, connection: sa.Connection, mail: Mail, row: sa.RowMapping | None) -> bool:
        """Somebody wants no more of it; whether that is kept for good.

        A sender's name is easily forged, and an owner who is shut out never learns of an open server. So what names no
        notice by its code is for a person to decide; until then nothing is written. Who names one has it: its reader is
        never written to again. So is whoever wrote from another mailbox of that domain, as long as that one is not the
        owner's of another case.
        """
        assert mail.sender is not None
        sender = canonical(mail.sender)
        if row is None:
            for id in self._perhaps_meant(connection, mail, sender):
                self._cases.doubted(id, _DOUBTED, BY, connection=connection)
            return False
        case_id, why = row["case_id"], "opted out by e-mail"
        owner, address = self._cases.whom(case_id, connection=connection)
        if row["channel"] == "email":
            boxes = {canonical(row["recipient"])}
        else:  # a letter; nothing to know it by but its server and, where there is one, the mailbox
            boxes = {owner} if owner is not None else set()
            self._cases.refuse("network", address, BY, why, connection=connection)
        theirs = {domain_of(box) for box in boxes}
        another = sa.select(cases.c.id).where(cases.c.mailbox == sender, cases.c.id != case_id)
        if domain_of(sender) in theirs and connection.execute(another.limit(1)).first() is None:
            boxes.add(sender)
        for box in sorted(boxes):
            self._cases.refuse("mailbox", box, BY, why, connection=connection)
        if sender not in boxes:
            self._cases.note(case_id, _ANOTHER, BY, connection=connection)
        self._went(connection, row)
        return True

    def _perhaps_meant(self, connection: sa.Connection, mail: Mail, sender: str) -> list[int]:
        """The cases of whoever it says it is from, and one that it names to whose domain we wrote."""
        named = sa.select(notices.c.case_id).where(
            notices.c.case_id.in_([*mail.cases, *(number for number, _ in mail.marks)]),
            notices.c.domain == domain_of(sender),
            _WENT,
        )
        wanted = sa.or_(cases.c.mailbox == sender, cases.c.id.in_(named))
        return list(connection.execute(sa.select(cases.c.id).where(wanted).order_by(cases.c.id)).scalars())

    def _went(self, connection: sa.Connection, row: sa.RowMapping) -> None:
        """Somebody has it, so it went out."""
        values = {"state": "sent", "sent_at": row["claimed_at"], "answer": "somebody answered"}
        unsure = notices.update().where(notices.c.id == row["id"], notices.c.state == "unsure")
        if connection.execute(unsure.values(values)).rowcount:
            self._cases.notified(row["case_id"], row["id"], BY, connection=connection)
