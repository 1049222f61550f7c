"""Adds up pending responses, one row after the other, into an ``Answer``: the adapter's half of the seam.

Rows wait in flat arrays and are looked at together, so that a study which occurs twice counts once whatever the size:
with a set for small answers, numpy for large ones. Once the hashes are no longer exact, repeated studies cannot be told
any more.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from leadapron.watch.measure.count.days import DayCounts, bounds, valid_day
from leadapron.watch.measure.count.hashes import LIMIT, Hashes, Memory, process_memory
from leadapron.watch.measure.count.hashing import KeyedHash, process_hash
from leadapron.watch.measure.count.query import Answer, ImageAnswer, SeriesAnswer, StudyQuery
from leadapron.watch.measure.count.remember import LONGEST, Remembered
from leadapron.watch.measure.count.shape import ShapeTally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RAW: Final = 128  # responses kept as they came, so that they can be looked at together
LONG: Final = 1_024  # octets of one response after which none is kept
ROWS: Final = 1_024  # rows of numbers that wait
MANY_ROWS: Final = 4_096  # the same where each settling costs a search among many
_PADDING: Final = b" \0"
_STUDY_LEVEL: Final = frozenset((b"STUDY", b"STUDY ", b"STUDY\0", b""))
MOST_IMAGES: Final = 1_000_000  # in a study; more is a server's mistake
SERIES_KEPT: Final = 1_000
IMAGES_KEPT: Final = 200_000
SHAPES_LOOKED_AT: Final = 10
UID_LENGTH: Final = 64  # PS3.5 §9.1


def _image_count(value: bytes) -> int:
    text = value.strip(_PADDING) if len(value) <= LONGEST else b""
    if not text.isdigit():
        return -1
    number = int(text)
    return number if 0 < number <= MOST_IMAGES else -1


image_count = Remembered(_image_count, 8_192).__getitem__
"""A NumberOf…RelatedInstances (VR IS, bytes as they came) that can be believed, or -1: a study without images is none,
nor one with 10⁹."""


def clock_second(value: bytes) -> int:
    """Second of the day of a StudyTime (VR TM; minutes and seconds may be cut off), or -1."""
    text = value.strip(_PADDING).partition(b".")[0]
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
        hash_of: KeyedHash = process_hash,
        memory: Memory | None = None,
        limit: int = LIMIT,
    ) -> None:
        self._query, self._hash = query, hash_of
        self._memory = process_memory if memory is None else memory
        self._yielded = False
        self._pattern = (query.patient or "*").encode().lower()
        self._closely = query.time is not None or self._pattern != b"*"
        self._span = None if query.date is None else bounds(query.date)
        self._studies = Hashes(memory=memory, limit=limit)
        self._undated = Hashes(memory=memory, limit=limit)
        self._patients = Hashes(memory=memory, limit=limit)
        self._dates = DayCounts(memory)
        self._images = self._images_missing = self._undated_images = self._undated_images_missing = 0
        self._patients_missing = self._duplicates = self._conflicts = self._without_uid = self._outside = (
            self._wrong_level
        ) = 0
        self._sample: dict[int, bytes] = {}
        self._threshold = 1 << 64
        self._shape = ShapeTally() if query.want_shapes else None
        self._answers = 0
        self._raw: list[tuple[bytes, bytes, bytes, bytes]] = []  # as they came: study, date, images, patient
        self._rows = (array("Q"), array("q"), array("q"), array("Q"))  # study, day or 0, images or -1, patient or 0

    @property
    def answers(self) -> int:
        """Pending responses so far."""
        return self._answers + len(self._raw)

    def yields(self) -> bool:
        """Whether to stop here for want of memory."""
        memory = self._memory
        taken = self._studies.octets + self._patients.octets
        self._yielded |= self._query.yielding and memory.tight and taken >= memory.large
        return self._yielded

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
        if level not in _STUDY_LEVEL:
            self._wrong_level += 1
        if self._shape is not None and self._shape.answers < SHAPES_LOOKED_AT:
            self._shape.add(name, birth_date, patient)
        if self._closely:
            self._outside += self._is_outside(time, patient)
        raw = self._raw
        raw.append((uid, date, images, patient))
        if len(raw) >= RAW or len(uid) + len(date) + len(images) + len(patient) > LONG:
            self._digest()

    def take(self, uid: bytes, date: bytes, images: bytes, patient: bytes, level: bytes) -> None:
        """``add``, at half the cost, for a query without time and shapes."""
        if self._closely or level not in _STUDY_LEVEL:
            self.add(uid, date, images, patient, level=level)
            return
        raw = self._raw
        raw.append((uid, date, images, patient))
        if len(raw) >= RAW or len(uid) + len(patient) + len(images) > LONG:
            self._digest()

    def finish(self, status: int | None, failure: str | None = None, *, cancelled: bool = False) -> Answer:
        """The answer: the final status as it came, or None and what went wrong, in our words."""
        self._digest()
        self._settle()
        self._prune()
        return Answer(
            status=status,
            failure=failure,
            cancelled=cancelled,
            answers=self._answers,
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
            conflicts=self._conflicts,
            without_uid=self._without_uid,
            outside=self._outside,
            wrong_level=self._wrong_level,
            sample=self._sample,
            shapes=None if self._shape is None else self._shape.shapes(),
            yielded=self._yielded,
        )

    def _is_outside(self, time: bytes, patient: bytes) -> bool:
        """Whether time or patient are not what was asked for. A study without a time proves nothing either way."""
        query, pattern = self._query, self._pattern
        if query.time is not None:
            second = clock_second(time)
            if second >= 0 and not query.time.first <= second <= query.time.last:
                return True
        if pattern == b"*":
            return False
        patient = patient.strip(_PADDING).lower()
        return not patient.endswith(pattern[1:]) if pattern[:1] == b"*" else patient != pattern

    # ---- from what came to numbers --------------------------------------------------------------------------------

    def _digest(self) -> None:
        """Turn what came into hashes and numbers, all at once: that is where the time goes."""
        raw, self._raw = self._raw, []
        self._answers += len(raw)
        names = [row[0].strip(_PADDING) for row in raw]
        if b"" in names:
            self._without_uid += names.count(b"")
            raw = [row for row, name in zip(raw, names, strict=True) if name]
            names = [name for name in names if name]
        if not names:
            return
        _, dates, images, patients = zip(*raw, strict=True)
        keys, days, counts = self._hash.many(names), list(map(valid_day, dates)), list(map(image_count, images))
        if self._span is not None:
            first, last = self._span
            self._outside += sum(not first <= day <= last for day in days if day)
        if self._query.sample and -1 in counts:
            for key, name, count in zip(keys, names, counts, strict=True):
                if count < 0 and key < self._threshold and len(name) <= UID_LENGTH:
                    self._keep(key, name)
        persons = [patient.strip(_PADDING) for patient in patients]
        hashed = self._hash.many(persons)
        if b"" in persons:
            hashed = [key if person else 0 for key, person in zip(hashed, persons, strict=True)]
        for column, values in zip(self._rows, (keys, days, counts, hashed), strict=True):
            column.extend(values)
        if len(self._rows[0]) >= (ROWS if self._studies.small else MANY_ROWS):
            self._settle()

    def _keep(self, key: int, uid: bytes) -> None:
        self._sample[key] = uid
        if len(self._sample) > self._query.sample + 64:
            self._prune()

    def _prune(self) -> None:
        if len(self._sample) > self._query.sample:
            kept = sorted(self._sample)[: self._query.sample]
            self._sample = {key: self._sample[key] for key in kept}
            self._threshold = kept[-1] if kept else 0

    # ---- from numbers to sums: each study once ----------------------------------------------------------------------

    def _settle(self) -> None:
        keys, days, counts, patients = self._rows
        if self._studies.admit(keys):
            self._sum(keys, days, counts, patients)
        elif keys:
            self._settle_many()
        for column in self._rows:
            del column[:]

    def _sum(self, keys: Sequence[int], days: Sequence[int], counts: Sequence[int], patients: Sequence[int]) -> None:
        """Add up rows that are all new."""
        missing = sum(count < 0 for count in counts)
        self._images += sum(counts) + missing
        self._images_missing += missing
        undated = [(key, count) for key, day, count in zip(keys, days, counts, strict=True) if not day]
        if undated:
            self._undated.update(key for key, _ in undated)
            self._undated_images += sum(count for _, count in undated if count >= 0)
            self._undated_images_missing += sum(count < 0 for _, count in undated)
            days = [day for day in days if day]
        self._dates.update(days)
        known = [patient for patient in patients if patient]
        self._patients_missing += len(patients) - len(known)
        self._patients.update(known)

    def _settle_many(self) -> None:
        """The same with numpy, where some are known or repeated, or there are many."""
        import numpy as np

        keys = np.array(self._rows[0], dtype=np.uint64)
        first: NDArray[np.intp] | slice
        if self._studies.exact and self._studies.absorb_all_new(keys):
            first = slice(None)
        elif self._studies.exact:
            every, (keys, first) = keys, np.unique(keys, return_index=True)
            if len(keys) < len(every):  # repeats usually stand close together, so that they meet here
                counts = np.array(self._rows[2])
                self._conflicts += int((counts != counts[first][np.searchsorted(keys, every)]).sum())
            fresh = self._studies.unknown(keys)
            keys, first = keys[fresh], first[fresh]
            self._studies.absorb_new(keys)
        else:
            first = slice(None)
            self._studies.absorb(keys)
        self._duplicates += len(self._rows[0]) - len(keys)
        days, counts = np.array(self._rows[1])[first], np.array(self._rows[2])[first]
        patients = np.array(self._rows[3], dtype=np.uint64)[first]
        known, undated = counts >= 0, days == 0
        self._images += int(counts[known].sum())
        self._images_missing += int((~known).sum())
        if undated.any():
            self._undated.absorb(keys[undated])
            self._undated_images += int(counts[known & undated].sum())
            self._undated_images_missing += int((~known & undated).sum())
            days = days[~undated]
        self._dates.update_many(days)
        self._patients.absorb(patients[patients > 0])
        self._patients_missing += int((patients == 0).sum())


class SeriesTally:
    """One ``SeriesQuery`` being answered."""

    def __init__(self, study_uid: bytes) -> None:
        self.answers = 0
        self._study = study_uid.strip(_PADDING)
        self._seen: set[bytes] = set()
        self._uncounted: list[bytes] = []
        self._images = self._foreign = 0
        self._overflow = False

    def add(self, series_uid: bytes, images: bytes = b"", study_uid: bytes = b"") -> None:
        """One pending response. ``study_uid`` empty: the server left it out, which it may not, but says nothing."""
        self.answers += 1
        series_uid, study_uid = series_uid.strip(_PADDING), study_uid.strip(_PADDING)
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

    def __init__(self, series_uid: bytes, *, hash_of: KeyedHash = process_hash, memory: Memory | None = None) -> None:
        self.answers = 0
        self._series, self._hash = series_uid.strip(_PADDING), hash_of
        self._seen = Hashes(memory=memory, limit=IMAGES_KEPT)
        self._foreign = 0
        self._nameless = False

    def add(self, sop_instance_uid: bytes, series_uid: bytes = b"") -> None:
        self.answers += 1
        uid, series_uid = sop_instance_uid.strip(_PADDING), series_uid.strip(_PADDING)
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
