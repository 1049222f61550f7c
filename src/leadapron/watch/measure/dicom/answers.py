"""From the data set of a C-FIND answer, as it stands in the receive buffer, to the tally that counts it.

The usual answer is implicit VR little endian and has half a dozen elements, and the next one of its size has the same
headers at the same places. So the walk over the headers is kept as one ``struct`` format for each size: it cuts up the
next answer at once, and the headers that come out are compared with those that were walked. The rest (explicit VR,
sequences of undefined length, queries that want to be read closely) goes through the general reader. Values live until
the tally has hashed or counted them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeAlias

from leadapron.kernel.errors import ProtocolError
from leadapron.watch.measure.count.patient_level import PatientTally
from leadapron.watch.measure.count.query import StudyQuery
from leadapron.watch.measure.count.tally import ImageTally, SeriesTally, Tally
from leadapron.wire import uids
from leadapron.wire.dimse.rawfind import Identifier
from leadapron.wire.elements import Tag, read_elements

_HEADER: Final = struct.Struct("<II")  # tag and length of implicit VR, PS3.5 §7.1.3
_UNDEFINED: Final = 0xFFFFFFFF
MOST_LAYOUTS: Final = 128
LONGEST_LAYOUT: Final = 1_024  # octets


def _wire(tag: int) -> int:
    """A tag as those four octets read in little endian: group in the low half."""
    return tag >> 16 | (tag & 0xFFFF) << 16


_DATE: Final = _wire(Tag.StudyDate)
_LEVEL: Final = _wire(Tag.QueryRetrieveLevel)
_PATIENT: Final = _wire(Tag.PatientID)
_UID: Final = _wire(Tag.StudyInstanceUID)
_IMAGES: Final = _wire(Tag.NumberOfStudyRelatedInstances)

_WANTED: Final = (_UID, _DATE, _IMAGES, _PATIENT, _LEVEL)

_Layout: TypeAlias = tuple[Callable[[bytes, int], tuple[bytes, ...]], tuple[bytes, ...], int, int, int, int, int]
"""How an answer of one size lies in memory: reads header and value of each element in turn; the headers that it must
find; the places of ``_WANTED`` among the parts."""


def study_reader(query: StudyQuery, transfer_syntax: str, tally: Tally) -> Identifier:
    """Feeds answers to a ``StudyQuery`` to its tally. What it gives raises ProtocolError for a broken data set."""
    closely = _study_closely(transfer_syntax, tally)
    if transfer_syntax != uids.IMPLICIT_LE or query.time is not None or query.want_shapes:
        return closely
    layouts: dict[int, _Layout] = {}  # by size of the whole answer; ``MOST_LAYOUTS`` at most
    take = tally.take

    def quickly(buffer: bytes, start: int, end: int) -> None:
        layout = layouts.get(end - start)
        if layout is not None:
            unpack, headers, uid, date, images, patient, level = layout
            parts = unpack(buffer, start)
            if parts[::2] == headers:
                take(parts[uid], parts[date], parts[images], parts[patient], parts[level])
                return
        layout = _layout(buffer, start, end)
        if layout is None:
            return closely(buffer, start, end)
        if end - start <= LONGEST_LAYOUT and (len(layouts) < MOST_LAYOUTS or end - start in layouts):
            layouts[end - start] = layout
        unpack, _, uid, date, images, patient, level = layout
        parts = unpack(buffer, start)
        take(parts[uid], parts[date], parts[images], parts[patient], parts[level])

    return quickly


def _layout(buffer: bytes, start: int, end: int) -> _Layout | None:
    """Where the values stand in this answer; None for one with an element of undefined length."""
    form = "<"
    headers: list[bytes] = []
    places = dict.fromkeys(_WANTED, -1)  # of what is absent: the empty part at the end
    at, last = start, end - 8
    while at <= last:
        tag, length = _HEADER.unpack_from(buffer, at)
        if tag in places:
            places[tag] = 2 * len(headers) + 1
        elif length == _UNDEFINED:
            return None
        at += 8 + length
        if at > end:
            break
        form += f"8s{length}s"
        headers.append(buffer[at - 8 - length : at - length])
    if at != end:
        raise ProtocolError("an element of an answer is longer than the answer")
    uid, date, images, patient, level = (places[tag] for tag in _WANTED)
    return struct.Struct(form + "0s").unpack_from, (*headers, b""), uid, date, images, patient, level


def _study_closely(transfer_syntax: str, tally: Tally) -> Identifier:
    def read(buffer: bytes, start: int, end: int) -> None:
        found = _elements(buffer[start:end], transfer_syntax)
        tally.add(
            found(Tag.StudyInstanceUID),
            found(Tag.StudyDate),
            found(Tag.NumberOfStudyRelatedInstances),
            found(Tag.PatientID),
            level=found(Tag.QueryRetrieveLevel),
            time=found(Tag.StudyTime),
            name=found(Tag.PatientName),
            birth_date=found(Tag.PatientBirthDate),
        )

    return read


def series_reader(transfer_syntax: str, tally: SeriesTally) -> Identifier:
    """Feeds answers to a ``SeriesQuery`` to its tally."""

    def read(buffer: bytes, start: int, end: int) -> None:
        found = _elements(buffer[start:end], transfer_syntax)
        tally.add(found(Tag.SeriesInstanceUID), found(Tag.NumberOfSeriesRelatedInstances), found(Tag.StudyInstanceUID))

    return read


def image_reader(transfer_syntax: str, tally: ImageTally) -> Identifier:
    """Feeds answers to an ``ImageQuery`` to its tally."""

    def read(buffer: bytes, start: int, end: int) -> None:
        found = _elements(buffer[start:end], transfer_syntax)
        tally.add(found(Tag.SOPInstanceUID), found(Tag.SeriesInstanceUID))

    return read


def patient_reader(transfer_syntax: str, tally: PatientTally) -> Identifier:
    """Feeds answers at PATIENT level to their tally."""

    def read(buffer: bytes, start: int, end: int) -> None:
        found = _elements(buffer[start:end], transfer_syntax)
        tally.add(
            found(Tag.PatientID), found(Tag.NumberOfPatientRelatedStudies), found(Tag.NumberOfPatientRelatedInstances)
        )

    return read


def _elements(data: bytes, transfer_syntax: str) -> Callable[[int], bytes]:
    values = {element.tag: bytes(element.value) for element in read_elements(data, transfer_syntax)}
    return lambda tag: values.get(tag, b"")
