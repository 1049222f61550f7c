"""Messages that the guard speaks itself, and what it must know of those that it does not speak.

`wire.dimse` reads the messages that we serve. A relay meets others too (N-GET, N-CREATE and their like, of services
that nobody may use through it), and must answer them by the book all the same: with a response, not with silence.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from msgspec import Struct

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.dimse.command import (
    COMMAND_FIELDS,
    MAX_COMMAND,
    NO_DATA_SET,
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CFindResponse,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    Command,
    CStoreRequest,
    CStoreResponse,
    NActionRequest,
    NActionResponse,
    NEventReportRequest,
    NEventReportResponse,
    Request,
    Response,
    decode_command,
    encode_command,
)
from leadapron.wire.dimse.fragments import OUR_MAX_PDU

RESPONSE: Final = 0x8000
"""The bit of Command Field that makes a request a response, PS3.7 Annex E.1."""

RESPONSE_OF: Final[dict[type, type]] = {
    CStoreRequest: CStoreResponse,
    CFindRequest: CFindResponse,
    CGetRequest: CGetResponse,
    CMoveRequest: CMoveResponse,
    CEchoRequest: CEchoResponse,
    NEventReportRequest: NEventReportResponse,
    NActionRequest: NActionResponse,
}

_FIELDS: Final = frozenset(COMMAND_FIELDS.values())
_ELEMENT: Final = struct.Struct("<HHI")
_US: Final = struct.Struct("<HHIH")
_LENGTH: Final = struct.Struct("<HHII")
_FRAME: Final = struct.Struct(">BxIIBB")
_OTHER_CLASS: Final = {0x0110: 0x0003, 0x0120: 0x0003, 0x0150: 0x0003}  # N-GET, N-SET, N-DELETE: *Requested* SOP Class

Buffer = bytes | bytearray | memoryview


class OtherRequest(Struct, frozen=True, gc=False):
    """A request that is not spoken here; ``field`` is its Command Field."""

    field: int
    message_id: int
    sop_class: str
    has_data_set: bool


AnyCommand = Command | OtherRequest


def read(data: bytes) -> AnyCommand:
    """The record of a whole command set. Raises ProtocolError, LimitExceeded, also for a response that nobody knows."""
    if len(data) > MAX_COMMAND:
        raise LimitExceeded(f"a command set of {len(data)} octets, at most {MAX_COMMAND} are read")
    field = _number(data, 0x0100)
    if field in _FIELDS:
        return decode_command(data)
    message_id, data_set = _number(data, 0x0110), _number(data, 0x0800)
    if field is None or field & RESPONSE or message_id is None or data_set is None:
        raise ProtocolError("a command set that is neither a request nor a response to one of ours")
    value = _value(data, _OTHER_CLASS.get(field, 0x0002)) or b""
    sop_class = value[:64].rstrip(b"\0 ").decode("ascii", "replace")
    return OtherRequest(field, message_id, sop_class, data_set != NO_DATA_SET)


def _value(data: bytes, wanted: int) -> bytes | None:
    at, end = 0, len(data)
    while end - at >= 8:
        group, element, length = _ELEMENT.unpack_from(data, at)
        if group == 0 and element == wanted:
            return data[at + 8 : at + 8 + length]
        at += 8 + length
    return None


def _number(data: bytes, wanted: int) -> int | None:
    value = _value(data, wanted)
    return None if value is None or len(value) != 2 else value[0] | value[1] << 8


def refusal(request: Request | OtherRequest, status: int) -> bytes:
    """The command set that answers ``request`` with ``status``: final, without a data set."""
    if isinstance(request, OtherRequest):
        body = b"".join(
            _US.pack(0, element, 2, value)
            for element, value in (
                (0x0100, request.field | RESPONSE),
                (0x0120, request.message_id),
                (0x0800, NO_DATA_SET),
                (0x0900, status),
            )
        )
        return _LENGTH.pack(0, 0, 4, len(body)) + body
    more: dict[str, Any] = {"sop_class": request.sop_class or None}
    if isinstance(request, CStoreRequest | NEventReportRequest | NActionRequest):
        more["sop_instance"] = request.sop_instance
    return encode_command(RESPONSE_OF[type(request)](request.message_id, status, **more))


def cancel(message_id: int) -> bytes:
    """The command set of a C-CANCEL-RQ (PS3.7 §9.3.2.3)."""
    return encode_command(CCancelRequest(message_id))


def frames(context: int, data: Buffer, *, command: bool, last: bool, max_pdu: int) -> list[Buffer]:
    """``data`` as fragments, each in a PDU of its own and not longer than ``max_pdu`` (0: ours). Views, not copies."""
    size = (min(max_pdu or OUR_MAX_PDU, OUR_MAX_PDU) - 6) & ~1
    view, length = memoryview(data), len(data)
    parts: list[Buffer] = []
    at = 0
    while True:
        piece = view[at : at + size]
        at += len(piece)
        control = int(command) | (2 if last and at >= length else 0)
        parts += (_FRAME.pack(4, len(piece) + 6, len(piece) + 2, context, control), piece)
        if at >= length:
            return parts


def field_of(request: Request | OtherRequest) -> int:
    """Command Field (0000,0100)."""
    return request.field if isinstance(request, OtherRequest) else COMMAND_FIELDS[type(request)]


def answers(response: Response, request: Request | OtherRequest) -> bool:
    """Whether the one is a response to a request of the other's kind."""
    return RESPONSE_OF.get(type(request)) is type(response)
