"""Data elements, PS3.5 §7, in Implicit LE, Explicit LE and Explicit BE: good for identifiers and headers, no pixels."""

from leadapron.wire.elements.charset import decode_text
from leadapron.wire.elements.dictionary import Tag, vr_of
from leadapron.wire.elements.lookup import get, numbers, texts
from leadapron.wire.elements.reader import DEFAULT_LIMITS, Element, ElementLimits, ElementReader, read_elements
from leadapron.wire.elements.writer import Item, Value, encode_dataset

__all__ = [
    "DEFAULT_LIMITS",
    "Element",
    "ElementLimits",
    "ElementReader",
    "Item",
    "Tag",
    "Value",
    "decode_text",
    "encode_dataset",
    "get",
    "numbers",
    "read_elements",
    "texts",
    "vr_of",
]
