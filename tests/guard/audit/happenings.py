"""Events of every kind, made by Hypothesis: each optional field there or not, texts as bad as a stranger can send."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from leadapron.guard.audit import events
from leadapron.guard.audit.codes import Alert, Media, Outcome
from leadapron.guard.audit.events import Participant, Patient, SopClass, Study

NOW = datetime(2026, 11, 22, 9, 30, 15, 123456, UTC)
SPITEFUL = (
    "\x00\x01\x1b[2J",
    "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;",
    "]]>",
    "A" * 64,
    "\ud800\udfff\ufffe\uffff",
    "\u202eevil\u2028\x85",
    "\"'><script>",
    "Müller^Jürgen",
    "山田^太郎=やまだ^たろう",
    "\r\n\t",
    "😀" * 300,
    "",
)

texts = st.sampled_from(SPITEFUL) | st.text(st.characters(), max_size=80)
maybe = st.none() | texts
addresses = st.sampled_from(["127.0.0.1", "2001:db8::7", "ct1.example", "https://pacs.example/x?a=b&c", "fe80::1%eth0"])
participants = st.builds(Participant, texts, maybe, st.none() | addresses | texts, maybe)
uids = st.from_regex(r"1\.2(\.[1-9][0-9]{0,6}){1,6}", fullmatch=True) | texts
studies = st.lists(
    st.builds(
        Study, uids, st.lists(st.builds(SopClass, uids, st.integers(-5, 10**9)), max_size=3).map(tuple), maybe, maybe
    ),
    max_size=3,
).map(tuple)
patients = st.builds(Patient, texts, maybe)
outcomes = st.sampled_from(Outcome)
times = st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
shared = {"outcome": outcomes, "reason": maybe, "when": times}
transfer = shared | {
    "sender": participants,
    "receiver": participants,
    "requestor": st.none() | participants,
    "studies": studies,
    "patient": st.none() | patients,
}
who = st.lists(participants, min_size=1, max_size=2).map(tuple)

EVENTS: dict[type, st.SearchStrategy[events.Event]] = {
    events.ApplicationActivity: st.builds(
        events.ApplicationActivity, **shared, started=st.booleans(), launcher=st.none() | participants
    ),
    events.AuditLogUsed: st.builds(
        events.AuditLogUsed, **shared, reader=participants, uri=texts, process=st.none() | participants
    ),
    events.BeginTransferring: st.builds(events.BeginTransferring, **transfer),
    events.InstancesTransferred: st.builds(events.InstancesTransferred, **transfer, action=st.sampled_from("CRU")),
    events.InstancesAccessed: st.builds(
        events.InstancesAccessed,
        **shared,
        who=who,
        action=st.sampled_from("CRUD"),
        studies=studies,
        patient=st.none() | patients,
    ),
    events.StudyDeleted: st.builds(
        events.StudyDeleted, **shared, who=who, studies=studies, patient=st.none() | patients
    ),
    events.DataExport: st.builds(
        events.DataExport,
        **shared,
        exporter=participants,
        target=texts,
        receivers=st.lists(participants, max_size=2).map(tuple),
        by_receiver=st.booleans(),
        media=st.sampled_from(Media),
        studies=studies,
        patients=st.lists(patients, max_size=2).map(tuple),
    ),
    events.NetworkEntry: st.builds(events.NetworkEntry, **shared, node=participants, attached=st.booleans()),
    events.QueryMade: st.builds(
        events.QueryMade,
        **shared,
        peer=participants,
        archive=participants,
        query=st.binary(max_size=200),
        sop_class=st.none() | uids,
        transfer_syntax=st.none() | uids,
    ),
    events.ProcedureRecorded: st.builds(
        events.ProcedureRecorded,
        **shared,
        peer=participants,
        archive=participants,
        action=st.sampled_from("CU"),
        study=st.builds(Study, uids, step=st.none() | uids),
    ),
    events.SecurityAlert: st.builds(
        events.SecurityAlert,
        **shared,
        kind=st.sampled_from(Alert),
        text=texts,
        subject=st.none() | participants,
        resource=st.none() | texts,
        performers=st.lists(participants, max_size=3).map(tuple),
        reporter=st.none() | participants,
    ),
    events.NodeAuthenticationFailed: st.builds(
        events.NodeAuthenticationFailed,
        outcome=outcomes,
        when=times,
        address=addresses | texts,
        reason=texts,
        ae=maybe,
        certificate=maybe,
    ),
    events.EmergencyOverride: st.builds(
        events.EmergencyOverride, **shared, person=participants, started=st.booleans(), text=texts, until=times
    ),
    events.BulkAlarm: st.builds(
        events.BulkAlarm,
        **shared,
        peer=participants,
        studies=st.integers(0, 10**6),
        limit=st.integers(0, 10**6),
        window_s=st.integers(0, 10**6),
    ),
    events.UserAuthentication: st.builds(
        events.UserAuthentication, **shared, person=participants, login=st.booleans(), how=maybe
    ),
}
any_event = st.one_of(*EVENTS.values())

KEY = b"k" * 32
QUERY = events.QueryMade(
    peer=Participant("CT1", "CT1", "127.0.0.9"),
    archive=Participant("PACS", "PACS"),
    query=b"\x10\x00\x10\x00PN\x08\x00CANARY^X",
    sop_class="1.2.840.10008.5.1.4.1.2.2.1",
    transfer_syntax="1.2.840.10008.1.2.1",
)
ALERT = events.NodeAuthenticationFailed(address="127.0.0.66", reason="no certificate was shown", ae="EVIL")
