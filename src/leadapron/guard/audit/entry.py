"""An audit message read back: what `leadapron audit` shows, filters and exports.

The message was opened with our key and checked against the chain, so it is what we wrote. Texts in it were cleaned when
they were written, but for what A.5 wants in base64: that is cleaned here.
"""

from __future__ import annotations

import base64
import contextlib
import xml.etree.ElementTree as ET
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from leadapron.guard.audit import codes
from leadapron.guard.audit.chain import Chain, Record
from leadapron.guard.audit.codes import BY_EVENT_CODE, Outcome
from leadapron.guard.audit.message import AE_PREFIX, ALERT_DESCRIPTION, TRANSFER_SYNTAX, UNKNOWN, WITHHELD
from leadapron.guard.audit.text import LONG, clean

_OBJECT: Final = "ParticipantObjectIdentification"
_KINDS: Final = {
    codes.STUDY_INSTANCE_UID: "study",
    codes.PATIENT_NUMBER: "patient",
    codes.SOP_CLASS_UID: "query",
    codes.SEARCH_CRITERIA: "query",
    codes.NODE_ID: "node",
    codes.URI: "resource",
}
KIND_BY_CODE: Final = {(code.value, code.scheme): kind for code, kind in _KINDS.items()}


class Party(Struct, frozen=True):
    """Someone who took part. ``roles``: meanings of the RoleIDCodes."""

    user: str
    ae: str | None
    name: str | None
    address: str | None
    requestor: bool
    roles: tuple[str, ...]


class Thing(Struct, frozen=True):
    """What it was about: ``kind`` is study, patient, query, node or resource. ``query``: base64, as in the message.

    ``instances``: those of a study, by SOP class UID. ``text``: an alert's description. ``step``: UID of a performed
    procedure step.
    """

    kind: str
    id: str
    name: str | None
    query: str | None = None
    transfer_syntax: str | None = None
    text: str | None = None
    instances: dict[str, int] = {}
    step: str | None = None


class Entry(Struct, frozen=True):
    """One record of the trail. ``recorded``: when it was written; ``time``: when it happened; both UTC.

    ``event``: the word of `codes.EventId`; ``title``: its meaning; ``types``: meanings of the EventTypeCodes.
    """

    sequence: int
    recorded: datetime
    time: datetime
    event: str
    title: str
    types: tuple[str, ...]
    action: str
    outcome: int
    reason: str | None
    source: str
    parties: tuple[Party, ...]
    things: tuple[Thing, ...]

    @property
    def text(self) -> str | None:
        """What an alert says, else why it failed."""
        return next((thing.text for thing in self.things if thing.text), self.reason)

    def names(self) -> set[str]:
        """Everything that a participant may be called, in small letters."""
        every = ((party.user, party.ae, party.name, party.address) for party in self.parties)
        return {name.lower() for names in every for name in names if name}


def read(chain: Chain, record: Record) -> tuple[Entry, str]:
    """The record's entry, and its message as it stands."""
    text = chain.open(record).decode()
    return parse(record, text), text


def parse(record: Record, text: str) -> Entry:
    root = ET.fromstring(text)
    event = root.find("EventIdentification")
    assert event is not None
    code = _text(event.find("EventID"), "csd-code")
    known = BY_EVENT_CODE.get(code)
    source = root.find("AuditSourceIdentification")
    return Entry(
        record.sequence,
        record.time,
        datetime.fromisoformat(event.get("EventDateTime", "")),
        known.word if known else code,
        known.code.meaning if known else _text(event.find("EventID"), "originalText"),
        tuple(_text(kind, "originalText") for kind in event.iterfind("EventTypeCode")),
        event.get("EventActionCode", ""),
        int(event.get("EventOutcomeIndicator", Outcome.MAJOR)),
        event.findtext("EventOutcomeDescription"),
        _text(source, "AuditSourceID"),
        tuple(_party(element) for element in root.iterfind("ActiveParticipant")),
        tuple(_thing(element) for element in root.iterfind(_OBJECT)),
    )


def without_identifiers(entry: Entry) -> Entry:
    """The entry without what names a patient: their IDs and names, and what was asked for in queries. Study UIDs stay:
    they lead to a patient only for whom may open the archive."""
    return msgspec.structs.replace(entry, things=tuple(_bare(thing) for thing in entry.things))


def message_without_identifiers(text: str) -> str:
    """The same for the message itself; it stays valid."""
    root = ET.fromstring(text)
    for element in root.iterfind(_OBJECT):
        kind = _kind(element)
        query = element.find("ParticipantObjectQuery")
        if query is not None:
            query.tag, query.text = "ParticipantObjectName", WITHHELD
        if kind == "patient":
            if element.get("ParticipantObjectID") != UNKNOWN:
                element.set("ParticipantObjectID", WITHHELD)
            name = element.find("ParticipantObjectName")
            if name is not None:
                name.text = WITHHELD
    return ET.tostring(root, encoding="unicode")


def _bare(thing: Thing) -> Thing:
    if thing.kind == "patient":
        return Thing("patient", UNKNOWN if thing.id == UNKNOWN else WITHHELD, None)
    if thing.query is not None:
        return msgspec.structs.replace(thing, query=None)
    return thing


def _text(element: ET.Element | None, attribute: str) -> str:
    return "" if element is None else element.get(attribute, "")


def _party(element: ET.Element) -> Party:
    ae = element.get("AlternativeUserID", "")
    return Party(
        element.get("UserID", ""),
        ae.removeprefix(AE_PREFIX) if ae.startswith(AE_PREFIX) else None,
        element.get("UserName"),
        element.get("NetworkAccessPointID"),
        element.get("UserIsRequestor") == "true",
        tuple(_text(role, "originalText") for role in element.iterfind("RoleIDCode")),
    )


def _kind(element: ET.Element) -> str:
    code = element.find("ParticipantObjectIDTypeCode")
    return KIND_BY_CODE.get((_text(code, "csd-code"), _text(code, "codeSystemName")), "other")


def _thing(element: ET.Element) -> Thing:
    details = {detail.get("type"): detail.get("value", "") for detail in element.iterfind("ParticipantObjectDetail")}
    name = element.findtext("ParticipantObjectName")
    instances = {
        str(found.get("UID")): int(found.get("NumberOfInstances", 0))
        for found in element.iterfind("ParticipantObjectDescription/SOPClass")
    }
    fields: dict[str, Any] = {"instances": instances} if instances else {}
    step = element.find("ParticipantObjectDescription/MPPS")
    if step is not None:
        fields["step"] = step.get("UID")
    return Thing(
        _kind(element),
        element.get("ParticipantObjectID", ""),
        None if name in (None, "", WITHHELD) else name,
        element.findtext("ParticipantObjectQuery"),
        _decoded(details.get(TRANSFER_SYNTAX)),
        _decoded(details.get(ALERT_DESCRIPTION)),
        **fields,
    )


def _decoded(value: str | None) -> str | None:
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return clean(base64.b64decode(value).decode(errors="replace"), LONG)
    return None
