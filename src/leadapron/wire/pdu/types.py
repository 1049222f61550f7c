"""The seven PDUs of PS3.8 §9.3 and their sub-items, as one closed union of frozen records.

Field names are the standard's. AE titles are str without padding; UIDs are str without trailing NUL.
"""

from __future__ import annotations

import enum

from msgspec import Struct

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 Annex A.2.1


class PduType(enum.IntEnum):
    """PDU-type octet, PS3.8 §9.3.1."""

    ASSOCIATE_RQ = 0x01
    ASSOCIATE_AC = 0x02
    ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    RELEASE_RQ = 0x05
    RELEASE_RP = 0x06
    ABORT = 0x07


class ProposedContext(Struct, frozen=True):
    """Presentation Context Item of an A-ASSOCIATE-RQ, type 20H, PS3.8 §9.3.2.2. ``id`` is odd, 1 to 255."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class ContextResult(Struct, frozen=True):
    """Presentation Context Item of an A-ASSOCIATE-AC, type 21H, PS3.8 §9.3.3.2.

    ``result``: 0 acceptance, 1 user rejection, 2 no reason (provider), 3 abstract syntax not supported,
    4 transfer syntaxes not supported. ``transfer_syntax`` is not significant unless ``result`` is 0.
    """

    id: int
    result: int
    transfer_syntax: str


class RoleSelection(Struct, frozen=True):
    """SCP/SCU Role Selection, type 54H, PS3.7 §D.3.3.4."""

    sop_class: str
    scu: bool
    scp: bool


class AsynchronousOperations(Struct, frozen=True):
    """Asynchronous Operations Window, type 53H, PS3.7 §D.3.3.3. 0 means unlimited."""

    invoked: int
    performed: int


class ExtendedNegotiation(Struct, frozen=True):
    """SOP Class Extended Negotiation, type 56H, PS3.7 §D.3.3.5."""

    sop_class: str
    information: bytes


class CommonExtendedNegotiation(Struct, frozen=True):
    """SOP Class Common Extended Negotiation, type 57H, PS3.7 §D.3.3.6."""

    sop_class: str
    service_class: str
    related_general: tuple[str, ...] = ()


class UserIdentity(Struct, frozen=True):
    """User Identity (RQ), type 58H, PS3.7 §D.3.3.7. ``kind``: 1 user name, 2 with passcode, 3 Kerberos, 4 SAML,
    5 JWT."""

    kind: int
    response_requested: bool
    primary: bytes
    secondary: bytes = b""


class UserInformation(Struct, frozen=True):
    """User Information Item, type 50H, PS3.8 §9.3.2.3 and PS3.7 Annex D.3.3.

    ``implementation_class_uid`` (52H) is mandatory in the standard; None where the peer left it out.
    ``user_identity_response`` is the server response of item 59H, only in an A-ASSOCIATE-AC.
    ``unknown`` keeps (item type, content) of sub-items that we do not know.
    """

    maximum_length: int | None = 0  # 51H; 0 means no limit, None where left out
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None  # 55H
    asynchronous: AsynchronousOperations | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    common_extended: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    user_identity_response: bytes | None = None
    unknown: tuple[tuple[int, bytes], ...] = ()


class AssociateRequest(Struct, frozen=True):
    """A-ASSOCIATE-RQ, type 01H, PS3.8 §9.3.2."""

    called: str
    calling: str
    contexts: tuple[ProposedContext, ...]
    user: UserInformation
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


class AssociateAccept(Struct, frozen=True):
    """A-ASSOCIATE-AC, type 02H, PS3.8 §9.3.3. ``called`` and ``calling`` are reserved there: never tested."""

    contexts: tuple[ContextResult, ...]
    user: UserInformation
    called: str = ""
    calling: str = ""
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


class AssociateReject(Struct, frozen=True):
    """A-ASSOCIATE-RJ, type 03H, PS3.8 §9.3.4: result 1 permanent, 2 transient; source 1 user, 2 provider (ACSE),
    3 provider (presentation)."""

    result: int
    source: int
    reason: int


class PresentationDataValue(Struct, frozen=True):
    """One PDV item, PS3.8 §9.3.5.1 and Annex E.2: ``command`` is bit 0 of the message control header, ``last``
    bit 1."""

    context_id: int
    command: bool
    last: bool
    data: bytes | memoryview


class PData(Struct, frozen=True):
    """P-DATA-TF, type 04H, PS3.8 §9.3.5."""

    values: tuple[PresentationDataValue, ...]


class ReleaseRequest(Struct, frozen=True):
    """A-RELEASE-RQ, type 05H, PS3.8 §9.3.6."""


class ReleaseResponse(Struct, frozen=True):
    """A-RELEASE-RP, type 06H, PS3.8 §9.3.7."""


class Abort(Struct, frozen=True):
    """A-ABORT, type 07H, PS3.8 §9.3.8: source 0 service user, 2 service provider."""

    source: int
    reason: int


Pdu = AssociateRequest | AssociateAccept | AssociateReject | PData | ReleaseRequest | ReleaseResponse | Abort
