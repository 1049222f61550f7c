"""The records that the parts of ``people`` hand around: who is signed in, what came of an attempt, what to audit.

A refusal carries its reason for the audit trail. It must not reach who was refused: a stranger who learns that the name
was right, or that only the code was wrong, has half of what is needed. ``retry_after_s`` may be shown, because it
depends on what came from there before and not on what is in the database.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import UsageError

LONGEST_NAME: Final = 64
LONGEST_TEXT: Final = 500
"""Reasons, labels and what is shown of a stranger's name."""

_PERMISSION: Final = re.compile(r"[a-z]{1,16}:[a-z]{1,16}")


class Quiet(Struct, frozen=True):
    """A record with a secret in it, which no traceback and no log shows."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Person(Struct, frozen=True, kw_only=True):
    """Who is behind a session. ``how``: the factors shown (``password+totp``, ``oidc``, ``emergency`` …); ``session``:
    its number, for the list of sessions; ``emergency``: what is being done under break-glass, else None."""

    name: str
    permissions: frozenset[str]
    how: str
    session: int
    emergency: str | None = None

    def may(self, permission: str) -> bool:
        return permission in self.permissions


class TokenIdentity(Struct, frozen=True, kw_only=True):
    """Which program asks: the token's number and label, its owner, and what both of them may."""

    owner: str
    token: int
    label: str
    permissions: frozenset[str]
    ends_at: datetime

    def may(self, permission: str) -> bool:
        return permission in self.permissions


class LoggedIn(Quiet, frozen=True, kw_only=True):
    """``session_token`` and ``device`` (None: leave the old one) belong in cookies and nowhere else."""

    session_token: str
    person: Person
    device: str | None = None


class LoginRefused(Struct, frozen=True, kw_only=True):
    """``reason`` is for the audit trail only."""

    reason: str
    retry_after_s: float | None = None


class TotpCode(Quiet, frozen=True):
    """Six digits from an authenticator (RFC 6238)."""

    code: str


class RecoveryCode(Quiet, frozen=True):
    """One of the codes that were printed when the factor was set up."""

    code: str


class PasskeyProof(Quiet, frozen=True):
    """What ``navigator.credentials.get()`` gave, as JSON text, and the challenge that it answers."""

    response: str
    challenge: str


Factor = TotpCode | RecoveryCode | PasskeyProof


def typed_factor(text: str) -> TotpCode | RecoveryCode:
    """What a person typed into the one field there is: six digits are an authenticator's, all else a recovery code."""
    digits = text.replace(" ", "")
    return TotpCode(digits) if len(digits) == 6 and digits.isdigit() else RecoveryCode(text)


class Kind(StrEnum):
    """What an event is about; the audit trail chooses its message (PS3.15 A.5.3) by it."""

    LOGIN = "login"
    LOGOUT = "logout"
    SESSION_ENDED = "session ended"
    TOKEN = "token"
    ACCOUNT = "account"  # added, changed, disabled; factors, tokens, codes given out
    EMERGENCY = "emergency"
    ATTACK = "attack"  # many failures from many networks


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened. ``person``: the name as it was given, shortened and without control characters;
    ``source``: the address it came from, empty for this machine's console; ``alert``: somebody should look now; ``by``:
    who did it, where that is not the person whom it is about."""

    kind: Kind
    person: str
    source: str
    success: bool
    how: str
    when: datetime
    reason: str = ""
    alert: bool = False
    by: str = ""


OnEvent = Callable[[Event], None]


def shown(text: str, longest: int = LONGEST_NAME) -> str:
    """``text`` as it may stand in a record: shortened, one line, nothing that a terminal would obey."""
    cut = text[:longest]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut) + (
        "…" if len(text) > longest else ""
    )


def name_key(name: str) -> str:
    """What makes two spellings the same person: RFC 8265 §3.3, compatibility forms and case fall away."""
    text = name[: 4 * LONGEST_NAME].encode("utf-8", "replace").decode()  # no lone surrogates: SQLite takes none
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def checked_name(name: str) -> str:
    """A name for a new person. Raises `UsageError`."""
    name = unicodedata.normalize("NFC", name.strip())
    allowed = all(c.isalnum() or c in "._-+@'" for c in name)
    if not 1 <= len(name) <= LONGEST_NAME or not allowed or not name[0].isalnum():
        raise UsageError(
            f"a person's name has 1 to {LONGEST_NAME} letters, digits or ._-+@' and begins with a letter or digit"
        )
    return name


def checked_permissions(permissions: Iterable[str]) -> frozenset[str]:
    """Permissions in their grammar, ``surface:operation``. Raises `UsageError`. Which ones exist the policy knows."""
    found = frozenset(str(permission) for permission in permissions)
    if wrong := [permission for permission in found if not _PERMISSION.fullmatch(permission)]:
        raise UsageError(f"{shown(sorted(wrong)[0])} is no permission; one looks like web:query")
    return found
