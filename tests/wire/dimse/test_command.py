"""Command sets written out octet by octet, read back from any order, refused where they are broken."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire import uids
from leadapron.wire.dimse import (
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
    NCreateRequest,
    NCreateResponse,
    NDeleteRequest,
    NDeleteResponse,
    NEventReportRequest,
    NEventReportResponse,
    NGetRequest,
    NGetResponse,
    NSetRequest,
    NSetResponse,
    decode_command,
    encode_command,
)
from leadapron.wire.dimse.command import COMMAND_FIELDS, MAX_COMMAND


def element(number: int, value: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHI", group, number, len(value)) + value


def us(number: int, value: int) -> bytes:
    return element(number, value.to_bytes(2, "little"))


MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP

ECHO_REQUEST = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x38\x00\x00\x00"  # (0000,0000) group length: 56 follow
    b"\x00\x00\x02\x00\x12\x00\x00\x001.2.840.10008.1.1\x00"  # (0000,0002) Affected SOP Class UID, padded with NUL
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x30\x00"  # (0000,0100) Command Field 0030H
    b"\x00\x00\x10\x01\x02\x00\x00\x00\x07\x00"  # (0000,0110) Message ID 7
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01"  # (0000,0800) Command Data Set Type 0101H: none
)

MOVE_REQUEST = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x42\x00\x00\x00"  # 66 follow
    b"\x00\x00\x02\x00\x06\x00\x00\x001.2.3\x00"
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x21\x00"  # 0021H
    b"\x00\x00\x10\x01\x02\x00\x00\x00\x01\x00"
    b"\x00\x00\x00\x06\x04\x00\x00\x00DES "  # (0000,0600) Move Destination, padded with a space
    b"\x00\x00\x00\x07\x02\x00\x00\x00\x02\x00"  # (0000,0700) Priority: low
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x00"  # a data set follows
)

FIND_RESPONSE = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x4e\x00\x00\x00"  # 78 follow
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x20\x80"  # 8020H
    b"\x00\x00\x20\x01\x02\x00\x00\x00\x05\x00"  # (0000,0120) Message ID Being Responded To
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x01"
    b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\xa9"  # (0000,0900) Status A900H
    b"\x00\x00\x01\x09\x08\x00\x00\x00\x10\x00\x20\x00\x20\x00\x0d\x00"  # (0000,0901) two offending tags
    b"\x00\x00\x02\x09\x04\x00\x00\x00why?"  # (0000,0902) Error Comment
    b"\x00\x00\x03\x09\x02\x00\x00\x00\x09\x00"  # (0000,0903) Error ID
)

ANNOTATED: list[tuple[Command, bytes]] = [
    (CEchoRequest(7), ECHO_REQUEST),
    (CMoveRequest(1, "1.2.3", "DES", priority=2), MOVE_REQUEST),
    (
        CFindResponse(5, 0xA900, offending_elements=(0x00100020, 0x0020000D), error_comment="why?", error_id=9),
        FIND_RESPONSE,
    ),
]

ONE_OF_EACH: list[Command] = [
    CStoreRequest(1, uids.CT_IMAGE_STORAGE, "1.2.3.4", 1, "MOVER", 77),
    CStoreResponse(1, 0xB000, False, uids.CT_IMAGE_STORAGE, sop_instance="1.2.3.4"),
    CFindRequest(2, uids.STUDY_ROOT_FIND),
    CFindResponse(2, 0xFF00, True, uids.STUDY_ROOT_FIND),
    CCancelRequest(2),
    CGetRequest(3, uids.STUDY_ROOT_GET),
    CGetResponse(3, 0xFF00, remaining=3, completed=2, failed=1, warning=0),
    CMoveRequest(4, uids.STUDY_ROOT_MOVE, "DESTINATION"),
    CMoveResponse(4, 0xA702, True, remaining=0, completed=0, failed=9, warning=0),
    CEchoRequest(65535),
    CEchoResponse(65535, 0),
    NEventReportRequest(5, uids.STORAGE_COMMITMENT_PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE, 2, has_data_set=True),
    NEventReportResponse(5, 0x0110, sop_instance=uids.STORAGE_COMMITMENT_PUSH_INSTANCE, event_type=2, error_id=4),
    NActionRequest(6, uids.STORAGE_COMMITMENT_PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE, 1, has_data_set=True),
    NActionResponse(6, 0, sop_class=uids.STORAGE_COMMITMENT_PUSH, action_type=1),
    NCreateRequest(7, MPPS),
    NCreateResponse(7, 0x0111, True, MPPS, sop_instance="1.2.3.4"),
    NSetRequest(8, MPPS, "1.2.3.4"),
    NSetResponse(8, 0x0112, sop_class=MPPS, sop_instance="1.2.3.4"),
    NGetRequest(9, MPPS, "1.2.3.4", (0x00400252, 0x00400270)),
    NGetResponse(9, 0, True, MPPS, sop_instance="1.2.3.4"),
    NDeleteRequest(10, MPPS, "1.2.3.4"),
    NDeleteResponse(10, 0, sop_class=MPPS),
]


@pytest.mark.parametrize(("command", "octets"), ANNOTATED)
def test_annotated(command: Command, octets: bytes) -> None:
    assert encode_command(command) == octets
    assert decode_command(octets) == command
    assert decode_command(memoryview(bytearray(octets))) == command


def test_every_kind_is_here() -> None:
    assert {type(command) for command in ONE_OF_EACH} == set(COMMAND_FIELDS)


@pytest.mark.parametrize("command", ONE_OF_EACH, ids=lambda command: type(command).__name__)
def test_round_trip(command: Command) -> None:
    raw = encode_command(command)
    assert decode_command(raw) == command
    assert int.from_bytes(raw[8:12], "little") == len(raw) - 12
    headers = [struct.unpack_from("<HHI", raw, at) for at in offsets(raw)]
    assert [number for _, number, _ in headers] == sorted(number for _, number, _ in headers)  # PS3.7 §6.3.1
    assert all(group == 0 and length % 2 == 0 for group, _, length in headers)


def offsets(raw: bytes) -> list[int]:
    found, at = [], 0
    while at < len(raw):
        found.append(at)
        at += 8 + int.from_bytes(raw[at + 4 : at + 8], "little")
    assert at == len(raw)
    return found


def test_requested_and_affected_are_not_the_same_element() -> None:
    request = encode_command(NActionRequest(1, "1.2", "1.3", 1))
    report = encode_command(NEventReportRequest(1, "1.2", "1.3", 1))
    assert {0x0003, 0x1001} <= numbers(request) and not {0x0002, 0x1000} & numbers(request)
    assert {0x0002, 0x1000} <= numbers(report) and not {0x0003, 0x1001} & numbers(report)


def numbers(raw: bytes) -> set[int]:
    return {struct.unpack_from("<HH", raw, at)[1] for at in offsets(raw)}


ECHO = [element(2, b"1.2\0"), us(0x100, 0x30), us(0x110, 7), us(0x800, 0x101)]
RESPONSE = [us(0x100, 0x8020), us(0x120, 5), us(0x800, 0x101), us(0x900, 0)]


def test_what_peers_take_the_freedom_to_do() -> None:
    command = CEchoRequest(7, "1.2")
    assert decode_command(b"".join(ECHO)) == command  # no group length
    assert decode_command(element(0, b"\xff\xff\xff\xff") + b"".join(ECHO)) == command  # a wrong one
    assert decode_command(b"".join(reversed(ECHO))) == command
    assert decode_command(b"".join([*ECHO, element(0x5110, b"text"), us(0x700, 1)])) == command  # not ours to know
    assert decode_command(b"".join([element(2, b"1.2 "), *ECHO[1:]])) == command  # padded with a space
    assert decode_command(b"".join(ECHO[1:])) == CEchoRequest(7)  # there is but one SOP class that has C-ECHO
    response = b"".join([*RESPONSE, element(2, b""), element(0x902, b""), element(0x901, b""), element(0x903, b"")])
    assert decode_command(response) == CFindResponse(5, 0)
    assert decode_command(b"".join(RESPONSE[:2]) + us(0x800, 0) + RESPONSE[3]).has_data_set  # 0000H is "present"
    assert decode_command(b"".join([*RESPONSE, element(0x902, b"\xe9chec ")])) == CFindResponse(
        5, 0, error_comment="?chec"
    )
    detailed = b"".join([*RESPONSE, element(0, b"\x0c\0\0\0", group=8), element(0x58, b"1.2\\1.3 ", group=8)])
    assert decode_command(detailed) == CFindResponse(5, 0)  # DCMTK's failed retrievals
    store = CStoreRequest(1, "1.2", "1.3", move_originator="AE")
    padded = encode_command(store).replace(b"\x02\0\0\0AE", b"\x06\0\0\0 AE \0\0")
    assert decode_command(padded) == store


@pytest.mark.parametrize(
    ("octets", "offset"),
    [
        (b"", None),
        (ECHO_REQUEST[:-1], 58),
        (ECHO_REQUEST[:-4], 58),
        (ECHO_REQUEST[:60], 58),
        (b"".join([*ECHO, element(0x10, b"ab", group=8)]), 42),  # not group 0000
        (b"".join([*ECHO, us(0x110, 8)]), 42),  # twice
        (b"".join([*ECHO[:1], *ECHO[2:]]), None),  # no Command Field
        (b"".join([*ECHO[:2], *ECHO[3:]]), None),  # no Message ID
        (b"".join(ECHO[:3]), None),  # no Command Data Set Type
        (b"".join([us(0x100, 0x20), *ECHO[2:]]), None),  # C-FIND-RQ without a SOP class
        (b"".join(RESPONSE[:3]), None),  # no Status
        (b"".join([*RESPONSE[:3], element(0x900, b"\0")]), None),
        (b"".join([*RESPONSE[:3], element(0x900, b"\0\0\0\0")]), None),
        (b"".join([ECHO[0], us(0x100, 0x0150), *ECHO[2:]]), None),  # N-DELETE-RQ
        (b"".join([ECHO[0], us(0x100, 0), *ECHO[2:]]), None),
        (b"".join([element(2, b"1" * 66), *ECHO[1:]]), None),
        (b"".join([element(2, b"1.\xff\0"), *ECHO[1:]]), None),
        (b"".join([*RESPONSE, element(0x901, b"\x10\0")]), None),
        (encode_command(CMoveRequest(1, "1.2", "D" * 16)).replace(b"D" * 16, b"D" * 14 + b"\xff\xff"), None),
        (element(0x600, b"  ") + b"".join([ECHO[0], us(0x100, 0x21), *ECHO[2:]]), None),  # blank is empty
        (element(0x600, b"D" * 18) + b"".join([ECHO[0], us(0x100, 0x21), *ECHO[2:]]), None),
        (struct.pack("<HHI", 0, 2, 0xFFFFFFFF) + b"1.2\0", 0),
    ],
)
def test_broken(octets: bytes, offset: int | None) -> None:
    with pytest.raises(ProtocolError) as error:
        decode_command(octets)
    assert error.value.offset == offset
    assert not isinstance(error.value, LimitExceeded)


def test_too_long() -> None:
    room = MAX_COMMAND - len(b"".join(ECHO)) - 8
    assert decode_command(b"".join([*ECHO, element(0x5010, bytes(room))])) == CEchoRequest(7, "1.2")
    with pytest.raises(LimitExceeded):
        decode_command(b"".join([*ECHO, element(0x5010, bytes(room + 1))]))


@pytest.mark.parametrize(
    "command",
    [
        CEchoRequest(65536),
        CEchoRequest(-1),
        CEchoRequest(1, "1" * 65),
        CEchoRequest(1, "ü"),
        CMoveRequest(1, "1.2", "SEVENTEEN LETTERS"),
        CEchoResponse(1, 0, error_comment="x" * 65),
    ],
)
def test_what_cannot_be_written(command: Command) -> None:
    with pytest.raises(ValueError) as error:
        encode_command(command)
    assert not isinstance(error.value, UnicodeError)  # its repr holds the whole text


def test_a_repr_shows_numbers_only() -> None:
    canary = CFindResponse(5, 0xC001, sop_class="1.2.3.canary", error_comment="no rights for CANARY^PATIENT")
    assert repr(canary) == "CFindResponse(responds_to=5, status=49153, has_data_set=False)"
    assert "CANARY" not in str(CMoveRequest(1, "1.2", "CANARY"))


def test_no_text_of_a_peer_in_an_error() -> None:
    raw = encode_command(CMoveRequest(1, "1.2.3.4", "CANARY"))
    for cut in range(len(raw)):
        for broken in (raw[:cut], raw[:cut] + b"\xff" + raw[cut + 1 :]):
            try:
                decode_command(broken)
            except ProtocolError as error:
                assert "CANARY" not in str(error) and "1.2.3" not in str(error)


STEADY = settings(derandomize=True, deadline=None)  # the same examples in every run, however loaded the machine
UIDS = st.from_regex(r"[0-9.]{1,64}", fullmatch=True)
TITLES = st.from_regex(r"[!-~]{1,16}", fullmatch=True)
NUMBERS = st.integers(0, 0xFFFF)
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "sop_class": UIDS,
    "sop_instance": UIDS,
    "destination": TITLES,
    "move_originator": TITLES,
    "error_comment": st.from_regex(r"[!-~]{1,64}", fullmatch=True),
    "attributes": st.lists(st.integers(0, 0xFFFFFFFF), max_size=5).map(tuple),
    "offending_elements": st.lists(st.integers(0, 0xFFFFFFFF), max_size=5).map(tuple),
    "has_data_set": st.booleans(),
}


@st.composite
def commands(draw: st.DrawFn) -> Command:
    record = draw(st.sampled_from(list(COMMAND_FIELDS)))
    arguments: dict[str, Any] = {}
    for field in structs.fields(record):
        if field.required or draw(st.booleans()):
            arguments[field.name] = draw(BY_NAME.get(field.name, NUMBERS))
    return record(**arguments)


@STEADY
@given(commands())
def test_any_command_round_trips(command: Command) -> None:
    assert decode_command(encode_command(command)) == command


@STEADY
@given(commands(), st.data())
def test_a_changed_octet_is_a_command_or_an_error(command: Command, data: st.DataObject) -> None:
    raw = bytearray(encode_command(command))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    try:
        again = decode_command(raw)
    except ProtocolError:
        return
    assert decode_command(encode_command(again)) == again


@STEADY
@given(st.binary(max_size=200))
def test_any_octets_are_a_command_or_an_error(raw: bytes) -> None:
    try:
        decode_command(raw)
    except ProtocolError:
        return
    raise AssertionError("random octets were taken for a command set")
