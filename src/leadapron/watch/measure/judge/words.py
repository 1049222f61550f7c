"""Rejections and aborts in the standard's words: PS3.8 Tables 9-21 and 9-26."""

from __future__ import annotations

from typing import Final

from leadapron.watch.measure.model import Aborted, Rejected

TRANSIENT: Final = 2  # the result octet of a rejection that may be over in a moment
SERVICE_USER: Final = 1
CALLING_NOT_RECOGNIZED: Final = 3
CALLED_NOT_RECOGNIZED: Final = 7

_REJECTED: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given by the provider (ACSE)",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
_ABORTED: Final = {
    0: "reason not specified",
    1: "unrecognized PDU",
    2: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}


def rejection(outcome: Rejected) -> str:
    """``A-ASSOCIATE-RJ: called AE title not recognized (result 1, source 1, reason 7)``."""
    said = _REJECTED.get((outcome.source, outcome.reason), "a reason that PS3.8 reserves")
    return (
        f"A-ASSOCIATE-RJ: {said} (result {outcome.result}, source {outcome.source}, reason {outcome.reason})"
        f"{', transient' if outcome.result == TRANSIENT else ''}"
    )


def abortion(outcome: Aborted) -> str:
    """``A-ABORT by the service user (source 0)``; the provider's carries a reason."""
    if outcome.source == 0:
        return "A-ABORT by the service user (source 0)"
    said = _ABORTED.get(outcome.reason, "a reason that PS3.8 reserves")
    return f"A-ABORT by the service provider: {said} (source {outcome.source}, reason {outcome.reason})"


def is_refused_title(outcome: object, reason: int) -> bool:
    """Whether this is a permanent rejection by the service user because of that title."""
    return (
        type(outcome) is Rejected
        and outcome.result != TRANSIENT
        and outcome.source == SERVICE_USER
        and outcome.reason == reason
    )
