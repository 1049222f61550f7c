"""Command sets of PS3.7 as frozen records, one for each message, in one closed union.

A command set is Implicit VR Little Endian whatever the context's transfer syntax is (PS3.7 §6.3.1) and every
element of it is in group 0000 (PS3.7 Annex E). The records are the specification: the name of a field says which
element it is (``_ELEMENTS``), its type says how it is read, and a field without default is mandatory.

What we do with the freedom that peers take: elements that we do not know are skipped, the order does not matter,
empty means absent, the group length is written right and never trusted (the last fragment delimits the command set,
PS3.8 Annex E). An element that comes twice, a number that is not two octets long, a title or UID that is not ASCII
or longer than the standard allows: ``ProtocolError``. More than ``MAX_COMMAND`` octets: ``LimitExceeded``.

A record's repr shows numbers only: what a stranger's server wrote (an error comment may quote a patient's name)
never reaches a log by accident (invariant 2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, structs

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire import uids

MAX_COMMAND: Final = 16 * 1024
"""Octets of a command set. A real one has 60 to 400; the longest lists of offending elements stay under 2,000."""

NO_DATA_SET: Final = 0x0101  # CommandDataSetType, PS3.7 §E.1: 0101H is none, anything else is present
_DATA_SET: Final = 0x0001  # what we send; DCMTK and dcm4che send 0001H or 0000H


class _Message(Struct, frozen=True, gc=False):
    def __repr__(self) -> str:
        numbers = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = ", ".join(f"{name}={value}" for name, value in numbers if isinstance(value, int))
        return f"{type(self).__name__}({shown})"


class _Request(_Message, frozen=True, gc=False):
    message_id: int
    """(0000,0110), 0 to 65535, unique among the outstanding messages of the association."""


class _Response(_Message, frozen=True, gc=False):
    """``status`` (0000,0900) is read with ``status.py``; what explains it is optional (PS3.7 Annex C)."""

    responds_to: int
    """(0000,0120): the request's message ID."""
    status: int
    has_data_set: bool = False
    sop_class: str | None = None
    offending_elements: tuple[int, ...] = ()
    error_comment: str | None = None
    error_id: int | None = None


class CStoreRequest(_Request, frozen=True, gc=False):
    """C-STORE-RQ, PS3.7 §9.3.1.1. ``priority``: 0 medium, 1 high, 2 low."""

    sop_class: str
    sop_instance: str
    priority: int = 0
    move_originator: str | None = None
    move_originator_message_id: int | None = None
    has_data_set: bool = True


class CStoreResponse(_Response, frozen=True, gc=False):
    """C-STORE-RSP, PS3.7 §9.3.1.2."""

    sop_instance: str | None = None


class CFindRequest(_Request, frozen=True, gc=False):
    """C-FIND-RQ, PS3.7 §9.3.2.1."""

    sop_class: str
    priority: int = 0
    has_data_set: bool = True


class CFindResponse(_Response, frozen=True, gc=False):
    """C-FIND-RSP, PS3.7 §9.3.2.2. A pending one has an identifier: pass ``has_data_set=True``."""


class CCancelRequest(_Message, frozen=True, gc=False):
    """C-CANCEL-RQ for FIND, GET and MOVE alike, PS3.7 §9.3.2.3. It is not answered."""

    responds_to: int
    has_data_set: bool = False


class CGetRequest(_Request, frozen=True, gc=False):
    """C-GET-RQ, PS3.7 §9.3.3.1."""

    sop_class: str
    priority: int = 0
    has_data_set: bool = True


class CGetResponse(_Response, frozen=True, gc=False):
    """C-GET-RSP, PS3.7 §9.3.3.2, with the counts of sub-operations (0000,1020) to (0000,1023)."""

    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None


class CMoveRequest(_Request, frozen=True, gc=False):
    """C-MOVE-RQ, PS3.7 §9.3.4.1. ``destination`` is an AE title."""

    sop_class: str
    destination: str
    priority: int = 0
    has_data_set: bool = True


class CMoveResponse(_Response, frozen=True, gc=False):
    """C-MOVE-RSP, PS3.7 §9.3.4.2, with the counts of sub-operations (0000,1020) to (0000,1023)."""

    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None


class CEchoRequest(_Request, frozen=True, gc=False):
    """C-ECHO-RQ, PS3.7 §9.3.5.1."""

    sop_class: str = uids.VERIFICATION
    has_data_set: bool = False


class CEchoResponse(_Response, frozen=True, gc=False):
    """C-ECHO-RSP, PS3.7 §9.3.5.2."""


class NEventReportRequest(_Request, frozen=True, gc=False):
    """N-EVENT-REPORT-RQ, PS3.7 §10.3.1.1."""

    sop_class: str
    sop_instance: str
    event_type: int
    has_data_set: bool = False


class NEventReportResponse(_Response, frozen=True, gc=False):
    """N-EVENT-REPORT-RSP, PS3.7 §10.3.1.2."""

    sop_instance: str | None = None
    event_type: int | None = None


class NGetRequest(_Request, frozen=True, gc=False):
    """N-GET-RQ, PS3.7 §10.3.2.1. Class and instance are the *Requested* ones, as in N-SET, N-ACTION and N-DELETE."""

    sop_class: str
    sop_instance: str
    attributes: tuple[int, ...] = ()
    has_data_set: bool = False


class NGetResponse(_Response, frozen=True, gc=False):
    """N-GET-RSP, PS3.7 §10.3.2.2."""

    sop_instance: str | None = None


class NSetRequest(_Request, frozen=True, gc=False):
    """N-SET-RQ, PS3.7 §10.3.3.1. The data set is the modification list."""

    sop_class: str
    sop_instance: str
    has_data_set: bool = True


class NSetResponse(_Response, frozen=True, gc=False):
    """N-SET-RSP, PS3.7 §10.3.3.2."""

    sop_instance: str | None = None


class NActionRequest(_Request, frozen=True, gc=False):
    """N-ACTION-RQ, PS3.7 §10.3.4.1: class and instance are the *Requested* ones, (0000,0003) and (0000,1001)."""

    sop_class: str
    sop_instance: str
    action_type: int
    has_data_set: bool = False


class NActionResponse(_Response, frozen=True, gc=False):
    """N-ACTION-RSP, PS3.7 §10.3.4.2."""

    sop_instance: str | None = None
    action_type: int | None = None


class NCreateRequest(_Request, frozen=True, gc=False):
    """N-CREATE-RQ, PS3.7 §10.3.5.1: whoever is asked may choose the instance's UID where it is left out."""

    sop_class: str
    sop_instance: str | None = None
    has_data_set: bool = True


class NCreateResponse(_Response, frozen=True, gc=False):
    """N-CREATE-RSP, PS3.7 §10.3.5.2."""

    sop_instance: str | None = None


class NDeleteRequest(_Request, frozen=True, gc=False):
    """N-DELETE-RQ, PS3.7 §10.3.6.1."""

    sop_class: str
    sop_instance: str
    has_data_set: bool = False


class NDeleteResponse(_Response, frozen=True, gc=False):
    """N-DELETE-RSP, PS3.7 §10.3.6.2."""

    sop_instance: str | None = None


Response = (
    CStoreResponse
    | CFindResponse
    | CGetResponse
    | CMoveResponse
    | CEchoResponse
    | NEventReportResponse
    | NGetResponse
    | NSetResponse
    | NActionResponse
    | NCreateResponse
    | NDeleteResponse
)
Request = (
    CStoreRequest
    | CFindRequest
    | CGetRequest
    | CMoveRequest
    | CEchoRequest
    | NEventReportRequest
    | NGetRequest
    | NSetRequest
    | NActionRequest
    | NCreateRequest
    | NDeleteRequest
)
Command = Request | Response | CCancelRequest

COMMAND_FIELDS: Final[dict[type[Command], int]] = {  # (0000,0100), PS3.7 §E.1
    CStoreRequest: 0x0001,
    CStoreResponse: 0x8001,
    CGetRequest: 0x0010,
    CGetResponse: 0x8010,
    CFindRequest: 0x0020,
    CFindResponse: 0x8020,
    CMoveRequest: 0x0021,
    CMoveResponse: 0x8021,
    CEchoRequest: 0x0030,
    CEchoResponse: 0x8030,
    NEventReportRequest: 0x0100,
    NEventReportResponse: 0x8100,
    NGetRequest: 0x0110,
    NGetResponse: 0x8110,
    NSetRequest: 0x0120,
    NSetResponse: 0x8120,
    NActionRequest: 0x0130,
    NActionResponse: 0x8130,
    NCreateRequest: 0x0140,
    NCreateResponse: 0x8140,
    NDeleteRequest: 0x0150,
    NDeleteResponse: 0x8150,
    CCancelRequest: 0x0FFF,
}

RESPONSE_OF: Final[dict[type[Request], type[Response]]] = {
    CStoreRequest: CStoreResponse,
    CFindRequest: CFindResponse,
    CGetRequest: CGetResponse,
    CMoveRequest: CMoveResponse,
    CEchoRequest: CEchoResponse,
    NEventReportRequest: NEventReportResponse,
    NGetRequest: NGetResponse,
    NSetRequest: NSetResponse,
    NActionRequest: NActionResponse,
    NCreateRequest: NCreateResponse,
    NDeleteRequest: NDeleteResponse,
}

_COMMAND_FIELD: Final = 0x0100
_DATA_SET_TYPE: Final = 0x0800

_ELEMENTS: Final[dict[str, tuple[int, str, str]]] = {  # PS3.7 Annex E and PS3.6 §"0000": element, VR, name
    "sop_class": (0x0002, "UI", "Affected SOP Class UID"),
    "message_id": (0x0110, "US", "Message ID"),
    "responds_to": (0x0120, "US", "Message ID Being Responded To"),
    "destination": (0x0600, "AE", "Move Destination"),
    "priority": (0x0700, "US", "Priority"),
    "status": (0x0900, "US", "Status"),
    "offending_elements": (0x0901, "AT", "Offending Element"),
    "error_comment": (0x0902, "LO", "Error Comment"),
    "error_id": (0x0903, "US", "Error ID"),
    "sop_instance": (0x1000, "UI", "Affected SOP Instance UID"),
    "attributes": (0x1005, "AT", "Attribute Identifier List"),
    "event_type": (0x1002, "US", "Event Type ID"),
    "action_type": (0x1008, "US", "Action Type ID"),
    "remaining": (0x1020, "US", "Number of Remaining Sub-operations"),
    "completed": (0x1021, "US", "Number of Completed Sub-operations"),
    "failed": (0x1022, "US", "Number of Failed Sub-operations"),
    "warning": (0x1023, "US", "Number of Warning Sub-operations"),
    "move_originator": (0x1030, "AE", "Move Originator Application Entity Title"),
    "move_originator_message_id": (0x1031, "US", "Move Originator Message ID"),
}
_REQUESTED: Final[dict[str, tuple[int, str, str]]] = {
    "sop_class": (0x0003, "UI", "Requested SOP Class UID"),
    "sop_instance": (0x1001, "UI", "Requested SOP Instance UID"),
}
_OF_REQUESTED: Final = (NGetRequest, NSetRequest, NActionRequest, NDeleteRequest)
"""Requests about an instance that is there; the others, and all responses, name the *Affected* one."""

_HEADER = struct.Struct("<HHI")  # group, element, length: PS3.5 §7.1.3
_NUMBER = struct.Struct("<HHIH")
_GROUP_LENGTH = struct.Struct("<HHII")


# ---- reading --------------------------------------------------------------------------------------------------------


def _number(value: bytes) -> int:
    if len(value) != 2:
        raise ProtocolError(f"a number of {len(value)} octets in the command set, expected 2")
    return value[0] | value[1] << 8


def _uid(value: bytes) -> str:
    text = value.rstrip(b"\0 ")
    if len(text) > 64 or not text.isascii():  # PS3.5 §9.1
        raise ProtocolError("a UID in the command set is not ASCII of 64 characters at most")
    return text.decode("ascii")


def _title(value: bytes) -> str:
    text = value.strip(b"\0 ")
    if len(text) > 16 or not text.isascii():  # PS3.5 Table 6.2-1, AE
        raise ProtocolError("an AE title in the command set is not ASCII of 16 characters at most")
    return text.decode("ascii")


def _comment(value: bytes) -> str:
    # LO: 64 characters at most; peers send local code pages
    return value[:64].rstrip(b"\0 ").decode("ascii", "replace").replace("\ufffd", "?")


def _tags(value: bytes) -> tuple[int, ...]:
    if len(value) % 4:
        raise ProtocolError(f"a list of tags has {len(value)} octets, expected a multiple of 4")
    words = struct.unpack(f"<{len(value) // 2}H", value)
    return tuple(group << 16 | element for group, element in zip(words[::2], words[1::2], strict=True))


_READ: Final[dict[str, Callable[[bytes], Any]]] = {
    "US": _number,
    "UI": _uid,
    "AE": _title,
    "LO": _comment,
    "AT": _tags,
}


# ---- writing --------------------------------------------------------------------------------------------------------


def _text(limit: int, pad: bytes) -> Callable[[int, str], bytes]:
    def write(element: int, value: str) -> bytes:
        if not value.isascii():
            raise ValueError(f"(0000,{element:04X}) is not ASCII")
        raw = value.encode("ascii")
        if len(raw) > limit:
            raise ValueError(f"(0000,{element:04X}) has {len(raw)} characters, at most {limit} are allowed")
        if len(raw) & 1:
            raw += pad
        return _HEADER.pack(0, element, len(raw)) + raw

    return write


def _write_number(element: int, value: int) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise ValueError(f"(0000,{element:04X}) is {value}, expected 0 to 65535")
    return _NUMBER.pack(0, element, 2, value)


def _write_tags(element: int, value: tuple[int, ...]) -> bytes:
    words = [word for tag in value for word in (tag >> 16, tag & 0xFFFF)]
    return _HEADER.pack(0, element, len(value) * 4) + struct.pack(f"<{len(words)}H", *words)


def _write_data_set_type(element: int, value: bool) -> bytes:
    return _NUMBER.pack(0, element, 2, _DATA_SET if value else NO_DATA_SET)


_WRITE: Final[dict[str, Callable[[int, Any], bytes]]] = {
    "US": _write_number,
    "UI": _text(64, b"\0"),
    "AE": _text(16, b" "),
    "LO": _text(64, b" "),
    "AT": _write_tags,
}


# ---- plans: the records above, turned into what the two loops below need ---------------------------------------------


class _Plan(Struct, frozen=True):
    record: type[Command]
    read: tuple[tuple[int, Callable[[bytes], Any], bool, Any], ...]
    """In the record's order: element, converter, mandatory, default. Has-data-set is put in by the reader."""
    data_set_position: int
    write: tuple[Callable[[Command], bytes], ...]
    """One writer for each element, in ascending order (PS3.7 §6.3.1)."""


def _writer(name: str, element: int, write: Callable[[int, Any], bytes]) -> Callable[[Command], bytes]:
    def part(command: Command) -> bytes:
        value = getattr(command, name)
        return b"" if value is None or value == () else write(element, value)

    return part


def _plan(record: type[Command], field: int) -> _Plan:
    names = _ELEMENTS | (_REQUESTED if record in _OF_REQUESTED else {})
    fields = [info for info in structs.fields(record) if info.name != "has_data_set"]
    writers = {
        element: _writer(info.name, element, _WRITE[vr]) for info in fields for element, vr, _ in [names[info.name]]
    }
    command_field = _write_number(_COMMAND_FIELD, field)
    writers[_COMMAND_FIELD] = lambda _: command_field
    writers[_DATA_SET_TYPE] = _writer("has_data_set", _DATA_SET_TYPE, _write_data_set_type)
    return _Plan(
        record,
        tuple((names[i.name][0], _READ[names[i.name][1]], i.required, i.default) for i in fields),
        record.__struct_fields__.index("has_data_set"),
        tuple(writer for _, writer in sorted(writers.items())),
    )


_PLANS: Final = {field: _plan(record, field) for record, field in COMMAND_FIELDS.items()}
_PLAN_OF: Final = {plan.record: plan for plan in _PLANS.values()}
_NAMES: Final = {element: name for element, _, name in [*_ELEMENTS.values(), *_REQUESTED.values()]}


def encode_command(command: Command) -> bytes:
    """The command set with its group length, even in every value (PS3.7 §6.3.1).

    ValueError for what the standard has no room for: a title over 16 characters, a UID over 64, text that is not ASCII.
    """
    body = b"".join([write(command) for write in _PLAN_OF[type(command)].write])
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


def decode_command(data: bytes | bytearray | memoryview) -> Command:
    """The record for a whole command set (all its fragments joined).

    ProtocolError says what is wrong and where, never what was sent; LimitExceeded above ``MAX_COMMAND`` octets.
    """
    end = len(data)
    if end > MAX_COMMAND:
        raise LimitExceeded(f"a command set of {end} octets, at most {MAX_COMMAND} are read")
    data = bytes(data)
    values: dict[int, bytes] = {}
    foreign: int | None = None
    at = 0
    while at < end:
        if end - at < 8:
            raise ProtocolError("the command set ends within the header of an element", at)
        group, element, length = _HEADER.unpack_from(data, at)
        stop = at + 8 + length
        if stop > end:
            raise ProtocolError(f"element ({group:04X},{element:04X}) is longer than the command set", at)
        if group != 0:
            foreign, at = at if foreign is None else foreign, stop
            continue
        if element in values:
            raise ProtocolError(f"element (0000,{element:04X}) comes twice", at)
        values[element] = data[at + 8 : stop]
        at = stop
    record = _record(values)
    # DCMTK, and so Orthanc, write what a failed C-GET or C-MOVE details, (0008,0058), into the response's command set.
    if foreign is not None and not isinstance(record, Response):
        raise ProtocolError("an element outside of group 0000 in the command set", foreign)
    return record


def _record(values: dict[int, bytes]) -> Command:
    field = values.get(_COMMAND_FIELD)
    if not field:
        raise ProtocolError("the command set has no Command Field (0000,0100)")
    plan = _PLANS.get(_number(field))
    if plan is None:
        raise ProtocolError(f"Command Field {_number(field):04X}H is no message that is spoken here")
    data_set_type = values.get(_DATA_SET_TYPE)
    if not data_set_type:
        raise ProtocolError("the command set has no Command Data Set Type (0000,0800)")
    arguments: list[Any] = []
    for element, read, mandatory, default in plan.read:
        raw = values.get(element)
        value = read(raw) if raw else ""
        if value != "":
            arguments.append(value)
        elif mandatory:
            raise ProtocolError(f"the command set has no {_NAMES[element]} (0000,{element:04X})")
        else:
            arguments.append(default)
    arguments.insert(plan.data_set_position, _number(data_set_type) != NO_DATA_SET)
    return plan.record(*arguments)
