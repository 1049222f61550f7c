from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from leadapron.guard.policy.decide import Allowed, Denied, Policy, Request, parse_policy
from leadapron.guard.policy.permission import Permission
from leadapron.wire import uids

FILE = """
[[guard.peer]]
name = "CT1"
ae = "CT1"
may = ["store", "echo", "worklist", "commit"]
from = ["10.1.0.0/16"]
modalities = ["CT", "1.2.840.10008.5.1.4.1.1.7"]
private = ["1.2.840.113619.4.27"]

[[guard.peer]]
name = "WS1"
ae = "WS1"
may = [
  "find",
  "retrieve",
]
move_to = ["WS1", "WS2", "GONE"]
hours = "mo-fr 07:00-20:00"
receive = "10.1.9.1:2762"

[[guard.peer]]
name = "WS2"
ae = "WS2"

[[guard.peer]]
name = "NIL"
ae = "NIL"
may = ["store", "retrieve", "echo"]
from = []
move_to = []
modalities = []
"""
FRIDAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
STORE, RETRIEVE, ECHO = Permission.DICOM_STORE, Permission.DICOM_RETRIEVE, Permission.DICOM_ECHO


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy(FILE, "leadapron.toml", UTC)


def ask(policy: Policy, peer: str | None, permission: Permission, **more: object) -> Allowed | Denied:
    values: dict[str, object] = {"permission": permission, "address": "10.1.2.3", "when": FRIDAY, **more}
    return policy.decide(peer, msgspec.convert(values, Request))


@pytest.mark.parametrize(
    ("peer", "permission", "more", "line"),
    [
        ("CT1", ECHO, {}, 5),
        ("CT1", ECHO, {"sop_class": uids.VERIFICATION}, 5),
        ("CT1", STORE, {"sop_class": uids.CT_IMAGE_STORAGE}, 5),
        ("CT1", STORE, {"sop_class": uids.CT_IMAGE_STORAGE, "modality": "CT "}, 5),
        ("CT1", STORE, {"sop_class": uids.SECONDARY_CAPTURE_STORAGE}, 5),  # its UID is listed
        ("CT1", STORE, {"sop_class": "1.2.840.113619.4.27", "modality": "CT"}, 5),
        ("CT1", STORE, {"modality": "CT"}, 5),
        ("CT1", Permission.DICOM_COMMIT, {"sop_class": uids.STORAGE_COMMITMENT_PUSH, "address": "::ffff:10.1.2.3"}, 5),
        ("WS1", Permission.DICOM_FIND, {"address": "192.0.2.1"}, 14),
        ("WS1", RETRIEVE, {"sop_class": uids.STUDY_ROOT_GET}, 15),
        ("WS1", RETRIEVE, {"sop_class": uids.STUDY_ROOT_MOVE, "destination": "WS2"}, 15),
        ("WS1", RETRIEVE, {"destination": " WS1 "}, 15),
    ],
)
def test_allowed_by_the_line_that_grants_it(
    policy: Policy, peer: str, permission: Permission, more: dict[str, object], line: int
) -> None:
    answer = ask(policy, peer, permission, **more)
    assert isinstance(answer, Allowed), answer
    assert answer.line.number == line
    assert answer.line.file == "leadapron.toml"


@pytest.mark.parametrize(
    ("peer", "permission", "more", "line", "reason"),
    [
        (None, ECHO, {}, None, "a stranger"),
        ("CT9", ECHO, {}, None, "no peer has the name 'CT9'"),
        ("ct1", ECHO, {}, None, "no peer has the name"),
        ("CT1", Permission.DICOM_FIND, {}, 5, "find is not among"),
        ("CT1", Permission.ADMIN_USERS, {}, 5, "for people"),
        ("CT1", Permission.WEB_STORE, {}, 5, "web:store is not among"),
        ("WS2", ECHO, {}, 21, "the table has no may"),
        ("CT1", ECHO, {"address": "10.2.0.1"}, 6, "comes from '10.2.0.1'"),
        ("CT1", ECHO, {"address": ""}, 6, "comes from ''"),
        ("WS1", RETRIEVE, {"when": SATURDAY}, 18, "outside of its hours"),
        ("WS1", RETRIEVE, {"when": datetime.max}, 18, "outside of its hours"),
        ("WS1", RETRIEVE, {"destination": "CT1"}, 17, "'CT1' is not in its list"),
        ("WS1", RETRIEVE, {"destination": "ws1"}, 17, "not in its list"),
        ("WS1", RETRIEVE, {"destination": "GONE"}, 17, "listed, but no peer has that AE title"),
        ("WS1", RETRIEVE, {"destination": ""}, 17, "'' is no AE title"),
        ("WS1", RETRIEVE, {"destination": "A\nB"}, 17, r"'A\nB' is no AE title"),
        ("WS1", RETRIEVE, {"sop_class": uids.STUDY_ROOT_MOVE}, 17, "names no destination"),
        ("WS1", RETRIEVE, {"sop_class": uids.STUDY_ROOT_FIND}, 10, "retrieve is not done with SOP class"),
        ("WS1", RETRIEVE, {"sop_class": "1.2.840.10008.5.1.4.1.2.4.3"}, 10, "not done with SOP class"),
        ("CT1", STORE, {"sop_class": uids.MR_IMAGE_STORAGE}, 7, "modality 'MR' may not"),
        ("CT1", STORE, {"sop_class": uids.CT_IMAGE_STORAGE, "modality": "MR"}, 7, "modality 'MR' may not"),
        ("CT1", STORE, {"sop_class": uids.XA_IMAGE_STORAGE}, 7, "whose modality nothing tells"),
        ("CT1", STORE, {"sop_class": "1.2.840.113619.4.27"}, 7, "whose modality nothing tells"),
        ("CT1", STORE, {}, 7, "whose modality nothing tells"),
        ("CT1", STORE, {"modality": "CT", "sop_class": "1.2.840.113619.4.26"}, 2, "store is not done with SOP class"),
        ("CT1", STORE, {"modality": "CT", "sop_class": "1.2.840.10008.5.1.4.38.1"}, 2, "not done with SOP class"),
        ("NIL", ECHO, {}, 29, "its list is empty"),
    ],
)
def test_denied_with_reason_and_line(
    policy: Policy, peer: str | None, permission: Permission, more: dict[str, object], line: int | None, reason: str
) -> None:
    answer = ask(policy, peer, permission, **more)
    assert isinstance(answer, Denied), answer
    assert reason in answer.reason
    assert (answer.line and answer.line.number) == line


def test_an_empty_list_allows_nothing() -> None:
    text = FILE.split('name = "NIL"')[0] + 'name = "NIL"\nae = "NIL"\nmay = ["store", "retrieve"]\n'
    for more, permission, reason in (
        ("modalities = []", STORE, "nothing may be stored"),
        ("move_to = []", RETRIEVE, "not in its list, which is empty"),
        ("from = []", STORE, "its list is empty"),
        ("may = []", STORE, "it may do nothing"),
    ):
        policy = parse_policy((text if "may" not in more else text.rsplit("may", 1)[0]) + more, zone=UTC)
        answer = ask(policy, "NIL", permission, modality="CT", destination="WS1")
        assert isinstance(answer, Denied) and reason in answer.reason


def test_what_the_change_says_allows_it(policy: Policy) -> None:
    """The advice is followed to the letter, and the answer turns."""
    for peer, permission, more, key in (
        ("CT1", Permission.DICOM_FIND, {}, "may"),
        ("WS1", RETRIEVE, {"destination": "CT1"}, "move_to"),
        ("CT1", STORE, {"sop_class": uids.MR_IMAGE_STORAGE}, "modalities"),
        ("CT1", STORE, {"sop_class": uids.XA_IMAGE_STORAGE}, "modalities"),
    ):
        answer = ask(policy, peer, permission, **more)
        assert isinstance(answer, Denied) and answer.line is not None
        advice = answer.change.removeprefix("write ")
        assert advice.startswith(f"{key} = [")
        lines = FILE.split("\n")
        assert lines[answer.line.number - 1].startswith(f"{key} = [")
        lines[answer.line.number - 1] = advice
        changed = parse_policy("\n".join(lines), zone=UTC)
        assert isinstance(ask(changed, peer, permission, **more), Allowed)


@pytest.mark.parametrize(
    ("peer", "sop_class", "when", "offered"),
    [
        ("CT1", uids.CT_IMAGE_STORAGE, FRIDAY, True),
        ("CT1", uids.MR_IMAGE_STORAGE, FRIDAY, False),
        ("CT1", uids.XA_IMAGE_STORAGE, FRIDAY, True),  # may yet turn out to be CT
        ("CT1", "1.2.840.113619.4.27", FRIDAY, True),
        ("CT1", "1.2.840.113619.4.26", FRIDAY, False),
        ("CT1", uids.VERIFICATION, FRIDAY, True),
        ("CT1", uids.STUDY_ROOT_FIND, FRIDAY, False),
        ("CT1", uids.STORAGE_COMMITMENT_PUSH, FRIDAY, True),
        ("WS1", uids.STUDY_ROOT_FIND, FRIDAY, True),
        ("WS1", uids.STUDY_ROOT_FIND, SATURDAY, False),
        ("WS1", uids.STUDY_ROOT_MOVE, FRIDAY, True),
        ("WS1", uids.CT_IMAGE_STORAGE, FRIDAY, True),  # for C-GET
        ("WS1", uids.MODALITY_WORKLIST_FIND, FRIDAY, False),
        ("WS1", "1.2.840.10008.5.1.4.38.1", FRIDAY, False),
        ("WS2", uids.VERIFICATION, FRIDAY, False),
        ("NIL", uids.VERIFICATION, FRIDAY, False),
        (None, uids.VERIFICATION, FRIDAY, False),
        ("CT9", uids.VERIFICATION, FRIDAY, False),
    ],
)
def test_presentation_contexts(policy: Policy, peer: str | None, sop_class: str, when: datetime, offered: bool) -> None:
    assert isinstance(policy.offers(peer, sop_class, "10.1.2.3", when), Allowed) is offered


def test_a_naive_moment_is_local_time() -> None:
    policy = parse_policy('[[guard.peer]]\nname="A"\nae="A"\nmay=["echo"]\nhours="07:00-20:00"\n')
    noon = ask(policy, "A", ECHO, when=datetime(2026, 11, 20, 12))
    night = ask(policy, "A", ECHO, when=datetime(2026, 11, 20, 3))
    assert isinstance(noon, Allowed) and isinstance(night, Denied)
