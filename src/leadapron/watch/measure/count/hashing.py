"""One way from an identifier to 64 bits, with a key that dies with the process (invariant 2).

``hash()`` of bytes is SipHash-1-3 keyed with the interpreter's secret, and costs 50 ns where a keyed BLAKE2 costs 600.
The secret is random in each process, unless somebody sets PYTHONHASHSEED: then it can be computed again, and study UIDs
are guessable enough to be tried. So a random salt of 16 octets is put in front, always: without it nobody can repeat a
hash, whatever the environment says. (PS3.5 §9.1 lets a UID have 64 octets; an interpreter built with FNV instead of
SipHash would not do.)

Two of n different identifiers collide with probability n² / 2⁶⁵: 4e-7 for four million studies. A count is short by one
then.

Hashes of two processes cannot be compared, and must not be stored: that is the point.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from hashlib import blake2b

MASK = (1 << 64) - 1


class KeyedHash:
    """A function from bytes to 0 … 2⁶⁴-1. ``salt``: at least 16 octets; fresh random ones by default."""

    def __init__(self, salt: bytes | None = None) -> None:
        self._salt = os.urandom(16) if salt is None else salt
        if len(self._salt) < 16:
            raise ValueError(f"the salt has {len(self._salt)} octets, at least 16 are needed")

    def __call__(self, data: bytes) -> int:
        return hash(self._salt + data) & MASK

    def many(self, values: Iterable[bytes]) -> list[int]:
        """The hashes of several, without a call for each."""
        salt = self._salt
        return [hash(salt + data) & MASK for data in values]


class BlakeHash(KeyedHash):
    """For an interpreter whose ``hash()`` of bytes is no keyed function."""

    def __call__(self, data: bytes) -> int:
        return int.from_bytes(blake2b(data, digest_size=8, key=self._salt[:64]).digest(), "little")

    def many(self, values: Iterable[bytes]) -> list[int]:
        return [self(data) for data in values]


keyed_hash: type[KeyedHash] = KeyedHash if sys.hash_info.algorithm.startswith("siphash") else BlakeHash
process_hash: KeyedHash = keyed_hash()
