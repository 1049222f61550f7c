"""Every bound that the reader keeps, each with its reason (invariant 7).

PS3.8 gives a PDU a 32-bit length and most items a 16-bit length, and bounds neither. Whoever believes the length
buffers 4 GiB for a stranger; whoever bounds only the length still loses, because a sub-item costs 4 octets on the wire
and a hundred or more as an object: an A-ASSOCIATE-RQ of 65 KB once made a server retain 1 GiB. So there are two kinds
of bounds: octets by PDU type, checked when the 6-octet header is there and before anything of that size is buffered;
and numbers of items, counted while reading.

The lower bounds are not a matter of taste: they are the sizes of the fixed fields in PS3.8 §9.3.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.pdu.types import PduType

HEADER: Final = 6  # PDU-type, reserved, PDU-length: PS3.8 §9.3.1
ASSOCIATE_FIXED: Final = 68  # version 2, reserved 2, two AE titles of 16, reserved 32: PS3.8 Tables 9-11 and 9-17
PDV_HEADER: Final = 6  # Item-length 4, Presentation-context-ID 1, message control header 1: PS3.8 §9.3.5.1, Annex E.2

# 128 contexts with 4 transfer syntaxes each make about 20 KB, with 30 each about 110 KB: what a device proposes fits.
MAX_ASSOCIATE: Final = 128 * 1024
# Four times the maximum length that we announce by default (256 KiB): a peer that ignores what was announced, within
# reason, is still read.
MAX_P_DATA: Final = 1024 * 1024
# A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT are exactly this long: PS3.8 §9.3.4, §9.3.6 to §9.3.8.
SHORT: Final = 4
# Presentation-context-ID is odd and one octet (PS3.8 §9.3.2.2): there cannot be more.
MAX_CONTEXTS: Final = 128
# PS3.6 Annex A has about as many, retired ones included; who proposes all that pynetdicom knows sends 45.
MAX_TRANSFER_SYNTAXES: Final = 64
# Items and sub-items in one A-ASSOCIATE PDU, all kinds together: 128 contexts of 30 transfer syntaxes fit.
MAX_ITEMS: Final = 4096
# Sub-items of User Information: a role selection, an extended and a common extended negotiation for each of 128
# contexts, and the single ones.
MAX_USER_ITEMS: Final = 400
# Sub-items of types that PS3.7 Annex D.3.3 does not define: they are kept, so they are few.
MAX_UNKNOWN_ITEMS: Final = 32
# Related general SOP classes in one 57H (PS3.4 §B.3.1.4): a class has a handful.
MAX_RELATED: Final = 64
# A UID has at most 64 characters (PS3.5 §9.1), a version name 16 (PS3.7 §D.3.3.2.3). Twice the longer: a peer that pads
# or overruns is read, one that sends a book is not.
MAX_TEXT: Final = 128
# PDVs in one P-DATA-TF. Peers send one or two; one that packs small C-FIND answers sends some hundreds.
MAX_PDVS: Final = 1024


class Limits(Struct, frozen=True):
    """Upper bounds of the reader: octets by PDU type, then numbers of items. The defaults are the constants above."""

    associate: int = MAX_ASSOCIATE
    p_data: int = MAX_P_DATA
    short: int = SHORT
    contexts: int = MAX_CONTEXTS
    transfer_syntaxes: int = MAX_TRANSFER_SYNTAXES
    items: int = MAX_ITEMS
    user_items: int = MAX_USER_ITEMS
    unknown_items: int = MAX_UNKNOWN_ITEMS
    related: int = MAX_RELATED
    text: int = MAX_TEXT
    pdvs: int = MAX_PDVS


DEFAULT_LIMITS: Final = Limits()

_NAMES: Final = {
    PduType.ASSOCIATE_RQ: "A-ASSOCIATE-RQ",
    PduType.ASSOCIATE_AC: "A-ASSOCIATE-AC",
    PduType.ASSOCIATE_RJ: "A-ASSOCIATE-RJ",
    PduType.P_DATA_TF: "P-DATA-TF",
    PduType.RELEASE_RQ: "A-RELEASE-RQ",
    PduType.RELEASE_RP: "A-RELEASE-RP",
    PduType.ABORT: "A-ABORT",
}


def name_of(pdu_type: int) -> str:
    """The standard's name of a PDU type, or ``PDU of type NNH``."""
    return _NAMES.get(pdu_type) or f"PDU of type {pdu_type:02X}H"  # type: ignore[call-overload]


def length_bounds(limits: Limits) -> dict[int, tuple[int, int]]:
    """Lowest and highest PDU-length by PDU-type, octets without the header."""
    associate, short = (ASSOCIATE_FIXED, limits.associate), (SHORT, limits.short)
    return {
        PduType.ASSOCIATE_RQ: associate,
        PduType.ASSOCIATE_AC: associate,
        PduType.ASSOCIATE_RJ: short,
        PduType.P_DATA_TF: (PDV_HEADER, limits.p_data),
        PduType.RELEASE_RQ: short,
        PduType.RELEASE_RP: short,
        PduType.ABORT: short,
    }


def bad_length(pdu_type: int, length: int, bounds: tuple[int, int]) -> ProtocolError:
    """The error for a PDU-length outside of its bounds: LimitExceeded above, ProtocolError below."""
    low, high = bounds
    if low == high:
        return (LimitExceeded if length > high else ProtocolError)(
            f"{name_of(pdu_type)} announces {length} octets where PS3.8 has exactly {low}", 2
        )
    if length > high:
        return LimitExceeded(f"{name_of(pdu_type)} announces {length} octets; at most {high} are read", 2)
    return ProtocolError(f"{name_of(pdu_type)} announces {length} octets where at least {low} are needed", 2)
