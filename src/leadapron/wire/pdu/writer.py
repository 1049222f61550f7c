"""Writing PDUs, PS3.8 §9.3: one record in, the octets of the whole PDU out.

The writer is strict where we speak for ourselves (the AE titles of an A-ASSOCIATE-RQ) and structural elsewhere:
whatever the reader can return can be written again, so that a relay or a test can repeat what it has heard. The AE
titles of an A-ASSOCIATE-AC are reserved fields in which the acceptor returns what it received (PS3.8 §9.3.3); they are
written as they are, cut to 16 octets.

All fields are big endian (PS3.8 §9.3.1). One join makes the PDU, so that it can go out in one write.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Final

from leadapron.wire.pdu.types import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    PData,
    Pdu,
    ProposedContext,
    ReleaseRequest,
    ReleaseResponse,
    UserInformation,
)

_HEADER: Final = struct.Struct(">BxI")  # PDU-type, reserved, PDU-length
_ITEM: Final = struct.Struct(">BxH")  # Item-type, reserved, Item-length
_PDV: Final = struct.Struct(">IBB")  # Item-length, Presentation-context-ID, message control header (Annex E.2)
_U16: Final = struct.Struct(">H")
_RESERVED_32: Final = bytes(32)

# ISO 646 basic G0 set without backslash and control characters: VR AE, PS3.5 §6.2; 16 octets, PS3.8 Table 9-11.
_AE_TITLE: Final = re.compile(r"[ -\[\]-~]{1,16}")


def encode(pdu: Pdu) -> bytes:
    """The whole PDU, header included.

    Raises ValueError where a field cannot be written: an AE title of an A-ASSOCIATE-RQ that is not 1 to 16 characters
    of the default repertoire without backslash, text outside of Latin-1, a number or an item too large for its field.
    """
    try:
        return _ENCODERS[type(pdu)](pdu)
    except struct.error:
        raise ValueError(
            f"{type(pdu).__name__}: a number or a length does not fit the field that PS3.8 gives"
        ) from None


def ae_title(title: str) -> bytes:
    """An AE title as its 16 octets, padded with spaces (PS3.8 Table 9-11). Raises ValueError if it is none."""
    if not _AE_TITLE.fullmatch(title) or not title.strip():
        raise ValueError(
            "an AE title has 1 to 16 characters of the default repertoire, not all spaces, no backslash, no controls"
        )
    return title.encode("ascii").ljust(16)


def _item(kind: int, content: bytes) -> bytes:
    return _ITEM.pack(kind, len(content)) + content


def _text(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a UID or name has a character outside of Latin-1") from None


def _counted(value: str | bytes) -> bytes:
    """A 16-bit length and the octets that it counts: how PS3.7 Annex D writes fields inside a sub-item."""
    content = _text(value) if isinstance(value, str) else value
    return _U16.pack(len(content)) + content


def _user_information(user: UserInformation) -> bytes:
    """User Information Item, 50H. Sub-items go out in the order of their types, as most toolkits send them."""
    parts: list[bytes] = []
    if user.maximum_length is not None:
        parts.append(struct.pack(">BxHI", 0x51, 4, user.maximum_length))
    if user.implementation_class_uid is not None:
        parts.append(_item(0x52, _text(user.implementation_class_uid)))
    if user.asynchronous is not None:
        parts.append(struct.pack(">BxHHH", 0x53, 4, user.asynchronous.invoked, user.asynchronous.performed))
    parts += [_item(0x54, _counted(role.sop_class) + bytes((role.scu, role.scp))) for role in user.roles]
    if user.implementation_version_name is not None:
        parts.append(_item(0x55, _text(user.implementation_version_name)))
    parts += [_item(0x56, _counted(entry.sop_class) + entry.information) for entry in user.extended]
    for common in user.common_extended:
        related = b"".join(map(_counted, common.related_general))
        parts.append(_item(0x57, _counted(common.sop_class) + _counted(common.service_class) + _counted(related)))
    if user.user_identity is not None:
        identity = user.user_identity
        head = struct.pack(">BB", identity.kind, identity.response_requested)
        parts.append(_item(0x58, head + _counted(identity.primary) + _counted(identity.secondary)))
    if user.user_identity_response is not None:
        parts.append(_item(0x59, _counted(user.user_identity_response)))
    parts += [_item(kind, content) for kind, content in user.unknown]
    return _item(0x50, b"".join(parts))


def _proposed(context: ProposedContext) -> bytes:
    syntaxes = b"".join([_item(0x40, _text(uid)) for uid in context.transfer_syntaxes])
    abstract = _item(0x30, _text(context.abstract_syntax)) if context.abstract_syntax else b""
    return _item(0x20, struct.pack(">Bxxx", context.id) + abstract + syntaxes)


def _result(context: ContextResult) -> bytes:
    syntax = _item(0x40, _text(context.transfer_syntax)) if context.transfer_syntax else b""
    return _item(0x21, struct.pack(">BxBx", context.id, context.result) + syntax)


def _associate(
    kind: int,
    version: int,
    called: bytes,
    calling: bytes,
    application_context: str,
    contexts: list[bytes],
    user: UserInformation,
) -> bytes:
    body = b"".join(
        (
            struct.pack(">Hxx", version),
            called,
            calling,
            _RESERVED_32,
            _item(0x10, _text(application_context)) if application_context else b"",
            *contexts,
            _user_information(user),
        )
    )
    return _HEADER.pack(kind, len(body)) + body


def _request(pdu: AssociateRequest) -> bytes:
    contexts = [_proposed(context) for context in pdu.contexts]
    called, calling = ae_title(pdu.called), ae_title(pdu.calling)
    return _associate(0x01, pdu.protocol_version, called, calling, pdu.application_context, contexts, pdu.user)


def _accept(pdu: AssociateAccept) -> bytes:
    contexts = [_result(context) for context in pdu.contexts]
    called, calling = (_text(title)[:16].ljust(16) for title in (pdu.called, pdu.calling))
    return _associate(0x02, pdu.protocol_version, called, calling, pdu.application_context, contexts, pdu.user)


def _reject(pdu: AssociateReject) -> bytes:
    return struct.pack(">BxIxBBB", 0x03, 4, pdu.result, pdu.source, pdu.reason)


def _abort(pdu: Abort) -> bytes:
    return struct.pack(">BxIxxBB", 0x07, 4, pdu.source, pdu.reason)


def _p_data(pdu: PData) -> bytes:
    parts: list[bytes | memoryview] = [b""]
    length = 0
    for value in pdu.values:
        size = len(value.data) + 2  # the two octets after Item-length count
        parts += (_PDV.pack(size, value.context_id, value.command | value.last << 1), value.data)
        length += size + 4
    parts[0] = _HEADER.pack(0x04, length)
    return b"".join(parts)


_RELEASE_RQ: Final = _HEADER.pack(0x05, 4) + bytes(4)
_RELEASE_RP: Final = _HEADER.pack(0x06, 4) + bytes(4)

_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    AssociateRequest: _request,
    AssociateAccept: _accept,
    AssociateReject: _reject,
    PData: _p_data,
    ReleaseRequest: lambda _: _RELEASE_RQ,
    ReleaseResponse: lambda _: _RELEASE_RP,
    Abort: _abort,
}
