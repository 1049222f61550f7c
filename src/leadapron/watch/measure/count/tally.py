"""Adds up pending responses, one row after the other, into an ``Answer``: the adapter's half of the seam.

Rows wait in flat arrays and are looked at together, so that a study which occurs twice counts once whatever the size: a
loop and a set for small answers, numpy for large ones. Once the hashes are no longer exact, repeated studies cannot be
told any more.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Final

from leadapron.watch.measure.count.days import DayCounts, valid_day
from leadapron.watch.measure.count.hashes import LIMIT, Hashes, Memory
from leadapron.watch.measure.count.hashing import HashFunction, process_hash
from leadapron.watch.measure.count.query import Answer, ImageAnswer, SeriesAnswer, StudyQuery
from leadapron.watch.measure.count.shape import ShapeTally

ROWS: Final = 1_024
MOST_IMAGES: Final = 1_000_000  # in a study; more is a server's mistake
SERIES_KEPT: Final = 1_000
IMAGES_KEPT: Final = 200_000
SHAPES_LOOKED_AT: Final = 10
UID_LENGTH: Final = 64  # PS3.5 §9.1


def image_count(value: bytes) -> int:
    """A NumberOf…RelatedInstances (VR IS) that can be believed, or -1: a study without images is none, nor one with
    10⁹.
    """
    return _image_count(value) if len(value) <= 16 else -1


@lru_cache(8_192)
def _image_count(value: bytes) -> int:
    text = value.strip(b" \0")
    if not text.isdigit():
        return -1
    number = int(text)
    return number if 0 < number <= MOST_IMAGES else -1


def clock_second(value: bytes) -> int:
    """Second of the day of a StudyTime (VR TM; minutes and seconds may be cut off), or -1."""
    text = value.strip(b" \0").partition(b".")[0]
    if not text.isdigit() or len(text) not in (2, 4, 6):
        return -1
    whole = text.ljust(6, b"0")
    hour, minute, second = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    return hour * 3600 + minute * 60 + min(second, 59) if hour < 24 and minute < 60 else -1


class Tally:
    """One ``StudyQuery`` being answered. ``add`` for each pending response, then ``finish`` once."""

    def __init__(
        self,
        query: StudyQuery,
        *,
        hash_of: HashFunction = process_hash,
        memory: Memory | None = None,
        limit: int = LIMIT,
    ) -> None:
        self.answers = 0
        self._query, self._hash = query, hash_of
        self._patient = (query.patient or "*").encode().lower()
        self._studies = Hashes(memory=memory, limit=limit)
        self._undated = Hashes(memory=memory, limit=limit)
        self._patients = Hashes(memory=memory, limit=limit)
        self._dates = DayCounts(memory)
        self._images = self._images_missing = self._undated_images = self._undated_images_missing = 0
        self._patients_missing = self._duplicates = self._without_uid = self._outside = self._wrong_level = 0
        self._sample: dict[int, bytes] = {}
        self._threshold = 1 << 64
        self._shape = ShapeTally() if query.want_shapes else None
        self._rows = (array("Q"), array("q"), array("q"), array("Q"))  # study, day or 0, images or -1, patient or 0

    def add(
        self,
        uid: bytes,
        date: bytes = b"",
        images: bytes = b"",
        patient: bytes = b"",
        *,
        level: bytes = b"STUDY",
        time: bytes = b"",
        name: bytes = b"",
        birth_date: bytes = b"",
    ) -> None:
        """One pending response: the values as they came, padding and all; empty for what is absent."""
        self.answers += 1
        query = self._query
        if level != b"STUDY" and level.strip(b" \0") not in (b"STUDY", b""):
            self._wrong_level += 1
        patient = patient.strip(b" \0")
        if self._shape is not None and self._shape.answers < SHAPES_LOOKED_AT:
            self._shape.add(name, birth_date, patient)
        uid = uid.strip(b" \0")
        if not uid:
            self._without_uid += 1
            return
        day, count = valid_day(date), image_count(images)
        if query.date is not None or self._patient != b"*":
            self._outside += self._is_outside(day, time, patient)
        key = self._hash(uid)
        if count < 0 and query.sample and key < self._threshold and len(uid) <= UID_LENGTH:
            self._keep(key, uid)
        studies, days, counts, patients = self._rows
        studies.append(key)
        days.append(day)
        counts.append(count)
        patients.append((self._hash(patient) or 1) if patient else 0)
        if len(studies) >= ROWS:
            self._settle()

    def finish(self, status: int | None, failure: str | None = None, *, cancelled: bool = False) -> Answer:
        """The answer: the final status as it came, or None and what went wrong, in our words."""
        self._settle()
        self._prune()
        return Answer(
            status=status,
            failure=failure,
            cancelled=cancelled,
            answers=self.answers,
            studies=self._studies,
            dates=self._dates,
            undated=self._undated,
            images=self._images,
            images_missing=self._images_missing,
            undated_images=self._undated_images,
            undated_images_missing=self._undated_images_missing,
            patients=self._patients,
            patients_missing=self._patients_missing,
            duplicates=self._duplicates,
            without_uid=self._without_uid,
            outside=self._outside,
            wrong_level=self._wrong_level,
            sample=self._sample,
            shapes=None if self._shape is None else self._shape.shapes(),
        )

    def _is_outside(self, day: int, time: bytes, patient: bytes) -> bool:
        """An answer that was not asked for. A study without date, time or patient proves nothing either way."""
        query = self._query
        if query.date is not None and day and day not in query.date:
            return True
        if query.time is not None:
            second = clock_second(time)
            if second >= 0 and not query.time.first <= second <= query.time.last:
                return True
        if self._patient[:1] == b"*":
            return not patient.lower().endswith(self._patient[1:])
        return patient.lower() != self._patient

    def _keep(self, key: int, uid: bytes) -> None:
        self._sample[key] = uid
        if len(self._sample) > self._query.sample + 64:
            self._prune()

    def _prune(self) -> None:
        if len(self._sample) > self._query.sample:
            kept = sorted(self._sample)[: self._query.sample]
            self._sample = {key: self._sample[key] for key in kept}
            self._threshold = kept[-1] if kept else 0

    def _settle(self) -> None:
        if self._studies.small:
            self._settle_few()
        if self._rows[0]:
            self._settle_many()

    def _settle_few(self) -> None:
        """One by one, until the collection of studies has grown too large for that."""
        done = 0
        for key, day, count, patient in zip(*self._rows, strict=True):
            if not self._studies.small:
                break
            done += 1
            if not self._studies.add(key):
                self._duplicates += 1
                continue
            if day:
                self._dates.add(day)
            else:
                self._undated.add(key)
                self._undated_images += max(count, 0)
                self._undated_images_missing += count < 0
            self._images += max(count, 0)
            self._images_missing += count < 0
            if patient:
                self._patients.add(patient)
            else:
                self._patients_missing += 1
        for column in self._rows:
            del column[:done]

    def _settle_many(self) -> None:
        import numpy as np

        keys = np.array(self._rows[0], dtype=np.uint64)
        if self._studies.exact:
            keys, first = np.unique(keys, return_index=True)
            fresh = self._studies.unknown(keys)
            keys, first = keys[fresh], first[fresh]
            self._studies.absorb_new(keys)
        else:
            first = np.arange(len(keys))
            self._studies.absorb(keys)
        self._duplicates += len(self._rows[0]) - len(keys)
        days, counts = np.array(self._rows[1])[first], np.array(self._rows[2])[first]
        patients = np.array(self._rows[3], dtype=np.uint64)[first]
        known = counts >= 0
        undated = days == 0
        self._undated.absorb(keys[undated])
        self._images += int(counts[known].sum())
        self._images_missing += int((~known).sum())
        self._undated_images += int(counts[known & undated].sum())
        self._undated_images_missing += int((~known & undated).sum())
        for day, n in zip(*np.unique(days[~undated], return_counts=True), strict=True):
            self._dates.add(int(day), int(n))
        self._patients.absorb(np.unique(patients[patients > 0]))
        self._patients_missing += int((patients == 0).sum())
        for column in self._rows:
            del column[:]


class SeriesTally:
    """One ``SeriesQuery`` being answered."""

    def __init__(self, study_uid: bytes) -> None:
        self.answers = 0
        self._study = study_uid.strip(b" \0")
        self._seen: set[bytes] = set()
        self._uncounted: list[bytes] = []
        self._images = self._foreign = 0
        self._overflow = False

    def add(self, series_uid: bytes, images: bytes = b"", study_uid: bytes = b"") -> None:
        """One pending response. ``study_uid`` empty: the server left it out, which it may not, but says nothing."""
        self.answers += 1
        series_uid, study_uid = series_uid.strip(b" \0"), study_uid.strip(b" \0")
        if study_uid and study_uid != self._study:
            self._foreign += 1
            return
        if series_uid in self._seen:
            return
        if not 0 < len(series_uid) <= UID_LENGTH or len(self._seen) >= SERIES_KEPT:
            self._overflow = True
            return
        self._seen.add(series_uid)
        count = image_count(images)
        if count < 0:
            self._uncounted.append(series_uid)
        else:
            self._images += count

    def finish(self, status: int | None, failure: str | None = None) -> SeriesAnswer:
        return SeriesAnswer(
            status=status,
            failure=failure,
            answers=self.answers,
            series=len(self._seen),
            images=self._images,
            uncounted=tuple(self._uncounted),
            foreign=self._foreign,
            overflow=self._overflow,
        )


class ImageTally:
    """One ``ImageQuery`` being answered."""

    def __init__(
        self, series_uid: bytes, *, hash_of: HashFunction = process_hash, memory: Memory | None = None
    ) -> None:
        self.answers = 0
        self._series, self._hash = series_uid.strip(b" \0"), hash_of
        self._seen = Hashes(memory=memory, limit=IMAGES_KEPT)
        self._foreign = 0
        self._nameless = False

    def add(self, sop_instance_uid: bytes, series_uid: bytes = b"") -> None:
        self.answers += 1
        uid, series_uid = sop_instance_uid.strip(b" \0"), series_uid.strip(b" \0")
        if series_uid and series_uid != self._series:
            self._foreign += 1
        elif not uid:
            self._nameless = True
        else:
            self._seen.add(self._hash(uid))

    def finish(self, status: int | None, failure: str | None = None) -> ImageAnswer:
        return ImageAnswer(
            status=status,
            failure=failure,
            answers=self.answers,
            images=len(self._seen),
            foreign=self._foreign,
            overflow=self._nameless or not self._seen.exact,
        )
