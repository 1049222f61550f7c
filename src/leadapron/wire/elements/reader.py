"""Elements out of octets: whole data sets at once, or as they arrive, by one and the same machine (PS3.5 §7).

A data set is a tree without a map: a sequence or item of undefined length ends where its delimiter stands, so the only
way to an element is through all that come before it. The machine below walks that way once. It keeps an explicit
stack of what is open (sequence, item, encapsulated fragments), so depth costs no recursion, and it either advances or
reports that octets are missing without having lost anything; that is all that streaming needs.

Read strictly where a length or a delimiter decides what is what, leniently where nothing hangs on it: order, odd
lengths and VRs of later standards are accepted; values are never looked at. What a peer can make us hold is bounded
by ``ElementLimits``, checked on the declared length before a single octet of the value is awaited.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn

from msgspec import Struct

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.elements.dictionary import Tag, vr_of
from leadapron.wire.elements.syntax import (
    IMPLICIT_LE,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    SHORT,
    UNDEFINED,
    Syntax,
    syntax_of,
)


class ElementLimits(Struct, frozen=True):
    """Bounds on what is read.

    ``total``: octets of the data set up to and with the last value read; ``elements``: elements and items at all
    depths; ``depth``: sequences within each other (structured reports reach about 20).
    """

    total: int = 64 * 1024 * 1024
    elements: int = 100_000
    depth: int = 64


DEFAULT_LIMITS: Final = ElementLimits()

Buffer = bytes | bytearray | memoryview


class Element(Struct, frozen=True, gc=False):
    """One element: ``value`` is as encoded, padding included.

    ``vr`` is None where implicit VR leaves it unknown. ``offset``: octets from the start of the data set to the tag.
    A sequence has its items in ``items`` and an empty ``value``; encapsulated pixel data (PS3.5 §A.4) has its
    fragments, each with its item header, in ``value``. The repr shows no value (invariant 2).
    """

    tag: int
    vr: str | None
    value: bytes
    offset: int
    items: tuple[tuple[Element, ...], ...] | None = None

    def __repr__(self) -> str:
        what = f"{len(self.value)} octets" if self.items is None else f"{len(self.items)} items"
        return f"Element({self.tag >> 16:04X},{self.tag & 0xFFFF:04X} {self.vr or '??'}, {what} at {self.offset})"


_MORE: Final = Element(0, None, b"", 0)  # instead of an element: more octets are needed
_SEQUENCE, _ITEM, _FRAGMENTS = range(3)


class _Open:
    """Something that has begun and not ended. ``end`` is an offset in the data set; None: a delimiter will say."""

    __slots__ = ("end", "kind", "offset", "parts", "start", "syntax", "tag", "vr")

    def __init__(
        self, kind: int, tag: int, vr: str | None, offset: int, start: int, end: int | None, syntax: Syntax
    ) -> None:
        self.kind, self.tag, self.vr = kind, tag, vr
        self.offset, self.start, self.end, self.syntax = offset, start, end, syntax
        self.parts: list[Any] = []  # of a sequence: items as tuples; of an item: elements


class ElementReader:
    """Fed with octets as they come, gives the elements of the top level as they are complete.

    ``stop``: reading ends at the first element with this tag or a higher one, without waiting for its value; then
    ``stopped`` is true, ``offset`` is where that element begins, and ``rest()`` gives what was fed from there on.
    Raises ProtocolError or LimitExceeded, with the offset in the data set; the reader is of no use afterwards.
    """

    __slots__ = ("_at", "_base", "_buffer", "_count", "_limits", "_stack", "_stop", "_syntax", "stopped")

    def __init__(
        self, transfer_syntax: str, *, stop: int | None = None, limits: ElementLimits = DEFAULT_LIMITS
    ) -> None:
        self._syntax = syntax_of(transfer_syntax)
        self._stop = UNDEFINED + 1 if stop is None else stop
        self._limits = limits
        self._buffer: Buffer = bytearray()
        self._base = 0  # offset in the data set of the buffer's first octet
        self._at = 0  # offset in the data set of the next octet to read
        self._count = 0
        self._stack: list[_Open] = []
        self.stopped = False

    @property
    def offset(self) -> int:
        """Octets of the data set that have been read."""
        return self._at

    def feed(self, chunk: Buffer) -> list[Element]:
        """The elements that this chunk completes. After ``stopped`` chunks are only kept for ``rest()``."""
        assert isinstance(self._buffer, bytearray)
        self._buffer += chunk
        elements = list(self._elements())
        fragments = self._stack and self._stack[-1].kind == _FRAGMENTS
        keep = self._stack[-1].start if fragments else self._at
        del self._buffer[: keep - self._base]
        self._base = keep
        return elements

    def finish(self) -> None:
        """Say that the data set is over: ProtocolError if it ends within an element."""
        if not self.stopped and (self._stack or self._at != self._base + len(self._buffer)):
            self._fail("the data set ends within an element")

    def rest(self) -> bytes:
        """What was fed and not read: from ``offset`` on, for whoever reads on from the stop tag."""
        return bytes(self._buffer[self._at - self._base :])

    # ---- the machine ------------------------------------------------------------------------------------------------
    # Each step below advances and returns the element that it completed, or None if it completed none; or it returns
    # _MORE and has changed nothing.

    def _elements(self, whole: bool = False) -> Iterator[Element]:
        """Complete elements of the top level for as long as there are. ``whole``: nothing will be fed any more."""
        stack = self._stack
        while not self.stopped:
            if not stack:
                element = self._element(None)
            elif self._at == stack[-1].end:
                element = self._close()
            elif stack[-1].kind == _ITEM:
                element = self._element(stack[-1])
            else:
                element = self._item(stack[-1])
            if element is _MORE:
                break
            if element is not None:
                if stack:
                    stack[-1].parts.append(element)
                else:
                    yield element
        if whole:
            self.finish()

    def _element(self, top: _Open | None) -> Element | None:
        offset = self._at
        buffer, at = self._buffer, offset - self._base
        available = len(buffer) - at
        if available < 8:
            return _MORE
        syntax = self._syntax if top is None else top.syntax
        header = 8
        vr: str | None
        if syntax.explicit:
            group, number, code, length = syntax.header.unpack_from(buffer, at)
            vr = SHORT.get(code)
        else:
            group, number, length = syntax.header.unpack_from(buffer, at)
            code, vr = b"", None
        tag = group << 16 | number
        if top is None and tag >= self._stop:
            self.stopped = True
            return _MORE
        if group == 0xFFFE:
            if tag != ITEM_END or top is None or top.end is not None:
                self._fail("an item or a delimiter stands where an element was expected")
            self._at = offset + 8
            return self._close()
        if not syntax.explicit:
            vr = vr_of(tag)
        elif vr is None:
            if not (code.isalpha() and code.isupper()):
                self._fail("an element has no VR, and the transfer syntax is an explicit one")
            if available < 12:
                return _MORE
            header = 12
            vr = code.decode("ascii")
            (length,) = syntax.length.unpack_from(buffer, at + 8)
        if vr == "SQ" or length == UNDEFINED:
            self._open(tag, vr, header, length, syntax, top)
            return None
        length += header
        self._check(length, top)
        if available < length:
            return _MORE
        self._at = offset + length
        self._count += 1
        value = buffer[at + header : at + length]
        return Element(tag, vr, value if type(value) is bytes else bytes(value), offset)

    def _open(self, tag: int, vr: str | None, header: int, length: int, syntax: Syntax, top: _Open | None) -> None:
        """A sequence or encapsulated pixel data begins."""
        kind = _SEQUENCE
        end = None
        if length != UNDEFINED:
            self._check(header + length, top)
            end = self._at + header + length
        else:
            self._check(header, top)
            if tag == Tag.PixelData or vr in ("OB", "OW"):
                kind = _FRAGMENTS
            elif vr == "UN":
                syntax = IMPLICIT_LE  # PS3.5 §6.2.2, note on UN of undefined length
            elif vr not in (None, "SQ"):
                self._fail("a value of undefined length is neither a sequence nor encapsulated")
        if len(self._stack) >= 2 * self._limits.depth:
            raise LimitExceeded(f"sequences nest deeper than {self._limits.depth}", self._at)
        vr = "SQ" if kind == _SEQUENCE else vr
        self._stack.append(_Open(kind, tag, vr, self._at, self._at + header, end, syntax))
        self._at += header
        self._count += 1

    def _item(self, top: _Open) -> Element | None:
        """An item of a sequence begins, a fragment is passed, or the delimiter ends either (PS3.5 §7.5, §A.4)."""
        at = self._at - self._base
        available = len(self._buffer) - at
        if available < 8:
            return _MORE
        group, number, length = top.syntax.item.unpack_from(self._buffer, at)
        tag = group << 16 | number
        if tag == SEQUENCE_END and top.end is None:
            self._at += 8
            return self._close()
        if tag != ITEM:
            self._fail("an item or the end of the sequence was expected")
        if top.kind == _FRAGMENTS:
            if length == UNDEFINED:
                self._fail("a fragment of encapsulated pixel data has no length")
            self._check(8 + length, top)
            if available < 8 + length:
                return _MORE
            self._at += 8 + length
        else:
            end = None if length == UNDEFINED else self._at + 8 + length
            self._check(8 if end is None else 8 + length, top)
            self._stack.append(_Open(_ITEM, tag, None, self._at, self._at + 8, end, top.syntax))
            self._at += 8
        self._count += 1
        return None

    def _close(self) -> Element | None:
        """What is on top of the stack is over; ``_at`` is behind its delimiter, if it has one."""
        done = self._stack.pop()
        if done.kind == _ITEM:
            self._stack[-1].parts.append(tuple(done.parts))
            return None
        if done.kind == _SEQUENCE:
            return Element(done.tag, done.vr, b"", done.offset, tuple(done.parts))
        value = self._buffer[done.start - self._base : self._at - 8 - self._base]
        return Element(done.tag, done.vr, bytes(value), done.offset)

    def _check(self, length: int, top: _Open | None) -> None:
        """May what begins here be ``length`` octets long?"""
        end = self._at + length
        limits = self._limits
        if top is not None and top.end is not None and end > top.end:
            self._fail("an element is longer than the item or sequence around it")
        if end > limits.total:
            raise LimitExceeded(f"the data set is longer than the {limits.total} octets that are read", self._at)
        if self._count >= limits.elements:
            raise LimitExceeded(f"the data set has more than {limits.elements} elements and items", self._at)

    def _fail(self, message: str) -> NoReturn:
        raise ProtocolError(message, self._at)


def read_elements(
    buffer: Buffer,
    transfer_syntax: str,
    *,
    start: int = 0,
    stop: int | None = None,
    limits: ElementLimits = DEFAULT_LIMITS,
) -> Iterator[Element]:
    """The elements of a whole data set (no file preamble), nested ones in ``items``.

    ``start``: the offset of an element of the top level to begin with. ``stop``: end before the first element with this
    tag or a higher one, ``Tag.PixelData`` for a header. ProtocolError and LimitExceeded carry the offset and quote
    nothing; they are raised when the iteration gets there.
    """
    reader = ElementReader(transfer_syntax, stop=stop, limits=limits)
    reader._buffer = buffer if isinstance(buffer, bytes) else memoryview(buffer)
    reader._at = start
    return reader._elements(whole=True)
