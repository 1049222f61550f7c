"""What people change of their own account: password, factors, tokens, sessions.

A session alone changes nothing: it may be a browser that somebody left open, or a stolen cookie. Each change asks for a
factor anew (`Own.confirm`), and what comes of that is good for that change alone (see ``confirmations``); so a change
that needs two pages (a QR code, then its first digits) asks for no second code, which an authenticator app would show
half a minute later only.

Somebody who logs in at the OpenID provider alone has no factor here. They may take away (end sessions, revoke tokens),
which leaves less and not more, and nothing else. An emergency session has no account at all.

What changes how one gets in (password, factors) ends all sessions and voids the devices' cookies, in one transaction,
and gives the browser that did it a new session, which lasts no longer than the old one would have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people import totp
from leadapron.guard.identity.people.accounts import Account, Accounts
from leadapron.guard.identity.people.confirmations import Confirmations, Confirmed, Doing
from leadapron.guard.identity.people.factors import FactorRow, Factors
from leadapron.guard.identity.people.gate import Busy, Gate
from leadapron.guard.identity.people.login import BUSY, Login, Refusal
from leadapron.guard.identity.people.model import Factor, Kind, LoggedIn, LoginRefused, Person
from leadapron.guard.identity.people.network import network_of
from leadapron.guard.identity.people.outbox import Outbox
from leadapron.guard.identity.people.passkeys import Passkeys, Registered
from leadapron.guard.identity.people.passwords import Hasher, check_new
from leadapron.guard.identity.people.sessions import SessionRow, Sessions
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tokens import TokenRow, Tokens

TAKING: Final = frozenset({Doing.REVOKE, Doing.END, Doing.OTHERS})
OVER: Final = "the confirmation is used up or too old"
T = TypeVar("T")
Change = Callable[[sa.Connection, Account, Confirmed], T]
"""Changes something in the transaction of its confirmation. Raises `_Undone`: then nothing was changed or used up."""


class Mine(Struct, frozen=True, kw_only=True):
    """What the page shows. ``confirms``: there is a factor to confirm by; ``keys``: security keys can be added."""

    name: str
    permissions: frozenset[str]
    confirms: bool
    keys: bool
    oidc: bool
    factors: tuple[FactorRow, ...]
    recovery_codes: int
    sessions: tuple[SessionRow, ...]
    tokens: tuple[TokenRow, ...]


class NotDone(Struct, frozen=True):
    """Why nothing was changed. It may be shown: whoever reads it is logged in. ``over``: confirm it anew."""

    reason: str
    over: bool = False


class _Undone(Exception):
    pass


class Own:
    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        hasher: Hasher,
        gate: Gate,
        accounts: Accounts,
        factors: Factors,
        sessions: Sessions,
        tokens: Tokens,
        login: Login,
        passkeys: Passkeys | None,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._hasher = hasher
        self._gate = gate
        self._accounts = accounts
        self._factors = factors
        self._sessions = sessions
        self._tokens = tokens
        self._login = login
        self._passkeys = passkeys
        self._confirmations = Confirmations(store)

    def mine(self, person: Person) -> Mine | None:
        """All of it; None for an emergency session, which has no account."""
        with self._store.read() as connection:
            account = self._account(connection, person)
            if account is None:
                return None
            rows = self._factors.rows(connection, account.id)
            left = len(self._factors.held(connection, account.id).recovery)
        return Mine(
            name=account.name,
            permissions=account.permissions,
            confirms=account.has_password and bool(rows),
            keys=self._passkeys is not None,
            oidc=account.oidc is not None,
            factors=rows,
            recovery_codes=left,
            sessions=tuple(self._sessions.all(account.id)),
            tokens=tuple(one for one in self._tokens.all(account.id) if one.state == "holds"),
        )

    async def confirm(
        self,
        person: Person,
        doing: Doing,
        number: int,
        factor: Factor | None,
        source: str,
        device: str | None = None,
    ) -> str | LoginRefused:
        """A confirmation that ``person`` may do this now, for a factor. ``number``: of what is removed or ended."""
        mine = self.mine(person)
        refused: LoginRefused | None = None
        if mine is None or not (mine.confirms or doing in TAKING):
            refused = LoginRefused(reason="there is no factor to confirm it by")
        elif mine.confirms and factor is None:
            refused = LoginRefused(reason="no factor was shown")
        elif mine.confirms:
            refused = await self._shown(person, factor, source, device)
        with self._store.read() as connection:
            account = self._account(connection, person)
        if refused is None and account is not None:
            return self._confirmations.make(person, account, doing, number)
        refused = refused or LoginRefused(reason="the account was changed meanwhile")
        self._tell(person, source, f"not confirmed ({doing}): {refused.reason}", False)
        return refused

    # ---- how one gets in ---------------------------------------------------------------------------------------------

    async def change_password(
        self, person: Person, note: str, old: str, new: str, source: str, device: str | None = None
    ) -> LoggedIn | NotDone:
        """Another password, for the old one. Raises `UsageError` for one that is too weak."""
        what = "new password"
        check_new(new, person.name)
        if self._confirmations.read(person, note, Doing.PASSWORD) is None:
            return self._not(person, source, what, OVER)
        verified = await self._login.verify(person.name, old, None, source, device)
        if isinstance(verified, Refusal):
            self._attack(verified, person, source)
            waits = verified.refused.retry_after_s is not None
            shown = "wait a little before you try again" if waits else "the old password is not right"
            return self._not(person, source, what, verified.refused.reason, shown)
        self._login.succeeded(verified)
        try:
            hashed = await self._gate.run(lambda: self._hasher.hash(new), network=network_of(source).narrow, known=True)
        except Busy:
            return self._not(person, source, what, BUSY)

        def change(connection: sa.Connection, account: Account, found: Confirmed) -> None:
            self._accounts.set_password(connection, account.id, hashed)

        return await self._renewed(person, note, Doing.PASSWORD, source, what, change)

    def new_app(self, person: Person, note: str) -> tuple[str, str, str] | None:
        """Secret and URI for an authenticator app, and the note to go on with; None where ``note`` is over. The same
        again for a note that has a secret."""
        found = self._confirmations.read(person, note, Doing.APP)
        if found is None:
            return None
        if not found.secret:
            found = msgspec.structs.replace(found, secret=totp.new_secret())
        return found.secret, totp.uri(found.secret, person.name), self._confirmations.seal(found)

    async def set_app(self, person: Person, note: str, digits: str, source: str) -> LoggedIn | NotDone:
        """Take the app whose secret is in the note, in place of the one before, if ``digits`` show that it works."""

        def change(connection: sa.Connection, account: Account, found: Confirmed) -> None:
            step = totp.step_of(found.secret, digits.replace(" ", ""), self._store.now()) if found.secret else None
            if step is None:
                raise _Undone("the six digits are none of this moment; see that the clock of the phone is right")
            self._factors.set_totp(connection, account.id, found.secret, step)

        return await self._renewed(person, note, Doing.APP, source, "new authenticator app", change)

    def new_key(self, person: Person, note: str) -> tuple[str, str] | None:
        """Options for ``navigator.credentials.create()`` as JSON, and their challenge."""
        found = self._confirmations.read(person, note, Doing.KEY)
        if found is None or self._passkeys is None:
            return None
        with self._store.read() as connection:
            held = self._factors.held(connection, found.person)
        known = [one.credential for one in held.passkeys]
        return self._passkeys.registration(found.person, person.name, known, self._store.now())

    async def add_key(
        self, person: Person, note: str, response: str, challenge: str, source: str
    ) -> LoggedIn | NotDone:
        """Take the security key that answered."""

        def change(connection: sa.Connection, account: Account, found: Confirmed) -> None:
            assert self._passkeys is not None, "without keys there is no such note"
            registered = self._passkeys.register(account.id, response, challenge, self._store.now())
            if not isinstance(registered, Registered):
                raise _Undone(registered)
            if not self._factors.add_passkey(connection, account.id, registered):
                raise _Undone("this key is registered already, or there are too many")

        return await self._renewed(person, note, Doing.KEY, source, "new security key", change)

    async def remove_factor(self, person: Person, note: str, source: str) -> LoggedIn | NotDone:
        """All but the last."""

        def change(connection: sa.Connection, account: Account, found: Confirmed) -> None:
            if not self._factors.remove(connection, account.id, found.number):
                raise _Undone("it is the last factor, or not there any more")

        return await self._renewed(person, note, Doing.REMOVE, source, "a factor was removed", change)

    async def new_codes(self, person: Person, note: str, source: str) -> tuple[str, ...] | NotDone:
        """Recovery codes in place of those before, shown this once."""
        return await self._changed(
            person,
            note,
            Doing.CODES,
            source,
            lambda _: "new recovery codes",
            lambda connection, account, _: self._factors.new_recovery_codes(connection, account.id),
        )

    # ---- tokens and sessions -----------------------------------------------------------------------------------------

    async def make_token(
        self, person: Person, note: str, permissions: Iterable[str], days: int, label: str, source: str
    ) -> tuple[str, int] | NotDone:
        """A token, shown this once, and its number. Raises `UsageError`."""
        return await self._changed(
            person,
            note,
            Doing.TOKEN,
            source,
            lambda made: f"token {made[1]} made",
            lambda connection, account, _: self._tokens.make(connection, account, permissions, days, label),
        )

    async def revoke_token(self, person: Person, note: str, source: str) -> int | NotDone:
        """The number of the token that is void now."""

        def change(connection: sa.Connection, account: Account, found: Confirmed) -> int:
            if self._tokens.revoke(connection, found.number, account.id) is None:
                raise _Undone("there is no such token that holds")
            return found.number

        return await self._changed(person, note, Doing.REVOKE, source, lambda number: f"token {number} revoked", change)

    async def end_session(self, person: Person, note: str, source: str) -> int | NotDone:
        """The number of the session that has ended."""

        def change(connection: sa.Connection, account: Account, found: Confirmed) -> int:
            if not self._sessions.end(connection, account.id, found.number):
                raise _Undone("the session has ended already")
            return found.number

        return await self._changed(person, note, Doing.END, source, lambda number: f"session {number} ended", change)

    async def end_others(self, person: Person, note: str, source: str) -> int | NotDone:
        """All sessions but this one; how many they were."""
        return await self._changed(
            person,
            note,
            Doing.OTHERS,
            source,
            lambda count: f"{count} other sessions ended",
            lambda connection, account, _: self._sessions.end_others(connection, account.id, person.session),
        )

    # ---- inside ------------------------------------------------------------------------------------------------------

    async def _shown(
        self, person: Person, factor: Factor | None, source: str, device: str | None
    ) -> LoginRefused | None:
        """Judge a factor and use it up; None is success."""
        verified = await self._login.verify(person.name, None, factor, source, device)
        if isinstance(verified, Refusal):
            self._attack(verified, person, source)
            return verified.refused
        refused = await asyncio.to_thread(self._writing, lambda connection: self._login.spend(connection, verified))
        if refused is None:
            self._login.succeeded(verified)
        return refused

    async def _renewed(
        self, person: Person, note: str, doing: Doing, source: str, what: str, change: Change[None]
    ) -> LoggedIn | NotDone:
        """A change of how one gets in: all sessions end, and this browser gets a new one."""

        def both(connection: sa.Connection, account: Account, found: Confirmed) -> LoggedIn:
            until = self._sessions.ends_at(connection, person.session)
            change(connection, account, found)
            self._accounts.shake_off(connection, account.id)
            renewed = self._accounts.by_id(connection, account.id)
            assert renewed is not None, "people are never deleted"
            return self._login.signed_in(connection, renewed, person.how, source, until)

        return await self._changed(person, note, doing, source, lambda _: what, both)

    async def _changed(
        self, person: Person, note: str, doing: Doing, source: str, what: Callable[[T], str], change: Change[T]
    ) -> T | NotDone:
        """Use the confirmation up and change something, in one transaction; tell the audit trail ``what``."""

        def work(connection: sa.Connection) -> T:
            found = self._confirmations.read(person, note, doing)
            account = None if found is None else self._accounts.by_id(connection, found.person)
            if found is None or account is None or not self._confirmations.use(connection, found, account):
                raise _Undone(OVER)
            return change(connection, account, found)

        try:
            done = await asyncio.to_thread(self._writing, work)
        except _Undone as undone:
            return self._not(person, source, doing, str(undone))
        self._tell(person, source, what(done), True)
        return done

    def _writing(self, work: Callable[[sa.Connection], T]) -> T:
        with self._store.write() as connection:
            return work(connection)

    def _account(self, connection: sa.Connection, person: Person) -> Account | None:
        return None if person.emergency is not None else self._accounts.find(connection, person.name)

    def _attack(self, refusal: Refusal, person: Person, source: str) -> None:
        if refusal.attack:
            reason = "failures from many networks: strangers have to wait, known devices and places do not"
            self._outbox.tell(Kind.ATTACK, person.name, source, False, person.how, reason, alert=True)

    def _not(self, person: Person, source: str, what: str, reason: str, shown: str | None = None) -> NotDone:
        self._tell(person, source, f"{what}: {reason}", False)
        return NotDone(shown or reason, over=reason == OVER)

    def _tell(self, person: Person, source: str, what: str, success: bool) -> None:
        self._outbox.tell(Kind.ACCOUNT, person.name, source, success, person.how, what)
