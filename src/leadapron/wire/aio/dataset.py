"""A data set as it came off the wire: octets, and the transfer syntax that they are in."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct

from leadapron.wire.elements import Element, Item, encode_dataset, get, read_elements, texts

Buffer: TypeAlias = bytes | bytearray | memoryview
Data: TypeAlias = Buffer | Iterable[Buffer] | AsyncIterable[Buffer]
"""An encoded data set to send: whole, or in chunks of any size."""

Identifier: TypeAlias = "bytes | DataSet | Iterable[Item]"
"""What to ask for: (tag, VR, value) items, which are encoded in the context's transfer syntax, or octets already so."""

SPECIFIC_CHARACTER_SET = 0x00080005


class DataSet(Struct, frozen=True):
    """``data`` in ``transfer_syntax``. The repr shows no value: it may be a patient's."""

    data: bytes
    transfer_syntax: str

    def __repr__(self) -> str:
        return f"DataSet({len(self.data)} octets)"

    def elements(self) -> Iterator[Element]:
        """The elements of the top level. Raises ProtocolError."""
        return iter(read_elements(self.data, self.transfer_syntax))

    def get(self, tag: int) -> bytes | None:
        """The raw value of an element, None if it is not there. Raises ProtocolError."""
        return get(self.data, tag, self.transfer_syntax)

    def text(self, tag: int, vr: str = "LO") -> str:
        """The text of an element, several values joined by backslashes; "" if there is none. Raises ProtocolError."""
        value = self.get(tag)
        return "\\".join(texts(value, vr, self.get(SPECIFIC_CHARACTER_SET))) if value else ""


def encode_identifier(identifier: Identifier, transfer_syntax: str) -> bytes:
    """The octets to send. A ``DataSet`` in another transfer syntax than the context's is a ValueError."""
    if isinstance(identifier, bytes):
        return identifier
    if isinstance(identifier, DataSet):
        if identifier.transfer_syntax != transfer_syntax:
            raise ValueError("the data set is in another transfer syntax than the one that was accepted")
        return identifier.data
    return encode_dataset(identifier, transfer_syntax)
