"""Secrets that are made here and come back: session tokens, API tokens, codes that a person types.

All have at least 80 random bits, so that a fast keyed hash of them may be stored and no delay is needed against
guessing. An API token begins with ``lat_`` and ends with a checksum: scanners for leaked secrets find it, and a
mistyped one is told apart without a look into the database. Codes are in Crockford's base 32, without letters that
are mistaken for digits; case, spaces and dashes do not matter.
"""

from __future__ import annotations

import secrets
import zlib
from typing import Final

TOKEN_PREFIX: Final = "lat_"
SESSION_OCTETS: Final = 32
_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS: Final = 43  # 62^43 > 2^256
_CHECK_DIGITS: Final = 6  # 62^6 > 2^32
TOKEN_LENGTH: Final = len(TOKEN_PREFIX) + _RANDOM_DIGITS + _CHECK_DIGITS

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", " ": None, "-": None})
CODE_DIGITS: Final = 16  # 80 bits: recovery codes, invitations
ENVELOPE_DIGITS: Final = 24  # 120 bits: works without a second factor
_LONGEST_TYPED: Final = 64


def session_token() -> str:
    """256 random bits, fit for a cookie."""
    return secrets.token_urlsafe(SESSION_OCTETS)


def api_token() -> str:
    random = _base62(int.from_bytes(secrets.token_bytes(32)), _RANDOM_DIGITS)
    return TOKEN_PREFIX + random + _check(random)


def is_api_token(text: str) -> bool:
    """Whether ``text`` has the form and the checksum of one of ours."""
    if len(text) != TOKEN_LENGTH or not text.startswith(TOKEN_PREFIX) or not text.isascii():
        return False
    random, check = text[len(TOKEN_PREFIX) : -_CHECK_DIGITS], text[-_CHECK_DIGITS:]
    return check == _check(random)


def code(digits: int = CODE_DIGITS) -> str:
    """A code to be typed, in groups of four: ``7Q2K-M0XD-…``."""
    drawn = "".join(secrets.choice(_CROCKFORD) for _ in range(digits))
    return "-".join(drawn[i : i + 4] for i in range(0, digits, 4))


def typed(text: str) -> str:
    """A code as it was meant, whatever was typed for it."""
    return text[:_LONGEST_TYPED].upper().translate(_MISREAD)


def _check(random: str) -> str:
    return _base62(zlib.crc32(random.encode()), _CHECK_DIGITS)


def _base62(number: int, digits: int) -> str:
    found = []
    for _ in range(digits):
        number, rest = divmod(number, 62)
        found.append(_BASE62[rest])
    return "".join(reversed(found))
