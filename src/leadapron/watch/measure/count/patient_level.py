"""Where only the Patient Root model is served, and no study is listed without naming its patient.

A stranger then lists the patients, in one query at PATIENT level (PS3.4 §C.6.1.1.2), and is told how many studies and
images each of them has where the server says so (0020,1200 and 0020,1204). Such a list has no dates to cut it by, so
whether it was cut off cannot be told: what comes of it is a lower bound.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from leadapron.watch.measure.count.hashes import Fingerprint, Hashes
from leadapron.watch.measure.count.hashing import process_hash
from leadapron.watch.measure.count.tally import MOST_IMAGES, image_count
from leadapron.watch.measure.model import Count

NOTE: Final = "listed patient by patient, which cannot be verified; "
_MOST_STUDIES: Final = 100_000  # of one patient; more is a server's mistake


class PatientAnswer(Struct, frozen=True):
    """The answer at PATIENT level, each PatientID once. ``studies`` and ``images`` are the sums of what can be
    believed, ``studies_missing`` and ``images_missing`` the patients without."""

    status: int | None
    failure: str | None
    answers: int
    patients: Hashes
    studies: int
    studies_missing: int
    images: int
    images_missing: int


class PatientTally:
    """One query at PATIENT level being answered."""

    def __init__(self) -> None:
        self.answers = 0
        self._patients = Hashes()
        self._studies = self._studies_missing = self._images = self._images_missing = 0

    def add(self, patient: bytes, studies: bytes = b"", images: bytes = b"") -> None:
        """One pending response: the values as they came; empty for what is absent."""
        self.answers += 1
        patient = patient.strip(b" \0")
        if not patient or not self._patients.add(process_hash(patient)):
            return
        number = image_count(studies)
        if 0 < number <= _MOST_STUDIES:
            self._studies += number
        else:
            self._studies_missing += 1
        number = image_count(images)
        if 0 < number <= MOST_IMAGES:
            self._images += number
        else:
            self._images_missing += 1

    def finish(self, status: int | None, failure: str | None = None) -> PatientAnswer:
        return PatientAnswer(
            status,
            failure,
            self.answers,
            self._patients,
            self._studies,
            self._studies_missing,
            self._images,
            self._images_missing,
        )


def count_patients(answer: PatientAnswer, requests: int) -> tuple[Count, Fingerprint] | None:
    """What such an answer is worth, or None if it holds no patient. ``requests``: those made before."""
    patients = len(answer.patients)
    if not patients:
        return None
    # A patient without a believable number of studies has one at least: the archive knows of him by it.
    studies = answer.studies + answer.studies_missing
    images = answer.images if answer.images_missing < patients else None
    note = NOTE + (
        "studies and images as the server sums them up"
        if not answer.studies_missing and not answer.images_missing
        else "the server does not say how many studies and images each patient has"
    )
    count = Count(
        patients=patients,
        studies=studies,
        images=images,
        complete=False,
        method="lower-bound",
        note=note,
        requests=requests + 1,
        answers=answer.answers,
    )
    return count, answer.patients.fingerprint()
