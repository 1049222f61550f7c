"""The door for people: what the gateway and the command line use.

Everything that waits for argon2 or the disk is a coroutine, to be called from one event loop; what only reads a few
rows (a session, a token, for each request) is a plain call of some 0.3 ms. Each outcome is told to ``on_event``, once,
from whatever thread it happens in; without one (the command line) events wait in the database until the process that
writes the audit trail calls `sweep`. A process that strangers can reach must give one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import sqlalchemy as sa

from leadapron.guard.identity.people import emergencies
from leadapron.guard.identity.people.accounts import Accounts
from leadapron.guard.identity.people.administration import Administration
from leadapron.guard.identity.people.devices import Devices
from leadapron.guard.identity.people.emergencies import Emergencies
from leadapron.guard.identity.people.enrolment import NO_CODE, Begun, Enrolled, Enrolment, NotEnrolled
from leadapron.guard.identity.people.factors import Factors
from leadapron.guard.identity.people.gate import Busy, Gate
from leadapron.guard.identity.people.invitations import Invitations
from leadapron.guard.identity.people.login import BUSY, Login, Refusal
from leadapron.guard.identity.people.model import (
    Factor,
    Kind,
    LoggedIn,
    LoginRefused,
    OnEvent,
    PasskeyProof,
    Person,
    RecoveryCode,
    TokenIdentity,
    TotpCode,
    name_key,
)
from leadapron.guard.identity.people.network import network_of
from leadapron.guard.identity.people.outbox import Outbox
from leadapron.guard.identity.people.own import Own
from leadapron.guard.identity.people.passkeys import Passkeys, Site
from leadapron.guard.identity.people.passwords import Hasher, Hashing
from leadapron.guard.identity.people.sessions import ABSOLUTE_S, EMERGENCY_PREFIX, IDLE_S, Ended, Sessions
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import spent
from leadapron.guard.identity.people.throttle import Throttle
from leadapron.guard.identity.people.tokens import Tokens
from leadapron.kernel.clock import Clock, SystemClock

if TYPE_CHECKING:
    from leadapron.guard.identity.people.oidc import Client, Oidc, Shown
    from leadapron.guard.identity.people.provider import Provider

HASHING: Final = Hashing()
_HOW: Final[Mapping[type, str]] = {TotpCode: "totp", RecoveryCode: "recovery", PasskeyProof: "webauthn"}


class People:
    """People, their sessions and their programs' tokens, in ``home``/people.db.

    ``site``: where browsers find the guard; without one that has a name there are no passkeys. ``hashing`` is for tests
    and for those who want it dearer. Raises `Failure` where the database or ``guard.key`` cannot be used.
    """

    def __init__(
        self,
        home: Path,
        clock: Clock | None = None,
        *,
        on_event: OnEvent | None = None,
        site: Site | None = None,
        idle_s: int = IDLE_S,
        absolute_s: int = ABSOLUTE_S,
        hashing: Hashing = HASHING,
    ) -> None:
        self.store = Store(home, SystemClock() if clock is None else clock)
        self._outbox = Outbox(self.store, on_event)
        self._hasher = Hasher(hashing)
        self._gate = Gate()
        self._passkeys = None if site is None or not site.usable else Passkeys(site, self.store.digest)
        self.accounts = Accounts(self.store)
        self._factors = Factors(self.store, self._passkeys)
        self._sessions = Sessions(self.store, idle_s, absolute_s)
        self._tokens = Tokens(self.store)
        self._emergencies = Emergencies(self.store)
        self._invitations = Invitations(self.store, self.accounts)
        self._enrolment = Enrolment(self.store, self.accounts, self._factors, self._invitations, self._passkeys)
        self._throttle = Throttle(self.store.clock)
        if (known := self.store.throttle.read()) is not None:
            self._throttle.take(known)
        self._login = Login(
            self.store,
            self.accounts,
            self._factors,
            self._sessions,
            Devices(self.store),
            self._hasher,
            self._gate,
            self._throttle,
        )
        self.own = Own(
            self.store,
            self._outbox,
            self._hasher,
            self._gate,
            self.accounts,
            self._factors,
            self._sessions,
            self._tokens,
            self._login,
            self._passkeys,
        )
        self.manage = Administration(
            self.store,
            self._outbox,
            self._hasher,
            self.accounts,
            self._factors,
            self._sessions,
            self._tokens,
            self._emergencies,
            self._invitations,
        )

    def close(self) -> None:
        self._gate.close()
        if self._throttle.changed:
            with contextlib.suppress(OSError):
                self.store.throttle.write(self._throttle.state())
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- getting in --------------------------------------------------------------------------------------------------

    async def login(
        self, name: str, password: str, factor: Factor, source: str, device: str | None = None
    ) -> LoggedIn | LoginRefused:
        """Log in with password and second factor. ``source``: the address it comes from; ``device``: the cookie that
        an earlier login gave. A refusal's reason is not for who was refused."""
        how = f"password+{_HOW[type(factor)]}"
        verified = await self._login.verify(name, password, factor, source, device)
        if isinstance(verified, Refusal):
            done: LoggedIn | LoginRefused = verified.refused
            if verified.attack:
                reason = "failures from many networks: strangers have to wait, known devices and places do not"
                self._outbox.tell(Kind.ATTACK, name, source, False, how, reason, alert=True)
        else:
            done = await self._login.finish(verified, password, source)
        if isinstance(done, LoginRefused):
            self._outbox.tell(Kind.LOGIN, name, source, False, how, done.reason)
        else:
            self._outbox.tell(Kind.LOGIN, done.person.name, source, True, done.person.how)
        return done

    def passkey_options(self, name: str) -> tuple[str, str] | None:
        """Options for ``navigator.credentials.get()`` as JSON, and the challenge to send back with its answer; None
        where the guard has no site. What comes for a name says nothing of whether there is such a person."""
        if self._passkeys is None:
            return None
        with self.store.read() as connection:
            account = self.accounts.find(connection, name)
            held = self._factors.held(connection, None if account is None else account.id)
        credentials = [one.credential for one in held.passkeys]
        return self._passkeys.authentication(name_key(name), credentials, self.store.now())

    def oidc(self, provider: Provider, client: Client) -> Oidc:
        """Logging in at an OpenID provider: ``begin()`` it, then `login_oidc` with what came back."""
        from leadapron.guard.identity.people.oidc import Oidc

        return Oidc(self.store, provider, client)

    async def login_oidc(
        self, oidc: Oidc, cookie: str, answer: Mapping[str, str], source: str
    ) -> LoggedIn | LoginRefused:
        """Log in whom the provider sent back with ``answer`` (the callback's query), if it is somebody we know."""
        found = await oidc.finish(cookie, answer)
        if isinstance(found, str):
            done: LoggedIn | LoginRefused = LoginRefused(reason=found)
        else:
            done = await asyncio.to_thread(self._open_oidc, found, source)
        if isinstance(done, LoginRefused):
            name = "" if isinstance(found, str) else found.claim
            self._outbox.tell(Kind.LOGIN, name, source, False, "oidc", done.reason)
        else:
            self._outbox.tell(Kind.LOGIN, done.person.name, source, True, "oidc")
        return done

    def _open_oidc(self, found: Shown, source: str) -> LoggedIn | LoginRefused:
        with self.store.write() as connection:
            fresh = sa.text("INSERT OR IGNORE INTO spent (hash, ends_at) VALUES (:hash, :ends)")
            once = connection.execute(fresh, {"hash": found.spent, "ends": found.ends_at})
            if once.rowcount != 1:
                return LoginRefused(reason="this login was finished before")
            account = self.accounts.find_oidc(connection, found.claim)
            if account is None:
                return LoginRefused(reason="the provider knows them, we do not")
            if account.disabled_at is not None:
                return LoginRefused(reason="the person is disabled")
            return self._login.signed_in(connection, account, "oidc", source)

    async def break_glass(self, code: str, who: str, reason: str, source: str) -> LoggedIn | LoginRefused:
        """Use an emergency code: ``who`` and why are demanded and recorded. An alert goes out whatever comes of a code
        that exists."""
        done = await asyncio.to_thread(self._break_glass, code, who, reason, source)
        if isinstance(done, LoginRefused):
            alert = done.reason.startswith("the emergency code")
            self._outbox.tell(Kind.EMERGENCY, who, source, False, "emergency", done.reason, alert=alert)
        else:
            self._outbox.tell(Kind.EMERGENCY, who, source, True, "emergency", reason, alert=True)
        return done

    def _break_glass(self, code: str, who: str, reason: str, source: str) -> LoggedIn | LoginRefused:
        if not self._emergencies.exists(code):
            return LoginRefused(reason=emergencies.NO_CODE)
        with self.store.write() as connection:
            broken = self._emergencies.use(connection, code, who, reason, source)
            if isinstance(broken, str):
                return LoginRefused(reason=broken)
            token, number = self._sessions.open(
                connection, "emergency", source, emergency=broken.id, until=broken.until
            )
        person = self._sessions.look(token)
        assert isinstance(person, Person) and person.session == number, "a session that was just made holds"
        return LoggedIn(session_token=token, person=person)

    # ---- being in ----------------------------------------------------------------------------------------------------

    def session(self, token: str, source: str = "") -> Person | None:
        """Whose session a cookie opens. That it has ended, or is none, is told to the audit trail here."""
        found = self._sessions.look(token)
        if isinstance(found, Person):
            return found
        if found.person:
            self._tell_ended(found, source)
        else:
            self._outbox.tell(Kind.LOGIN, "", source, False, "session", found.reason)
        return None

    def token(self, secret: str, source: str = "", *, tell: bool = True) -> TokenIdentity | None:
        """Which program a token is. A refused one is told to the audit trail here (unless the caller tells of it, then
        not ``tell``); one that holds is the caller's to record, with what it does."""
        found = self._tokens.look(secret, source)
        if isinstance(found, TokenIdentity):
            return found
        if not tell:
            return None
        self._outbox.tell(Kind.TOKEN, found.owner, source, False, "token", found.reason)
        return None

    async def logout(self, token: str, source: str = "") -> None:
        """End the session of a cookie."""
        name = await asyncio.to_thread(self._sessions.close, token)
        if name is not None:
            self._outbox.tell(Kind.LOGOUT, name, source, True, "session")

    # ---- getting in for the first time -------------------------------------------------------------------------------

    async def enrol(self, code: str, name: str, password: str, source: str) -> Begun | NotEnrolled:
        """First step with a one-time code: the set-up secret (then ``name`` is the first person's), an invitation, or a
        code for another factor (then no password is needed). Raises `UsageError` with what is wrong with the name or
        the password, to be shown."""
        invitation = self._invitations.look(code)
        if invitation is None:
            self._outbox.tell(Kind.ACCOUNT, name, source, False, "code", NO_CODE)
            return NotEnrolled(NO_CODE)
        self._enrolment.check(invitation, name, password)
        hashed = None
        if invitation.kind != "factor":
            try:
                hashed = await self._gate.run(
                    lambda: self._hasher.hash(password), network=network_of(source).narrow, known=True
                )
            except Busy:
                return NotEnrolled(BUSY)
        return self._enrolment.begin(invitation, name, hashed)

    async def enrol_totp(self, ticket: str, code: str, source: str) -> Enrolled | NotEnrolled:
        """Second step, with six digits of the authenticator app."""
        return self._told(await asyncio.to_thread(self._enrolment.finish_totp, ticket, code), source)

    async def enrol_passkey(self, ticket: str, response: str, challenge: str, source: str) -> Enrolled | NotEnrolled:
        """Second step, with what ``navigator.credentials.create()`` gave as JSON."""
        return self._told(await asyncio.to_thread(self._enrolment.finish_passkey, ticket, response, challenge), source)

    def _told(self, done: Enrolled | NotEnrolled, source: str) -> Enrolled | NotEnrolled:
        if isinstance(done, Enrolled):
            self._outbox.tell(Kind.ACCOUNT, done.name, source, True, done.how, "enrolled with a one-time code")
        else:
            self._outbox.tell(Kind.ACCOUNT, "", source, False, "code", done.reason)
        return done

    # ---- every few seconds -------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Keep who has to wait for a restart, if that has changed. Raises OSError."""
        if self._throttle.changed:
            await asyncio.to_thread(self.store.throttle.write, self._throttle.state())

    # ---- once a minute -----------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Tell what has ended meanwhile, and what the command line did; forget what is over. Call it in a thread, once
        a minute, in the process that writes the audit trail."""
        for ended in self._sessions.sweep():
            self._tell_ended(ended, "")
        for envelope in self._emergencies.over():
            who = EMERGENCY_PREFIX + (envelope.used_by or "")
            reason = f"the emergency of {envelope.label} is over; arm a new code"
            self._outbox.tell(Kind.EMERGENCY, who, "", True, "emergency", reason, alert=True)
        with self.store.write() as connection:
            connection.execute(spent.delete().where(spent.c.ends_at < self.store.now()))
        self._outbox.deliver()

    def _tell_ended(self, ended: Ended, source: str) -> None:
        self._outbox.tell(Kind.SESSION_ENDED, ended.person, source, True, "session", ended.reason)
