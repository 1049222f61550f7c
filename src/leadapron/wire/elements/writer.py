"""Data sets from plain values: sorted, even, in any of the three uncompressed encodings (PS3.5 §7).

What a caller hands over is (tag, VR, value), since implicit VR needs no dictionary to be written. Sequences and items
have defined lengths. Wrong arguments are ValueError: they are ours, never a peer's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from leadapron.wire.elements.charset import encoder
from leadapron.wire.elements.dictionary import Tag
from leadapron.wire.elements.syntax import (
    ITEM,
    NUMBERS,
    OCTETS,
    SHORT,
    SINGLE,
    TEXT,
    UNDEFINED,
    Syntax,
    syntax_of,
)

Scalar: TypeAlias = str | int | float | bytes
Value: TypeAlias = "Scalar | Sequence[Scalar] | Sequence[Sequence[Item]] | None"
Item: TypeAlias = tuple[int, str, Value]
"""(tag 0xGGGGEEEE, VR, value). A sequence's value is a list of items, each of which is a list of these again."""


def encode_dataset(items: Iterable[Item], transfer_syntax: str) -> bytes:
    """The encoded data set, ascending by tag whatever the order given.

    Values by VR: text VRs take str, numbers (IS, DS: written as text), encoded bytes, or a list of them, joined by
    backslashes; binary numbers take numbers or lists; AT takes tags; OB, OW, UN … take bytes in the syntax's own byte
    order; SQ takes a list of item lists. None and "" are empty values. Text is encoded by (0008,0005) of the data set,
    ASCII without one. ValueError for a tag given twice, a VR that does not exist, a value that does not fit.
    """
    return _dataset(items, syntax_of(transfer_syntax), None)


def _dataset(items: Iterable[Item], syntax: Syntax, character_set: Value) -> bytes:
    ordered = sorted(items, key=lambda item: item[0])
    for tag, _, value in ordered:
        if tag == Tag.SpecificCharacterSet:
            character_set = value
    parts = []
    previous = -1
    for tag, vr, value in ordered:
        if tag == previous:
            raise ValueError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is given twice")
        previous = tag
        raw = _value(tag, vr, value, syntax, character_set)
        parts.append(_header(tag, vr, len(raw), syntax))
        parts.append(raw)
    return b"".join(parts)


def _header(tag: int, vr: str, length: int, syntax: Syntax) -> bytes:
    group, element = tag >> 16, tag & 0xFFFF
    if length >= UNDEFINED:
        raise ValueError(f"({group:04X},{element:04X}) has {length} octets, more than a length field holds")
    if not syntax.explicit:
        return syntax.header.pack(group, element, length)
    code = vr.encode()
    if code not in SHORT:
        return syntax.header.pack(group, element, code, 0) + syntax.length.pack(length)
    if length > 0xFFFF:
        raise ValueError(f"({group:04X},{element:04X}) {vr} has {length} octets, at most 65534 fit")
    return syntax.header.pack(group, element, code, length)


def _value(tag: int, vr: str, value: Value, syntax: Syntax, character_set: Value) -> bytes:
    if vr == "SQ":
        return _sequence(value, syntax, character_set)
    if value is None:
        return b""
    values: Sequence[object] = [value] if isinstance(value, str | int | float | bytes) else value
    if vr in TEXT:
        raw = _text(vr, values, character_set)
    elif vr in NUMBERS:
        raw = _numbers(f"{syntax.order}{len(values)}{NUMBERS[vr]}", values)
    elif vr == "AT":
        words = [word for item in values if isinstance(item, int) for word in (item >> 16, item & 0xFFFF)]
        raw = _numbers(f"{syntax.order}{len(values) * 2}H", words)
    elif vr in OCTETS:
        raw = b"".join(item for item in values if isinstance(item, bytes | bytearray | memoryview))
        if sum(not isinstance(item, bytes | bytearray | memoryview) for item in values):
            raise ValueError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {vr} takes bytes")
    else:
        raise ValueError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has no VR of PS3.5")
    if len(raw) & 1:
        raw += b" " if vr in TEXT and vr != "UI" else b"\0"  # PS3.5 §6.2
    return raw


def _numbers(code: str, values: Sequence[object]) -> bytes:
    try:
        return struct.pack(code, *values)
    except struct.error as error:
        raise ValueError(f"a value does not fit its VR: {error}") from None


def _text(vr: str, values: Sequence[object], character_set: Value) -> bytes:
    encode = encoder(character_set)
    parts = []
    for item in values:
        if isinstance(item, bytes):
            parts.append(item)
        elif isinstance(item, float):
            parts.append(_decimal(item))
        elif isinstance(item, str | int):
            parts.append(encode(str(item), vr))
        else:
            raise ValueError(f"{vr} takes text and numbers")
    if len(parts) > 1 and vr in SINGLE:
        raise ValueError(f"{vr} takes one value")
    return b"\\".join(parts)


def _decimal(value: float) -> bytes:
    """DS: at most 16 characters (PS3.5 Table 6.2-1), as precise as they allow."""
    if not math.isfinite(value):
        raise ValueError("DS has no infinity and no not-a-number")
    text = repr(value)
    digits = 15
    while len(text) > 16:
        text = f"{value:.{digits}g}"
        digits -= 1
    return text.encode()


def _sequence(value: Value, syntax: Syntax, character_set: Value) -> bytes:
    parts = []
    if isinstance(value, str | bytes | int | float):
        raise ValueError("SQ takes a list of lists of elements")
    for item in value or ():
        if isinstance(item, str | bytes | int | float):
            raise ValueError("SQ takes a list of lists of elements")
        raw = _dataset(item, syntax, character_set)
        parts.append(syntax.item.pack(ITEM >> 16, ITEM & 0xFFFF, len(raw)))
        parts.append(raw)
    return b"".join(parts)
