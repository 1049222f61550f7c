"""People as they stand in the database, and what changes them.

Whatever takes something from a person (a new password, disabling, another factor) ends the person's sessions and makes
the device cookies void in the same transaction: there is no moment in which the old ones still hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy import exc

from leadapron.guard.identity.people.model import checked_name, checked_permissions, name_key, shown
from leadapron.guard.identity.people.network import Network
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import factors, people, places, recovery, sessions
from leadapron.kernel.errors import Failure, UsageError

PLACE_LASTS_S: Final = 90 * 86_400
MOST_PLACES: Final = 32
_LONGEST_CLAIM: Final = 255

_permissions = msgspec.json.Decoder(frozenset[str])


class Account(Struct, frozen=True, kw_only=True):
    """A row. ``id`` is random and internal; times are seconds since 1970; ``generation`` counts the device cookies'."""

    id: str
    name: str
    permissions: frozenset[str]
    created_at: int
    created_by: str
    disabled_at: int | None
    generation: int
    oidc: str | None
    used_at: int | None
    has_password: bool
    factors: tuple[str, ...] = ()
    recovery_codes: int = 0


class Accounts:
    def __init__(self, store: Store) -> None:
        self._store = store

    # ---- reading ---------------------------------------------------------------------------------------------------

    def none(self, connection: sa.Connection) -> bool:
        return connection.execute(sa.select(people.c.id).limit(1)).first() is None

    def find(self, connection: sa.Connection, name: str) -> Account | None:
        return self._one(connection, people.c.key == name_key(name))

    def find_oidc(self, connection: sa.Connection, claim: str) -> Account | None:
        return self._one(connection, people.c.oidc == claim)

    def by_id(self, connection: sa.Connection, person: str) -> Account | None:
        return self._one(connection, people.c.id == person)

    def need(self, connection: sa.Connection, name: str) -> Account:
        """The account of that name. Raises `UsageError` for one that is not there."""
        found = self.find(connection, name)
        if found is None:
            raise UsageError(f"nobody is called {shown(name)}; 'leadapron user list' shows who there is")
        return found

    def all(self) -> list[Account]:
        with self._store.read() as connection:
            rows = connection.execute(sa.select(people).order_by(people.c.key)).all()
            kinds: dict[str, list[str]] = {}
            for person, kind in connection.execute(sa.select(factors.c.person, factors.c.kind).order_by(factors.c.id)):
                kinds.setdefault(person, []).append(kind)
            unused = sa.select(recovery.c.person, sa.func.count()).where(recovery.c.used_at.is_(None))
            left = {person: count for person, count in connection.execute(unused.group_by(recovery.c.person))}
        return [_account(row, tuple(kinds.get(row.id, ())), left.get(row.id, 0)) for row in rows]

    def password(self, connection: sa.Connection, person: str) -> str | None:
        """The argon2id string, opened."""
        sealed = connection.execute(sa.select(people.c.password).where(people.c.id == person)).scalar()
        return None if sealed is None else self._store.sealer.open(sealed, _context(person)).decode()

    def known_place(self, connection: sa.Connection, person: str, network: Network) -> bool:
        query = sa.select(places.c.used_at).where(places.c.person == person, places.c.network == network.narrow)
        used = connection.execute(query).scalar()
        return used is not None and self._store.now() - used <= PLACE_LASTS_S

    def _one(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Account | None:
        row = connection.execute(sa.select(people).where(condition)).first()
        return None if row is None else _account(row)

    # ---- changing --------------------------------------------------------------------------------------------------

    def add(
        self,
        connection: sa.Connection,
        person: str,
        name: str,
        permissions: Iterable[str],
        by: str,
        *,
        hashed: str | None = None,
        oidc: str | None = None,
    ) -> str:
        """A new person under the random ``person``; the name as it is kept. Raises `UsageError`."""
        name = checked_name(name)
        if oidc is not None and not 1 <= len(oidc) <= _LONGEST_CLAIM:
            raise UsageError(f"the claim that names a person has 1 to {_LONGEST_CLAIM} characters")
        try:
            connection.execute(
                people.insert().values(
                    id=person,
                    name=name,
                    key=name_key(name),
                    password=None if hashed is None else self._seal(person, hashed),
                    permissions=_encoded(permissions),
                    created_at=self._store.now(),
                    created_by=shown(by),
                    generation=0,
                    oidc=oidc,
                )
            )
        except exc.IntegrityError:
            raise UsageError(f"there is somebody called {name} already, or with that claim") from None
        return name

    def set_password(self, connection: sa.Connection, person: str, hashed: str) -> None:
        connection.execute(people.update().where(people.c.id == person).values(password=self._seal(person, hashed)))
        self.shake_off(connection, person)

    def rehash(self, person: str, old: str, hashed: str) -> None:
        """The same password under newer parameters; nothing if it was changed meanwhile."""
        with self._store.write() as connection:
            if self.password(connection, person) == old:
                connection.execute(
                    people.update().where(people.c.id == person).values(password=self._seal(person, hashed))
                )

    def set_permissions(self, connection: sa.Connection, person: str, permissions: Iterable[str]) -> None:
        connection.execute(people.update().where(people.c.id == person).values(permissions=_encoded(permissions)))

    def set_disabled(self, connection: sa.Connection, person: str, disabled: bool) -> None:
        when = self._store.now() if disabled else None
        connection.execute(people.update().where(people.c.id == person).values(disabled_at=when))
        self.shake_off(connection, person)

    def shake_off(self, connection: sa.Connection, person: str) -> None:
        """End all sessions; forget devices and places."""
        connection.execute(sessions.delete().where(sessions.c.person == person))
        connection.execute(places.delete().where(places.c.person == person))
        connection.execute(people.update().where(people.c.id == person).values(generation=people.c.generation + 1))

    def was_here(self, connection: sa.Connection, person: str, network: Network) -> None:
        """Note a login: when, and from which network."""
        now = self._store.now()
        connection.execute(people.update().where(people.c.id == person).values(used_at=now))
        here = (places.c.person == person, places.c.network == network.narrow)
        if connection.execute(places.update().where(*here).values(used_at=now)).rowcount == 0:
            connection.execute(places.insert().values(person=person, network=network.narrow, used_at=now))
            newest = sa.select(places.c.network).where(places.c.person == person)
            newest = newest.order_by(places.c.used_at.desc()).limit(MOST_PLACES)
            connection.execute(places.delete().where(places.c.person == person, places.c.network.not_in(newest)))

    def _seal(self, person: str, hashed: str) -> bytes:
        return self._store.sealer.seal(hashed.encode(), _context(person))


def decoded(permissions: str) -> frozenset[str]:
    """What stands in a column of permissions."""
    try:
        return _permissions.decode(permissions)
    except msgspec.MsgspecError:
        raise Failure("the list of people holds permissions that cannot be read: restore it from a backup") from None


def _encoded(permissions: Iterable[str]) -> str:
    return encoded(checked_permissions(permissions))


def encoded(permissions: frozenset[str]) -> str:
    return msgspec.json.encode(sorted(permissions)).decode()


def _context(person: str) -> bytes:
    return f"password/{person}".encode()


def _account(row: sa.Row[tuple[object, ...]], kinds: tuple[str, ...] = (), codes: int = 0) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        permissions=decoded(row.permissions),
        created_at=row.created_at,
        created_by=row.created_by,
        disabled_at=row.disabled_at,
        generation=row.generation,
        oidc=row.oidc,
        used_at=row.used_at,
        has_password=row.password is not None,
        factors=kinds,
        recovery_codes=codes,
    )
