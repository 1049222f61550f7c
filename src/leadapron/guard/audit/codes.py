"""The codes of PS3.15 A.5 (edition 2025e), as they stand in a message: code, scheme, meaning.

Those of scheme ``DCM`` are defined in PS3.16 Annex D, those of ``RFC-3881`` in PS3.15 Table A.5.1-4. CID 403, Security
Alert Type Code, may be extended: what a guard must tell and the standard has no code for is in scheme ``99LEADAPRON``.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final, NamedTuple


class Code(NamedTuple):
    """``value`` in ``scheme`` means ``meaning``: ``csd-code``, ``codeSystemName`` and ``originalText`` of A.5.1."""

    value: str
    scheme: str
    meaning: str


def _dcm(value: int, meaning: str) -> Code:
    return Code(str(value), "DCM", meaning)


class Outcome(IntEnum):
    """EventOutcomeIndicator, Table A.5.2-1. In an alert it is the severity: MAJOR means that it may not have been held
    off, MINOR and SERIOUS that it was."""

    SUCCESS = 0
    MINOR = 4
    SERIOUS = 8
    MAJOR = 12


class EventId(Enum):
    """CID 400: one for each message of A.5.3, and Procedure Record; the value's first part is the name that people
    type."""

    APPLICATION_ACTIVITY = ("application", _dcm(110100, "Application Activity"))
    AUDIT_LOG_USED = ("log-used", _dcm(110101, "Audit Log Used"))
    BEGIN_TRANSFERRING = ("begin-transfer", _dcm(110102, "Begin Transferring DICOM Instances"))
    INSTANCES_ACCESSED = ("access", _dcm(110103, "DICOM Instances Accessed"))
    INSTANCES_TRANSFERRED = ("transfer", _dcm(110104, "DICOM Instances Transferred"))
    STUDY_DELETED = ("delete", _dcm(110105, "DICOM Study Deleted"))
    EXPORT = ("export", _dcm(110106, "Export"))
    NETWORK_ENTRY = ("network", _dcm(110108, "Network Entry"))
    PROCEDURE_RECORD = ("procedure", _dcm(110111, "Procedure Record"))
    QUERY = ("query", _dcm(110112, "Query"))
    SECURITY_ALERT = ("alert", _dcm(110113, "Security Alert"))
    USER_AUTHENTICATION = ("login", _dcm(110114, "User Authentication"))

    @property
    def word(self) -> str:
        return self.value[0]

    @property
    def code(self) -> Code:
        return self.value[1]


BY_EVENT_CODE: Final = {event.code.value: event for event in EventId}
WORDS: Final = tuple(event.word for event in EventId)

APPLICATION_START: Final = _dcm(110120, "Application Start")
APPLICATION_STOP: Final = _dcm(110121, "Application Stop")
LOGIN: Final = _dcm(110122, "Login")
LOGOUT: Final = _dcm(110123, "Logout")
ATTACH: Final = _dcm(110124, "Attach")
DETACH: Final = _dcm(110125, "Detach")

APPLICATION: Final = _dcm(110150, "Application")
LAUNCHER: Final = _dcm(110151, "Application Launcher")
DESTINATION: Final = _dcm(110152, "Destination Role ID")
SOURCE: Final = _dcm(110153, "Source Role ID")
DESTINATION_MEDIA: Final = _dcm(110154, "Destination Media")

STUDY_INSTANCE_UID: Final = _dcm(110180, "Study Instance UID")
SOP_CLASS_UID: Final = _dcm(110181, "SOP Class UID")
NODE_ID: Final = _dcm(110182, "Node ID")
PATIENT_NUMBER: Final = Code("2", "RFC-3881", "Patient Number")
SEARCH_CRITERIA: Final = Code("10", "RFC-3881", "Search Criteria")
URI: Final = Code("12", "RFC-3881", "URI")


class Alert(Enum):
    """Kinds of Security Alert: CID 403, and ours."""

    NODE_AUTHENTICATION = _dcm(110126, "Node Authentication")
    EMERGENCY_OVERRIDE_STARTED = _dcm(110127, "Emergency Override Started")
    NETWORK_CONFIGURATION = _dcm(110128, "Network Configuration")
    SECURITY_CONFIGURATION = _dcm(110129, "Security Configuration")
    HARDWARE_CONFIGURATION = _dcm(110130, "Hardware Configuration")
    SOFTWARE_CONFIGURATION = _dcm(110131, "Software Configuration")
    RESTRICTED_FUNCTION = _dcm(110132, "Use of Restricted Function")
    RECORDING_STOPPED = _dcm(110133, "Audit Recording Stopped")
    RECORDING_STARTED = _dcm(110134, "Audit Recording Started")
    OBJECT_ATTRIBUTES_CHANGED = _dcm(110135, "Object Security Attributes Changed")
    ROLES_CHANGED = _dcm(110136, "Security Roles Changed")
    USER_ATTRIBUTES_CHANGED = _dcm(110137, "User security Attributes Changed")
    EMERGENCY_OVERRIDE_STOPPED = _dcm(110138, "Emergency Override Stopped")
    BULK_RETRIEVAL = Code("bulk-retrieval", "99LEADAPRON", "Bulk retrieval")
    BROAD_QUERY = Code("broad-query", "99LEADAPRON", "Broad query")
    REQUEST_DENIED = Code("request-denied", "99LEADAPRON", "Request denied by policy")
    STORAGE_LOW = Code("storage-low", "99LEADAPRON", "Storage low")
    TRAIL_PRUNED = Code("trail-pruned", "99LEADAPRON", "Audit trail pruned")
    TRAIL_DAMAGED = Code("trail-damaged", "99LEADAPRON", "Audit trail damaged")


class Media(Enum):
    """CID 405, what data leaves on."""

    EMAIL = _dcm(110031, "Email")
    CD = _dcm(110032, "CD")
    DVD = _dcm(110033, "DVD")
    URI = _dcm(110037, "URI")
    FILM = _dcm(110038, "Film")
    PAPER = _dcm(110039, "Paper Document")
