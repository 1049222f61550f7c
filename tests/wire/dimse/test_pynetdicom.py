"""pynetdicom as oracle, both ways: its messages through our reassembler, ours through its decoder."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pynetdicom import dimse_messages, dimse_primitives
from pynetdicom.pdu_primitives import P_DATA

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
    MessageComplete,
    MessageEvent,
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
    Reassembler,
    encode_command,
    fragment,
)
from leadapron.wire.pdu import PData, PduReader, PresentationDataValue

DATA = b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY "
CT, COMMITMENT, INSTANCE = uids.CT_IMAGE_STORAGE, uids.STORAGE_COMMITMENT_PUSH, uids.STORAGE_COMMITMENT_PUSH_INSTANCE
MPPS = uids.MODALITY_PERFORMED_PROCEDURE_STEP

NAMES = {  # ours: theirs
    "message_id": "MessageID",
    "responds_to": "MessageIDBeingRespondedTo",
    "sop_class": "AffectedSOPClassUID",
    "sop_instance": "AffectedSOPInstanceUID",
    "priority": "Priority",
    "status": "Status",
    "destination": "MoveDestination",
    "move_originator": "MoveOriginatorApplicationEntityTitle",
    "move_originator_message_id": "MoveOriginatorMessageID",
    "remaining": "NumberOfRemainingSuboperations",
    "completed": "NumberOfCompletedSuboperations",
    "failed": "NumberOfFailedSuboperations",
    "warning": "NumberOfWarningSuboperations",
    "event_type": "EventTypeID",
    "action_type": "ActionTypeID",
    "attributes": "AttributeIdentifierList",
    "error_comment": "ErrorComment",
    "error_id": "ErrorID",
    "offending_elements": "OffendingElement",
}

CASES: list[tuple[str, str, Command]] = [  # their primitive, their message, our record
    ("C_ECHO", "C_ECHO_RQ", CEchoRequest(7)),
    ("C_ECHO", "C_ECHO_RSP", CEchoResponse(7, 0, sop_class=uids.VERIFICATION)),
    ("C_STORE", "C_STORE_RQ", CStoreRequest(1, CT, "1.2.3", 2, "MOVER", 9)),
    ("C_STORE", "C_STORE_RSP", CStoreResponse(1, 0xB000, sop_class=CT, sop_instance="1.2.3")),
    ("C_FIND", "C_FIND_RQ", CFindRequest(2, uids.STUDY_ROOT_FIND)),
    ("C_FIND", "C_FIND_RSP", CFindResponse(2, 0xFF00, True, uids.STUDY_ROOT_FIND)),
    (
        "C_FIND",
        "C_FIND_RSP",
        CFindResponse(2, 0xA900, offending_elements=(0x00100010, 0x00100020), error_comment="not so"),
    ),
    ("C_GET", "C_GET_RQ", CGetRequest(3, uids.STUDY_ROOT_GET, 1)),
    ("C_GET", "C_GET_RSP", CGetResponse(3, 0xFF00, remaining=3, completed=2, failed=1, warning=0)),
    ("C_MOVE", "C_MOVE_RQ", CMoveRequest(4, uids.STUDY_ROOT_MOVE, "DEST")),
    ("C_MOVE", "C_MOVE_RSP", CMoveResponse(4, 0xA702, True, remaining=0, completed=0, failed=2, warning=0)),
    ("C_CANCEL", "C_CANCEL_RQ", CCancelRequest(4)),
    ("N_EVENT_REPORT", "N_EVENT_REPORT_RQ", NEventReportRequest(5, COMMITMENT, INSTANCE, 1, True)),
    (
        "N_EVENT_REPORT",
        "N_EVENT_REPORT_RSP",
        NEventReportResponse(5, 0x0110, sop_class=COMMITMENT, sop_instance=INSTANCE, event_type=1, error_id=3),
    ),
    ("N_ACTION", "N_ACTION_RQ", NActionRequest(6, COMMITMENT, INSTANCE, 1, True)),
    ("N_ACTION", "N_ACTION_RSP", NActionResponse(6, 0, sop_class=COMMITMENT, sop_instance=INSTANCE, action_type=1)),
    ("N_CREATE", "N_CREATE_RQ", NCreateRequest(7, MPPS, "1.2.3.4")),
    ("N_CREATE", "N_CREATE_RQ", NCreateRequest(7, MPPS)),
    ("N_CREATE", "N_CREATE_RSP", NCreateResponse(7, 0, True, MPPS, sop_instance="1.2.3.4")),
    ("N_SET", "N_SET_RQ", NSetRequest(8, MPPS, "1.2.3.4")),
    ("N_SET", "N_SET_RSP", NSetResponse(8, 0x0110, sop_class=MPPS, sop_instance="1.2.3.4", error_id=42072)),
    ("N_GET", "N_GET_RQ", NGetRequest(9, MPPS, "1.2.3.4", (0x00400252, 0x00400270))),
    ("N_GET", "N_GET_RSP", NGetResponse(9, 0, True, MPPS, sop_instance="1.2.3.4")),
    ("N_DELETE", "N_DELETE_RQ", NDeleteRequest(10, MPPS, "1.2.3.4")),
    ("N_DELETE", "N_DELETE_RSP", NDeleteResponse(10, 0x0112, sop_class=MPPS, sop_instance="1.2.3.4")),
]
DATA_SET_NAMES = (
    "DataSet",
    "Identifier",
    "EventInformation",
    "ActionInformation",
    "AttributeList",
    "ModificationList",
)


def theirs(primitive_name: str, message_name: str, command: Command) -> Any:
    """Their message with the same content."""
    primitive = getattr(dimse_primitives, primitive_name)()
    for name in command.__struct_fields__:
        value = getattr(command, name)
        if value in (None, ()) or name == "has_data_set":
            continue
        their_name = NAMES[name]
        if isinstance(command, NActionRequest | NSetRequest | NGetRequest | NDeleteRequest):
            their_name = their_name.replace("Affected", "Requested")
        setattr(primitive, their_name, list(value) if isinstance(value, tuple) else value)
    if command.has_data_set:
        name = next(name for name in DATA_SET_NAMES if hasattr(primitive, name))
        setattr(primitive, name, BytesIO(DATA))
    message = getattr(dimse_messages, message_name)()
    message.primitive_to_message(primitive)
    return message


@pytest.mark.parametrize(("primitive", "message", "command"), CASES)
@pytest.mark.parametrize("max_pdu", [0, 20, 64, 16384])
def test_we_read_theirs(primitive: str, message: str, command: Command, max_pdu: int) -> None:
    reassembler = Reassembler(gather=1000)
    events: list[MessageEvent] = []
    for p_data in theirs(primitive, message, command).encode_msg(5, max_pdu):
        for context_id, raw in p_data.presentation_data_value_list:
            pdv = PresentationDataValue(context_id, bool(raw[0] & 1), bool(raw[0] & 2), raw[1:])
            events += reassembler.feed(pdv)
    assert events[-1] == MessageComplete(5, command, DATA if command.has_data_set else None)


@pytest.mark.parametrize(("primitive", "message", "command"), CASES)
@pytest.mark.parametrize("max_pdu", [0, 20, 64, 16384])
def test_they_read_ours(primitive: str, message: str, command: Command, max_pdu: int) -> None:
    reader = PduReader()
    for item in fragment(5, encode_command(command), DATA if command.has_data_set else None, max_pdu):
        reader.feed(item)
    decoder = dimse_messages.DIMSEMessage()
    done = False
    while (pdu := reader.next_pdu()) is not None:
        assert isinstance(pdu, PData) and not done
        p_data = P_DATA()
        for pdv in pdu.values:
            control = bytes([pdv.command | pdv.last << 1])
            p_data.presentation_data_value_list.append((pdv.context_id, control + bytes(pdv.data)))
        done = decoder.decode_msg(p_data)
    assert done
    assert type(decoder).__name__ == message
    expected = theirs(primitive, message, command)
    ours_as_theirs = {str(element.tag): element.value for element in decoder.command_set}
    for element in expected.command_set:
        if element.keyword == "CommandDataSetType":
            assert (element.value == 0x0101) == (ours_as_theirs[str(element.tag)] == 0x0101)
        elif element.keyword != "CommandGroupLength":
            assert ours_as_theirs.pop(str(element.tag)) == element.value
    assert set(ours_as_theirs) <= {"(0000,0000)", "(0000,0800)"}
    assert decoder.data_set is not None
    if command.has_data_set:
        assert decoder.data_set.getvalue() == DATA
