"""Every message is well-formed, valid against A.5.1's schema, and says what A.5.3's table of its kind asks."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from guard.audit.happenings import EVENTS, NOW, QUERY, SPITEFUL, any_event, texts
from leadapron.guard.audit import events
from leadapron.guard.audit.chain import Record
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.entry import message_without_identifiers, parse, without_identifiers
from leadapron.guard.audit.events import Event, Participant, Patient, SopClass, Study
from leadapron.guard.audit.message import MAX_QUERY, MAX_STUDIES, Source, message
from leadapron.guard.audit.text import LONG, SHORT, clean

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit-message.rng")))
SOURCE = Source("guard", "GUARD", "127.0.0.1", "Practice & Söhne")
REQUESTOR = "ActiveParticipant[@UserIsRequestor='true']"
CT1 = Participant("CT1", "CT1", "127.0.0.9")
PACS = Participant("PACS", "OLDPACS", "pacs.example")
WS1 = Participant("WS1", "WS1", "127.0.0.12")
ANNA = Participant("anna@practice", None, "127.0.0.20", "Anna")
STUDY = Study("1.2.3.4", (SopClass("1.2.840.10008.5.1.4.1.1.2", 120),), "A-77")


def tree(event: Event, source: Source = SOURCE) -> etree._Element:
    root = etree.fromstring(message(event, source, NOW), etree.XMLParser(resolve_entities=False))
    SCHEMA.assertValid(root)
    return root


def codes(root: etree._Element, path: str) -> list[str]:
    return [str(found.get("csd-code")) for found in root.iterfind(path)]


def record(sequence: int = 1) -> Record:
    return Record(sequence, int(NOW.timestamp() * 1e6), b"", b"", b"", 0)


def test_every_event_is_tried() -> None:
    assert set(EVENTS) == set(get_args(Event))


@given(any_event, st.builds(Source, texts, st.none() | texts, st.none() | texts, st.none() | texts))
def test_whatever_is_in_it_the_message_is_valid(event: Event, source: Source) -> None:
    root = tree(event, source)
    assert len(root.findall(REQUESTOR)) <= 1  # A.5.2: the system shall not identify multiple participants
    for element in root.iter():
        for text in (*element.attrib.values(), element.text or ""):
            assert text.isprintable() or not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)


# ---- Table A.5.3.x-1 ------------------------------------------------------------------------------------------------

Check = Callable[[etree._Element], bool]
ID, ACTION, TYPE = "EventIdentification/EventID", "EventIdentification", "EventIdentification/EventTypeCode"
OBJECT = "ParticipantObjectIdentification"


def objects(root: etree._Element) -> list[tuple[str | None, str | None, str]]:
    """TypeCode, TypeCodeRole and the code of the IDTypeCode of each participant object."""
    return [
        (
            found.get("ParticipantObjectTypeCode"),
            found.get("ParticipantObjectTypeCodeRole"),
            codes(found, "ParticipantObjectIDTypeCode")[0],
        )
        for found in root.iterfind(OBJECT)
    ]


STUDY_OBJECT, PATIENT_OBJECT = ("2", "3", "110180"), ("1", "1", "2")


@pytest.mark.parametrize(
    ("event", "code", "action", "types", "roles", "about"),
    [
        (events.ApplicationActivity(started=True), "110100", "E", ["110120"], ["110150"], []),
        (
            events.ApplicationActivity(started=False, launcher=ANNA),
            "110100",
            "E",
            ["110121"],
            ["110150", "110151"],
            [],
        ),
        (events.AuditLogUsed(reader=ANNA, uri="file:///a"), "110101", "R", [], [], [("2", "13", "12")]),
        (
            events.BeginTransferring(sender=CT1, receiver=PACS, requestor=CT1, studies=(STUDY,), patient=Patient("7")),
            "110102",
            "E",
            [],
            ["110153", "110152"],
            [STUDY_OBJECT, PATIENT_OBJECT],
        ),
        (
            events.InstancesAccessed(who=(ANNA, PACS), studies=(STUDY,), patient=Patient("7")),
            "110103",
            "R",
            [],
            [],
            [STUDY_OBJECT, PATIENT_OBJECT],
        ),
        (
            events.InstancesTransferred(sender=PACS, receiver=WS1, requestor=CT1, studies=(STUDY, STUDY)),
            "110104",
            "R",
            [],
            ["110153", "110152"],
            [STUDY_OBJECT, STUDY_OBJECT, PATIENT_OBJECT],
        ),
        (
            events.StudyDeleted(who=(ANNA,), studies=(STUDY,), patient=Patient("7")),
            "110105",
            "D",
            [],
            [],
            [STUDY_OBJECT, PATIENT_OBJECT],
        ),
        (
            events.DataExport(exporter=ANNA, target="file:///cd", studies=(STUDY,), patients=(Patient("7"),)),
            "110106",
            "R",
            [],
            ["110153", "110154"],
            [STUDY_OBJECT, PATIENT_OBJECT],
        ),
        (events.NetworkEntry(node=CT1, attached=True), "110108", "E", ["110124"], [], []),
        (events.NetworkEntry(node=CT1, attached=False), "110108", "E", ["110125"], [], []),
        (QUERY, "110112", "E", [], ["110153", "110152"], [("2", "3", "110181")]),
        (
            events.QueryMade(peer=ANNA, archive=PACS, query=b"/studies?PatientName=X"),
            "110112",
            "E",
            [],
            ["110153", "110152"],
            [("2", "3", "10")],
        ),
        (
            events.ProcedureRecorded(peer=CT1, archive=PACS, action="U", study=Study("0", step="1.2.3.9")),
            "110111",
            "U",
            [],
            ["110153", "110152"],
            [STUDY_OBJECT, PATIENT_OBJECT],
        ),
        (
            events.NodeAuthenticationFailed(address="127.0.0.9", reason="expired"),
            "110113",
            "E",
            ["110126"],
            [],
            [("2", "13", "110182")],
        ),
        (
            events.EmergencyOverride(person=ANNA, started=True, text="stroke", until=NOW),
            "110113",
            "E",
            ["110127"],
            [],
            [("2", "13", "110182")],
        ),
        (
            events.EmergencyOverride(person=ANNA, started=False, text="over"),
            "110113",
            "E",
            ["110138"],
            [],
            [("2", "13", "110182")],
        ),
        (
            events.BulkAlarm(peer=WS1, studies=101, limit=100, window_s=3600),
            "110113",
            "E",
            ["bulk-retrieval"],
            [],
            [("2", "13", "110182")],
        ),
        (
            events.SecurityAlert(kind=Alert.SECURITY_CONFIGURATION, text="x", resource="file:///leadapron.toml"),
            "110113",
            "E",
            ["110129"],
            [],
            [("2", "13", "12")],
        ),
        (
            events.UserAuthentication(person=ANNA, login=True, how="password and TOTP"),
            "110114",
            "E",
            ["110122"],
            [],
            [],
        ),
        (events.UserAuthentication(person=ANNA, login=False), "110114", "E", ["110123"], [], []),
    ],
)
def test_codes_are_those_of_the_table(
    event: Event, code: str, action: str, types: list[str], roles: list[str], about: list[tuple[str, str, str]]
) -> None:
    root = tree(event)
    assert codes(root, ID) == [code]
    assert root.find(ACTION).get("EventActionCode") == action  # type: ignore[union-attr]
    assert codes(root, TYPE) == types
    assert codes(root, "ActiveParticipant/RoleIDCode") == roles
    assert objects(root) == about
    schemes = {found.get("codeSystemName") for found in root.iter() if found.get("codeSystemName")}
    assert schemes <= {"DCM", "RFC-3881", "99LEADAPRON"}


@given(any_event)
def test_what_is_mandatory_is_there(event: Event) -> None:
    root = tree(event)
    code = codes(root, ID)[0]
    kinds = objects(root)
    if code in ("110102", "110103", "110104", "110105", "110111"):
        assert STUDY_OBJECT in kinds and kinds.count(PATIENT_OBJECT) == 1
    if code in ("110108", "110114"):  # the access point of the node, of the person
        first = root.find("ActiveParticipant")
        assert first is not None and first.get("NetworkAccessPointID") and first.get("NetworkAccessPointTypeCode")
    if code == "110108":
        assert root.find(REQUESTOR) is None
    if code == "110113":
        alerts = root.findall(f"{OBJECT}/ParticipantObjectDetail[@type='Alert Description']")
        assert len(alerts) == 1
    if code == "110106":
        media = root.findall("ActiveParticipant[MediaIdentifier]")
        assert len(media) == 1 and media[0].get("UserIsRequestor") == "false"
        assert len(root.findall(REQUESTOR)) == 1  # A.5.3.4.1


def test_the_requestor_of_a_move_is_the_third() -> None:
    root = tree(events.InstancesTransferred(sender=PACS, receiver=WS1, requestor=CT1, studies=(STUDY,)))
    assert [found.get("UserID") for found in root.iterfind(REQUESTOR)] == ["CT1"]
    assert len(root.findall("ActiveParticipant")) == 3
    root = tree(events.InstancesTransferred(sender=PACS, receiver=WS1, requestor=WS1, studies=(STUDY,)))
    assert [found.get("UserID") for found in root.iterfind(REQUESTOR)] == ["WS1"]
    assert len(root.findall("ActiveParticipant")) == 2


def test_a_query_holds_the_identifier_as_it_came() -> None:
    root = tree(QUERY)
    found = root.find(OBJECT)
    assert found is not None and found.get("ParticipantObjectID") == QUERY.sop_class
    assert base64.b64decode(found.findtext("ParticipantObjectQuery") or "") == QUERY.query
    detail = found.find("ParticipantObjectDetail[@type='TransferSyntax']")
    assert detail is not None and base64.b64decode(detail.get("value") or "") == b"1.2.840.10008.1.2.1"


def test_a_procedure_step_is_named_in_message_and_entry() -> None:
    event = events.ProcedureRecorded(peer=CT1, archive=PACS, action="C", study=Study("1.2.3", step="1.2.3.9"))
    root = tree(event)
    found = root.find(f"{OBJECT}/ParticipantObjectDescription/MPPS")
    assert found is not None and found.get("UID") == "1.2.3.9"
    study, patient = parse(record(), message(event, SOURCE, NOW).decode()).things
    assert (study.id, study.step) == ("1.2.3", "1.2.3.9")
    assert (patient.id, patient.step) == ("unknown", None)
    assert [one.get("UserID") for one in root.iterfind(REQUESTOR)] == ["CT1"]


def test_times_are_utc_to_the_millisecond() -> None:
    local = datetime.fromisoformat("2026-11-22T10:30:15.987654+01:00")
    event = events.ApplicationActivity(started=True, when=local)
    assert tree(event).find(ACTION).get("EventDateTime") == "2026-11-22T09:30:15.987Z"  # type: ignore[union-attr]
    assert parse(record(), message(event, SOURCE, NOW).decode()).time.tzinfo == UTC


def test_sizes_are_bounded_and_cuts_are_told() -> None:
    many = tuple(Study(f"1.2.{n}") for n in range(MAX_STUDIES + 7))
    root = tree(events.InstancesTransferred(sender=PACS, receiver=WS1, studies=many))
    assert objects(root).count(STUDY_OBJECT) == MAX_STUDIES
    left = root.findall(f"{OBJECT}/ParticipantObjectDetail[@type='LeftOut']")
    assert [base64.b64decode(found.get("value") or "") for found in left] == [b"7 studies"]
    root = tree(events.QueryMade(peer=CT1, archive=PACS, query=b"x" * (MAX_QUERY + 3)))
    left = root.findall(f"{OBJECT}/ParticipantObjectDetail[@type='LeftOut']")
    assert [base64.b64decode(found.get("value") or "") for found in left] == [b"3 octets"]
    long = events.SecurityAlert(kind=Alert.RESTRICTED_FUNCTION, text="x" * 10**6, reason="y" * 10**6)
    assert len(message(long, SOURCE, NOW)) < 20_000


def test_legal_names_of_64_characters_stand_as_they_are() -> None:
    root = tree(
        events.NetworkEntry(node=Participant("A" * 64, "B" * 64, "127.0.0.1", "Dr. Žluťoučký 山田"), attached=True)
    )
    found = root.find("ActiveParticipant")
    assert found is not None and found.get("UserID") == "A" * 64
    assert found.get("AlternativeUserID") == "AETITLES=" + "B" * 64
    assert found.get("UserName") == "Dr. Žluťoučký 山田"


# ---- cleaning -------------------------------------------------------------------------------------------------------


@given(texts, st.sampled_from([SHORT, LONG, 16]))
def test_clean_text_is_one_short_line(text: str, limit: int) -> None:
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert not any(ord(c) < 32 or c in "\u2028\u2029\u202e\x7f\x85" for c in cleaned)
    cleaned.encode()


def test_what_was_sent_can_still_be_seen() -> None:
    assert clean(SPITEFUL[0]) == r"\x00\x01\x1b[2J"
    assert clean("a\u202eb\ud800") == r"a\u202eb\ud800"


# ---- reading back ---------------------------------------------------------------------------------------------------


@given(any_event)
def test_what_was_written_is_read(event: Event) -> None:
    text = message(event, SOURCE, NOW).decode()
    entry = parse(record(9), text)
    assert entry.sequence == 9 and entry.outcome == event.outcome
    assert entry.source == "guard"
    assert len(entry.parties) == text.count("<ActiveParticipant ")
    assert len(entry.things) == text.count("<ParticipantObjectIdentification ")


@given(any_event)
def test_without_identifiers_nothing_of_a_patient_is_left(event: Event) -> None:
    text = message(event, SOURCE, NOW).decode()
    bare = message_without_identifiers(text)
    root = etree.fromstring(bare.encode())
    SCHEMA.assertValid(root)
    assert not root.findall(".//ParticipantObjectQuery")
    for found in root.iterfind(OBJECT):
        if codes(found, "ParticipantObjectIDTypeCode") == ["2"]:
            assert found.get("ParticipantObjectID") in ("withheld", "unknown")
            assert found.findtext("ParticipantObjectName") == "withheld"
    entry = without_identifiers(parse(record(), text))
    assert all(thing.query is None for thing in entry.things)
    assert all(
        thing.id in ("withheld", "unknown") and thing.name is None for thing in entry.things if thing.kind == "patient"
    )


def test_without_identifiers_by_example() -> None:
    event = events.InstancesTransferred(
        sender=CT1, receiver=PACS, studies=(STUDY,), patient=Patient("CANARY-7", "CANARY^ANNA"), outcome=Outcome.MINOR
    )
    for example in (event, QUERY):
        text = message(example, SOURCE, NOW).decode()
        bare = message_without_identifiers(text)
        assert "CANARY" not in bare and base64.b64encode(QUERY.query).decode() not in bare
    assert "CANARY-7" in message(event, SOURCE, NOW).decode()
