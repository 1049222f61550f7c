"""Why an association was turned away or torn down: PS3.8 Tables 9-21 and 9-26, as values and in words.

A scanner reads them for what they tell: "called AE title not recognized" is a server that checks titles, "temporary
congestion" one that should be asked again later.
"""

from __future__ import annotations

from typing import Final

from leadapron.wire.pdu.types import Abort, AssociateReject

# Result, PS3.8 Table 9-21.
PERMANENT: Final = 1
TRANSIENT: Final = 2

# A-ASSOCIATE-RJ that we send: result, source, reason.
NO_REASON_GIVEN: Final = AssociateReject(PERMANENT, 1, 1)
APPLICATION_CONTEXT_NOT_SUPPORTED: Final = AssociateReject(PERMANENT, 1, 2)
CALLING_AE_NOT_RECOGNIZED: Final = AssociateReject(PERMANENT, 1, 3)
CALLED_AE_NOT_RECOGNIZED: Final = AssociateReject(PERMANENT, 1, 7)
PROTOCOL_VERSION_NOT_SUPPORTED: Final = AssociateReject(PERMANENT, 2, 2)
TEMPORARY_CONGESTION: Final = AssociateReject(TRANSIENT, 3, 1)
LOCAL_LIMIT_EXCEEDED: Final = AssociateReject(TRANSIENT, 3, 2)

# Source and reason of an A-ABORT, PS3.8 Table 9-26.
SERVICE_USER: Final = 0
SERVICE_PROVIDER: Final = 2
REASON_NOT_SPECIFIED: Final = 0
UNRECOGNIZED_PDU: Final = 1
UNEXPECTED_PDU: Final = 2
INVALID_PDU_PARAMETER_VALUE: Final = 6

_RESULTS: Final = {PERMANENT: "rejected for good", TRANSIENT: "rejected for now"}
_SOURCES: Final = {1: "the service user", 2: "the service provider (ACSE)", 3: "the service provider (presentation)"}
_REASONS: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
_ABORT_REASONS: Final = {
    0: "reason not specified",
    1: "unrecognized PDU",
    2: "unexpected PDU",
    4: "unrecognized PDU parameter",
    5: "unexpected PDU parameter",
    6: "invalid PDU parameter value",
}


def explain_reject(reject: AssociateReject) -> str:
    """``rejected for good by the service user: called AE title not recognized``; reserved values as their numbers."""
    result = _RESULTS.get(reject.result, f"rejected (result {reject.result})")
    source = _SOURCES.get(reject.source, f"source {reject.source}")
    reason = _REASONS.get((reject.source, reject.reason), f"reason {reject.reason}")
    return f"{result} by {source}: {reason}"


def explain_abort(abort: Abort) -> str:
    """``aborted by the service provider: unexpected PDU``. The reason of a service user is not significant."""
    if abort.source == SERVICE_USER:
        return "aborted by the service user"
    if abort.source == SERVICE_PROVIDER:
        return f"aborted by the service provider: {_ABORT_REASONS.get(abort.reason, f'reason {abort.reason}')}"
    return f"aborted (source {abort.source}, reason {abort.reason})"
