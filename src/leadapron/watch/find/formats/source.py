"""A target file being read: bounded lines and chunks, with a look at its beginning before anything is consumed."""

from __future__ import annotations

import codecs
import io
import itertools
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from leadapron.kernel.errors import UsageError

HEAD: Final = 4096  # octets that a format is recognised by
MAX_LINE: Final = 65_536
CHUNK: Final = 1 << 20
MAX_OCTETS: Final = 8 << 30  # of one file, unpacked: a gzip bomb ends here

_GZIP = b"\x1f\x8b"


class Source:
    """``name`` is what errors call it; gzip is unpacked on the way. Bytes that are no UTF-8 become U+FFFD, and then no
    address. Not seekable, so that a pipe will do."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        self._parts = self._unpack(stream)
        first = self._some()
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what PowerShell's > writes
            self._parts = _to_utf8(first, self._parts)
            first = self._some()
        self._first = first.removeprefix(codecs.BOM_UTF8)  # as Windows editors leave it
        self.head = self._first[:HEAD].decode("utf-8", "replace")

    def _some(self) -> bytes:
        first = b""
        while len(first) < HEAD and (part := next(self._parts, b"")):
            first += part
        return first

    def chunks(self) -> Iterator[bytes]:
        """The whole file, in pieces of about 1 MiB. Can be read once."""
        yield self._first
        yield from self._parts

    def lines(self) -> Iterator[tuple[int, str]]:
        """(line number from 1, text without its end). Raises UsageError for a line above 64 KiB."""
        number, rest = 0, b""
        for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                number += 1
                yield number, self._line(line, number)
            if len(rest) > MAX_LINE:
                break
        if rest:
            yield number + 1, self._line(rest, number + 1)

    def error(self, line: int | None, message: str) -> UsageError:
        """To be raised: the message with file and line in front."""
        return UsageError(f"{self.name}:{line}: {message}" if line is not None else f"{self.name}: {message}")

    def _line(self, line: bytes, number: int) -> str:
        if len(line) > MAX_LINE:
            raise self.error(number, f"a line of more than {MAX_LINE >> 10} KiB; expected one or more targets a line")
        return line.decode("utf-8", "replace").rstrip("\r")

    def _unpack(self, stream: BinaryIO) -> Iterator[bytes]:
        total = 0
        try:
            for part in _plain(stream):
                total += len(part)
                if total > MAX_OCTETS:
                    raise self.error(None, f"larger than {MAX_OCTETS >> 30} GiB unpacked; split it")
                yield part
        except (zlib.error, EOFError):
            raise self.error(None, "a gzip file that is damaged or cut short") from None

    @classmethod
    def of_text(cls, text: str, name: str = "text") -> Source:
        """For text that is in memory already."""
        return cls(io.BytesIO(text.encode()), name)


def _plain(stream: BinaryIO) -> Iterator[bytes]:
    chunk = stream.read(CHUNK)
    if not chunk.startswith(_GZIP):
        while chunk:
            yield chunk
            chunk = stream.read(CHUNK)
        return
    inflater = zlib.decompressobj(wbits=31)
    fresh = False  # between two members: gzip files may be concatenated
    while chunk:
        part = inflater.decompress(chunk, CHUNK)
        if part:
            yield part
        fresh = inflater.eof
        if fresh:
            chunk = inflater.unused_data or stream.read(CHUNK)
            inflater = zlib.decompressobj(wbits=31)
        else:
            chunk = inflater.unconsumed_tail or stream.read(CHUNK)
    if not fresh:
        raise EOFError


def _to_utf8(first: bytes, parts: Iterator[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    for part in itertools.chain((first,), parts):
        if text := decoder.decode(part):
            yield text.encode("utf-8", "replace")
