"""What a DIMSE status means, PS3.7 Annex C and the service classes of PS3.4 (storage §B.2.3, query/retrieve §C.4).

The first digit carries most of the meaning, and devices invent the rest: an unknown code still has a class.
"""

from __future__ import annotations

import enum
from typing import Final

SUCCESS: Final = 0x0000
CANCEL: Final = 0xFE00
PENDING: Final = 0xFF00
PENDING_WARNING: Final = 0xFF01
"""An answer, and optional keys that the server did not match on (PS3.4 §C.4.1.1.4). It counts like any other."""

SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORIZED: Final = 0x0124
PROCESSING_FAILURE: Final = 0x0110
UNRECOGNIZED_OPERATION: Final = 0x0211
OUT_OF_RESOURCES: Final = 0xA700
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
DOES_NOT_MATCH_SOP_CLASS: Final = 0xA900
UNABLE_TO_PROCESS: Final = 0xC000


class StatusClass(enum.Enum):
    """PS3.7 §C.1 to §C.5."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    CANCEL = "cancel"
    PENDING = "pending"


_SHORT: Final[dict[int, str]] = {
    0x0000: "success",
    0x0001: "requested optional attributes are not supported",
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0107: "attribute list error",
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0113: "no such event type",
    0x0114: "no such argument",
    0x0115: "invalid argument value",
    0x0116: "attribute value out of range",
    0x0117: "invalid object instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "SOP class not supported",
    0x0123: "no such action type",
    0x0124: "not authorized",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xA700: "out of resources",
    0xA701: "out of resources: matches cannot be counted",
    0xA702: "out of resources: sub-operations cannot be performed",
    0xA801: "move destination unknown",
    0xA900: "data set or identifier does not match the SOP class",
    0xB000: "done with warnings: elements were coerced, or sub-operations failed",
    0xB006: "elements were discarded",
    0xB007: "data set does not match the SOP class",
    0xFE00: "cancelled",
    0xFF00: "pending",
    0xFF01: "pending: optional keys were not matched on",
}

_FAMILIES: Final[dict[int, str]] = {  # by the leading digits, PS3.4 Tables B.2-1 and C.4-1
    0xA7: "out of resources",
    0xA9: "data set or identifier does not match the SOP class",
    0xC: "cannot understand or unable to process",
}


def is_pending(status: int) -> bool:
    """FF00 and FF01: another answer is in this response."""
    return status in (PENDING, PENDING_WARNING)


def is_cancel(status: int) -> bool:
    """FE00: the operation was cancelled, by us or because the server has a limit."""
    return status == CANCEL


def is_warning(status: int) -> bool:
    """0001, 0107, 0116 and Bxxx (PS3.7 §C.4): done, with a remark."""
    return status in (0x0001, 0x0107, 0x0116) or status >> 12 == 0xB


def classify(status: int) -> StatusClass:
    """The class of any 16-bit status; what is in no other class is a failure."""
    if status == SUCCESS:
        return StatusClass.SUCCESS
    if is_pending(status):
        return StatusClass.PENDING
    if is_cancel(status):
        return StatusClass.CANCEL
    return StatusClass.WARNING if is_warning(status) else StatusClass.FAILURE


def describe(status: int) -> str:
    """Code, class and meaning in short: ``A700H failure: out of resources``."""
    text = _SHORT.get(status) or _FAMILIES.get(status >> 8) or _FAMILIES.get(status >> 12)
    kind = classify(status).value
    if text is None or text.startswith(kind):
        return f"{status:04X}H {text or kind}"
    return f"{status:04X}H {kind}: {text}"
