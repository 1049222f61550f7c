"""From the data set of a C-FIND answer, as it stands in the receive buffer, to the tally that counts it.

The usual answer is implicit VR little endian and has half a dozen elements: their headers are walked in place and
only the values that are counted are cut out. The rest (explicit VR, sequences of undefined length, queries that want
to be read closely) goes through the general reader. Values live until the tally has hashed or counted them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from leadapron.kernel.errors import ProtocolError
from leadapron.watch.measure.count.patient_level import PatientTally
from leadapron.watch.measure.count.query import StudyQuery
from leadapron.watch.measure.count.tally import ImageTally, SeriesTally, Tally
from leadapron.wire import uids
from leadapron.wire.dimse.rawfind import Identifier
from leadapron.wire.elements import Tag, read_elements

_HEADER: Final = struct.Struct("<II")  # tag and length of implicit VR, PS3.5 §7.1.3
_UNDEFINED: Final = 0xFFFFFFFF


def _wire(tag: int) -> int:
    """A tag as those four octets read in little endian: group in the low half."""
    return tag >> 16 | (tag & 0xFFFF) << 16


_DATE: Final = _wire(Tag.StudyDate)
_LEVEL: Final = _wire(Tag.QueryRetrieveLevel)
_PATIENT: Final = _wire(Tag.PatientID)
_UID: Final = _wire(Tag.StudyInstanceUID)
_IMAGES: Final = _wire(Tag.NumberOfStudyRelatedInstances)


def study_reader(query: StudyQuery, transfer_syntax: str, tally: Tally) -> Identifier:
    """Feeds answers to a ``StudyQuery`` to its tally. What it gives raises ProtocolError for a broken data set."""
    closely = _study_closely(transfer_syntax, tally)
    if transfer_syntax != uids.IMPLICIT_LE or query.time is not None or query.want_shapes:
        return closely
    unpack, add = _HEADER.unpack_from, tally.add

    def quickly(buffer: bytes, start: int, end: int) -> None:
        uid = date = images = patient = b""
        level = b"STUDY"
        at = start
        last = end - 8
        while at <= last:
            tag, length = unpack(buffer, at)
            at += 8
            stop = at + length
            if tag == _UID:
                uid = buffer[at:stop]
            elif tag == _DATE:
                date = buffer[at:stop]
            elif tag == _PATIENT:
                patient = buffer[at:stop]
            elif tag == _IMAGES:
                images = buffer[at:stop]
            elif tag == _LEVEL:
                level = buffer[at:stop]
            elif length == _UNDEFINED:
                return closely(buffer, start, end)
            at = stop
        if at != end:
            raise ProtocolError("an element of an answer is longer than the answer")
        add(uid, date, images, patient, level=level)

    return quickly


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
