from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom._uid_dict import UID_dictionary

from leadapron.guard.policy.modality import known_modalities, modality_of
from leadapron.guard.policy.permission import Permission
from leadapron.guard.policy.services import (
    COMMITMENT_PUSH,
    FINDS,
    GETS,
    MOVES,
    MPPS,
    WORKLIST_FIND,
    Command,
    Direction,
    is_storage,
    needed,
    uses,
)
from leadapron.wire import uids

TO_PEER = Direction.TO_PEER
CLASSES = {uid: name for uid, (name, kind, *_) in UID_dictionary.items() if "SOP Class" in kind}
CT = uids.CT_IMAGE_STORAGE
GE_PRIVATE = "1.2.840.113619.4.27"


@pytest.mark.parametrize(
    ("sop_class", "command", "expected"),
    [
        (uids.VERIFICATION, Command.C_ECHO, Permission.DICOM_ECHO),
        (CT, Command.C_STORE, Permission.DICOM_STORE),
        (uids.PATIENT_ROOT_FIND, Command.C_FIND, Permission.DICOM_FIND),
        (uids.STUDY_ROOT_FIND, Command.C_FIND, Permission.DICOM_FIND),
        (uids.STUDY_ROOT_FIND, Command.C_CANCEL, Permission.DICOM_FIND),
        ("1.2.840.10008.5.1.4.1.2.3.1", Command.C_FIND, Permission.DICOM_FIND),
        (uids.STUDY_ROOT_MOVE, Command.C_MOVE, Permission.DICOM_RETRIEVE),
        (uids.PATIENT_ROOT_GET, Command.C_GET, Permission.DICOM_RETRIEVE),
        (uids.STUDY_ROOT_GET, Command.C_CANCEL, Permission.DICOM_RETRIEVE),
        (uids.MODALITY_WORKLIST_FIND, Command.C_FIND, Permission.DICOM_WORKLIST),
        (uids.MODALITY_WORKLIST_FIND, Command.C_CANCEL, Permission.DICOM_WORKLIST),
        (uids.STORAGE_COMMITMENT_PUSH, Command.N_ACTION, Permission.DICOM_COMMIT),
        (MPPS, Command.N_CREATE, Permission.DICOM_MPPS),
        (MPPS, Command.N_SET, Permission.DICOM_MPPS),
        # steps are told, not taken away or read back; nor is a step that another class is about
        (MPPS, Command.N_DELETE, None),
        (MPPS, Command.N_GET, None),
        (MPPS, Command.C_STORE, None),
        ("1.2.840.10008.3.1.2.3.4", Command.N_GET, None),
        ("1.2.840.10008.3.1.2.3.5", Command.N_EVENT_REPORT, None),
        (COMMITMENT_PUSH, Command.N_CREATE, None),
        # a peer that reports what was kept would speak for the archive
        (uids.STORAGE_COMMITMENT_PUSH, Command.N_EVENT_REPORT, None),
        # a command on a context of another service
        (uids.STUDY_ROOT_FIND, Command.C_MOVE, None),
        (uids.STUDY_ROOT_MOVE, Command.C_GET, None),
        (uids.VERIFICATION, Command.C_STORE, None),
        (uids.VERIFICATION, Command.C_CANCEL, None),
        (CT, Command.C_FIND, None),
        # what nobody may: hanging protocols, palettes, templates, inventories, print, instance root, no such UID
        ("1.2.840.10008.5.1.4.38.1", Command.C_STORE, None),
        ("1.2.840.10008.5.1.4.38.2", Command.C_FIND, None),
        ("1.2.840.10008.5.1.4.39.1", Command.C_STORE, None),
        ("1.2.840.10008.5.1.4.1.1.200.4", Command.C_FIND, None),
        ("1.2.840.10008.5.1.4.1.1.200.4", Command.C_STORE, None),
        ("1.2.840.10008.5.1.4.1.1.201.1", Command.C_STORE, None),
        ("1.2.840.10008.5.1.1.9", Command.N_CREATE, None),
        ("1.2.840.10008.5.1.1.18", Command.N_CREATE, None),
        ("1.2.840.10008.5.1.4.1.2.4.2", Command.C_MOVE, None),
        ("1.2.840.10008.5.1.1.1", Command.N_CREATE, None),
        (GE_PRIVATE, Command.C_STORE, None),
        (uids.INVENTED_ABSTRACT_SYNTAX, Command.C_ECHO, None),
        ("", Command.C_STORE, None),
        ("1.2.840.10008.5.1.4.1.1.", Command.C_STORE, None),
        ("1.2.840.10008.5.1.4.1.1.2\n", Command.C_STORE, None),
        ("1.2.840.10008.5.1.4.1.1.2x", Command.C_STORE, None),
    ],
)
def test_what_a_request_of_the_peer_needs(sop_class: str, command: int, expected: Permission | None) -> None:
    assert needed(sop_class, command) is expected


def test_what_the_archive_may_send_to_the_peer() -> None:
    assert needed(CT, Command.C_STORE, TO_PEER) is Permission.DICOM_RETRIEVE
    assert needed(COMMITMENT_PUSH, Command.N_EVENT_REPORT, TO_PEER) is Permission.DICOM_COMMIT
    every = {
        (sop_class, command)
        for sop_class in CLASSES
        for command in Command
        if needed(sop_class, command, TO_PEER) and not is_storage(sop_class)
    }
    assert every == {(COMMITMENT_PUSH, Command.N_EVENT_REPORT)}


def test_private_classes_are_for_those_who_list_them() -> None:
    assert needed(GE_PRIVATE, Command.C_STORE, private={GE_PRIVATE}) is Permission.DICOM_STORE
    assert needed(GE_PRIVATE, Command.C_STORE, TO_PEER, private={GE_PRIVATE}) is Permission.DICOM_RETRIEVE
    assert needed(GE_PRIVATE, Command.C_FIND, private={GE_PRIVATE}) is None
    assert needed(f"{GE_PRIVATE}.1", Command.C_STORE, private={GE_PRIVATE}) is None
    assert uses(GE_PRIVATE) == frozenset()


NOT_FOR_PATIENTS = {
    "1.2.840.10008.1.3.10",  # media directory
    "1.2.840.10008.1.20.1",
    "1.2.840.10008.1.20.2",  # commitment is not storage
    "1.2.840.10008.5.1.1.27",
    "1.2.840.10008.5.1.1.29",
    "1.2.840.10008.5.1.1.30",  # print, retired
    "1.2.840.10008.5.1.4.34.1",  # trial, retired
    "1.2.840.10008.5.1.4.38.1",
    "1.2.840.10008.5.1.4.39.1",
    "1.2.840.10008.5.1.4.43.1",
    "1.2.840.10008.5.1.4.44.1",
    "1.2.840.10008.5.1.4.45.1",  # no patient's
    "1.2.840.10008.5.1.4.1.1.201.1",  # inventory
}


def test_every_storage_class_of_the_standard_may_be_stored_and_nothing_else() -> None:
    """PS3.6 Table A-1, as pydicom has it."""
    named = {uid for uid, name in CLASSES.items() if "Storage" in name}
    assert named - {uid for uid in CLASSES if is_storage(uid)} == NOT_FOR_PATIENTS
    assert {uid for uid in CLASSES if is_storage(uid)} - named == {
        "1.2.840.10008.5.1.4.1.1.12.77",  # retired, nameless
        "1.2.840.10008.5.1.4.1.1.40",
    }


def test_all_that_is_not_storage() -> None:
    """Out of every SOP class and command there are, these and no other."""
    found = {
        (uid, command.name): one.operation
        for uid in CLASSES
        for command in Command
        if not is_storage(uid) and (one := needed(uid, command))
    }
    assert len(found) == 1 + 2 + 1 + 2 + 3 * 2 * 3
    assert {uid for uid, _ in found} == {uids.VERIFICATION, WORKLIST_FIND, COMMITMENT_PUSH, MPPS, *FINDS, *MOVES, *GETS}


@given(st.sampled_from(sorted(CLASSES)) | st.text(max_size=70), st.integers(-5, 0xFFFF), st.sampled_from(Direction))
def test_what_an_operation_needs_is_among_what_its_context_is_for(uid: str, command: int, way: Direction) -> None:
    one = needed(uid, command, way)
    assert one is None or one in uses(uid)


def test_uids_and_commands_are_those_of_the_wire() -> None:
    assert {uids.PATIENT_ROOT_FIND, uids.STUDY_ROOT_FIND} < FINDS
    assert {uids.PATIENT_ROOT_MOVE, uids.STUDY_ROOT_MOVE} < MOVES
    assert {uids.PATIENT_ROOT_GET, uids.STUDY_ROOT_GET} < GETS
    assert uids.MODALITY_WORKLIST_FIND == WORKLIST_FIND
    assert uids.STORAGE_COMMITMENT_PUSH == COMMITMENT_PUSH
    assert all(is_storage(uid) for uid in uids.COMMON_STORAGE)


WORDS_OF_A_NAME = {
    "CR": ("Computed Radiography",), "DX": ("Digital X-Ray",), "MG": ("Mammography", "Breast"), "IO": ("Intra-Oral",),
    "CT": ("CT Image",), "US": ("Ultrasound", "US Volume"), "MR": ("MR ",), "NM": ("Nuclear Medicine",),
    "PT": ("PET", "Positron"), "RTIMAGE": ("RT Image",), "RTDOSE": ("RT Dose",), "RTSTRUCT": ("RT Structure",),
    "RTPLAN": ("RT Plan", "RT Ion Plan"), "RTRECORD": ("Treatment",), "SEG": ("Segmentation",),
    "REG": ("Registration",), "PR": ("Presentation State",), "KO": ("Key Object",),
    "SR": ("SR", "Report", "Log", "Dose"),
    "ECG": ("ECG",), "SM": ("Slide",), "OPT": ("Ophthalmic Tomography",),
}  # fmt: skip


def test_the_modality_that_a_class_tells_fits_its_name() -> None:
    told = {uid: code for uid in CLASSES if (code := modality_of(uid))}
    assert len(told) > 60
    assert [(uid, CLASSES[uid], code) for uid, code in told.items()
            if CLASSES[uid] and not any(word in CLASSES[uid] for word in WORDS_OF_A_NAME[code])] == []  # fmt: skip
    assert set(told.values()) == set(known_modalities())
    assert modality_of(uids.SECONDARY_CAPTURE_STORAGE) is None
    assert modality_of(uids.XA_IMAGE_STORAGE) is None
    assert modality_of(None) is None
