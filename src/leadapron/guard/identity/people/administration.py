"""What an administrator does to people: at the console, or in pages with ``admin:users``.

Who has the console has ``guard.key`` and could do anything to the database; so nothing is asked here but what makes the
trail readable: ``by``, who it was. These calls hash and write: from an event loop, call them in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable

from leadapron.guard.identity.people import totp
from leadapron.guard.identity.people.accounts import Account, Accounts
from leadapron.guard.identity.people.emergencies import Emergencies, Envelope
from leadapron.guard.identity.people.factors import Factors
from leadapron.guard.identity.people.invitations import SETUP_LASTS_S, Invitations, new_id
from leadapron.guard.identity.people.model import Kind, checked_name
from leadapron.guard.identity.people.outbox import Outbox
from leadapron.guard.identity.people.passwords import Hasher, check_new
from leadapron.guard.identity.people.sessions import SessionRow, Sessions
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tokens import TokenRow, Tokens


class Administration:
    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        hasher: Hasher,
        accounts: Accounts,
        factors: Factors,
        sessions: Sessions,
        tokens: Tokens,
        emergencies: Emergencies,
        invitations: Invitations,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._hasher = hasher
        self._accounts = accounts
        self._factors = factors
        self._sessions = sessions
        self._tokens = tokens
        self._emergencies = emergencies
        self._invitations = invitations

    # ---- people ------------------------------------------------------------------------------------------------------

    def setup_secret(self, permissions: Iterable[str], by: str, lasts_s: int = SETUP_LASTS_S) -> str:
        """The one-time secret with which the first person is made; earlier ones are void. ``permissions``: that
        person's. Raises `UsageError` once there is somebody."""
        secret = self._invitations.setup(permissions, by, lasts_s)
        self._tell("", by, "set-up secret made")
        return secret

    def people(self) -> list[Account]:
        return self._accounts.all()

    def add(
        self, name: str, permissions: Iterable[str], by: str, *, password: str | None = None, oidc: str | None = None
    ) -> str:
        """A new person, with the name as it is kept. With a password they still lack a factor, and can't log in before
        they have one. Raises `UsageError`."""
        name, person = checked_name(name), new_id()
        hashed = None if password is None else self._hashed(password, name)
        with self._store.write() as connection:
            self._accounts.add(connection, person, name, permissions, by, hashed=hashed, oidc=oidc)
        self._tell(name, by, "added")
        return name

    def invite(self, name: str, by: str) -> str:
        """A one-time code with which ``name`` sets password and factor anew; what they have holds until they did."""
        with self._store.write() as connection:
            account = self._accounts.need(connection, name)
            code = self._invitations.invite(connection, "join", account.id, by)
        self._tell(account.name, by, "invited")
        return code

    def invite_factor(self, name: str, by: str) -> str:
        """A one-time code with which ``name`` registers another factor in the browser."""
        with self._store.write() as connection:
            account = self._accounts.need(connection, name)
            code = self._invitations.invite(connection, "factor", account.id, by)
        self._tell(account.name, by, "invited to register a factor")
        return code

    def set_permissions(self, name: str, permissions: Iterable[str], by: str) -> None:
        """In force with the next request of each session and token."""
        with self._store.write() as connection:
            account = self._accounts.need(connection, name)
            self._accounts.set_permissions(connection, account.id, permissions)
        self._tell(account.name, by, "permissions changed")

    def set_disabled(self, name: str, disabled: bool, by: str) -> None:
        """In force with the next request; sessions are gone for good."""
        with self._store.write() as connection:
            account = self._accounts.need(connection, name)
            self._accounts.set_disabled(connection, account.id, disabled)
        self._tell(account.name, by, "disabled" if disabled else "enabled")

    def set_password(self, name: str, password: str, by: str) -> None:
        """Sessions, known devices and places are gone. Raises `UsageError`."""
        with self._store.read() as connection:
            account = self._accounts.need(connection, name)
        hashed = self._hashed(password, account.name)
        with self._store.write() as connection:
            self._accounts.set_password(connection, account.id, hashed)
        self._tell(account.name, by, "new password")

    # ---- factors -----------------------------------------------------------------------------------------------------

    def new_totp(self, name: str) -> tuple[str, str]:
        """A secret and its URI for an authenticator app. Nothing is changed before `confirm_totp`."""
        with self._store.read() as connection:
            account = self._accounts.need(connection, name)
        secret = totp.new_secret()
        return secret, totp.uri(secret, account.name)

    def confirm_totp(self, name: str, secret: str, code: str, by: str) -> tuple[str, ...] | None:
        """Take the app in place of the one before if ``code`` shows that it works; new recovery codes, to be shown
        once. None for a wrong code."""
        step = totp.step_of(secret, code.replace(" ", ""), self._store.now())
        if step is None:
            return None
        with self._store.write() as connection:
            account = self._accounts.need(connection, name)
            self._factors.set_totp(connection, account.id, secret, step)
            codes = self._factors.new_recovery_codes(connection, account.id)
            self._accounts.shake_off(connection, account.id)
        self._tell(account.name, by, "new authenticator app and recovery codes")
        return codes

    def new_recovery_codes(self, name: str, by: str) -> tuple[str, ...]:
        with self._store.write() as connection:
            account = self._accounts.need(connection, name)
            codes = self._factors.new_recovery_codes(connection, account.id)
        self._tell(account.name, by, "new recovery codes")
        return codes

    def forget_factors(self, name: str, by: str) -> None:
        """All factors, recovery codes and sessions of somebody who lost a phone or a key."""
        with self._store.write() as connection:
            account = self._accounts.need(connection, name)
            self._factors.forget(connection, account.id)
            self._accounts.shake_off(connection, account.id)
        self._tell(account.name, by, "factors forgotten")

    # ---- tokens, sessions, emergencies -------------------------------------------------------------------------------

    def make_token(self, owner: str, permissions: Iterable[str], days: int, by: str, label: str = "") -> str:
        """An API token, shown this once. Raises `UsageError`."""
        with self._store.write() as connection:
            account = self._accounts.need(connection, owner)
            token, number = self._tokens.make(connection, account, permissions, days, label)
        self._tell(account.name, by, f"token {number} made")
        return token

    def tokens(self) -> list[TokenRow]:
        return self._tokens.all()

    def revoke_token(self, number: int, by: str) -> bool:
        """False where there is none of that number, or it was revoked before."""
        with self._store.write() as connection:
            found = self._tokens.revoke(connection, number)
        if found is not None:
            self._tell(found.owner, by, f"token {number} revoked")
        return found is not None

    def sessions(self) -> list[SessionRow]:
        return self._sessions.all()

    def revoke_session(self, number: int, by: str) -> bool:
        """False where there is none of that number."""
        who = self._sessions.revoke(number)
        if who is not None:
            self._tell(who, by, f"session {number} ended")
        return who is not None

    def arm(self, permissions: Iterable[str], by: str, *, label: str, hours: int = 4, days: int = 366) -> str:
        """An emergency code for the envelope, shown this once. Raises `UsageError`."""
        code = self._emergencies.arm(permissions, by, label=label, hours=hours, days=days)
        self._tell("", by, f"emergency code armed: {label}")
        return code

    def disarm(self, number: int, by: str) -> bool:
        """False where there is none of that number that is armed."""
        found = self._emergencies.disarm(number)
        if found is not None:
            self._tell("", by, f"emergency code disarmed: {found.label}")
        return found is not None

    def envelopes(self) -> list[Envelope]:
        return self._emergencies.all()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _hashed(self, password: str, name: str) -> str:
        check_new(password, name)
        return self._hasher.hash(password)

    def _tell(self, name: str, by: str, what: str) -> None:
        self._outbox.tell(Kind.ACCOUNT, name, "", True, "console", what, by=by)
