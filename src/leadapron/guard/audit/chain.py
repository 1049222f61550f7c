"""How the trail is written down: segments of chained records, and a head that says where they end.

A record is ``length, sequence, time | hash of the one before | sealed message | hash``, all integers big-endian. Its
hash is an HMAC-SHA-256 over everything before it, so without the key nobody can make, change or join records, and the
hash of the one before binds its place. Because that stands in the record, one that is out of place can still be told
from one that was changed: it verifies on its own, but does not fit where it stands. The message is sealed (AES-256-GCM)
for its sequence number and predecessor, so that it opens nowhere else.

A segment begins with its number, what it continues and how large its predecessor is. The head (a file of its own,
replaced at once) says how far the trail is on stable storage: shorter than that is truncation, and what is behind that
may be unfinished after a crash, and is nobody's fault.

What this does not do: whoever has the key and may write the files (root) can write another trail; and whoever may write
the files can, without the key, put back an *older copy of all of them*, head included. The second is what the anchor is
for, as long as that is not put back, too. Both show at the collector that the trail is forwarded to, which is why there
should be one.
"""

from __future__ import annotations

import hmac
import struct
from datetime import UTC, datetime
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from leadapron.kernel.seal import OVERHEAD, Sealer

HASH_SIZE: Final = 32
MAX_MESSAGE: Final = 16 << 20
"""Octets of one message; far above what `message` can make of its bounded parts."""
MAX_SEGMENT: Final = 1 << 30
"""Octets of a segment file; one that is larger is not ours and is not read."""

_RECORD: Final = struct.Struct(">IQQ")  # octets sealed, sequence, microseconds since 1970
RECORD_OVERHEAD: Final = _RECORD.size + 2 * HASH_SIZE
_SEALED: Final = _RECORD.size + HASH_SIZE  # where the sealed message begins
SEQUENCE_AT: Final = 4

_SEGMENT_MAGIC: Final = b"LAAUDIT\x01"
_SEGMENT: Final = struct.Struct(f">8sQQQQ{HASH_SIZE}s")  # magic, number, first sequence, octets before, flags, hash
SEGMENT_HEADER: Final = _SEGMENT.size + HASH_SIZE
_HEAD_MAGIC: Final = b"LAHEAD\x00\x01"
_HEAD: Final = struct.Struct(f">8sQQQ{HASH_SIZE}s")  # magic, segment, offset, sequence, hash


class Position(Struct, frozen=True):
    """The end of the record ``sequence`` (0: none yet): at ``offset`` of ``segment``. ``hash``: what the next holds."""

    segment: int
    offset: int
    sequence: int
    hash: bytes


class SegmentHead(Struct, frozen=True):
    """What a segment says of itself: it continues ``hash`` with record ``first``, after a segment of ``before`` octets,
    which was ``damaged`` when this one was begun."""

    number: int
    first: int
    before: int
    hash: bytes
    damaged: bool = False


class Record(Struct, frozen=True):
    """A record that is ours; whether it is in its place is for the caller to see. ``end``: offset behind it."""

    sequence: int
    micros: int
    previous: bytes
    sealed: bytes
    hash: bytes
    end: int

    @property
    def time(self) -> datetime:
        """When it was written, UTC."""
        return datetime.fromtimestamp(self.micros / 1e6, UTC)


class Chain:
    """The key's work: makes and checks records, segment heads and heads. Thread-safe, holds no state but keys."""

    def __init__(self, key: bytes) -> None:
        self._sealer = Sealer(key, "audit")
        self._key = HKDF(hashes.SHA256(), HASH_SIZE, salt=None, info=b"audit chain").derive(key)
        self.genesis = self._hash(b"genesis")
        self.start = Position(1, SEGMENT_HEADER, 0, self.genesis)

    def _hash(self, *parts: bytes) -> bytes:
        return hmac.digest(self._key, b"".join(parts), "sha256")

    # ---- records ----------------------------------------------------------------------------------------------------

    def record(self, sequence: int, micros: int, previous: bytes, text: bytes) -> bytes:
        """The octets of a record; its hash are the last 32."""
        sealed = self._sealer.seal(text, self._context(sequence, previous))
        body = _RECORD.pack(len(sealed), sequence, micros) + previous + sealed
        return body + self._hash(b"record", body)

    def parse(self, data: bytes | memoryview, offset: int) -> Record | None:
        """The record at ``offset``, None if none of ours stands there whole."""
        if len(data) < offset + RECORD_OVERHEAD:
            return None
        size, sequence, micros = _RECORD.unpack_from(data, offset)
        hash_at = offset + _SEALED + size
        if size > MAX_MESSAGE + OVERHEAD or len(data) < hash_at + HASH_SIZE:
            return None
        body, found = bytes(data[offset:hash_at]), bytes(data[hash_at : hash_at + HASH_SIZE])
        if not hmac.compare_digest(self._hash(b"record", body), found):
            return None
        previous = body[_RECORD.size : _SEALED]
        return Record(sequence, micros, previous, body[_SEALED:], found, hash_at + HASH_SIZE)

    def open(self, record: Record) -> bytes:
        """The message in it. Raises `Unsealable`, which for a record that `parse` gave would be a bug."""
        return self._sealer.open(record.sealed, self._context(record.sequence, record.previous))

    @staticmethod
    def wanted(data: bytes | memoryview, offset: int) -> int:
        """Octets that the record at ``offset`` claims to have, as far as one can tell; it may be anything."""
        if len(data) < offset + _RECORD.size:
            return RECORD_OVERHEAD
        return int(_RECORD.unpack_from(data, offset)[0]) + RECORD_OVERHEAD

    @staticmethod
    def _context(sequence: int, previous: bytes) -> bytes:
        return sequence.to_bytes(8, "big") + previous

    # ---- segments and the head --------------------------------------------------------------------------------------

    def segment(self, head: SegmentHead) -> bytes:
        body = _SEGMENT.pack(_SEGMENT_MAGIC, head.number, head.first, head.before, head.damaged, head.hash)
        return body + self._hash(b"segment", body)

    def parse_segment(self, data: bytes | memoryview) -> SegmentHead | None:
        body, found = bytes(data[: _SEGMENT.size]), bytes(data[_SEGMENT.size : SEGMENT_HEADER])
        if len(found) < HASH_SIZE or not hmac.compare_digest(self._hash(b"segment", body), found):
            return None
        _, number, first, before, damaged, previous = _SEGMENT.unpack(body)
        return SegmentHead(number, first, before, previous, bool(damaged))

    def position(self, position: Position, what: bytes = b"head") -> bytes:
        """A position as a file of its own; ``what`` keeps the head apart from a forwarder's mark."""
        body = _HEAD.pack(_HEAD_MAGIC, position.segment, position.offset, position.sequence, position.hash)
        return body + self._hash(what, body)

    @staticmethod
    def segment_of(data: bytes) -> int:
        """The segment that a position names, not proven; 0 where it is none."""
        return int(_HEAD.unpack_from(data)[1]) if len(data) == _HEAD.size + HASH_SIZE else 0

    def parse_position(self, data: bytes, what: bytes = b"head") -> Position | None:
        body, found = data[: _HEAD.size], data[_HEAD.size :]
        if len(data) != _HEAD.size + HASH_SIZE or not hmac.compare_digest(self._hash(what, body), found):
            return None
        _, segment, offset, sequence, previous = _HEAD.unpack(body)
        return Position(segment, offset, sequence, previous)
