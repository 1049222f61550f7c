"""The first look: one link, for whoever started the console on this machine, before there is an account.

A default password would be one that strangers know as well. So the link carries 256 random bits that are printed where
only the operator reads, opens one session, once, and shows without letting anything be changed. It exists only on
loopback and only while nobody can log in; the day the first person exists, link and session are void.

Only hashes are kept here, in memory: both die with the process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from leadapron.kernel.clock import Clock

LASTS_S: Final = 3600.0
LINK_LASTS_S: Final = 3600.0
COOKIE: Final = "leadapron-first"
_BYTES: Final = 32


class FirstLook:
    """``nobody`` says whether there is still no person who could log in."""

    def __init__(self, clock: Clock, nobody: Callable[[], bool]) -> None:
        self._clock, self._nobody = clock, nobody
        self._link: tuple[bytes, float] | None = None
        self._session: tuple[bytes, float] | None = None

    def link(self) -> str | None:
        """A token for a link; one before it is void. None where somebody can log in."""
        if not self._nobody():
            return None
        token = secrets.token_urlsafe(_BYTES)
        self._link = (_hash(token), self._clock.monotonic() + LINK_LASTS_S)
        return token

    def enter(self, token: str) -> str | None:
        """A session for the link's token, None where it opens nothing. It is used up by the first that shows it."""
        if not self._opens(self._link, token):
            return None
        self._link = None
        session = secrets.token_urlsafe(_BYTES)
        self._session = (_hash(session), self._clock.monotonic() + LASTS_S)
        return session

    def holds(self, session: str) -> bool:
        return self._opens(self._session, session)

    def leave(self) -> None:
        self._session = None

    def _opens(self, kept: tuple[bytes, float] | None, shown: str) -> bool:
        if kept is None or self._clock.monotonic() >= kept[1] or not hmac.compare_digest(kept[0], _hash(shown)):
            return False
        return self._nobody()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
