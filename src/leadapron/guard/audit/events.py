"""What can happen, one frozen record for each message of PS3.15 A.5.3 (edition 2025e), and one of CID 400 beyond it.

An event tells facts; how they stand in XML is `message`'s business. Participants that A.5.3 demands and that are the
guard itself (who reports, who authenticates) are filled in from the trail's own source, so that nobody can forget them.

Disclosure is bounded here: a patient stands only in the messages that ask for one (A.5.3.3, 4, 6, 7, 8), the name only
if it is given, and a query's identifier only in Query. What an event may hold beyond that are names of machines, people
and studies. Texts may come from strangers: they are cleaned and cut when the message is written, never before, so an
event can be made from whatever came over the wire.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from leadapron.guard.audit.codes import Alert, Media, Outcome

Action = Literal["C", "R", "U", "D", "E"]
"""EventActionCode: create, read, update, delete, execute."""


class Participant(Struct, frozen=True):
    """Someone or something that takes part (ActiveParticipant, A.5.2.1 to A.5.2.4).

    ``user``: a peer's name, a person's ``login@domain``, a process; never empty in effect: ``ae`` or ``address`` stands
    in. ``ae``: AE title, as claimed. ``name``: how people call it. ``address``: IP address, host name or URI.
    """

    user: str
    ae: str | None = None
    address: str | None = None
    name: str | None = None


class SopClass(Struct, frozen=True):
    """So many ``instances`` of one class."""

    uid: str
    instances: int


class Study(Struct, frozen=True):
    """A study, and what of it (all that is known, may be nothing). ``step``: a performed procedure step's UID."""

    uid: str
    sop_classes: tuple[SopClass, ...] = ()
    accession: str | None = None
    step: str | None = None


class Patient(Struct, frozen=True):
    """``id``: (0010,0020). ``name``: only where the reader of the trail needs it; A.5 leaves it to us."""

    id: str
    name: str | None = None


class Happened(Struct, frozen=True, kw_only=True):
    """What all events share. ``reason``: EventOutcomeDescription, why it failed. ``when``: now, unless told."""

    outcome: Outcome = Outcome.SUCCESS
    reason: str | None = None
    when: datetime | None = None


class ApplicationActivity(Happened, frozen=True, kw_only=True):
    """A.5.3.1: the guard started, or stopped. ``launcher``: the person or process that did that."""

    started: bool
    launcher: Participant | None = None


class AuditLogUsed(Happened, frozen=True, kw_only=True):
    """A.5.3.2: ``reader`` looked at, or exported, the audit trail at ``uri``. ``process``: the program used for it."""

    reader: Participant
    uri: str
    process: Participant | None = None


class _Transfer(Happened, frozen=True, kw_only=True):
    """From ``sender`` to ``receiver``, because ``requestor`` asked: one of the two, or (C-MOVE) a third."""

    sender: Participant
    receiver: Participant
    requestor: Participant | None = None
    studies: tuple[Study, ...]
    patient: Patient | None = None


class BeginTransferring(_Transfer, frozen=True, kw_only=True):
    """A.5.3.3: instances of one patient are about to go from ``sender`` to ``receiver``."""


class InstancesTransferred(_Transfer, frozen=True, kw_only=True):
    """A.5.3.7: that transfer is over. ``action``: C or U where it is known if the receiver had them, R else."""

    action: Literal["C", "R", "U"] = "R"


class InstancesAccessed(Happened, frozen=True, kw_only=True):
    """A.5.3.6: ``who`` (one or two: person and process; the first asked) created, looked at, changed or removed."""

    who: tuple[Participant, ...]
    action: Literal["C", "R", "U", "D"] = "R"
    studies: tuple[Study, ...]
    patient: Patient | None = None


class StudyDeleted(Happened, frozen=True, kw_only=True):
    """A.5.3.8: ``who`` (one or two, the first asked) deleted whole studies."""

    who: tuple[Participant, ...]
    studies: tuple[Study, ...]
    patient: Patient | None = None


class DataExport(Happened, frozen=True, kw_only=True):
    """A.5.3.4: data left our domain. ``exporter``: person or process that gave it out; ``receivers``: who took it;
    ``target``: where to (a URI, the label of a disc) on which ``media``. ``by_receiver``: they pulled it."""

    exporter: Participant
    target: str
    receivers: tuple[Participant, ...] = ()
    by_receiver: bool = False
    media: Media = Media.URI
    studies: tuple[Study, ...] = ()
    patients: tuple[Patient, ...] = ()


class NetworkEntry(Happened, frozen=True, kw_only=True):
    """A.5.3.9: ``node`` was attached to the network, or detached from it: a peer was enrolled, or revoked."""

    node: Participant
    attached: bool


class QueryMade(Happened, frozen=True, kw_only=True):
    """A.5.3.10: ``peer`` asked ``archive``.

    C-FIND: ``sop_class`` and the identifier as it came, in ``transfer_syntax``. QIDO-RS and the like: no ``sop_class``,
    ``query`` is the request's target (path and query string). Holds whatever was asked for, patients' names included.
    """

    peer: Participant
    archive: Participant
    query: bytes
    sop_class: str | None = None
    transfer_syntax: str | None = None


class ProcedureRecorded(Happened, frozen=True, kw_only=True):
    """Procedure Record (110111): ``peer`` created a performed procedure step in ``archive``, or changed one.

    CID 400 has the code and A.5.3 no table; participants and objects are those that IHE Radiology's secured nodes use.
    """

    peer: Participant
    archive: Participant
    action: Literal["C", "U"]
    study: Study


class SecurityAlert(Happened, frozen=True, kw_only=True):
    """A.5.3.11. ``text``: what happened, for people. ``subject``: the node it is about, or ``resource``: the URI.

    ``performers``: who did it, as far as known. ``reporter``: the person who reports, beside the guard.
    """

    kind: Alert
    text: str
    subject: Participant | None = None
    resource: str | None = None
    performers: tuple[Participant, ...] = ()
    reporter: Participant | None = None
    outcome: Outcome = Outcome.SERIOUS


class NodeAuthenticationFailed(Happened, frozen=True, kw_only=True):
    """A.5.3.11, Node Authentication: someone at ``address`` did not prove who they are, and was turned away.

    ``ae``: calling AE title, if it came to that. ``certificate``: subject of what was shown. ``reason``: why.
    """

    address: str
    reason: str
    ae: str | None = None
    certificate: str | None = None
    outcome: Outcome = Outcome.MINOR


class EmergencyOverride(Happened, frozen=True, kw_only=True):
    """A.5.3.11, Emergency Override Started or Stopped: break-glass by ``person``, for ``text``; ends at ``until``."""

    person: Participant
    started: bool
    text: str
    until: datetime | None = None
    outcome: Outcome = Outcome.SERIOUS


class BulkAlarm(Happened, frozen=True, kw_only=True):
    """A.5.3.11: ``peer`` retrieved ``studies`` within ``window_s`` seconds where ``limit`` are allowed, and was stopped
    (or, with outcome MAJOR, was not)."""

    peer: Participant
    studies: int
    limit: int
    window_s: int
    outcome: Outcome = Outcome.SERIOUS


class UserAuthentication(Happened, frozen=True, kw_only=True):
    """A.5.3.12: ``person`` logged in or tried to, or out. ``how``: password and TOTP, passkey, token, time-out."""

    person: Participant
    login: bool
    how: str | None = None


Event = (
    ApplicationActivity
    | AuditLogUsed
    | BeginTransferring
    | InstancesTransferred
    | InstancesAccessed
    | StudyDeleted
    | DataExport
    | NetworkEntry
    | QueryMade
    | ProcedureRecorded
    | SecurityAlert
    | NodeAuthenticationFailed
    | EmergencyOverride
    | BulkAlarm
    | UserAuthentication
)

ALERTS = (SecurityAlert, NodeAuthenticationFailed, EmergencyOverride, BulkAlarm)
"""These are put on stable storage at once; the others within a second."""
