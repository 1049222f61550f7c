"""Passwords: how they are hashed, and which are refused.

argon2id with the parameters that OWASP's Password Storage Cheat Sheet names first: 46 MiB, one pass, one lane. RFC 9106
§4 recommends 64 MiB and three passes, or 2 GiB; we stay below because the guard must relay images within 200 MB while
strangers make it hash, and the string is sealed with a key that is not in the database besides: who copies the file
has nothing to try passwords on. One hash costs about 0.07 s of one core.

The rules follow NIST SP 800-63B §3.1.1.2: length and a list of what everybody uses, no demands on kinds of characters,
no expiry.
"""

from __future__ import annotations

import base64
import re
import secrets
import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct

from leadapron.kernel.errors import UsageError

SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters. A bound there must be: what is hashed is read whole first."""


class Hashing(Struct, frozen=True):
    """Cost of argon2id: ``memory`` in KiB, ``passes``, ``lanes``."""

    memory: int = 47_104
    passes: int = 1
    lanes: int = 1


# Words that leave too little when digits and signs are taken off; German and English, and what stands on our devices.
_WORDS: Final = """
    password passwort passwd passw kennwort secret geheim admin administrator root login welcome willkommen letmein
    qwerty qwertz qwertyuiop qwertzuiop qwertyuiopasdfgh asdfghjkl asdfghjklqwer yxcvbnm zxcvbnm abc abcd abcdef
    abcdefgh abcdefghijkl iloveyou ichliebedich monkey dragon sunshine princess prinzessin football fussball baseball
    superman batman master schatz hallo hello changeme change default test testtest user guest gast sommer winter
    herbst fruehling summer autumn spring monday montag january januar computer internet passphrase
    dicom pacs orthanc radiology radiologie roentgen röntgen hospital clinic klinik praxis krankenhaus leadapron
    modality archive archiv workstation viewer images patient service support siemens philips general electric
    correcthorsebatterystaple trustno nothing whatever starwars pokemon michael jordan thomas andrea
"""
_COMMON: Final = frozenset(_WORDS.split())
_RUNS: Final = (
    "1234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6zhn",
    "1q2w3e4r5t6z7u8i9o0p",
)
_LEET: Final = str.maketrans("0134578@$!", "oieastbasi")


class Hasher:
    """Hashes and verifies. ``dummy`` is a hash of nothing, as dear to verify as any."""

    def __init__(self, cost: Hashing) -> None:
        self._argon2 = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory, parallelism=cost.lanes, hash_len=32, salt_len=16
        )
        salt, hashed = (base64.b64encode(secrets.token_bytes(n)).decode().rstrip("=") for n in (16, 32))
        self.dummy = f"$argon2id$v=19$m={cost.memory},t={cost.passes},p={cost.lanes}${salt}${hashed}"

    def hash(self, password: str) -> str:
        return self._argon2.hash(prepared(password))

    def verify(self, hashed: str, password: str) -> bool:
        """In constant time for one cost; whatever is wrong is False."""
        try:
            return self._argon2.verify(hashed, prepared(password))
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, hashed: str) -> bool:
        """Whether it was made with other parameters than these."""
        return self._argon2.check_needs_rehash(hashed)


def prepared(password: str) -> bytes:
    """The octets that are hashed: RFC 8265 §4.2 (NFC), so that the same keys on another keyboard give the same."""
    return unicodedata.normalize("NFC", password[: LONGEST + 1]).encode("utf-8", "surrogatepass")


def weakness(password: str, name: str) -> str | None:
    """What is wrong with a new password, as the end of "a password …", or None."""
    if len(password) < SHORTEST:
        return f"has at least {SHORTEST} characters"
    if len(password) > LONGEST:
        return f"has at most {LONGEST} characters"
    plain = unicodedata.normalize("NFKC", password).casefold()
    if len(set(plain)) < 5:
        return "has more than four different characters"
    own = unicodedata.normalize("NFKC", name).casefold()
    parts = {part for word in (own, own[::-1]) for part in (word, *re.split(r"[\W_]", word)) if len(part) >= 3}
    rest = plain
    for part in sorted(parts, key=len, reverse=True):
        rest = rest.replace(part, "")
    if rest != plain and len(rest) < SHORTEST - 4:
        return "is more than the person's own name"
    if any(plain in run * 3 or plain in (run * 3)[::-1] for run in _RUNS) or _repeats(plain):
        return "is no run of keys and repeats itself less"
    core = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain)
    words = (re.sub(r"[\W\d_]", "", text) for text in (plain, core.translate(_LEET), plain.translate(_LEET)))
    if any(_half(word) in _COMMON for word in words):
        return "is none that everybody tries first"
    return None


def check_new(password: str, name: str) -> None:
    """Raises `UsageError` for a password that is not good enough."""
    if found := weakness(password, name):
        raise UsageError(f"choose another one: a password {found}")


def _repeats(text: str) -> bool:
    """Whether it is one piece of up to four characters again and again."""
    return any(text == (text[:n] * len(text))[: len(text)] for n in range(1, 5))


def _half(word: str) -> str:
    """``passwordpassword`` is no better than ``password``."""
    middle = len(word) // 2
    return word[:middle] if len(word) % 2 == 0 and word[:middle] == word[middle:] else word
