"""What is read of data sets: of a query's identifier what it asks for, of an object's first elements whose it is.

Nothing is kept but keys. An identifier that cannot be read cannot be judged either, so it is no good; the first octets
of an object that cannot be read (broken, cut off) tell nothing.
"""

from __future__ import annotations

import zlib
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import ProtocolError
from leadapron.wire import uids
from leadapron.wire.elements import ElementLimits, ElementReader, Tag, get, read_elements

PATIENT_ID: Final = Tag.PatientID
_LEVELS: Final = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_KEYS: Final = (Tag.PatientID, Tag.StudyInstanceUID, Tag.SeriesInstanceUID, Tag.SOPInstanceUID)  # PS3.4 §C.6.1, §C.6.2
_LIMITS: Final = ElementLimits(total=64 * 1024, elements=2048, depth=8)
MAX_INFLATED: Final = 64 * 1024
MAX_KEYS: Final = 4096
"""Values of one key in a retrieval. A list of all images of a large study has some thousand."""


class Retrieval(Struct, frozen=True):
    """What a C-GET or C-MOVE asks for. ``studies`` is empty where it names none (a whole patient, most often)."""

    level: str
    patients: tuple[str, ...]
    studies: tuple[str, ...]
    series: tuple[str, ...]

    @property
    def counted(self) -> tuple[str, ...]:
        """What stands for studies where they are counted: studies, or else whatever names at least one each."""
        return self.studies or self.series or self.patients


def read_retrieval(data: bytes, transfer_syntax: str) -> Retrieval | None:
    """None where it cannot be judged: broken, without a level, or without a key of that level or above that names
    something (PS3.4 §C.4.2.1.4.1): an archive might take that for everything."""
    try:
        found = {
            element.tag: element.value for element in read_elements(data, transfer_syntax, limits=_LIMITS)
        }  # of the top level
    except (ProtocolError, ValueError):
        return None
    level = found.get(Tag.QueryRetrieveLevel, b"").strip(b" \0").decode("ascii", "replace")
    if level not in _LEVELS:
        return None
    keys = [_values(found.get(tag, b"")) for tag in _KEYS]
    named = keys[: _LEVELS.index(level) + 1]
    if not named[-1] or any(len(values) > MAX_KEYS or _broad(values) for values in keys):
        return None
    return Retrieval(level, keys[0], keys[1], keys[2])


def _values(raw: bytes) -> tuple[str, ...]:
    text = raw.decode("latin-1").strip(" \0")
    return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()


def _broad(values: tuple[str, ...]) -> bool:
    return any(not value or "*" in value or "?" in value for value in values)


def study_of(head: bytes, transfer_syntax: str) -> str | None:
    """StudyInstanceUID out of the first octets of an object; None if it is not among them, or is no UID."""
    return _uid(_first(head, Tag.StudyInstanceUID, transfer_syntax))


def _uid(raw: bytes | None) -> str | None:
    uid = "" if raw is None else raw.rstrip(b" \0").decode("latin-1")
    return uid if 0 < len(uid) <= 64 and uid.replace(".", "").isdecimal() and uid.isascii() else None


def study_of_step(head: bytes, transfer_syntax: str) -> str | None:
    """StudyInstanceUID out of the first octets of a procedure step that is created (PS3.4 Table F.7.2-1): it stands in
    the first item of the Scheduled Step Attributes Sequence. None if that is not whole in there, or is no UID."""
    try:
        reader = ElementReader(transfer_syntax, stop=Tag.ScheduledStepAttributesSequence + 1, limits=_LIMITS)
        found = next((one for one in reader.feed(head) if one.tag == Tag.ScheduledStepAttributesSequence), None)
    except (ProtocolError, ValueError):
        return None
    item = found.items[0] if found is not None and found.items else ()
    return _uid(next((one.value for one in item if one.tag == Tag.StudyInstanceUID), None))


def modality_in(head: bytes, transfer_syntax: str) -> str | None:
    """Modality (0008,0060) out of the first octets of an object; None if it is not among them. Empty if it is empty."""
    raw = _first(head, Tag.Modality, transfer_syntax)
    return None if raw is None else raw.strip(b" \0").decode("latin-1")[:16]


def _first(head: bytes, tag: int, transfer_syntax: str) -> bytes | None:
    try:
        if transfer_syntax == uids.DEFLATED_LE:
            head, transfer_syntax = _inflated(head), uids.EXPLICIT_LE
        return get(head, tag, transfer_syntax)
    except (ProtocolError, ValueError, zlib.error):
        return None


def _inflated(head: bytes) -> bytes:
    """The beginning of what is deflated (PS3.5 §A.5: RFC 1951, no header): a bounded piece, whatever it grows to."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, MAX_INFLATED)
