"""Device cookies: how a browser shows that somebody has signed in with it before.

A cookie opens nothing. It only keeps its browser out of the crowd when others guess at the same account (see
``throttle``). It holds a random number, a generation (a changed password makes all of them void), its end, and a keyed
hash that binds these to one person, whom it doesn't name.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from leadapron.guard.identity.people.accounts import Account
from leadapron.guard.identity.people.store import Store

LASTS_S: Final = 90 * 86_400
_LONGEST: Final = 160


class Devices:
    def __init__(self, store: Store) -> None:
        self._store = store

    def cookie(self, account: Account) -> str:
        body = f"{secrets.token_hex(16)}.{account.generation}.{self._store.now() + LASTS_S}"
        return f"{body}.{self._mark(account, body)}"

    def recognise(self, account: Account | None, cookie: str | None) -> str | None:
        """The device's number if ``cookie`` is one of this account's that holds."""
        if account is None or cookie is None or len(cookie) > _LONGEST or not cookie.isascii():
            return None
        body, _, mark = cookie.rpartition(".")
        if not hmac.compare_digest(mark, self._mark(account, body)):
            return None
        number, generation, ends = body.split(".")
        return number if int(generation) == account.generation and self._store.now() < int(ends) else None

    def _mark(self, account: Account, body: str) -> str:
        return self._store.digest("device", f"{account.id}/{body}").hex()
