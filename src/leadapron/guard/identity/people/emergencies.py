"""Break-glass: a code in a sealed envelope in the safe, for the night when phone, key or provider fail.

45 CFR 164.312(a)(2)(ii) asks for a way in when lives depend on it. Arming prints a code of 120 bits and says what it
will allow and for how long. Using it needs no account and no factor, only the code, who one is and why; it works once,
for a few hours, and is alarmed at once. Then it has to be armed again, which is how a practice notices that it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people import codes
from leadapron.guard.identity.people.accounts import decoded, encoded
from leadapron.guard.identity.people.model import LONGEST_NAME, LONGEST_TEXT, checked_permissions, shown
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import emergencies
from leadapron.kernel.errors import UsageError

LONGEST_HOURS: Final = 24
LONGEST_DAYS: Final = 400
"""Of an envelope: a year, and some time to notice."""
DAY_S: Final = 86_400
SHORTEST_REASON: Final = 5
NO_CODE: Final = "no such emergency code"


class Broken(Struct, frozen=True, kw_only=True):
    """A glass that was just broken: until when (seconds since 1970) it allows what."""

    id: int
    label: str
    permissions: frozenset[str]
    until: int


class Envelope(Struct, frozen=True, kw_only=True):
    """For the list; times are seconds since 1970. ``state``: ``armed``, ``in use``, ``used``, ``expired`` or
    ``disarmed``."""

    id: int
    label: str
    permissions: frozenset[str]
    hours: int
    armed_by: str
    armed_at: int
    ends_at: int
    state: str
    used_at: int | None
    used_by: str | None
    reason: str | None


class Emergencies:
    def __init__(self, store: Store) -> None:
        self._store = store

    def arm(self, permissions: Iterable[str], by: str, *, label: str, hours: int = 4, days: int = 366) -> str:
        """The code for the envelope, shown this once. It holds for ``days`` and, used, allows for ``hours``. An armed
        one of the same label is void. Raises `UsageError`."""
        allowed = checked_permissions(permissions)
        if not allowed:
            raise UsageError("say what the emergency code may; one that may nothing helps nobody")
        if not 1 <= hours <= LONGEST_HOURS or not 1 <= days <= LONGEST_DAYS:
            raise UsageError(f"an emergency lasts 1 to {LONGEST_HOURS} hours, an envelope 1 to {LONGEST_DAYS} days")
        if not label.strip():
            raise UsageError("name the envelope, so that one can tell which it is")
        code, now, label = codes.code(codes.ENVELOPE_DIGITS), self._store.now(), shown(label.strip())
        with self._store.write() as connection:
            same = emergencies.update().where(emergencies.c.label == label, emergencies.c.used_at.is_(None))
            connection.execute(same.where(emergencies.c.disarmed_at.is_(None)).values(disarmed_at=now))
            connection.execute(
                emergencies.insert().values(
                    hash=self._store.digest("emergency", codes.typed(code)),
                    label=label,
                    permissions=encoded(allowed),
                    duration_s=hours * 3600,
                    armed_by=shown(by),
                    armed_at=now,
                    ends_at=now + days * DAY_S,
                )
            )
        return code

    def exists(self, code: str) -> bool:
        """Whether ``code`` was ever one: so that strangers who try don't take the write lock."""
        hashed = self._store.digest("emergency", codes.typed(code))
        with self._store.read() as connection:
            found = connection.execute(sa.select(emergencies.c.id).where(emergencies.c.hash == hashed)).first()
        return found is not None

    def use(self, connection: sa.Connection, code: str, who: str, reason: str, source: str) -> Broken | str:
        """Break the glass, or why not."""
        who, reason = who.strip(), reason.strip()
        if not who or len(reason) < SHORTEST_REASON:
            return "who and why were not said"
        now = self._store.now()
        hashed = self._store.digest("emergency", codes.typed(code))
        row = connection.execute(sa.select(emergencies).where(emergencies.c.hash == hashed)).first()
        if row is None:
            return NO_CODE
        state = _state(row, now)
        if state != "armed":
            return f"the emergency code is {state}"
        until = now + row.duration_s
        connection.execute(
            emergencies.update()
            .where(emergencies.c.id == row.id)
            .values(
                used_at=now,
                used_by=shown(who, LONGEST_NAME),
                used_from=shown(source),
                reason=shown(reason, LONGEST_TEXT),
                until=until,
            )
        )
        return Broken(id=row.id, label=row.label, permissions=decoded(row.permissions), until=until)

    def disarm(self, number: int) -> Envelope | None:
        """Make an armed code void; which it was, None where it is none that is armed."""
        now = self._store.now()
        with self._store.write() as connection:
            row = connection.execute(sa.select(emergencies).where(emergencies.c.id == number)).first()
            if row is None or _state(row, now) != "armed":
                return None
            connection.execute(emergencies.update().where(emergencies.c.id == number).values(disarmed_at=now))
            return _envelope(row, now)

    def all(self) -> list[Envelope]:
        now = self._store.now()
        with self._store.read() as connection:
            rows = connection.execute(sa.select(emergencies).order_by(emergencies.c.id)).all()
        return [_envelope(row, now) for row in rows]

    def over(self) -> list[Envelope]:
        """Those whose time has ended since this was asked last: each is told once."""
        now = self._store.now()
        ended = (emergencies.c.until <= now, emergencies.c.closed_at.is_(None))
        with self._store.read() as connection:
            if connection.execute(sa.select(emergencies.c.id).where(*ended).limit(1)).first() is None:
                return []
        with self._store.write() as connection:
            rows = connection.execute(sa.select(emergencies).where(*ended)).all()
            connection.execute(emergencies.update().where(*ended).values(closed_at=now))
        return [_envelope(row, now) for row in rows]


def _state(row: sa.Row[tuple[object, ...]], now: int) -> str:
    if row.used_at is not None:
        return "in use" if row.until is not None and now < row.until else "used"
    if row.disarmed_at is not None:
        return "disarmed"
    return "armed" if now < row.ends_at else "expired"


def _envelope(row: sa.Row[tuple[object, ...]], now: int) -> Envelope:
    return Envelope(
        id=row.id,
        label=row.label,
        permissions=decoded(row.permissions),
        hours=row.duration_s // 3600,
        armed_by=row.armed_by,
        armed_at=row.armed_at,
        ends_at=row.ends_at,
        state=_state(row, now),
        used_at=row.used_at,
        used_by=row.used_by,
        reason=row.reason,
    )
