"""Enrolling: from a one-time code to a person with password and second factor, in two steps (see ``invitations``)."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people import totp
from leadapron.guard.identity.people.accounts import Accounts
from leadapron.guard.identity.people.factors import Factors
from leadapron.guard.identity.people.invitations import Invitation, Invitations, Ticket
from leadapron.guard.identity.people.model import Quiet, checked_name
from leadapron.guard.identity.people.passkeys import Passkeys, Registered
from leadapron.guard.identity.people.passwords import check_new
from leadapron.guard.identity.people.store import Store

NO_CODE = "the code is none that is open"


class Begun(Quiet, frozen=True, kw_only=True):
    """First step done. ``ticket`` is for the second; ``secret`` and ``uri`` for an authenticator app, to show once;
    ``passkey``: options for ``navigator.credentials.create()`` as JSON and their challenge, where there is a
    site."""

    ticket: str
    name: str
    secret: str
    uri: str
    passkey: tuple[str, str] | None


class Enrolled(Quiet, frozen=True, kw_only=True):
    """``recovery_codes`` are shown this once; empty where unused ones are left."""

    name: str
    how: str
    recovery_codes: tuple[str, ...]


class NotEnrolled(Struct, frozen=True):
    """``reason`` may be shown: who enrols has a code of ours, or guesses at 80 bits."""

    reason: str


class _Undone(Exception):
    """Nothing is kept of this one."""


class Enrolment:
    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        factors: Factors,
        invitations: Invitations,
        passkeys: Passkeys | None,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._factors = factors
        self._invitations = invitations
        self._passkeys = passkeys

    def check(self, invitation: Invitation, name: str, password: str | None) -> None:
        """Whether name and password are good enough. Raises `UsageError`."""
        if invitation.kind != "factor":
            check_new(password or "", checked_name(name) if invitation.person is None else invitation.name)

    def begin(self, invitation: Invitation, name: str, hashed: str | None) -> Begun:
        """The first step; ``hashed``: the password's argon2id string, made by the caller. Raises `UsageError`."""
        secret = totp.new_secret()
        ticket, sealed = self._invitations.ticket(invitation, name, hashed, secret)
        return Begun(
            ticket=sealed,
            name=ticket.name,
            secret=secret,
            uri=totp.uri(secret, ticket.name),
            passkey=None if self._passkeys is None else self._options(self._passkeys, ticket),
        )

    def finish_totp(self, sealed: str, code: str) -> Enrolled | NotEnrolled:
        """The second step, with a code from the app that got the secret."""
        ticket = self._invitations.read(sealed)
        if ticket is None:
            return NotEnrolled(NO_CODE)
        step = totp.step_of(ticket.secret, code.replace(" ", ""), self._store.now())
        if step is None:
            return NotEnrolled("the six digits are none of this moment; see that the clock of the phone is right")

        def add(connection: sa.Connection) -> bool:
            self._factors.set_totp(connection, ticket.person, ticket.secret, step)
            return True

        return self._finish(ticket, "totp", add)

    def finish_passkey(self, sealed: str, response: str, challenge: str) -> Enrolled | NotEnrolled:
        """The second step, with what ``navigator.credentials.create()`` gave."""
        ticket = self._invitations.read(sealed)
        if ticket is None or self._passkeys is None:
            return NotEnrolled(NO_CODE)
        registered = self._passkeys.register(ticket.person, response, challenge, self._store.now())
        if not isinstance(registered, Registered):
            return NotEnrolled(registered)
        return self._finish(
            ticket, "webauthn", lambda connection: self._factors.add_passkey(connection, ticket.person, registered)
        )

    def _finish(self, ticket: Ticket, how: str, add: Callable[[sa.Connection], bool]) -> Enrolled | NotEnrolled:
        try:
            return self._make(ticket, how, add)
        except _Undone as undone:
            return NotEnrolled(str(undone))

    def _make(self, ticket: Ticket, how: str, add: Callable[[sa.Connection], bool]) -> Enrolled:
        with self._store.write() as connection:
            invitation = self._invitations.use(connection, ticket)
            if invitation is None:
                raise _Undone(NO_CODE)
            if invitation.person is None:
                self._accounts.add(
                    connection, ticket.person, ticket.name, invitation.permissions, invitation.created_by
                )
            if ticket.hashed is not None:
                if invitation.person is not None:  # invited anew: what was there before is lost or not trusted
                    self._factors.forget(connection, ticket.person)
                self._accounts.set_password(connection, ticket.person, ticket.hashed)
            if not add(connection):
                raise _Undone("this key is registered already, or there are too many")
            left = self._factors.held(connection, ticket.person).recovery
            recovery = () if left else self._factors.new_recovery_codes(connection, ticket.person)
            if invitation.kind == "factor":
                self._accounts.shake_off(connection, ticket.person)
        return Enrolled(name=ticket.name, how=how, recovery_codes=recovery)

    def _options(self, passkeys: Passkeys, ticket: Ticket) -> tuple[str, str]:
        with self._store.read() as connection:
            held = self._factors.held(connection, ticket.person)
        return passkeys.registration(
            ticket.person, ticket.name, [one.credential for one in held.passkeys], self._store.now()
        )
