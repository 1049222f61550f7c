"""Event → audit message: the XML of PS3.15 A.5.1, filled in as the tables of A.5.3 ask (edition 2025e).

The elements are in the order of the schema, the participants in the order of each table. Written by hand rather than
through a tree: a message is made for every operation that passes the guard, and costs some 15 µs this way. Everything
that came from outside goes through `escape`; codes are our own constants.

Three things A.5 leaves open, decided here. A study's mandatory name says ``Study``. A patient object is mandatory in
A.5.3.3, 6, 7 and 8, as is a study, so what is not known has the ID ``unknown``; a name not given is ``withheld``.
What exceeds a bound (`MAX_STUDIES`, `MAX_QUERY`) is cut, and a ParticipantObjectDetail says by how much.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct

from leadapron.guard.audit import codes, events
from leadapron.guard.audit.codes import Alert, Code, EventId, Outcome
from leadapron.guard.audit.events import Event, Participant, Patient, Study
from leadapron.guard.audit.text import LONG, escape

MAX_STUDIES: Final = 5_000
MAX_QUERY: Final = 1 << 20
MAX_PARTICIPANTS: Final = 20
UNKNOWN: Final = "unknown"
WITHHELD: Final = "withheld"
LOG_NAME: Final = "Security Audit Log"  # A.5.3.2
TRANSFER_SYNTAX: Final = "TransferSyntax"  # A.5.3.10
ALERT_DESCRIPTION: Final = "Alert Description"  # A.5.3.11
LEFT_OUT: Final = "LeftOut"
AE_PREFIX: Final = "AETITLES="  # A.5.2.2


class Source(Struct, frozen=True):
    """Who writes the trail: AuditSourceID, and where the guard itself takes part. ``site``: AuditEnterpriseSiteID."""

    name: str
    ae: str | None = None
    address: str | None = None
    site: str | None = None

    def participant(self) -> Participant:
        return Participant(self.name, self.ae, self.address)


def message(event: Event, source: Source, now: datetime) -> bytes:
    """The audit message of ``event``, UTF-8, without an XML declaration. ``now`` is used where it has no time."""
    return "".join(_WRITERS[type(event)](event, source, event.when or now)).encode()


# ---- the parts ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _code(element: str, code: Code) -> str:
    return (
        f'<{element} csd-code="{escape(code.value)}" codeSystemName="{escape(code.scheme)}" '
        f'originalText="{escape(code.meaning)}"/>'
    )


def _open(event: EventId, action: str, facts: Any, when: datetime, *types: Code, reason: str | None = None) -> str:
    """EventIdentification. The time is UTC to the millisecond (A.5.2.5)."""
    stamp = when.astimezone(UTC)
    reason = facts.reason if reason is None else reason
    return "".join(
        (
            f'<AuditMessage><EventIdentification EventActionCode="{action}" EventDateTime="'
            f'{stamp.isoformat(timespec="milliseconds")[:-6]}Z" EventOutcomeIndicator="{int(facts.outcome)}">',
            _code("EventID", event.code),
            *(_code("EventTypeCode", code) for code in types),
            f"<EventOutcomeDescription>{escape(reason, LONG)}</EventOutcomeDescription>" if reason else "",
            "</EventIdentification>",
        )
    )


@lru_cache(maxsize=512)
def _access_point(address: str) -> str:
    """NetworkAccessPointID with its type: 1 machine name, 2 IP address, 5 URI (A.5.1.1)."""
    if "://" in address:
        kind = "5"
    else:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            kind = "1"
        else:
            kind = "2"
    return f' NetworkAccessPointID="{escape(address)}" NetworkAccessPointTypeCode="{kind}"'


def _participant(who: Participant, requestor: bool, *roles: Code, media: Code | None = None) -> str:
    return "".join(
        (
            f'<ActiveParticipant UserID="{escape(who.user or who.ae or who.address or "unknown")}"',
            f' AlternativeUserID="{AE_PREFIX}{escape(who.ae)}"' if who.ae else "",
            f' UserName="{escape(who.name)}"' if who.name else "",
            f' UserIsRequestor="{"true" if requestor else "false"}"',
            _access_point(who.address) if who.address else "",
            ">",
            *(_code("RoleIDCode", role) for role in roles),
            f"<MediaIdentifier>{_code('MediaType', media)}</MediaIdentifier>" if media else "",
            "</ActiveParticipant>",
        )
    )


def _source(source: Source) -> str:
    site = f' AuditEnterpriseSiteID="{escape(source.site)}"' if source.site else ""
    # 4: application server process, Table A.5.1-1
    return (
        f'<AuditSourceIdentification{site} AuditSourceID="{escape(source.name)}">'
        '<AuditSourceTypeCode csd-code="4"/></AuditSourceIdentification>'
    )


def _object(
    identifier: str,
    kind: str,
    role: str,
    id_type: Code,
    *,
    name: str | None = None,
    query: bytes | None = None,
    details: tuple[tuple[str, bytes], ...] = (),
    description: str = "",
) -> str:
    return "".join(
        (
            f'<ParticipantObjectIdentification ParticipantObjectID="{escape(identifier)}" '
            f'ParticipantObjectTypeCode="{kind}" ParticipantObjectTypeCodeRole="{role}">',
            _code("ParticipantObjectIDTypeCode", id_type),
            f"<ParticipantObjectName>{escape(name or '')}</ParticipantObjectName>"
            if query is None
            else f"<ParticipantObjectQuery>{base64.b64encode(query).decode()}</ParticipantObjectQuery>",
            *(
                f'<ParticipantObjectDetail type="{escape(type_)}" value="{base64.b64encode(value).decode()}"/>'
                for type_, value in details
            ),
            description,
            "</ParticipantObjectIdentification>",
        )
    )


_NO_STUDY: Final = (Study(UNKNOWN),)


def _studies(studies: tuple[Study, ...]) -> Iterator[str]:
    """Studies: system object (2), report (3). What is left out is told at the last one."""
    left = len(studies) - MAX_STUDIES
    for index, study in enumerate(studies[:MAX_STUDIES], 1):
        step = f'<MPPS UID="{escape(study.step)}"/>' if study.step else ""
        accession = f'<Accession Number="{escape(study.accession)}"/>' if study.accession else ""
        classes = "".join(
            f'<SOPClass UID="{escape(c.uid)}" NumberOfInstances="{max(0, c.instances)}"/>'
            for c in study.sop_classes[:MAX_STUDIES]
        )
        inside = step + accession + classes
        yield _object(
            study.uid,
            "2",
            "3",
            codes.STUDY_INSTANCE_UID,
            name="Study",
            details=((LEFT_OUT, b"%d studies" % left),) if left > 0 and index == MAX_STUDIES else (),
            description=f"<ParticipantObjectDescription>{inside}</ParticipantObjectDescription>" if inside else "",
        )


def _patient(patient: Patient | None) -> str:
    """The patient: person (1), patient (1)."""
    if patient is None:
        patient = Patient(UNKNOWN)
    return _object(patient.id or UNKNOWN, "1", "1", codes.PATIENT_NUMBER, name=patient.name or WITHHELD)


_END: Final = "</AuditMessage>"


# ---- the messages of A.5.3 ------------------------------------------------------------------------------------------


def _application(e: events.ApplicationActivity, source: Source, when: datetime) -> Iterator[str]:
    kind = codes.APPLICATION_START if e.started else codes.APPLICATION_STOP
    yield _open(EventId.APPLICATION_ACTIVITY, "E", e, when, kind)
    yield _participant(source.participant(), e.launcher is None, codes.APPLICATION)
    if e.launcher is not None:
        yield _participant(e.launcher, True, codes.LAUNCHER)
    yield _source(source) + _END


def _log_used(e: events.AuditLogUsed, source: Source, when: datetime) -> Iterator[str]:
    yield _open(EventId.AUDIT_LOG_USED, "R", e, when)
    yield _participant(e.reader, True)
    if e.process is not None:
        yield _participant(e.process, False)
    yield _source(source)
    yield _object(e.uri, "2", "13", codes.URI, name=LOG_NAME) + _END


def _transfer(
    e: events.BeginTransferring | events.InstancesTransferred, source: Source, when: datetime
) -> Iterator[str]:
    if isinstance(e, events.BeginTransferring):
        yield _open(EventId.BEGIN_TRANSFERRING, "E", e, when)
    else:
        yield _open(EventId.INSTANCES_TRANSFERRED, e.action, e, when)
    yield _participant(e.sender, e.requestor == e.sender, codes.SOURCE)
    yield _participant(e.receiver, e.requestor == e.receiver != e.sender, codes.DESTINATION)
    if e.requestor is not None and e.requestor not in (e.sender, e.receiver):
        yield _participant(e.requestor, True)
    yield _source(source)
    yield from _studies(e.studies or _NO_STUDY)
    yield _patient(e.patient) + _END


def _accessed(e: events.InstancesAccessed | events.StudyDeleted, source: Source, when: datetime) -> Iterator[str]:
    if isinstance(e, events.StudyDeleted):
        yield _open(EventId.STUDY_DELETED, "D", e, when)
    else:
        yield _open(EventId.INSTANCES_ACCESSED, e.action, e, when)
    for index, who in enumerate(e.who[:2] or (source.participant(),)):
        yield _participant(who, index == 0)
    yield _source(source)
    yield from _studies(e.studies or _NO_STUDY)
    yield _patient(e.patient) + _END


def _export(e: events.DataExport, source: Source, when: datetime) -> Iterator[str]:
    yield _open(EventId.EXPORT, "R", e, when)
    pulled = e.by_receiver and bool(e.receivers)
    for index, receiver in enumerate(e.receivers[:MAX_PARTICIPANTS]):
        yield _participant(receiver, pulled and index == 0, codes.DESTINATION)
    yield _participant(e.exporter, not pulled, codes.SOURCE)
    yield _participant(Participant(e.target), False, codes.DESTINATION_MEDIA, media=e.media.value)
    yield _source(source)
    yield from _studies(e.studies)
    yield from (_patient(patient) for patient in e.patients[:MAX_STUDIES] or (None,))
    yield _END


def _network(e: events.NetworkEntry, source: Source, when: datetime) -> Iterator[str]:
    yield _open(EventId.NETWORK_ENTRY, "E", e, when, codes.ATTACH if e.attached else codes.DETACH)
    node = e.node if e.node.address else Participant(e.node.user, e.node.ae, e.node.user or "unknown", e.node.name)
    yield _participant(node, False)  # its access point is mandatory
    yield _source(source) + _END


def _query(e: events.QueryMade, source: Source, when: datetime) -> Iterator[str]:
    yield _open(EventId.QUERY, "E", e, when)
    yield _participant(e.peer, True, codes.SOURCE)
    yield _participant(e.archive, False, codes.DESTINATION)
    yield _source(source)
    cut = len(e.query) - MAX_QUERY
    details = ((LEFT_OUT, b"%d octets" % cut),) if cut > 0 else ()
    query = e.query[:MAX_QUERY]
    if e.sop_class is None:
        yield _object("query", "2", "3", codes.SEARCH_CRITERIA, query=query, details=details)
    else:
        syntax = (e.transfer_syntax or "").encode(errors="backslashreplace")[:256]
        details = ((TRANSFER_SYNTAX, syntax), *details)
        yield _object(e.sop_class, "2", "3", codes.SOP_CLASS_UID, query=query, details=details)
    yield _END


def _procedure(e: events.ProcedureRecorded, source: Source, when: datetime) -> Iterator[str]:
    yield _open(EventId.PROCEDURE_RECORD, e.action, e, when)
    yield _participant(e.peer, True, codes.SOURCE)
    yield _participant(e.archive, False, codes.DESTINATION)
    yield _source(source)
    yield from _studies((e.study,))
    yield _patient(None) + _END


def _alert(e: events.SecurityAlert, source: Source, when: datetime) -> Iterator[str]:
    yield _open(EventId.SECURITY_ALERT, "E", e, when, e.kind.value)
    yield _participant(source.participant(), False)
    if e.reporter is not None:
        yield _participant(e.reporter, True)
    for who in e.performers[:MAX_PARTICIPANTS]:
        yield _participant(who, False)
    yield _source(source)
    description = ((ALERT_DESCRIPTION, e.text[:LONG].encode(errors="backslashreplace")),)
    if e.resource is not None:
        yield _object(e.resource, "2", "13", codes.URI, name="Resource", details=description)
    else:
        node = e.subject or source.participant()
        yield _object(
            node.address or node.user, "2", "13", codes.NODE_ID, name=node.user or node.ae, details=description
        )
    yield _END


def _node_authentication(e: events.NodeAuthenticationFailed, source: Source, when: datetime) -> Iterator[str]:
    who = Participant(e.address, e.ae, e.address, e.certificate)
    return _alert(
        events.SecurityAlert(
            kind=Alert.NODE_AUTHENTICATION,
            text=e.reason,
            subject=who,
            performers=(who,),
            outcome=e.outcome,
            reason=e.reason,
        ),
        source,
        when,
    )


def _override(e: events.EmergencyOverride, source: Source, when: datetime) -> Iterator[str]:
    kind = Alert.EMERGENCY_OVERRIDE_STARTED if e.started else Alert.EMERGENCY_OVERRIDE_STOPPED
    until = f" (until {e.until.astimezone(UTC).isoformat(timespec='seconds')[:-6]}Z)" if e.until else ""
    return _alert(
        events.SecurityAlert(
            kind=kind,
            text=e.text[:LONG] + until,
            performers=(e.person,),
            subject=source.participant(),
            outcome=e.outcome,
            reason=e.reason,
        ),
        source,
        when,
    )


def _bulk(e: events.BulkAlarm, source: Source, when: datetime) -> Iterator[str]:
    stopped = "not stopped" if e.outcome is Outcome.MAJOR else "stopped"
    text = f"{e.studies} studies retrieved within {e.window_s} s, where {e.limit} are allowed: {stopped}"
    return _alert(
        events.SecurityAlert(
            kind=Alert.BULK_RETRIEVAL,
            text=text,
            subject=e.peer,
            performers=(e.peer,),
            outcome=e.outcome,
            reason=e.reason,
        ),
        source,
        when,
    )


def _authentication(e: events.UserAuthentication, source: Source, when: datetime) -> Iterator[str]:
    kind = codes.LOGIN if e.login else codes.LOGOUT
    told = ": ".join(part for part in (e.how, e.reason) if part)
    yield _open(EventId.USER_AUTHENTICATION, "E", e, when, kind, reason=told)
    person = e.person
    if not person.address:  # mandatory in A.5.3.12
        person = Participant(person.user, person.ae, source.address or source.name, person.name)
    yield _participant(person, True)
    yield _participant(source.participant(), False)
    yield _source(source) + _END


_WRITERS: Final[dict[type, Callable[[Any, Source, datetime], Iterator[str]]]] = {
    events.ApplicationActivity: _application,
    events.AuditLogUsed: _log_used,
    events.BeginTransferring: _transfer,
    events.InstancesTransferred: _transfer,
    events.InstancesAccessed: _accessed,
    events.StudyDeleted: _accessed,
    events.DataExport: _export,
    events.NetworkEntry: _network,
    events.QueryMade: _query,
    events.ProcedureRecorded: _procedure,
    events.SecurityAlert: _alert,
    events.NodeAuthenticationFailed: _node_authentication,
    events.EmergencyOverride: _override,
    events.BulkAlarm: _bulk,
    events.UserAuthentication: _authentication,
}
