"""``multipart/related`` as it flows by (RFC 2046 §5.1, PS3.18 §8.6.1): each part is taken out and put into a new
envelope.

The envelope is ours in both directions. On the way in because two readers of one boundary may disagree: what the
guard took for pixel data the archive might take for a further part, with a preamble that nobody cleaned; a boundary
that is drawn at random after the request came cannot stand in it. On the way out because part headers name the
archive's own address (``Content-Location``). So lengths change, and the message travels in chunks.

Only the delimiter's size and one block of part headers are kept in memory. The output does not depend on how the
input is cut into pieces.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Final

from leadapron.guard.gateway.preamble import Preamble, PreambleFilter
from leadapron.kernel.errors import LimitExceeded, ProtocolError

MAX_PART_HEADERS: Final = 4096
MAX_PARTS: Final = 100_000
MAX_PREAMBLE: Final = 4096  # octets before the first delimiter, which mean nothing
_PADDING: Final = 64
_AFTER: Final = re.compile(rb"(--)|[ \t]{0,64}\r\n")
_AFTER_BEGUN: Final = re.compile(rb"-?|[ \t]{0,64}\r?")
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=?-](?:[0-9A-Za-z'()+_,./:=? -]{0,68}[0-9A-Za-z'()+_,./:=?-])?")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\x20-\x7e\t]*?)[ \t]*")
_PARAMETER: Final = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")

PartFilter = Callable[[bytes], bytes]


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """A Content-Type in lower case and its parameters (names in lower case, quotes removed).

    Raises ProtocolError where it is no such thing or names a parameter twice: then each reader might choose another.
    """
    kind, semicolon, rest = value.partition(";")
    kind = kind.strip().lower()
    if not re.fullmatch(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}", kind):
        raise ProtocolError("a media type was expected (RFC 9110 §8.3.1)")
    parameters: dict[str, str] = {}
    at, text = 0, semicolon + rest
    text = text.rstrip("; \t")
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise ProtocolError("a media type has a parameter that cannot be read (RFC 9110 §5.6.6)")
        name = match[1].lower()
        if name in parameters:
            raise ProtocolError("a media type has a parameter twice")
        parameters[name] = match[3] if match[2] is None else _QUOTED_PAIR.sub(r"\1", match[2])
        at = match.end()
    return kind, parameters


def boundary_of(parameters: dict[str, str]) -> bytes:
    """The boundary, RFC 2046 §5.1.1. Raises ProtocolError where there is none that is allowed."""
    boundary = parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise ProtocolError("a multipart message has no boundary of 1 to 70 allowed characters (RFC 2046 §5.1.1)")
    return boundary.encode("ascii")


class Related:
    """Reads one message by ``boundary`` and gives it in the envelope of ``fresh``.

    ``part``: called with the fields of each part (lower case names), gives the fields that go on; it may raise.
    Parts that are DICOM files by type, or of no type at all, have their preamble cleaned; ``strict`` refuses parts
    that are no DICOM files. ``zeroed`` counts the preambles that held something.
    """

    def __init__(
        self,
        boundary: bytes,
        part: Callable[[dict[str, str]], dict[str, str]],
        *,
        strict: bool,
    ) -> None:
        self.fresh = f"leadapron-{secrets.token_hex(20)}".encode()
        self.parts = 0
        self.zeroed = 0
        self._delimiter = b"\r\n--" + boundary
        self._choose = part
        self._strict = strict
        self._buffer = bytearray(b"\r\n")  # so that a delimiter at the very start is found as the others
        self._state: Callable[[], bytes | None] = self._before
        self._filter: PreambleFilter | None = None
        self._skipped = 0

    @property
    def closed(self) -> bool:
        """Whether the closing delimiter has come."""
        return self._state == self._after_all

    def feed(self, data: bytes) -> bytes:
        self._buffer += data
        out = bytearray()
        while True:
            given = self._state()
            if given is None:
                return bytes(out)
            out += given

    def finish(self) -> bytes:
        """The end. Raises ProtocolError where the closing delimiter is missing: the message was cut off."""
        if not self.closed:
            raise ProtocolError("a multipart message ends without its closing delimiter (RFC 2046 §5.1.1)")
        return b""

    # Each state gives what may be passed on, or None when it needs more.

    def _before(self) -> bytes | None:
        """Before the first delimiter: octets that mean nothing and are dropped."""
        skipped, ended = self._until_delimiter()
        self._skipped += len(skipped)
        if self._skipped > MAX_PREAMBLE:
            raise LimitExceeded(f"no delimiter within {MAX_PREAMBLE} octets of a multipart message")
        return b"" if ended else None

    def _headers(self) -> bytes | None:
        end = 0 if self._buffer.startswith(b"\r\n") else self._buffer.find(b"\r\n\r\n") + 2
        if end == 1:  # not found
            if len(self._buffer) > MAX_PART_HEADERS:
                raise LimitExceeded(f"a part of a multipart message has more than {MAX_PART_HEADERS} octets of headers")
            return None
        if end > MAX_PART_HEADERS:
            raise LimitExceeded(f"a part of a multipart message has more than {MAX_PART_HEADERS} octets of headers")
        if len(self._buffer) < end + 2:
            return None
        fields = self._fields(bytes(self._buffer[: max(0, end - 2)]))
        del self._buffer[: end + 2]
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise LimitExceeded(f"a multipart message has more than {MAX_PARTS} parts")
        kept = self._choose(fields)
        kind = media_type(fields["content-type"])[0] if fields.get("content-type") else "application/dicom"
        dicom = kind == "application/dicom"
        self._filter = PreambleFilter(strict=self._strict) if dicom else None
        self._state = self._body
        opening = b"\r\n--" if self.parts > 1 else b"--"
        lines = "".join(f"{name}: {value}\r\n" for name, value in kept.items()).encode("ascii")
        return opening + self.fresh + b"\r\n" + lines + b"\r\n"

    @staticmethod
    def _fields(block: bytes) -> dict[str, str]:
        fields: dict[str, str] = {}
        for line in block.split(b"\r\n") if block else ():
            match = _FIELD.fullmatch(line)
            name = match[1].decode("ascii").lower() if match else ""
            if match is None or name in fields:
                raise ProtocolError("a part of a multipart message has a header that cannot be read, or twice")
            fields[name] = match[2].decode("ascii")
        return fields

    def _body(self) -> bytes | None:
        data, ended = self._until_delimiter()
        if self._filter is not None:
            data = self._filter.feed(data)
            if ended:
                data += self._filter.finish()
                self.zeroed += self._filter.found is Preamble.ZEROED
        if ended:
            return data + (b"\r\n--" + self.fresh + b"--\r\n" if self.closed else b"")
        return data or None

    def _after_all(self) -> bytes | None:
        self._buffer.clear()  # an epilogue means nothing
        return None

    def _until_delimiter(self) -> tuple[bytes, bool]:
        """What certainly stands before the next delimiter, and whether that was passed; moves on if so."""
        buffer, delimiter, at = self._buffer, self._delimiter, 0
        while True:
            found = buffer.find(delimiter, at)
            if found < 0:
                safe = max(0, len(buffer) - len(delimiter) + 1)
                break
            after = found + len(delimiter)
            match = _AFTER.match(buffer, after)
            if match:
                data = bytes(buffer[:found])
                self._state = self._after_all if match[1] else self._headers
                if self._state == self._after_all and not self.parts:
                    raise ProtocolError("a multipart message has no part")
                del buffer[: match.end()]
                return data, True
            if len(buffer) - after <= _PADDING + 2 and _AFTER_BEGUN.fullmatch(buffer, after):
                safe = found
                break
            at = found + 2  # a longer word that begins like the boundary: content
        data = bytes(buffer[:safe])
        del buffer[:safe]
        return data, False
