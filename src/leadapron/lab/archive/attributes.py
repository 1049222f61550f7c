"""What can be said about a made-up study: each attribute as parts and columns over the numbers of the study."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

from leadapron.lab.archive import query as q
from leadapron.lab.archive.calendar import clock_texts
from leadapron.lab.archive.columns import Attribute, Column, Part, Text, lookup, number, text_table
from leadapron.lab.archive.model import Indices
from leadapron.lab.archive.people import ID_STYLES, names
from leadapron.lab.archive.studies import KINDS, ONES, Studies

UID_NUMBER: Final = 100_000_000_000  # study numbers are written as this + i: twelve digits, no leading zero
SERIES_NUMBER: Final = 1000
IMAGE_NUMBER: Final = 10_000_000

_PHYSICIANS: Final = (b"Hillside^Robin", b"Meadows^Lee", b"Brook^Alex", b"Stone^Kim", b"Field^Sasha", b"Birch^Toni")


DEPTH: Final = {"PATIENT": 0, "STUDY": 1, "SERIES": 2, "IMAGE": 3}
LEVELS: Final[dict[int, int]] = {
    **dict.fromkeys(
        (
            q.STUDY_DATE,
            q.STUDY_TIME,
            q.ACCESSION_NUMBER,
            q.MODALITIES_IN_STUDY,
            q.REFERRING_PHYSICIAN,
            q.STUDY_DESCRIPTION,
            q.STUDY_INSTANCE_UID,
            q.STUDY_ID,
            q.STUDY_SERIES,
            q.STUDY_INSTANCES,
        ),
        1,
    ),
    **dict.fromkeys((q.MODALITY, q.SERIES_DESCRIPTION, q.SERIES_INSTANCE_UID, q.SERIES_NUMBER, q.SERIES_INSTANCES), 2),
    **dict.fromkeys((q.SOP_CLASS_UID, q.SOP_INSTANCE_UID, q.INSTANCE_NUMBER), 3),
}


def catalogue(studies: Studies, uid_prefix: bytes) -> dict[int, Attribute]:
    """Every attribute that is known, by tag, as it is for studies with a proper date."""
    p, canary = studies.plan, studies.plan.canary.encode()
    people = names(p.script).table
    id_style = ID_STYLES[p.ids]
    sizes = studies.sizes
    salt = p.seed % 997
    doctors, births = text_table(_PHYSICIANS), _birth_dates()

    def of_size(table: Text) -> Column:
        return lookup(table, lambda rows: studies.size_of(rows.study))

    def of_kind(texts: list[bytes]) -> Column:
        return lookup(text_table(texts), lambda rows: sizes.kinds[studies.size_of(rows.study)])

    uid: tuple[Part, ...] = (uid_prefix, number(12, lambda rows: rows.study + UID_NUMBER))
    series_uid = (*uid, b".", number(4, lambda rows: _present(rows.series) + SERIES_NUMBER))
    image_uid = (*series_uid, b".", number(8, lambda rows: _present(rows.image) + IMAGE_NUMBER))
    if p.times == "spread":
        time: tuple[Part, ...] = (lookup(_clock(), lambda rows: studies.calendar.seconds_of(rows.study)),)
    else:
        time = (b"120000",) if p.times == "same" else ()
    return {
        q.SOP_CLASS_UID: Attribute("UI", (of_kind([k[2].encode() for k in KINDS]),)),
        q.SOP_INSTANCE_UID: Attribute("UI", image_uid),
        q.STUDY_DATE: Attribute(
            "DA", (lookup(studies.calendar.dates, lambda rows: studies.calendar.days_of(rows.study)),)
        ),
        q.STUDY_TIME: Attribute("TM", time),
        q.ACCESSION_NUMBER: Attribute("SH", (canary, number(8, lambda rows: rows.study + 10_000_000))),
        q.MODALITY: Attribute("CS", (of_kind([k[1] for k in KINDS]),)),
        q.MODALITIES_IN_STUDY: Attribute("CS", (of_kind([k[1] for k in KINDS]),)),
        q.INSTITUTION_NAME: Attribute("LO", (canary, p.site.encode("ascii", "replace"))),
        q.REFERRING_PHYSICIAN: Attribute("PN", (canary, lookup(doctors, lambda rows: (rows.study * 31 + salt) % 6))),
        q.STUDY_DESCRIPTION: Attribute("LO", (canary, of_kind([k[3] for k in KINDS]))),
        q.SERIES_DESCRIPTION: Attribute("LO", (canary, of_kind([k[3] for k in KINDS]))),
        q.PATIENT_NAME: Attribute(
            "PN", (canary, lookup(people, lambda rows: (studies.person_of(rows) * 7919 + salt) % len(people)))
        ),
        q.PATIENT_ID: Attribute(
            "LO", (canary, Column(id_style.width, lambda rows: id_style.texts(studies.person_of(rows)), padded=False))
        ),
        q.PATIENT_BIRTH_DATE: Attribute(
            "DA", (lookup(births, lambda rows: (studies.person_of(rows) * 104729 + salt) % len(births)),)
        ),
        q.PATIENT_SEX: Attribute(
            "CS", (lookup(text_table([b"F", b"M"]), lambda rows: (studies.person_of(rows) * 5 + salt) // 3 % 2),)
        ),
        q.STUDY_INSTANCE_UID: Attribute("UI", uid),
        q.SERIES_INSTANCE_UID: Attribute("UI", series_uid),
        q.STUDY_ID: Attribute("SH", (canary, number(8, lambda rows: rows.study))),
        q.SERIES_NUMBER: Attribute("IS", (number(4, lambda rows: _present(rows.series) + 1),)),
        q.INSTANCE_NUMBER: Attribute("IS", (number(8, lambda rows: _present(rows.image) + 1),)),
        q.PATIENT_STUDIES: Attribute("IS", (number(8, lambda rows: studies.of_person(ONES, rows)),)),
        q.PATIENT_SERIES: Attribute("IS", (number(8, lambda rows: studies.of_person(sizes.series, rows)),)),
        q.PATIENT_INSTANCES: Attribute("IS", (number(8, lambda rows: studies.of_person(sizes.images, rows)),)),
        q.STUDY_SERIES: Attribute("IS", (of_size(sizes.series_texts),)),
        q.STUDY_INSTANCES: Attribute("IS", (of_size(sizes.images_texts),)),
        q.SERIES_INSTANCES: Attribute("IS", (number(4, studies.series_images_of),)),
    }


def _present(numbers: Indices | None) -> Indices:
    assert numbers is not None
    return numbers


@lru_cache(1)
def _clock() -> Text:
    return clock_texts()


@lru_cache(1)
def _birth_dates() -> Text:
    first = date(1926, 1, 1).toordinal()
    return text_table([date.fromordinal(first + n).strftime("%Y%m%d").encode() for n in range(0, 36_000, 7)], 8)
