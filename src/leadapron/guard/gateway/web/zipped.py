"""A ZIP archive as it flows by (APPNOTE 6.3): each file is unpacked, its preamble cleaned, and packed again.

Orthanc hands out patients, studies and series as ZIP. Zeroing a preamble changes the file's CRC and packed size,
which stand before it, behind it and at the end, so the archive is written anew: sizes in data descriptors, one
directory at the end. Names are made harmless on the way: they hold patients' names, and none may lead out of the
directory it is unpacked to.

Kept in memory are the directory that is to be written, some hundred octets for each file, and a piece of one file.
What a file unpacks to is bounded in all, and a piece of it is packed again before the next one is unpacked.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from typing import Final

from leadapron.guard.gateway.preamble import Preamble, PreambleFilter
from leadapron.kernel.errors import LimitExceeded, ProtocolError

MAX_FILES: Final = 100_000
MAX_NAME: Final = 1024
PIECE: Final = 256 * 1024
LEVEL: Final = 1  # images that compress well do so at once, the others never

_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_END_64: Final = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<4sIQI")
_FULL: Final = 0xFFFFFFFF
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1 << 0, 1 << 3, 1 << 11
_VERSION: Final = 45
_STORED, _DEFLATED = 0, 8
_DIRECTORY: Final = (b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\6\x08")
_UNSAFE: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ufffd\u202a-\u202e\u2066-\u2069]')


class ZipFilter:
    """``feed`` pieces, ``finish`` at the end. ``most``: octets that all files may unpack to. ``zeroed``: preambles that
    held something. Raises ProtocolError for what is no ZIP, is encrypted, damaged or cut off."""

    def __init__(self, most: int) -> None:
        self.zeroed = 0
        self.files = 0
        self._most = most
        self._buffer = b""
        self._written = 0
        self._directory = bytearray()
        self._state: Callable[[], bytes | None] = self._head

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        out = bytearray()
        while (given := self._state()) is not None:
            out += given
        return bytes(out)

    def finish(self) -> bytes:
        if self._state != self._over:
            raise ProtocolError("a ZIP archive ends without its directory")
        return b""

    # Each state gives what may be passed on, or None when it needs more.

    def _head(self) -> bytes | None:
        if self._buffer[:4] in _DIRECTORY:
            self._state = self._over
            return self._end()
        if len(self._buffer) < _LOCAL.size:
            if not b"PK\3\4".startswith(self._buffer[:4]) and len(self._buffer) >= 4:
                raise ProtocolError("a ZIP archive has something else between its files")
            return None
        fields = _LOCAL.unpack_from(self._buffer)
        signature, _, self._flags, method, when, day, crc, packed, size, named, extra = fields
        if signature != b"PK\3\4" or self._flags & _ENCRYPTED or method not in (_STORED, _DEFLATED):
            raise ProtocolError("a ZIP archive has a file that is encrypted or packed in an unknown way")
        end = _LOCAL.size + named + extra
        if named > MAX_NAME or self.files >= MAX_FILES:
            raise LimitExceeded(f"a ZIP archive has more than {MAX_FILES} files, or a name of {MAX_NAME} octets")
        if len(self._buffer) < end:
            return None
        raw = self._buffer[_LOCAL.size : _LOCAL.size + named]
        if packed == _FULL or size == _FULL:
            size, packed = _sizes_64(self._buffer[_LOCAL.size + named : end])
        if method == _STORED and self._flags & _DESCRIPTOR:
            raise ProtocolError("a ZIP archive has a file whose end cannot be found")
        self._buffer = self._buffer[end:]
        self.files += 1
        self._expected = None if self._flags & _DESCRIPTOR else crc
        self._name, self._when = safe_name(raw, bool(self._flags & _UTF8)), (when, day)
        self._left = packed if method == _STORED else -1
        self._unpack = zlib.decompressobj(-15)
        self._pack = zlib.compressobj(LEVEL, zlib.DEFLATED, -15)
        self._file: PreambleFilter = PreambleFilter()
        self._crc_in = self._crc_out = self._size_in = self._size_out = self._packed_in = self._packed_out = 0
        self._state = self._data
        return self._opening()

    def _opening(self) -> bytes:
        when, day = self._when
        flags = _DESCRIPTOR | _UTF8
        head = _LOCAL.pack(b"PK\3\4", _VERSION, flags, _DEFLATED, when, day, 0, 0, 0, len(self._name), 0)
        self._offset = self._written
        return self._emit(head + self._name)

    def _data(self) -> bytes | None:
        """One piece of a file."""
        if self._left >= 0:
            piece, self._buffer = self._buffer[: min(self._left, PIECE)], self._buffer[min(self._left, PIECE) :]
            self._left -= len(piece)
            self._packed_in += len(piece)
            over, starved = self._left == 0, not piece
        else:
            before = len(self._buffer)
            try:
                piece = self._unpack.decompress(self._buffer, PIECE)
            except zlib.error:
                raise ProtocolError("a ZIP archive has a file that does not unpack") from None
            over = self._unpack.eof
            self._buffer = self._unpack.unused_data if over else self._unpack.unconsumed_tail
            self._packed_in += before - len(self._buffer)
            starved = not piece and not self._buffer
        self._crc_in = zlib.crc32(piece, self._crc_in)
        self._size_in += len(piece)
        self._most -= len(piece)
        if self._most < 0:
            raise LimitExceeded("a ZIP archive unpacks to more than the bound")
        out = self._packed(self._file.feed(piece))
        if over:
            out += self._packed(self._file.finish(), last=True)
            self._state = self._behind
            return self._emit(out)
        return None if starved and not out else self._emit(out)

    def _packed(self, data: bytes, *, last: bool = False) -> bytes:
        self._crc_out = zlib.crc32(data, self._crc_out)
        self._size_out += len(data)
        out = self._pack.compress(data) + (self._pack.flush() if last else b"")
        self._packed_out += len(out)
        return out

    def _behind(self) -> bytes | None:
        """What stands behind a file: its descriptor, if it has one. Then ours."""
        if self._flags & _DESCRIPTOR:
            if len(self._buffer) < 28:  # the longest one, and the signature of what follows
                return None
            signed = 4 if self._buffer[:4] == b"PK\7\x08" else 0
            for form in ("<III", "<IQQ"):
                told = struct.unpack_from(form, self._buffer, signed)
                after = self._buffer[signed + struct.calcsize(form) :]
                if told == (self._crc_in, self._packed_in, self._size_in) and after[:4] in (b"PK\3\4", *_DIRECTORY):
                    self._buffer = after
                    break
            else:
                raise ProtocolError("a ZIP archive has a damaged file")
        elif self._expected != self._crc_in:
            raise ProtocolError("a ZIP archive has a damaged file")
        if max(self._packed_out, self._size_out) >= _FULL:
            raise LimitExceeded("a ZIP archive has a file of 4 GiB")
        self.zeroed += self._file.found is Preamble.ZEROED
        self._list()
        self._state = self._head
        return self._emit(struct.pack("<4sIII", b"PK\7\x08", self._crc_out, self._packed_out, self._size_out))

    def _list(self) -> None:
        """The file's entry in the directory (4.3.12)."""
        when, day = self._when
        far = struct.pack("<HHQ", 1, 8, self._offset) if self._offset >= _FULL else b""
        self._directory += _CENTRAL.pack(
            b"PK\1\2",
            _VERSION,
            _VERSION,
            _DESCRIPTOR | _UTF8,
            _DEFLATED,
            when,
            day,
            self._crc_out,
            self._packed_out,
            self._size_out,
            len(self._name),
            len(far),
            0,
            0,
            0,
            0,
            min(self._offset, _FULL),
        )
        self._directory += self._name + far

    def _end(self) -> bytes:
        """The directory and the records behind it (4.3.14 to 4.3.16)."""
        start, size, files = self._written, len(self._directory), self.files
        out = bytes(self._directory)
        if files >= 0xFFFF or start >= _FULL:
            out += _END_64.pack(b"PK\6\6", 44, _VERSION, _VERSION, 0, 0, files, files, size, start)
            out += _LOCATOR_64.pack(b"PK\6\7", 0, start + size, 1)
        count = min(files, 0xFFFF)
        return self._emit(out + _END.pack(b"PK\5\6", 0, 0, count, count, size, min(start, _FULL), 0))

    def _over(self) -> bytes | None:
        self._buffer = b""
        return None

    def _emit(self, data: bytes) -> bytes:
        self._written += len(data)
        return data


def safe_name(raw: bytes, utf8: bool) -> bytes:
    """A name in UTF-8 that leads nowhere but into the directory it is unpacked to (PS3.12 has none such; ZIP may)."""
    text = raw.decode("utf-8" if utf8 else "cp437", "replace").replace("\\", "/")
    parts = [_UNSAFE.sub("_", part).strip() for part in text.split("/")]
    kept = [part for part in parts if part.strip(". ")]
    name = "/".join(kept) or "_"
    return (name + "/" if text.endswith("/") else name).encode("utf-8")[:MAX_NAME]


def _sizes_64(extra: bytes) -> tuple[int, int]:
    """Size and packed size from the ZIP64 extra field (4.5.3), which has both in a local header."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 16 and at + 20 <= len(extra):
            size, packed = struct.unpack_from("<QQ", extra, at + 4)
            return size, packed
        at += 4 + length
    raise ProtocolError("a ZIP archive has a large file without its sizes")
