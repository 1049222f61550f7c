"""API tokens: for programs of a person, which can show no second factor.

A token may what was written on it *and* its owner may at that moment: who loses a permission loses it in every token,
who is disabled has none. Each ends; there is no token for ever. It is shown once and kept as a keyed hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people import codes
from leadapron.guard.identity.people.accounts import Account, decoded, encoded
from leadapron.guard.identity.people.model import TokenIdentity, checked_permissions, shown
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import people, tokens
from leadapron.kernel.errors import UsageError

LONGEST_DAYS: Final = 366
DAY_S: Final = 86_400
_GRAIN_S: Final = 60
MOST_TOKENS: Final = 100
"""Of one person, that hold."""


class NoToken(Struct, frozen=True):
    """Why a token opens nothing. ``owner``: whose it is, empty for one that is none of ours."""

    reason: str
    owner: str = ""


class TokenRow(Struct, frozen=True, kw_only=True):
    """For the list; times are seconds since 1970. ``state``: ``holds``, ``expired``, ``revoked``
    or ``owner disabled``."""

    id: int
    owner: str
    label: str
    permissions: frozenset[str]
    created_at: int
    ends_at: int
    used_at: int | None
    used_from: str | None
    state: str


_JOINED = sa.select(
    tokens, people.c.name, people.c.disabled_at, people.c.permissions.label("owner_permissions")
).join_from(tokens, people)
_BY_HASH = _JOINED.where(tokens.c.hash == sa.bindparam("hash"))


class Tokens:
    def __init__(self, store: Store) -> None:
        self._store = store

    def make(
        self, connection: sa.Connection, account: Account, permissions: Iterable[str], days: int, label: str = ""
    ) -> tuple[str, int]:
        """A new token, shown this once, and its number. Raises `UsageError` for permissions that the owner lacks, and
        for a time that is none or too long."""
        asked = checked_permissions(permissions)
        if not asked:
            raise UsageError("say what the token may; one that may nothing is of no use")
        if not 1 <= days <= LONGEST_DAYS:
            raise UsageError(f"a token holds from 1 to {LONGEST_DAYS} days")
        if beyond := sorted(asked - account.permissions):
            raise UsageError(f"{account.name} may not {', '.join(beyond)}, so no token of theirs may")
        token, now = codes.api_token(), self._store.now()
        holding = (
            sa.select(sa.func.count())
            .select_from(tokens)
            .where(tokens.c.person == account.id, tokens.c.ends_at > now, tokens.c.revoked_at.is_(None))
        )
        if connection.execute(holding).scalar_one() >= MOST_TOKENS:
            raise UsageError(f"{account.name} has {MOST_TOKENS} tokens; revoke those that are not used")
        made = connection.execute(
            tokens.insert().values(
                hash=self._store.digest("token", token),
                person=account.id,
                label=shown(label.strip()),
                permissions=encoded(asked),
                created_at=now,
                ends_at=now + days * DAY_S,
            )
        )
        (number,) = made.inserted_primary_key or (0,)
        return token, number

    def look(self, secret: str, source: str) -> TokenIdentity | NoToken:
        """What ``secret`` opens; its use is noted."""
        if not codes.is_api_token(secret):
            return NoToken("it is no token")
        with self._store.read() as connection:
            row = connection.execute(_BY_HASH, {"hash": self._store.digest("token", secret)}).first()
        if row is None:
            return NoToken("no such token")
        now = self._store.now()
        state = _state(row, now)
        if state != "holds":
            return NoToken(state, row.name)
        place = shown(source)
        if row.used_at is None or now - row.used_at >= _GRAIN_S or row.used_from != place:
            with self._store.note() as connection:
                connection.execute(tokens.update().where(tokens.c.id == row.id).values(used_at=now, used_from=place))
        return TokenIdentity(
            owner=row.name,
            token=row.id,
            label=row.label,
            permissions=decoded(row.permissions) & decoded(row.owner_permissions),
            ends_at=datetime.fromtimestamp(row.ends_at, UTC),
        )

    def revoke(self, connection: sa.Connection, number: int, person: str | None = None) -> TokenRow | None:
        """Revoke by number; which it was, None where it is none that holds, or not this person's."""
        now = self._store.now()
        row = connection.execute(_JOINED.where(tokens.c.id == number)).first()
        if row is None or row.revoked_at is not None or person not in (None, row.person):
            return None
        connection.execute(tokens.update().where(tokens.c.id == number).values(revoked_at=now))
        return _row(row, now)

    def all(self, person: str | None = None) -> list[TokenRow]:
        """Of one person, or of everybody."""
        now, asked = self._store.now(), _JOINED.order_by(tokens.c.id)
        if person is not None:
            asked = asked.where(tokens.c.person == person)
        with self._store.read() as connection:
            return [_row(row, now) for row in connection.execute(asked)]


def _state(row: sa.Row[tuple[object, ...]], now: int) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if now >= row.ends_at:
        return "expired"
    return "holds" if row.disabled_at is None else "owner disabled"


def _row(row: sa.Row[tuple[object, ...]], now: int) -> TokenRow:
    return TokenRow(
        id=row.id,
        owner=row.name,
        label=row.label,
        permissions=decoded(row.permissions),
        created_at=row.created_at,
        ends_at=row.ends_at,
        used_at=row.used_at,
        used_from=row.used_from,
        state=_state(row, now),
    )
