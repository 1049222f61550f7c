"""Messages that the guard speaks itself: refusals, C-CANCEL, and how they are framed."""

from __future__ import annotations

import struct
from typing import Any, Final

from leadapron.wire.dimse.command import (
    COMMAND_FIELDS,
    RESPONSE_OF,
    CCancelRequest,
    CStoreRequest,
    NActionRequest,
    NCreateRequest,
    NEventReportRequest,
    NSetRequest,
    Request,
    Response,
    encode_command,
)
from leadapron.wire.dimse.fragments import OUR_MAX_PDU

_OF_INSTANCE: Final = (CStoreRequest, NEventReportRequest, NActionRequest, NCreateRequest, NSetRequest)
_FRAME: Final = struct.Struct(">BxIIBB")

Buffer = bytes | bytearray | memoryview


def refusal(request: Request, status: int) -> bytes:
    """The command set that answers ``request`` with ``status``: final, without a data set."""
    more: dict[str, Any] = {"sop_class": request.sop_class or None}
    if isinstance(request, _OF_INSTANCE):
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


def field_of(request: Request) -> int:
    """Command Field (0000,0100)."""
    return COMMAND_FIELDS[type(request)]


def answers(response: Response, request: Request) -> bool:
    """Whether the one is a response to a request of the other's kind."""
    return RESPONSE_OF[type(request)] is type(response)
