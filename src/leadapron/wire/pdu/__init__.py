"""PDUs of the DICOM upper layer, PS3.8 §9.3, without I/O.

Records (types), `encode`, `decode`, `PduReader`, `Limits`.
"""

from leadapron.wire.pdu.limits import DEFAULT_LIMITS, Limits
from leadapron.wire.pdu.reader import PduReader, decode, decode_accept_cached
from leadapron.wire.pdu.types import (
    APPLICATION_CONTEXT,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    AsynchronousOperations,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    PData,
    Pdu,
    PduType,
    PresentationDataValue,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from leadapron.wire.pdu.writer import ae_title, encode

__all__ = [
    "APPLICATION_CONTEXT",
    "DEFAULT_LIMITS",
    "Abort",
    "AssociateAccept",
    "AssociateReject",
    "AssociateRequest",
    "AsynchronousOperations",
    "CommonExtendedNegotiation",
    "ContextResult",
    "ExtendedNegotiation",
    "Limits",
    "PData",
    "Pdu",
    "PduReader",
    "PduType",
    "PresentationDataValue",
    "ProposedContext",
    "ReleaseRequest",
    "ReleaseResponse",
    "RoleSelection",
    "UserIdentity",
    "UserInformation",
    "ae_title",
    "decode",
    "decode_accept_cached",
    "encode",
]
