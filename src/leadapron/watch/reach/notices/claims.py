"""Who may send a notice, how far they came, and what became of it: the rows that make sending exactly once or unsure.

A sender takes a notice by a row that only one can change (``approved`` to ``sending``), commits, and talks to the mail
server. Just before the message itself is handed over it commits ``phase = data``. A sender that dies leaves its notice
in ``sending``; whoever comes next looks whether that process still runs. If not, a notice that never came to ``data``
is approved again: nothing of it had left. One that did is ``unsure``. The price is a commit for each notice between
RCPT and DATA, some milliseconds, against writing twice to somebody or never.

A process on another machine can't be looked at. Its claims hold for `ELSEWHERE`, longer than conversations with mail
servers last, and even then only one sender can take the step to ``data``: it asks whether the claim is still its own.
Limits for the hour are counted from the same rows, so they hold over restarts and for all senders together.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, iso
from leadapron.watch.reach.notices.alone import alone
from leadapron.watch.reach.notices.model import Notice
from leadapron.watch.reach.notices.settings import Notices as Settings
from leadapron.watch.reach.notices.store import Notices, notice_of
from leadapron.watch.track.database import failures, name
from leadapron.watch.track.process import still_runs, this_process
from leadapron.watch.track.tables import notices

HOUR: Final = timedelta(hours=1)
ELSEWHERE: Final = timedelta(minutes=30)
FIRST_WAIT: Final = timedelta(minutes=15)
LONGEST_WAIT: Final = timedelta(hours=12)
TRIES: Final = 14  # five days and some, as RFC 5321 §4.5.4.1 asks for before giving up
TAKING: Final = 2
"""Number of the lock, among ours."""

_ours: set[str] = set()  # claims of this very process that are being worked on


class Taken(Struct, frozen=True):
    """A notice that is ours to send. ``before``: Message-IDs of earlier ones to the same reader."""

    notice: Notice
    token: str
    before: tuple[str, ...]


class Claims:
    def __init__(self, engine: sa.Engine, settings: Settings, kept: Notices, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._kept = kept
        self._clock = clock

    def recover(self) -> tuple[int, ...]:
        """Set free what dead senders had taken; gives the notices that are unsure now."""
        unsure = []
        taken = sa.select(notices.c.id, notices.c.claimed_by, notices.c.claimed_at, notices.c.phase).where(
            notices.c.state == "sending"
        )
        with failures(self._engine):
            with self._engine.connect() as connection:
                rows = connection.execute(taken).all()
            for id, token, at, phase in rows:
                if self._alive(token, at):
                    continue
                begun = phase == "data"
                values = (
                    {"state": "unsure", "answer": "the sender ended while it was handed over"}
                    if begun
                    else {"state": "approved", "claimed_by": None, "phase": None}
                )
                mine = sa.and_(notices.c.id == id, notices.c.state == "sending", notices.c.claimed_by == token)
                same = notices.c.phase == phase if begun else notices.c.phase.is_distinct_from("data")
                with self._engine.begin() as connection:
                    done = connection.execute(notices.update().where(mine, same).values(values)).rowcount
                if done and begun:
                    unsure.append(id)
        return tuple(unsure)

    def take(self, *, post: bool = True, not_from: frozenset[str] = frozenset()) -> Taken | int | None:
        """The next notice that is due and within the limits, taken; a number: that one was dropped, ask again; None:
        there is no other. ``post``: the mail server can be used, but ``not_from`` these mailboxes."""
        token = f"{this_process()}|{secrets.token_hex(8)}"
        _ours.add(token)  # before anybody can see it
        taken = None
        try:
            taken = self._take(token, post, not_from)
        finally:
            if not isinstance(taken, Taken):  # also where nobody knows whether it was committed
                _ours.discard(token)
        return taken

    def due(self) -> int:
        """How many are approved and due."""
        with failures(self._engine), self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).where(self._due())).scalar_one())

    def begin(self, taken: Taken) -> bool:
        """The message itself follows now. False: it must not, the claim is another's or somebody objects."""
        with failures(self._engine), self._engine.begin() as connection:
            self._kept.cases.lock(taken.notice.case_id, connection)
            dropped = self._dropped(connection, taken.notice, taken.token)
            begun = not dropped and self._update(connection, taken, {"phase": "data"}, "sending")
        if not begun:
            self.leave(taken)
        return begun

    def sent(self, taken: Taken, answer: str) -> None:
        """It was accepted. Also where others had given this sender up and the notice was unsure: now it is known."""
        values = {"state": "sent", "sent_at": iso(self._clock.now()), "answer": answer}
        with failures(self._engine), self._engine.begin() as connection:
            self._kept.cases.lock(taken.notice.case_id, connection)
            if self._update(connection, taken, values, "sending", "unsure"):
                by = taken.notice.approved_by or taken.notice.created_by
                self._kept.cases.notified(taken.notice.case_id, taken.notice.id, by, connection=connection)
        self.leave(taken)

    def failed(self, taken: Taken, answer: str) -> None:
        """It was refused for good: the case needs another way."""
        with failures(self._engine), self._engine.begin() as connection:
            self._kept.cases.lock(taken.notice.case_id, connection)
            if self._update(connection, taken, {"state": "failed", "answer": answer}, "sending", "unsure"):
                self._kept.cases.bounced(taken.notice.case_id, taken.notice.id, answer, connection=connection)
        self.leave(taken)

    def later(self, taken: Taken, answer: str) -> bool:
        """It was put off: again after a while, each time a longer one. False: that was the last try."""
        tries = taken.notice.tries + 1
        if tries >= TRIES:
            self.failed(taken, f"{answer}, {tries} times")
            return False
        wait = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
        values = {"state": "approved", "phase": None, "answer": answer, "not_before": iso(self._clock.now() + wait)}
        self._set(taken, values, "sending", "unsure")
        return True

    def unsure(self, taken: Taken, answer: str) -> None:
        """Nobody can know whether it was accepted."""
        self._set(taken, {"state": "unsure", "answer": answer}, "sending")

    def release(self, taken: Taken) -> None:
        """Nothing of it was handed over, and not for a reason of its own."""
        values = {"state": "approved", "phase": None, "claimed_by": None, "claimed_at": None}
        self._set(taken, {**values, "tries": taken.notice.tries}, "sending")

    def leave(self, taken: Taken) -> None:
        """This process works on it no more."""
        _ours.discard(taken.token)

    def _take(self, token: str, post: bool, not_from: frozenset[str]) -> Taken | int | None:
        now = self._clock.now()
        with failures(self._engine), self._engine.begin() as connection:
            alone(connection, TAKING)
            lately = sa.and_(notices.c.channel == "email", notices.c.claimed_at > iso(now - HOUR))
            counts = sa.select(notices.c.domain, sa.func.count()).where(lately).group_by(notices.c.domain)
            went = {domain: int(number) for domain, number in connection.execute(counts)}
            full = [domain for domain, number in went.items() if number >= self._settings.per_domain]
            query = sa.select(notices).where(self._due())
            by_mail = sa.and_(notices.c.domain.not_in(full), notices.c.sender.not_in(sorted(not_from)))
            if not post or sum(went.values()) >= self._settings.per_hour:
                by_mail = sa.false()
            query = query.where(sa.or_(by_mail, notices.c.channel == "feed"))
            row = connection.execute(query.order_by(notices.c.approved_at, notices.c.id).limit(1)).mappings().first()
            if row is None:
                return None
            notice = notice_of(row, name(self._engine))
            if self._dropped(connection, notice):
                return notice.id
            values = {
                "state": "sending",
                "claimed_at": iso(now),
                "claimed_by": token,
                "phase": "claimed",
                "tries": notices.c.tries + 1,
            }
            mine = notices.update().where(notices.c.id == notice.id, notices.c.state == "approved")
            if not connection.execute(mine.values(values)).rowcount:
                return notice.id  # a person took the approval back just now
            before = list(connection.execute(_earlier(notice)).scalars())
        return Taken(notice, token, tuple(before))

    def _set(self, taken: Taken, values: dict[str, Any], *states: str) -> None:
        with failures(self._engine), self._engine.begin() as connection:
            self._update(connection, taken, values, *states)
        self.leave(taken)

    def _update(self, connection: sa.Connection, taken: Taken, values: dict[str, Any], *states: str) -> bool:
        mine = (notices.c.id == taken.notice.id, notices.c.claimed_by == taken.token, notices.c.state.in_(states))
        return bool(connection.execute(notices.update().where(*mine).values(values)).rowcount)

    def _due(self) -> sa.ColumnElement[bool]:
        now = iso(self._clock.now())
        return sa.and_(
            notices.c.state == "approved",
            notices.c.channel.in_(("email", "feed")),
            sa.or_(notices.c.not_before.is_(None), notices.c.not_before <= now),
        )

    def _dropped(self, connection: sa.Connection, notice: Notice, token: str | None = None) -> bool:
        """Drop it where somebody objects: refused, held, or closed since it was approved."""
        to = [notice.recipient] if notice.channel == "email" else []
        why = self._kept.cases.objection(notice.case_id, notice.purpose, *to, connection=connection)
        if why is None:
            return False
        still = notices.c.state == "approved"
        if token is not None:
            still = sa.and_(notices.c.state == "sending", notices.c.claimed_by == token)
        dropped = notices.update().where(notices.c.id == notice.id, still)
        connection.execute(dropped.values(state="dropped", answer=why, phase=None))
        return True

    def _alive(self, token: str | None, at: str | None) -> bool:
        """Whether whoever took it may still be at it."""
        if not token:
            return False
        process = token.partition("|")[0]
        if process == this_process():
            return token in _ours
        if still_runs(process) is not None:
            return True
        here = process.partition(" ")[0] == this_process().partition(" ")[0]
        return not here and at is not None and at > iso(self._clock.now() - ELSEWHERE)


def _earlier(notice: Notice) -> sa.Select[Any]:
    """What we wrote to the same reader in the same case."""
    return (
        sa.select(notices.c.message_id)
        .where(notices.c.case_id == notice.case_id, notices.c.recipient == notice.recipient)
        .where(notices.c.id != notice.id, notices.c.state == "sent", notices.c.message_id.is_not(None))
        .order_by(notices.c.sent_at, notices.c.id)
        .limit(10)
    )
