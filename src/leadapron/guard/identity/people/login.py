"""Logging in with password and factor: the order of things, and why.

1. Where does it come from: a known device, a known place, or neither (`Throttle.enter`)? Who has to wait is refused
   before anything is hashed.
2. The password is hashed in any case: for nobody of that name, against a hash of nothing. Then the factor is judged in
   any case. Neither the time nor the answer says which of the three was wrong.
3. If all was right, one transaction uses the factor up, notes the place and makes the session. A factor that was used
   meanwhile undoes it.
"""

from __future__ import annotations

import asyncio
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people.accounts import Account, Accounts
from leadapron.guard.identity.people.devices import Devices
from leadapron.guard.identity.people.factors import Factors, Held, Proof
from leadapron.guard.identity.people.gate import Busy, Gate
from leadapron.guard.identity.people.model import Factor, LoggedIn, LoginRefused, Person, Quiet, name_key
from leadapron.guard.identity.people.network import Network, network_of
from leadapron.guard.identity.people.passwords import Hasher
from leadapron.guard.identity.people.sessions import Sessions
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.throttle import Attempt, Throttle, Wait

BUSY: Final = "too many are logging in at this moment"


class _Seen(Quiet, frozen=True):
    """What the database says of who tries: ``account`` None for nobody of that name, or somebody without a password."""

    account: Account | None
    hashed: str
    held: Held
    device: str | None
    known_place: bool


class Verified(Quiet, frozen=True):
    """What was asked for was right; the factor, if one was asked for, is still to be used up."""

    account: Account
    proof: Proof | None
    hashed: str
    attempt: Attempt
    network: Network


class Refusal(Struct, frozen=True):
    """``attack``: with this attempt, failures on the account come from all over."""

    refused: LoginRefused
    attack: bool = False


class Login:
    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        factors: Factors,
        sessions: Sessions,
        devices: Devices,
        hasher: Hasher,
        gate: Gate,
        throttle: Throttle,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._factors = factors
        self._sessions = sessions
        self._devices = devices
        self._hasher = hasher
        self._gate = gate
        self._throttle = throttle

    async def verify(
        self, name: str, password: str | None, factor: Factor | None, source: str, device: str | None
    ) -> Verified | Refusal:
        """Judge password and factor, under the throttle. None: that one is not asked of somebody who is in already."""
        network = network_of(source)
        seen = self._see(name, device, network)
        attempt = self._throttle.enter(
            self._store.digest("account", name_key(name)),
            network,
            device=seen.device,
            known_place=seen.known_place,
        )
        if isinstance(attempt, Wait):
            return Refusal(LoginRefused(reason="too many failures from there", retry_after_s=attempt.seconds))
        known = seen.device is not None or seen.known_place
        try:
            right = password is None or await self._gate.run(
                lambda: self._hasher.verify(seen.hashed, password), network=network.narrow, known=known
            )
        except Busy:
            self._throttle.withdraw(attempt)
            return Refusal(LoginRefused(reason=BUSY, retry_after_s=1.0))
        proof = None if factor is None else self._factors.check(seen.held, factor, name)
        if seen.account is None:
            reason = "nobody of that name has a password"
        elif not right:
            reason = "wrong password and factor" if isinstance(proof, str) else "wrong password"
        elif isinstance(proof, str):
            reason = f"second factor: {proof}"
        elif seen.account.disabled_at is not None:
            reason = "the person is disabled"
        else:
            return Verified(seen.account, proof, seen.hashed, attempt, network)
        return Refusal(LoginRefused(reason=reason), attack=attempt.crowded)

    async def finish(self, verified: Verified, password: str, source: str) -> LoggedIn | LoginRefused:
        """Use up the factor and make the session."""
        done = await asyncio.to_thread(self._open, verified, source)
        if isinstance(done, LoginRefused):
            return done
        self._throttle.succeeded(verified.attempt)
        if self._hasher.outdated(verified.hashed):
            try:
                renewed = await self._gate.run(
                    lambda: self._hasher.hash(password), network=verified.network.narrow, known=True
                )
                await asyncio.to_thread(self._accounts.rehash, verified.account.id, verified.hashed, renewed)
            except Busy:
                pass  # at the next login, then
        return done

    def spend(self, connection: sa.Connection, verified: Verified) -> LoginRefused | None:
        """Use up the factor of somebody who is still who was verified; None is success."""
        account = self._accounts.by_id(connection, verified.account.id)
        if account is None or account.disabled_at is not None or account.generation != verified.account.generation:
            return LoginRefused(reason="the account was changed meanwhile")
        if verified.proof is not None and not self._factors.spend(connection, verified.proof):
            return LoginRefused(reason="second factor: it was used before")
        return None

    def succeeded(self, verified: Verified) -> None:
        self._throttle.succeeded(verified.attempt)

    def _open(self, verified: Verified, source: str) -> LoggedIn | LoginRefused:
        assert verified.proof is not None, "who logs in shows a factor"
        account, how = verified.account, f"password+{verified.proof.how}"
        with self._store.write() as connection:
            refused = self.spend(connection, verified)
            if refused is not None:
                return refused
            return self.signed_in(connection, account, how, source)

    def signed_in(
        self, connection: sa.Connection, account: Account, how: str, source: str, until: int | None = None
    ) -> LoggedIn:
        """A session for somebody who has shown who they are, and a cookie for their browser. ``until``: when it ends
        at the latest, if not as late as any."""
        self._accounts.was_here(connection, account.id, network_of(source))
        token, number = self._sessions.open(connection, how, source, person=account.id, until=until)
        person = Person(name=account.name, permissions=account.permissions, how=how, session=number)
        return LoggedIn(session_token=token, person=person, device=self._devices.cookie(account))

    def _see(self, name: str, device: str | None, network: Network) -> _Seen:
        """What is looked up is looked up for nobody too, so that it takes as long."""
        with self._store.read() as connection:
            found = self._accounts.find(connection, name)
            person = "" if found is None else found.id
            hashed = self._accounts.password(connection, person)
            known_place = self._accounts.known_place(connection, person, network)
            account = None if hashed is None else found
            held = self._factors.held(connection, None if account is None else account.id)
        return _Seen(
            account,
            self._hasher.dummy if hashed is None else hashed,
            held,
            self._devices.recognise(account, device),
            known_place,
        )
