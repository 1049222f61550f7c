"""One-time codes with which a person gets in for the first time, or gets another factor.

A fresh install has nobody. ``init`` makes a set-up secret, and with that the first person is made, in a browser or at
the console; it works once, for a day, and only as long as there is nobody. Later ones are invited: the code lets them
choose their own password and factor, so that nobody else knows either.

Enrolling has two steps. The first shows code, name and password and gets a *ticket*: a sealed record of what is going
to be, kept by the browser and not here. The second shows that the factor works. Only then, in one transaction, the
code is used up and the person has password, factor and recovery codes: there is no half-made account.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people import codes
from leadapron.guard.identity.people.accounts import Accounts, decoded, encoded
from leadapron.guard.identity.people.model import Quiet, checked_name, checked_permissions, shown
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import invitations
from leadapron.kernel.errors import UsageError
from leadapron.kernel.seal import Unsealable

SETUP_LASTS_S: Final = 24 * 3600
INVITATION_LASTS_S: Final = 7 * 24 * 3600
TICKET_LASTS_S: Final = 15 * 60
_TICKET: Final = b"ticket"
_LONGEST_TICKET: Final = 8192

Kind = Literal["setup", "join", "factor"]


class Invitation(Struct, frozen=True, kw_only=True):
    """An open one. ``person``: id of who is invited, None for the first; ``name``: theirs, empty for the first."""

    id: int
    kind: Kind
    person: str | None
    name: str
    permissions: frozenset[str]
    created_by: str
    ends_at: int


class Ticket(Quiet, frozen=True, kw_only=True):
    """What is going to be. ``hashed``: the password's, None where it stays; ``person``: id, also of one to be made."""

    invitation: int
    kind: Kind
    person: str
    name: str
    hashed: str | None
    secret: str
    ends_at: int


_decoder = msgspec.json.Decoder(Ticket)


class Invitations:
    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    def setup(self, permissions: Iterable[str], by: str, lasts_s: int = SETUP_LASTS_S) -> str:
        """The set-up secret; earlier ones are void. Raises `UsageError` once there is somebody."""
        with self._store.write() as connection:
            if not self._accounts.none(connection):
                raise UsageError("there are people already; invite others with 'leadapron user add NAME --invite'")
            self._cancel(connection, invitations.c.kind == "setup")
            return self._make(connection, "setup", None, checked_permissions(permissions), by, lasts_s)

    def invite(self, connection: sa.Connection, kind: Literal["join", "factor"], person: str, by: str) -> str:
        """A code for somebody who exists; earlier ones of theirs are void."""
        self._cancel(connection, invitations.c.person == person)
        return self._make(connection, kind, person, frozenset(), by, INVITATION_LASTS_S)

    def look(self, code: str) -> Invitation | None:
        """The open invitation behind ``code``."""
        with self._store.read() as connection:
            hashed = self._store.digest("invitation", codes.typed(code))
            return self._open(connection, invitations.c.hash == hashed)

    def ticket(self, invitation: Invitation, name: str, hashed: str | None, secret: str) -> tuple[Ticket, str]:
        """A ticket for what is going to be, and its sealed form."""
        first = invitation.person is None
        made = Ticket(
            invitation=invitation.id,
            kind=invitation.kind,
            person=new_id() if invitation.person is None else invitation.person,
            name=checked_name(name) if first else invitation.name,
            hashed=hashed,
            secret=secret,
            ends_at=min(self._store.now() + TICKET_LASTS_S, invitation.ends_at),
        )
        return made, self._store.sealer.seal(msgspec.json.encode(made), _TICKET).hex()

    def read(self, sealed: str) -> Ticket | None:
        """A ticket of ours that still holds."""
        if len(sealed) > _LONGEST_TICKET:
            return None
        try:
            ticket = _decoder.decode(self._store.sealer.open(bytes.fromhex(sealed), _TICKET))
        except (ValueError, Unsealable):
            return None
        return ticket if self._store.now() < ticket.ends_at else None

    def use(self, connection: sa.Connection, ticket: Ticket) -> Invitation | None:
        """Use up the invitation of a ticket. None where it is not open any more."""
        found = self._open(connection, invitations.c.id == ticket.invitation)
        if found is None:
            return None
        used = invitations.update().where(invitations.c.id == found.id)
        connection.execute(used.values(used_at=self._store.now()))
        return found

    def _open(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Invitation | None:
        holds = (invitations.c.used_at.is_(None), invitations.c.ends_at > self._store.now())
        row = connection.execute(sa.select(invitations).where(condition, *holds)).first()
        if row is None:
            return None
        name = ""
        if row.person is None:
            if not self._accounts.none(connection):
                return None
        else:
            account = self._accounts.by_id(connection, row.person)
            if account is None or account.disabled_at is not None:
                return None
            name = account.name
        return Invitation(
            id=row.id,
            kind=row.kind,
            person=row.person,
            name=name,
            permissions=decoded(row.permissions),
            created_by=row.created_by,
            ends_at=row.ends_at,
        )

    def _cancel(self, connection: sa.Connection, condition: sa.ColumnElement[bool]) -> None:
        connection.execute(invitations.delete().where(condition, invitations.c.used_at.is_(None)))

    def _make(
        self,
        connection: sa.Connection,
        kind: Kind,
        person: str | None,
        permissions: frozenset[str],
        by: str,
        lasts_s: int,
    ) -> str:
        code, now = codes.code(), self._store.now()
        connection.execute(
            invitations.insert().values(
                hash=self._store.digest("invitation", codes.typed(code)),
                kind=kind,
                person=person,
                permissions=encoded(permissions),
                created_by=shown(by),
                created_at=now,
                ends_at=now + lasts_s,
            )
        )
        return code


def new_id() -> str:
    """An id for a person: random, so that nothing sealed for one can ever be another's."""
    return secrets.token_hex(16)
