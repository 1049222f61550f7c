"""Encryption at rest: AES-256-GCM under keys that are derived, one for each purpose, from one key file.

A sealed value is bound to where it belongs (``context``): moved to another row or file it does not open. Keys for
different purposes are independent (HKDF-SHA-256), so what the audit trail seals the edge's queue cannot open.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from leadapron.kernel.errors import Failure
from leadapron.kernel.files import private_directory, write_whole

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 12
OVERHEAD: Final = NONCE_SIZE + 16
"""Octets that sealing adds: nonce and tag."""


class Unsealable(Failure):
    """What should be opened was changed, belongs elsewhere, or was sealed with another key."""


class Sealer:
    """Seals and opens octets for one purpose. Good for 2³² values a key, as NIST SP 800-38D bounds random nonces."""

    def __init__(self, key: bytes, purpose: str) -> None:
        derived = HKDF(hashes.SHA256(), KEY_SIZE, salt=None, info=purpose.encode()).derive(key)
        self._cipher = AESGCM(derived)
        self._purpose = purpose

    def seal(self, data: bytes, context: bytes = b"") -> bytes:
        """Nonce, ciphertext and tag; ``OVERHEAD`` octets longer than ``data``."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, data, context)

    def open(self, sealed: bytes, context: bytes = b"") -> bytes:
        """What was sealed in this ``context``. Raises `Unsealable`."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], context)
        except (InvalidTag, ValueError):
            raise Unsealable(
                f"the {self._purpose} holds something that does not open: it was changed, or sealed with another key"
            ) from None


def key_file(path: Path) -> bytes:
    """The key in ``path``, which is made with a random one if it is not there.

    Raises `Failure` for a file that is no key, or that others may read.
    """
    if not path.exists():
        private_directory(path.parent)
        write_whole(path, secrets.token_bytes(KEY_SIZE))
    if path.stat().st_mode & 0o077:
        raise Failure(f"others may read {path}, which holds a key: chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != KEY_SIZE:
        raise Failure(f"{path} holds {len(key)} octets, a key has {KEY_SIZE}: restore it from a backup")
    return key
