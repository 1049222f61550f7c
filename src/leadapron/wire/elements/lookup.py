"""One element out of a data set, and values out of elements."""

from __future__ import annotations

import struct

from leadapron.kernel.errors import ProtocolError
from leadapron.wire.elements.charset import decode_text
from leadapron.wire.elements.dictionary import vr_of
from leadapron.wire.elements.reader import Buffer, read_elements
from leadapron.wire.elements.syntax import NUMBERS, SHORT, SINGLE, UNDEFINED, syntax_of


def get(dataset: Buffer, tag: int, transfer_syntax: str) -> bytes | None:
    """The raw value of the first element of the top level with this tag, None if there is none. Stops at it.

    Values on the way are stepped over unread, which makes this faster than ``read_elements``. A sequence gives an empty
    value: its items are for ``read_elements``. ProtocolError if the data set is broken before the element.
    """
    syntax = syntax_of(transfer_syntax)
    unpack, explicit = syntax.header.unpack_from, syntax.explicit
    wanted_group, wanted_number = tag >> 16, tag & 0xFFFF
    at, end = 0, len(dataset)
    while at < end:
        header = 8
        vr: str | None = None
        if end - at < 8:
            raise ProtocolError("the data set ends within the header of an element", at)
        if explicit:
            group, number, code, length = unpack(dataset, at)
            vr = SHORT.get(code)
            if vr is None and group != 0xFFFE:
                if not (code.isalpha() and code.isupper()):
                    raise ProtocolError("an element has no VR, and the transfer syntax is an explicit one", at)
                if end - at < 12:
                    raise ProtocolError("the data set ends within the header of an element", at)
                header = 12
                vr = code.decode("ascii")
                (length,) = syntax.length.unpack_from(dataset, at + 8)
        else:
            group, number, length = unpack(dataset, at)
        if length == UNDEFINED or group == 0xFFFE:  # only the machine finds its end, or says what is wrong
            for element in read_elements(dataset, transfer_syntax, start=at):
                if element.tag == tag:
                    return element.value
            return None
        after = at + header + length
        if after > end:
            raise ProtocolError("an element is longer than the data set", at)
        if number == wanted_number and group == wanted_group:
            sequence = (vr if explicit else vr_of(tag)) == "SQ"
            return b"" if sequence else bytes(dataset[at + header : after])
        at = after
    return None


def texts(value: bytes, vr: str = "LO", character_set: bytes | None = None) -> list[str]:
    """The values of a text VR, each without its padding; an empty element has none.

    ``character_set``: the raw value of (0008,0005) of the data set. What cannot be decoded becomes U+FFFD.
    """
    text = decode_text(value, character_set, vr)
    if not text:
        return []
    if vr in SINGLE:
        return [text.rstrip()]
    return [part.strip(" \0") for part in text.split("\\")]


def numbers(value: bytes, vr: str, transfer_syntax: str) -> tuple[int | float, ...]:
    """The values of a binary number VR (US, SS, UL, SL, UV, SV, FL, FD) or the tags of an AT (0xGGGGEEEE).

    ProtocolError for a length that is no multiple of the VR's size; KeyError for any other VR.
    """
    order = syntax_of(transfer_syntax).order
    letter = "H" if vr == "AT" else NUMBERS[vr]
    size = struct.calcsize(order + letter)
    if len(value) % (size * 2 if vr == "AT" else size):
        raise ProtocolError(f"a value of {len(value)} octets is no whole number of {vr}")
    values = struct.unpack(f"{order}{len(value) // size}{letter}", value)
    if vr == "AT":
        return tuple(group << 16 | number for group, number in zip(values[::2], values[1::2], strict=True))
    return values
