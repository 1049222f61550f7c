"""Confirmations: that somebody who is logged in has shown a factor anew, for one thing that they want to change.

A confirmation is a sealed note that the browser keeps and this side does not: who, in which session, may do what, until
when. It holds for five minutes and once: using it up is written down (table ``spent``) in the transaction that changes
something. It is void with the session, and with every change of how the person gets in (their ``generation``).
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Final

import msgspec
import sqlalchemy as sa

from leadapron.guard.identity.people.accounts import Account
from leadapron.guard.identity.people.model import Person, Quiet
from leadapron.guard.identity.people.store import Store
from leadapron.kernel.seal import Unsealable

LASTS_S: Final = 300
_PURPOSE: Final = b"confirmation"
_LONGEST: Final = 2048


class Doing(StrEnum):
    """What is confirmed."""

    PASSWORD = "password"
    APP = "app"
    KEY = "key"
    CODES = "codes"
    REMOVE = "remove"
    TOKEN = "token"
    REVOKE = "revoke"
    END = "end"
    OTHERS = "others"


class Confirmed(Quiet, frozen=True, kw_only=True):
    """What a note says. ``number``: of what is removed or ended; ``secret``: for a new authenticator app."""

    person: str
    session: int
    generation: int
    doing: Doing
    number: int
    secret: str
    once: str
    ends_at: int


_decoder = msgspec.json.Decoder(Confirmed)


class Confirmations:
    def __init__(self, store: Store) -> None:
        self._store = store

    def make(self, person: Person, account: Account, doing: Doing, number: int) -> str:
        return self.seal(
            Confirmed(
                person=account.id,
                session=person.session,
                generation=account.generation,
                doing=doing,
                number=number,
                secret="",
                once=secrets.token_hex(16),
                ends_at=self._store.now() + LASTS_S,
            )
        )

    def seal(self, confirmed: Confirmed) -> str:
        return self._store.sealer.seal(msgspec.json.encode(confirmed), _PURPOSE).hex()

    def read(self, person: Person, note: str, doing: Doing) -> Confirmed | None:
        """What ``note`` says if it is ours, for this and this session, and still holds."""
        if len(note) > _LONGEST:
            return None
        try:
            found = _decoder.decode(self._store.sealer.open(bytes.fromhex(note), _PURPOSE))
        except (ValueError, Unsealable):
            return None
        fits = found.session == person.session and found.doing is doing and self._store.now() < found.ends_at
        return found if fits else None

    def use(self, connection: sa.Connection, confirmed: Confirmed, account: Account) -> bool:
        """Use it up. False where it was before, or the account is another by now."""
        if account.disabled_at is not None or account.generation != confirmed.generation:
            return False
        once = sa.text("INSERT OR IGNORE INTO spent (hash, ends_at) VALUES (:hash, :ends)")
        values = {"hash": self._store.digest("confirmed", confirmed.once), "ends": confirmed.ends_at}
        return connection.execute(once, values).rowcount == 1
