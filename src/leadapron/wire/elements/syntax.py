"""What a transfer syntax says about elements: VR explicit or not, byte order, length fields (PS3.5 §7.1, Annex A)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from leadapron.wire import uids

UNDEFINED: Final = 0xFFFFFFFF
"""Undefined length, PS3.5 §7.1.1."""

ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD

_TEXT = "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT"
_WITH_SHORT_LENGTH = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"

TEXT: Final = frozenset(_TEXT.split())
"""VRs whose value is text, PS3.5 Table 6.2-1."""

SINGLE: Final = frozenset(("LT", "ST", "UR", "UT"))
"""Text in which a backslash is no separator, PS3.5 §6.4."""

NUMBERS: Final[dict[str, str]] = {
    "FD": "d",
    "FL": "f",
    "SL": "i",
    "SS": "h",
    "SV": "q",
    "UL": "I",
    "US": "H",
    "UV": "Q",
}
"""Binary numbers and their ``struct`` letters."""

OCTETS: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))
"""VRs whose value we never look into."""

SHORT: Final = {vr.encode(): vr for vr in _WITH_SHORT_LENGTH.split()}
"""Explicit VRs with a 16-bit length, PS3.5 Table 7.1-2. Any other has two reserved octets and 32 bits (Table 7.1-1)."""


class Syntax(NamedTuple):
    """How elements are encoded. ``order`` is ``<`` or ``>``, as ``struct`` has it."""

    explicit: bool
    order: str
    header: struct.Struct
    """Implicit: group, element, 32-bit length. Explicit: group, element, VR, 16-bit length."""
    item: struct.Struct
    """Group, element, 32-bit length: items and delimiters, which have no VR (PS3.5 §7.5)."""
    length: struct.Struct
    """The 32-bit length of explicit VRs that have one."""


def _syntax(explicit: bool, order: str) -> Syntax:
    item = struct.Struct(order + "HHI")
    header = struct.Struct(order + "HH2sH") if explicit else item
    return Syntax(explicit, order, header, item, struct.Struct(order + "I"))


IMPLICIT_LE: Final = _syntax(False, "<")
EXPLICIT_LE: Final = _syntax(True, "<")
EXPLICIT_BE: Final = _syntax(True, ">")


def syntax_of(transfer_syntax: str) -> Syntax:
    """The element encoding of a transfer syntax UID. Compressed ones are Explicit VR Little Endian (PS3.5 §A.4).

    ValueError for the deflated one: its octets are no elements before they are inflated.
    """
    if transfer_syntax == uids.IMPLICIT_LE:
        return IMPLICIT_LE
    if transfer_syntax == uids.EXPLICIT_BE:
        return EXPLICIT_BE
    if transfer_syntax == uids.DEFLATED_LE:
        raise ValueError("a deflated data set cannot be read before it is inflated")
    return EXPLICIT_LE
