"""C-FIND identifiers, PS3.4 §C.4.1.1.3: the level, what to match, what to be told.

An empty key is universal matching: it matches all and asks for the value. A range (``20200101-20201231``), a wild card
or a list of UIDs is written as the standard has it; this module does not look into values.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from leadapron.wire import uids
from leadapron.wire.elements import Item, Tag, Value, encode_dataset, vr_of


class QueryLevel(enum.StrEnum):
    """(0008,0052), PS3.4 §C.6."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


UNIQUE_KEY: Final[dict[QueryLevel, Tag]] = {
    QueryLevel.PATIENT: Tag.PatientID,
    QueryLevel.STUDY: Tag.StudyInstanceUID,
    QueryLevel.SERIES: Tag.SeriesInstanceUID,
    QueryLevel.IMAGE: Tag.SOPInstanceUID,
}
"""The unique key of each level, PS3.4 Tables C.6-1 to C.6-5: always part of its identifiers."""

NOTHING: Final[Mapping[int, Value]] = {}


def find_identifier(
    level: QueryLevel | str | None,
    *,
    match: Mapping[int, Value] | Mapping[Tag, Value] = NOTHING,
    ask: Iterable[int] = (),
    transfer_syntax: str = uids.IMPLICIT_LE,
) -> bytes:
    """An encoded identifier for C-FIND, C-MOVE or C-GET.

    ``match``: tag → value to match on; ``ask``: tags to be told besides. The level's unique key is asked for if it is
    not matched on; below the top level the caller matches on the unique keys above (§C.4.1.2.1). Level None: worklist
    (PS3.4 Annex K), which has none. Text beyond ASCII adds (0008,0005) ISO_IR 192. ValueError for a tag whose VR is
    not in our dictionary.
    """
    keys: dict[int, Value] = {}
    if level is not None:
        keys = {Tag.QueryRetrieveLevel: str(level), UNIQUE_KEY[QueryLevel(level)]: None}
    keys.update(dict.fromkeys(ask))
    keys.update(match.items())
    if any(isinstance(value, str) and not value.isascii() for value in keys.values()):
        keys.setdefault(Tag.SpecificCharacterSet, "ISO_IR 192")
    return encode_dataset([_item(tag, value) for tag, value in keys.items()], transfer_syntax)


def _item(tag: int, value: Value) -> Item:
    vr = vr_of(tag)
    if vr is None:
        raise ValueError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not in the dictionary: add it with its VR")
    return (tag, vr, value)
