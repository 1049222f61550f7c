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
from collections.abc import Callable

HashFunction = Callable[[bytes], int]
MASK = (1 << 64) - 1


def keyed_hash(salt: bytes | None = None) -> HashFunction:
    """A function from bytes to 0 … 2⁶⁴-1. ``salt``: at least 16 octets; a fresh random one by default."""
    key = os.urandom(16) if salt is None else salt
    if len(key) < 16:
        raise ValueError(f"the salt has {len(key)} octets, at least 16 are needed")
    if not sys.hash_info.algorithm.startswith("siphash"):
        return _blake(key)

    def siphash(data: bytes) -> int:
        return hash(key + data) & MASK

    return siphash


def _blake(key: bytes) -> HashFunction:
    """For an interpreter whose ``hash()`` is no keyed function."""
    from hashlib import blake2b

    def blake(data: bytes) -> int:
        return int.from_bytes(blake2b(data, digest_size=8, key=key[:64]).digest(), "little")

    return blake


process_hash: HashFunction = keyed_hash()
