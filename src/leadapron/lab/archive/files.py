"""An archive of real files: what DICOM readers are tested with, so that a count can be checked against real headers.

pydicom brings some 130 images of many makers along. Their headers are read once, pixels are not, and kept as the
octets that they were; a few hundred entities are matched one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from leadapron.lab.archive import query as q
from leadapron.lab.archive.layout import frames
from leadapron.lab.archive.model import ROWS_PER_TURN, Framing, Indices, Rows, Volume
from leadapron.lab.archive.query import Query, Unanswerable
from leadapron.wire.elements import encode_dataset

_UNIQUE: Final = {
    "PATIENT": (q.PATIENT_ID,),
    "STUDY": (q.STUDY_INSTANCE_UID,),
    "SERIES": (q.STUDY_INSTANCE_UID, q.SERIES_INSTANCE_UID),
    "IMAGE": (q.STUDY_INSTANCE_UID, q.SERIES_INSTANCE_UID, q.SOP_INSTANCE_UID),
}

Header = dict[int, tuple[str, bytes]]
"""VR and value, as encoded, by tag."""


class FileArchive:
    """Headers of files as an archive. Implements ``Archive``; two files with one SOPInstanceUID are one image."""

    def __init__(self, headers: list[Header], name: str) -> None:
        self.name = name
        images = list({header[q.SOP_INSTANCE_UID][1]: header for header in headers}.values())
        self._entities: dict[str, list[Header]] = {}
        self._images: dict[str, list[int]] = {}
        for level, unique in _UNIQUE.items():
            groups: dict[tuple[bytes, ...], list[Header]] = {}
            for header in images:
                groups.setdefault(tuple(_value(header, tag) for tag in unique), []).append(header)
            self._entities[level] = [self._entity(members) for members in groups.values()]
            self._images[level] = [len(members) for members in groups.values()]
        studies = self._entities["STUDY"]
        self.volume = Volume(
            studies=len(studies),
            images=len(images),
            patients=len({_value(study, q.PATIENT_ID) for study in studies}),  # those without one are one at least
            series=len(self._entities["SERIES"]),
            undated=sum(not _value(study, q.STUDY_DATE) for study in studies),
        )

    def _entity(self, members: list[Header]) -> Header:
        """One patient, study, series or image: the first file's header, and what can be counted."""

        def distinct(tag: int) -> bytes:
            return b"%d" % len({_value(member, tag) for member in members})

        modalities = sorted({_value(member, q.MODALITY) for member in members} - {b""})
        images = distinct(q.SOP_INSTANCE_UID)
        counted = {
            q.MODALITIES_IN_STUDY: ("CS", b"\\".join(modalities)),
            q.PATIENT_STUDIES: ("IS", distinct(q.STUDY_INSTANCE_UID)),
            q.PATIENT_SERIES: ("IS", distinct(q.SERIES_INSTANCE_UID)),
            q.PATIENT_INSTANCES: ("IS", images),
            q.STUDY_SERIES: ("IS", distinct(q.SERIES_INSTANCE_UID)),
            q.STUDY_INSTANCES: ("IS", images),
            q.SERIES_INSTANCES: ("IS", images),
        }
        return members[0] | counted

    def files_of(self, rows: Rows) -> Indices:
        return np.ones(len(rows), np.int64) if rows.image is not None else np.asarray(self._images["STUDY"])[rows.study]

    def select(self, query: Query) -> Iterator[Rows]:
        entities = self._entities.get(query.level)
        if entities is None:
            raise Unanswerable(0xA900)
        tests = [
            (tag, q.matcher(tag, value))
            for tag, value in query.matches
            if tag not in q.NO_MATCH_KEYS and any(tag in entity for entity in entities)
        ]
        found = [
            place
            for place, entity in enumerate(entities)
            if all(any(matches(part) for part in _parts(entity, tag)) for tag, matches in tests)
        ]
        for low in range(0, len(found), ROWS_PER_TURN):
            yield Rows(0, np.array(found[low : low + ROWS_PER_TURN], np.int64))

    def encoder(self, query: Query, framing: Framing) -> Callable[[Rows], bytes]:
        entities = self._entities[query.level]

        def encode(rows: Rows) -> bytes:
            return b"".join(
                frame
                for place in rows.study.tolist()
                for frame in frames(framing, self._identifier(entities[place], query, framing))
            )

        return encode

    def _identifier(self, entity: Header, query: Query, framing: Framing) -> bytes:
        answer: dict[int, tuple[str, bytes]] = {
            tag: entity.get(tag, (vr, b"")) for tag, vr in (*query.keys, *((tag, "LO") for tag in framing.always))
        }
        answer[q.QUERY_RETRIEVE_LEVEL] = ("CS", query.level.encode())
        if q.SPECIFIC_CHARACTER_SET in entity:
            answer[q.SPECIFIC_CHARACTER_SET] = entity[q.SPECIFIC_CHARACTER_SET]
        if framing.retrieve_ae:
            answer[q.RETRIEVE_AE_TITLE] = ("AE", framing.retrieve_ae.encode())
        for tag, text in framing.shown:
            if text is None:
                answer.pop(tag, None)
            elif tag in answer:
                answer[tag] = (answer[tag][0], text)
        encoded = encode_dataset([(t, vr, value or None) for t, (vr, value) in answer.items()], framing.transfer_syntax)
        return framing.mangle(encoded) if framing.mangle else encoded


def _value(header: Header, tag: int) -> bytes:
    return header.get(tag, ("", b""))[1].strip(b" \0")


def _parts(header: Header, tag: int) -> list[bytes]:
    """The values of an attribute: one that matches is enough (PS3.4 §C.2.2.2.1)."""
    return [part.strip(b" \0") for part in _value(header, tag).split(b"\\")]


@cache
def pydicom_archive() -> FileArchive:
    """pydicom's own images, as far as they have the three UIDs that place them."""
    from pydicom.data.data_manager import DATA_ROOT

    headers = []
    for path in sorted(Path(DATA_ROOT).rglob("*")):
        header = _read(path) if path.is_file() and path.suffix not in (".py", ".json", ".pyc") else None
        if header is not None:
            headers.append(header)
    return FileArchive(headers, "pydicom")


_KEPT: Final = frozenset(
    (
        *(tag for unique in _UNIQUE.values() for tag in unique),
        q.SPECIFIC_CHARACTER_SET,
        q.SOP_CLASS_UID,
        q.STUDY_DATE,
        q.STUDY_TIME,
        q.ACCESSION_NUMBER,
        q.MODALITY,
        q.INSTITUTION_NAME,
        q.REFERRING_PHYSICIAN,
        q.STUDY_DESCRIPTION,
        q.SERIES_DESCRIPTION,
        q.PATIENT_NAME,
        q.PATIENT_BIRTH_DATE,
        q.PATIENT_SEX,
        q.STUDY_ID,
        q.SERIES_NUMBER,
        q.INSTANCE_NUMBER,
    )
)


def _read(path: Path) -> Header | None:
    """The attributes that a query can ask for; None for what is no image, or not whole."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the set is full of deliberate mistakes
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            header = {tag: _raw(dataset, tag) for tag in _KEPT if tag in dataset}
    except Exception:  # pydicom raises many kinds for files that are broken on purpose
        return None
    complete = all(_value(header, tag) for tag in _UNIQUE["IMAGE"])
    return header if complete else None


def _raw(dataset: Any, tag: int) -> tuple[str, bytes]:
    """VR and encoded value of an element that may not have been parsed yet."""
    value = dataset.get_item(tag).value
    element = dataset[tag]
    if not isinstance(value, bytes):  # parsed already, as Specific Character Set is: ASCII
        parts = element.value if element.VM > 1 else [element.value or ""]
        value = "\\".join(str(part) for part in parts).encode("ascii", "replace")
    return element.VR, value
