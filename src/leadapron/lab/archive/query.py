"""An identifier as asked, and the matching of PS3.4 §C.2.2.2 on single values."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

SPECIFIC_CHARACTER_SET = 0x00080005
QUERY_RETRIEVE_LEVEL = 0x00080052
RETRIEVE_AE_TITLE = 0x00080054
STUDY_DATE = 0x00080020
STUDY_TIME = 0x00080030
ACCESSION_NUMBER = 0x00080050
MODALITY = 0x00080060
MODALITIES_IN_STUDY = 0x00080061
INSTITUTION_NAME = 0x00080080
REFERRING_PHYSICIAN = 0x00080090
STUDY_DESCRIPTION = 0x00081030
SERIES_DESCRIPTION = 0x0008103E
SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
PATIENT_NAME = 0x00100010
PATIENT_ID = 0x00100020
PATIENT_BIRTH_DATE = 0x00100030
PATIENT_SEX = 0x00100040
STUDY_INSTANCE_UID = 0x0020000D
SERIES_INSTANCE_UID = 0x0020000E
STUDY_ID = 0x00200010
SERIES_NUMBER = 0x00200011
INSTANCE_NUMBER = 0x00200013
PATIENT_STUDIES = 0x00201200
PATIENT_SERIES = 0x00201202
PATIENT_INSTANCES = 0x00201204
STUDY_SERIES = 0x00201206
STUDY_INSTANCES = 0x00201208
SERIES_INSTANCES = 0x00201209

# Answered, never matched: the level itself and the character set of the request.
NO_MATCH_KEYS = frozenset((SPECIFIC_CHARACTER_SET, QUERY_RETRIEVE_LEVEL, RETRIEVE_AE_TITLE))
UID_KEYS = frozenset((STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, SOP_CLASS_UID))
DATE_KEYS = frozenset((STUDY_DATE, PATIENT_BIRTH_DATE))
TIME_KEYS = frozenset((STUDY_TIME,))


class Unanswerable(Exception):
    """The query is refused; ``status`` is the DIMSE status to say so with."""

    def __init__(self, status: int) -> None:
        super().__init__(f"query refused with status {status:04X}H")
        self.status = status


class Query(Struct, frozen=True):
    """A C-FIND identifier. ``keys``: (tag, VR) as asked for, ascending. ``matches``: the non-empty values, stripped."""

    level: str
    keys: tuple[tuple[int, str], ...]
    matches: tuple[tuple[int, bytes], ...] = ()

    def value(self, tag: int) -> bytes | None:
        """The value to match, None for universal matching."""
        for key, value in self.matches:
            if key == tag:
                return value
        return None

    def without(self, *tags: int) -> Query:
        """The same query with universal matching on ``tags``."""
        return Query(self.level, self.keys, tuple(m for m in self.matches if m[0] not in tags))


def range_of(value: bytes) -> tuple[bytes, bytes]:
    """Bounds of a date or time, both inclusive and empty where open (PS3.4 §C.2.2.2.5); a single value is both."""
    low, dash, high = value.partition(b"-")
    return (low.strip(), high.strip()) if dash else (value.strip(), value.strip())


def in_range(value: bytes, bounds: tuple[bytes, bytes], *, time: bool = False) -> bool:
    """Whether a date or time lies in ``bounds``, as text. A bound of a time may be cut short (PS3.5 §6.2, TM)."""
    if not value:
        return False
    low, high = bounds
    if time:
        value = value.ljust(6, b"0")
        low, high = low.ljust(6, b"0") if low else low, high + b"235959"[len(high) : 6] if high else high
    return (not low or value >= low) and (not high or value[: len(high)] <= high)


@lru_cache(1024)
def wildcard(pattern: bytes) -> Callable[[bytes], object]:
    """A matcher for ``*`` and ``?`` (PS3.4 §C.2.2.2.4), without regard to the case of ASCII letters."""
    parts = (b".*" if c == b"*" else b"." if c == b"?" else re.escape(c) for c in re.findall(rb"(?s).", pattern))
    return re.compile(b"".join(parts), re.IGNORECASE | re.DOTALL).fullmatch


def matcher(tag: int, value: bytes) -> Callable[[bytes], object]:
    """A test for one stored value (stripped of padding) against the value asked for."""
    if tag in UID_KEYS:
        return frozenset(uid.strip(b"\0 ") for uid in value.split(b"\\")).__contains__
    if tag in DATE_KEYS or tag in TIME_KEYS:
        bounds = range_of(value)
        return lambda stored: in_range(stored, bounds, time=tag in TIME_KEYS)
    return wildcard(value)
