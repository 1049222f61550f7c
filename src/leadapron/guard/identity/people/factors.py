"""Second factors: what is kept of them, judging one, and using it up.

Judging (`Factors.check`) changes nothing and is done whether the password was right or not, so that both cases take the
same time. Using up (`Factors.spend`) happens in the transaction that makes the session, and fails where another login
was faster. A person who does not exist is judged by invented factors that nobody can satisfy.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.guard.identity.people import totp
from leadapron.guard.identity.people.codes import code, typed
from leadapron.guard.identity.people.model import Factor, PasskeyProof, Quiet, RecoveryCode, TotpCode, name_key
from leadapron.guard.identity.people.passkeys import LASTS_S, Passkeys, Registered
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import factors, recovery, spent

RECOVERY_CODES: Final = 10
MOST_FACTORS: Final = 16


class TotpFactor(Quiet, frozen=True):
    id: int
    secret: str
    step: int


class PasskeyFactor(Struct, frozen=True):
    id: int
    credential: bytes
    public_key: bytes
    counter: int


class FactorRow(Struct, frozen=True):
    """For the list of a person's own; times are seconds since 1970."""

    id: int
    kind: str
    added_at: int
    used_at: int | None


class Held(Struct, frozen=True):
    """The factors of one person. ``person``: the id, empty for nobody."""

    person: str
    totp: tuple[TotpFactor, ...] = ()
    passkeys: tuple[PasskeyFactor, ...] = ()
    recovery: tuple[bytes, ...] = ()


class Proof(Struct, frozen=True):
    """A factor that was right and is still to be used up. ``row``: of ``factors``; ``counter``: its new value;
    ``recovery``: the code's hash; ``challenge``: that was answered, and until when it would have held."""

    how: str
    person: str
    row: int = 0
    counter: int = 0
    recovery: bytes | None = None
    challenge: bytes | None = None


class Factors:
    def __init__(self, store: Store, passkeys: Passkeys | None) -> None:
        self._store = store
        self._passkeys = passkeys
        self._nobody = Held("", (TotpFactor(0, totp.new_secret(), 0),))

    def held(self, connection: sa.Connection, person: str | None) -> Held:
        """What a person has; for None, what nobody has."""
        asked = person or ""
        rows = connection.execute(sa.select(factors).where(factors.c.person == asked).order_by(factors.c.id)).all()
        unused = sa.select(recovery.c.hash).where(recovery.c.person == asked, recovery.c.used_at.is_(None))
        hashes = tuple(connection.execute(unused).scalars())
        if person is None:
            return self._nobody
        opened = [(row, self._store.sealer.open(row.secret, _context(person, row.kind))) for row in rows]
        return Held(
            person,
            tuple(TotpFactor(row.id, secret.decode(), row.counter) for row, secret in opened if row.kind == "totp"),
            tuple(
                PasskeyFactor(row.id, row.credential, secret, row.counter)
                for row, secret in opened
                if row.kind == "webauthn"
            ),
            hashes,
        )

    def rows(self, connection: sa.Connection, person: str) -> tuple[FactorRow, ...]:
        found = sa.select(factors).where(factors.c.person == person).order_by(factors.c.id)
        return tuple(FactorRow(row.id, row.kind, row.added_at, row.used_at) for row in connection.execute(found))

    def check(self, held: Held, factor: Factor, name: str) -> Proof | str:
        """Whether ``factor`` is one of those held, or why not. Changes nothing."""
        if isinstance(factor, TotpCode):
            return self._check_totp(held, factor)
        if isinstance(factor, RecoveryCode):
            hashed = self._store.digest("recovery", f"{held.person}/{typed(factor.code)}")
            if hashed in held.recovery:  # keyed hashes: what a comparison tells of one says nothing of the code
                return Proof("recovery", held.person, recovery=hashed)
            return "the recovery code is none of the unused ones"
        return self._check_passkey(held, factor, name)

    def spend(self, connection: sa.Connection, proof: Proof) -> bool:
        """Use a factor up. False where that was done meanwhile: a replay."""
        now = self._store.now()
        if proof.recovery is not None:
            used = recovery.update().where(
                recovery.c.person == proof.person, recovery.c.hash == proof.recovery, recovery.c.used_at.is_(None)
            )
            return connection.execute(used.values(used_at=now)).rowcount == 1
        # Both grow: the step of a TOTP always, the counter of an authenticator unless it has none (it stays 0).
        grown = factors.c.counter < proof.counter
        if proof.challenge is not None:
            connection.execute(spent.delete().where(spent.c.ends_at < now))
            fresh = sa.text("INSERT OR IGNORE INTO spent (hash, ends_at) VALUES (:hash, :ends)")
            values = {"hash": proof.challenge, "ends": now + LASTS_S}
            if connection.execute(fresh, values).rowcount != 1:
                return False
            grown = grown | ((factors.c.counter == 0) & sa.literal(proof.counter == 0))
        row = factors.update().where(factors.c.id == proof.row, factors.c.person == proof.person, grown)
        return connection.execute(row.values(counter=proof.counter, used_at=now)).rowcount == 1

    # ---- giving out --------------------------------------------------------------------------------------------------

    def set_totp(self, connection: sa.Connection, person: str, secret: str, step: int) -> None:
        """An authenticator app in place of the one before. ``step``: of the code that confirmed it, used up by that."""
        connection.execute(factors.delete().where(factors.c.person == person, factors.c.kind == "totp"))
        self._insert(connection, person, "totp", secret.encode(), None, step)

    def add_passkey(self, connection: sa.Connection, person: str, registered: Registered) -> bool:
        """False where the person has too many, or the credential is somebody's already."""
        count = sa.select(sa.func.count()).select_from(factors).where(factors.c.person == person)
        taken = sa.select(factors.c.id).where(factors.c.credential == registered.credential)
        if connection.execute(count).scalar_one() >= MOST_FACTORS or connection.execute(taken).first() is not None:
            return False
        self._insert(connection, person, "webauthn", registered.public_key, registered.credential, registered.counter)
        return True

    def remove(self, connection: sa.Connection, person: str, number: int) -> bool:
        """One of several. False where it is none of this person's, or the last one."""
        numbers = {row.id for row in self.rows(connection, person)}
        if number not in numbers or len(numbers) < 2:
            return False
        connection.execute(factors.delete().where(factors.c.id == number))
        return True

    def forget(self, connection: sa.Connection, person: str) -> None:
        connection.execute(factors.delete().where(factors.c.person == person))
        connection.execute(recovery.delete().where(recovery.c.person == person))

    def new_recovery_codes(self, connection: sa.Connection, person: str) -> tuple[str, ...]:
        """Ten codes in place of those before; to be shown once."""
        codes = tuple(code() for _ in range(RECOVERY_CODES))
        connection.execute(recovery.delete().where(recovery.c.person == person))
        for one in codes:
            hashed = self._store.digest("recovery", f"{person}/{typed(one)}")
            connection.execute(recovery.insert().values(person=person, hash=hashed))
        return codes

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _check_totp(self, held: Held, factor: TotpCode) -> Proof | str:
        now, found = self._store.now(), "the code is none of this moment"
        for one in held.totp or self._nobody.totp:
            step = totp.step_of(one.secret, factor.code, now)
            if step is not None and held.totp and held.person:
                if step > one.step:
                    return Proof("totp", held.person, one.id, step)
                found = "the code was used before"
        return found

    def _check_passkey(self, held: Held, factor: PasskeyProof, name: str) -> Proof | str:
        if self._passkeys is None:
            return "no passkeys here: the guard does not know its own address for browsers"
        keys = {one.credential: (one.public_key, one.counter) for one in held.passkeys}
        found = self._passkeys.authenticate(name_key(name), factor.response, factor.challenge, keys, self._store.now())
        if isinstance(found, str):
            return found
        credential, counter = found
        (row,) = (one.id for one in held.passkeys if one.credential == credential)
        answered = self._store.digest("answered", bytes.fromhex(factor.challenge))
        return Proof("webauthn", held.person, row, counter, challenge=answered)

    def _insert(
        self, connection: sa.Connection, person: str, kind: str, secret: bytes, credential: bytes | None, counter: int
    ) -> None:
        connection.execute(
            factors.insert().values(
                person=person,
                kind=kind,
                secret=self._store.sealer.seal(secret, _context(person, kind)),
                credential=credential,
                counter=counter,
                added_at=self._store.now(),
            )
        )


def _context(person: str, kind: str) -> bytes:
    return f"{kind}/{person}".encode()
