"""Sessions: made by a login, ended by time, by the person, by whoever changes the account.

The token is 256 random bits in a cookie; here is only its keyed hash. A session ends when nothing was done for
``idle_s`` and, whatever is done, after ``absolute_s``. When it was last used is noted at most once in a fifteenth of
the idle time, so a session may end up to that much early, never late; a request costs one read of a few rows.

A session under break-glass has no idle end: its code is spent, and it is short anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people import codes
from leadapron.guard.identity.people.accounts import decoded
from leadapron.guard.identity.people.model import Person, shown
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import emergencies, people, sessions

IDLE_S: Final = 15 * 60
ABSOLUTE_S: Final = 10 * 3600
MOST_SESSIONS: Final = 20
"""Of one person; the oldest ends when there are more."""
EMERGENCY_PREFIX: Final = "emergency:"
_LONGEST_TOKEN: Final = 128


class Ended(Struct, frozen=True):
    """Why a token opens nothing. ``person``: whose it was, empty for one that is none of ours."""

    reason: str
    person: str = ""


class SessionRow(Struct, frozen=True, kw_only=True):
    """For the list of sessions; times are seconds since 1970."""

    id: int
    person: str
    how: str
    source: str
    created_at: int
    seen_at: int
    ends_at: int


_JOINED = sa.select(
    sessions,
    people.c.name,
    people.c.disabled_at,
    people.c.permissions,
    emergencies.c.permissions.label("emergency_permissions"),
    emergencies.c.used_by,
    emergencies.c.reason,
).select_from(
    sessions.outerjoin(people, people.c.id == sessions.c.person).outerjoin(
        emergencies, emergencies.c.id == sessions.c.emergency
    )
)
_BY_HASH = _JOINED.where(sessions.c.hash == sa.bindparam("hash"))


class Sessions:
    def __init__(self, store: Store, idle_s: int, absolute_s: int) -> None:
        self._store = store
        self._idle, self._absolute = idle_s, absolute_s
        self._grain = max(1, min(60, idle_s // 15))

    def open(
        self,
        connection: sa.Connection,
        how: str,
        source: str,
        *,
        person: str | None = None,
        emergency: int | None = None,
        until: int | None = None,
    ) -> tuple[str, int]:
        """The token, which is nowhere else, and the session's number."""
        token, now = codes.session_token(), self._store.now()
        made = connection.execute(
            sessions.insert().values(
                hash=self._store.digest("session", token),
                person=person,
                emergency=emergency,
                how=how,
                source=shown(source),
                created_at=now,
                seen_at=now,
                ends_at=now + self._absolute if until is None else until,
            )
        )
        if person is not None:
            newest = sa.select(sessions.c.id).where(sessions.c.person == person)
            newest = newest.order_by(sessions.c.id.desc()).limit(MOST_SESSIONS)
            connection.execute(sessions.delete().where(sessions.c.person == person, sessions.c.id.not_in(newest)))
        (number,) = made.inserted_primary_key or (0,)
        return token, number

    def look(self, token: str) -> Person | Ended:
        """Whose session ``token`` opens; its use is noted."""
        if not 0 < len(token) <= _LONGEST_TOKEN:
            return Ended("no such session")
        with self._store.read() as connection:
            row = connection.execute(_BY_HASH, {"hash": self._store.digest("session", token)}).first()
        if row is None:
            return Ended("no such session")
        now, who = self._store.now(), _who(row)
        if reason := self._over(row, now):
            return Ended(reason, who) if self._delete(row.id) else Ended("no such session")
        if now - row.seen_at >= self._grain:
            with self._store.note() as connection:
                connection.execute(sessions.update().where(sessions.c.id == row.id).values(seen_at=now))
        permissions = row.permissions if row.emergency is None else row.emergency_permissions
        return Person(
            name=who,
            permissions=decoded(permissions),
            how=row.how,
            session=row.id,
            emergency=None if row.emergency is None else row.reason,
        )

    def close(self, token: str) -> str | None:
        """End the session of a token; whose it was."""
        with self._store.write() as connection:
            hashed = self._store.digest("session", token[: _LONGEST_TOKEN + 1])
            row = connection.execute(_BY_HASH, {"hash": hashed}).first()
            if row is None:
                return None
            connection.execute(sessions.delete().where(sessions.c.id == row.id))
            return _who(row)

    def ends_at(self, connection: sa.Connection, number: int) -> int | None:
        """When a session ends at the latest."""
        return connection.execute(sa.select(sessions.c.ends_at).where(sessions.c.id == number)).scalar()

    def end(self, connection: sa.Connection, person: str, number: int) -> bool:
        """End one of a person's own. False where it is none of theirs."""
        own = (sessions.c.person == person, sessions.c.id == number)
        return connection.execute(sessions.delete().where(*own)).rowcount == 1

    def end_others(self, connection: sa.Connection, person: str, kept: int) -> int:
        """End all of a person's but one; how many they were."""
        others = (sessions.c.person == person, sessions.c.id != kept)
        return connection.execute(sessions.delete().where(*others)).rowcount

    def revoke(self, number: int) -> str | None:
        """End a session by its number; whose it was."""
        with self._store.write() as connection:
            row = connection.execute(_JOINED.where(sessions.c.id == number)).first()
            connection.execute(sessions.delete().where(sessions.c.id == number))
            return None if row is None else _who(row)

    def all(self, person: str | None = None) -> list[SessionRow]:
        """Those that still hold; of one person, or of everybody."""
        now, asked = self._store.now(), _JOINED.order_by(sessions.c.id)
        if person is not None:
            asked = asked.where(sessions.c.person == person)
        with self._store.read() as connection:
            rows = connection.execute(asked).all()
        return [
            SessionRow(
                id=row.id,
                person=_who(row),
                how=row.how,
                source=row.source,
                created_at=row.created_at,
                seen_at=row.seen_at,
                ends_at=row.ends_at,
            )
            for row in rows
            if not self._over(row, now)
        ]

    def sweep(self) -> Iterable[Ended]:
        """Take away those that are over; which they were."""
        now = self._store.now()
        with self._store.read() as connection:
            rows = connection.execute(_JOINED).all()
        return [Ended(reason, _who(row)) for row in rows if (reason := self._over(row, now)) and self._delete(row.id)]

    def _delete(self, number: int) -> bool:
        """Whether it was us who did it: the end of a session is told once."""
        with self._store.write() as connection:
            return connection.execute(sessions.delete().where(sessions.c.id == number)).rowcount == 1

    def _over(self, row: sa.Row[tuple[object, ...]], now: int) -> str:
        """Why a session has ended, empty while it holds."""
        if now >= row.ends_at:
            return "its time is over"
        if row.emergency is None and now - row.seen_at >= self._idle:
            return "nothing was done for too long"
        if row.disabled_at is not None:
            return "the person was disabled"
        return ""


def _who(row: sa.Row[tuple[object, ...]]) -> str:
    return str(row.name) if row.emergency is None else EMERGENCY_PREFIX + str(row.used_by)
