"""A file of sealed records: written once from front to back, and read only as a whole or not at all.

The first record is the head (what the data are), the others are the data in chunks. Each is sealed by AES-256-GCM under
a key of this file alone (HKDF-SHA-256 from the queue's key, a random salt and the file's name), with a nonce made of
the record's number and of whether it is the last: the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizár,
2015; the one that age uses). So a file that was cut, joined to, reordered, or renamed does not open, and no nonce is
ever used twice however many files there are. A reader takes for the last record what ends where the file ends; if it
was not sealed as the last, the file is not whole.

What it costs: 20 octets for each chunk of 256 KiB, and the chunk in memory. What it does not notice: that a whole file
was deleted, or an older one of the same name put back.

    magic 8 | salt 16 | (length 4, ciphertext and tag)*
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from leadapron.kernel.seal import Unsealable

MAGIC: Final = b"LAPRONQ1"
SALT: Final = 16
TAG: Final = 16
CHUNK: Final = 256 * 1024
"""Octets of the data in one record; the last has what is left."""
MAX_HEAD: Final = 16 * 1024

_LENGTH: Final = struct.Struct(">I")


class SealedWriter:
    """Writes to ``descriptor``, which stays its owner's to sync and to close. Raises OSError."""

    def __init__(self, descriptor: int, key: bytes, name: str, head: bytes) -> None:
        if len(head) > MAX_HEAD:
            raise ValueError(f"a head of {len(head)} octets, at most {MAX_HEAD} are read back")
        salt = os.urandom(SALT)
        self.written = 0
        """Octets in the file so far."""
        self._descriptor = descriptor
        self._cipher = _cipher(key, salt, name)
        self._number = 0
        self._held = bytearray()
        self._write(MAGIC + salt)
        self._record(head, last=False)

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """More data. What makes a whole chunk, and is not the last for certain, is written."""
        held = self._held
        held += data
        while len(held) > CHUNK:
            self._record(bytes(memoryview(held)[:CHUNK]), last=False)
            del held[:CHUNK]

    def finish(self) -> None:
        """The last record, which says so."""
        self._record(bytes(self._held), last=True)
        self._held.clear()

    def _record(self, data: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), data, None)
        self._number += 1
        self._write(_LENGTH.pack(len(sealed)) + sealed)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.write(self._descriptor, view)
            self.written += count
            view = view[count:]


class SealedReader:
    """``head``, then the data by iteration. Raises `Unsealable` at the record that is not as it was written."""

    def __init__(self, file: BinaryIO, key: bytes, name: str) -> None:
        start = file.read(len(MAGIC) + SALT)
        if len(start) != len(MAGIC) + SALT or not start.startswith(MAGIC):
            raise _damaged()
        self._file = file
        self._cipher = _cipher(key, start[len(MAGIC) :], name)
        self._number = 0
        self._next = self._length(MAX_HEAD)
        head, over = self._record(CHUNK)
        if over:
            raise _damaged()
        self.head = head

    def __iter__(self) -> Iterator[bytes]:
        over = False
        while not over:
            data, over = self._record(CHUNK)
            yield data

    def _record(self, most_after: int) -> tuple[bytes, bool]:
        """The record whose length was read, and whether the file ends behind it."""
        if self._next is None:
            raise _damaged()
        sealed = self._file.read(self._next)
        self._next = self._length(most_after)
        over = self._next is None
        try:
            data = self._cipher.decrypt(_nonce(self._number, over), sealed, None)
        except (InvalidTag, ValueError):
            raise _damaged() from None
        self._number += 1
        return data, over

    def _length(self, most: int) -> int | None:
        raw = self._file.read(_LENGTH.size)
        if not raw:
            return None
        if len(raw) != _LENGTH.size:
            raise _damaged()
        (length,) = _LENGTH.unpack(raw)
        if not TAG <= length <= most + TAG:
            raise _damaged()
        return int(length)


def _cipher(key: bytes, salt: bytes, name: str) -> AESGCM:
    info = b"leadapron edge queue item " + name.encode()
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=salt, info=info).derive(key))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _damaged() -> Unsealable:
    return Unsealable("a file of the edge's queue does not open: it was changed or cut, or was sealed with another key")
