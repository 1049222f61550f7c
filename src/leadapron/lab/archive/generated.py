"""An archive of made-up studies: queries become runs of study numbers, answers are rows of computed octets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from leadapron.lab.archive import query as q
from leadapron.lab.archive.attributes import DEPTH, LEVELS, UID_NUMBER, catalogue
from leadapron.lab.archive.calendar import clock_numbers
from leadapron.lab.archive.columns import Attribute
from leadapron.lab.archive.layout import Layout
from leadapron.lab.archive.model import ROWS_PER_TURN, Framing, Indices, Rows, Volume
from leadapron.lab.archive.people import ID_STYLES, names
from leadapron.lab.archive.query import Query, Unanswerable
from leadapron.lab.archive.studies import Plan, Studies

Test = Callable[[Rows], NDArray[np.bool_]]


class GeneratedArchive:
    """The archive of a plan. Implements ``Archive``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._studies = Studies(plan)
        self._uid_prefix = f"{plan.uid_root}.{100_000_000 + plan.seed % 900_000_000}.".encode()

    @property
    def volume(self) -> Volume:
        return self._studies.volume

    @property
    def name(self) -> str:
        """What every StudyInstanceUID of this archive begins with (and none of another seed)."""
        return self._uid_prefix.decode()

    def files_of(self, rows: Rows) -> Indices:
        return self._studies.files_of(rows)

    @cached_property
    def _attributes(self) -> dict[int, Attribute]:
        return catalogue(self._studies, self._uid_prefix)

    # ---- selection -------------------------------------------------------------------------------------------------

    def select(self, query: Query) -> Iterator[Rows]:
        if query.level == "PATIENT":
            return self._select_patients(query)
        if query.level == "STUDY":
            return self._select_studies(query, self._tests(query))
        if query.level not in ("SERIES", "IMAGE"):
            raise Unanswerable(0xA900)  # PS3.4 §C.4.1.1.4: identifier does not match SOP class
        if query.value(q.STUDY_INSTANCE_UID) is None:
            raise Unanswerable(0xA900)  # PS3.4 §C.4.1.2.2.1: unique keys of the levels above are required
        return self._select_below(query)

    def _tests(self, query: Query) -> list[Test]:
        """Filters for what isn't solved by arithmetic."""
        done = {q.STUDY_INSTANCE_UID, q.STUDY_DATE, q.STUDY_TIME}
        tests: list[Test] = []
        for tag, value in query.matches:
            if tag in done or tag in q.NO_MATCH_KEYS or tag not in self._attributes:
                continue  # PS3.4 §C.2.2.1.3: an optional key that isn't supported matches everything
            tests.append(_test(self._attributes[tag], tag, value))
        return tests

    def _select_patients(self, query: Query) -> Iterator[Rows]:
        tests = self._tests(query)
        if (one := self._person_asked(query)) is not None:
            people = np.array([one] if one >= 0 else [], np.int64)
            yield self._passing(Rows(0, self._studies.first_study_of(people)), tests)
            return
        for low in range(0, self._studies.patients, ROWS_PER_TURN):
            people = np.arange(low, min(low + ROWS_PER_TURN, self._studies.patients))
            yield self._passing(Rows(0, self._studies.first_study_of(people)), tests)

    def _select_studies(self, query: Query, tests: list[Test]) -> Iterator[Rows]:
        explicit = self._studies_asked(query)
        times = query.value(q.STUDY_TIME)
        for group, (low, high) in enumerate(self._studies.groups):
            run, by_time = self._run(query, group, low, high)
            for low, high in _chunks(run, explicit):
                studies = np.arange(low, high) if explicit is None else explicit[low:high]
                rows = Rows(group, studies)
                if by_time and times is not None:
                    clock = clock_numbers(self._studies.calendar.seconds_of(studies))
                    bounds = _clock_bounds(times)
                    rows = rows.at((clock >= bounds[0]) & (clock <= bounds[1]))
                yield self._passing(rows, tests)

    def _run(self, query: Query, group: int, low: int, high: int) -> tuple[tuple[int, int], bool]:
        """The studies of a group that the date allows (and the time, within a day); whether times are still to do."""
        dates, times = query.value(q.STUDY_DATE), query.value(q.STUDY_TIME)
        if group:
            stored = self.plan.odd_dates[group - 1][0].encode()
            if times is not None or (dates is not None and not self._odd_in(stored, dates)):
                return (0, 0), False
            return (low, high), False
        run = (low, high) if dates is None else self._studies.calendar.run(dates)
        if times is None:
            return run, False
        bounds = _clock_bounds(times)
        if self.plan.times != "spread":
            return (run if self.plan.times == "same" and bounds[0] <= 120000 <= bounds[1] else (0, 0)), False
        narrow = self._studies.calendar.run_of_times(run, bounds)
        return (run, True) if narrow is None else (narrow, False)

    def _odd_in(self, stored: bytes, dates: bytes) -> bool:
        if not self.plan.odd_match:
            return False
        return q.in_range(stored, q.range_of(dates))

    def _studies_asked(self, query: Query) -> Indices | None:
        """The studies of the UIDs or the patient asked for, ascending; None for all."""
        uids = query.value(q.STUDY_INSTANCE_UID)
        if uids is not None:
            found = {self._study_of_uid(uid.strip(b"\0 ")) for uid in uids.split(b"\\")}
            return np.array(sorted(i for i in found if i is not None), np.int64)
        person = self._person_asked(query)
        if person is None:
            return None
        if person < 0:
            return np.empty(0, np.int64)
        first = int(self._studies.first_study_of(np.array([person]))[0])
        return np.arange(first, self.plan.studies, self._studies.patients)

    def _study_of_uid(self, uid: bytes) -> int | None:
        digits = uid.removeprefix(self._uid_prefix)
        if len(digits) != 12 or not digits.isdigit() or len(uid) == 12:
            return None
        study = int(digits) - UID_NUMBER
        return study if 0 <= study < self.plan.studies else None

    def _person_asked(self, query: Query) -> int | None:
        """The patient of a PatientID without wildcards: −1 for nobody, None where none is asked for."""
        value = query.value(q.PATIENT_ID)
        if value is None or b"*" in value or b"?" in value:
            return None
        style = ID_STYLES[self.plan.ids]
        try:
            person = style.person(value[len(self.plan.canary.encode()) :])
        except ValueError:
            return -1
        if not 0 <= person < self._studies.patients:
            return -1
        rows = Rows(0, self._studies.first_study_of(np.array([person])))
        return person if self._attributes[q.PATIENT_ID].texts(rows) == [value] else -1

    def _select_below(self, query: Query) -> Iterator[Rows]:
        """Series, or images, of the studies asked for."""
        tests = self._tests(query)
        uids = query.value(q.SERIES_INSTANCE_UID)
        series_uid = self._attributes[q.SERIES_INSTANCE_UID]
        of_series = [] if uids is None else [_test(series_uid, q.SERIES_INSTANCE_UID, uids)]
        dates_only = query.without(*(tag for tag, _ in query.matches if tag != q.STUDY_INSTANCE_UID))
        for studies in self._select_studies(dates_only, []):
            for place in range(len(studies)):
                study = studies.at(slice(place, place + 1))
                count = int(self._studies.series_of(study)[0])
                series = Rows(study.group, np.repeat(study.study, count), np.arange(count))
                if query.level == "SERIES":
                    yield self._passing(series, tests)
                    continue
                series = self._passing(series, of_series)
                for k in range(len(series)):
                    one = series.at(slice(k, k + 1))
                    images = int(self._studies.series_images_of(one)[0])
                    for low in range(0, images, ROWS_PER_TURN):
                        numbers = np.arange(low, min(low + ROWS_PER_TURN, images))
                        yield self._passing(one.at(np.zeros(len(numbers), np.int64)).of_images(numbers), tests)

    def _passing(self, rows: Rows, tests: list[Test]) -> Rows:
        for test in tests:
            if len(rows):
                rows = rows.at(test(rows))
        return rows

    # ---- encoding --------------------------------------------------------------------------------------------------

    def encoder(self, query: Query, framing: Framing) -> Callable[[Rows], bytes]:
        layouts: dict[int, Layout] = {}

        def encode(rows: Rows) -> bytes:
            if not len(rows):
                return b""
            layout = layouts.get(rows.group)
            if layout is None:
                layout = layouts[rows.group] = Layout(self._answer(query, framing, rows.group), framing)
            return layout.encode(rows)

        return encode

    def _answer(self, query: Query, framing: Framing, group: int) -> list[tuple[int, Attribute]]:
        """The attributes of a response, ascending by tag."""
        wanted = dict(query.keys) | dict.fromkeys(framing.always, "") | {q.QUERY_RETRIEVE_LEVEL: "CS"}
        if framing.retrieve_ae:
            wanted[q.RETRIEVE_AE_TITLE] = "AE"
        fixed: dict[int, Attribute] = {
            q.SPECIFIC_CHARACTER_SET: Attribute("CS", (names(self.plan.script).charset.encode(),)),
            q.QUERY_RETRIEVE_LEVEL: Attribute("CS", (query.level.encode(),)),
            q.RETRIEVE_AE_TITLE: Attribute("AE", (framing.retrieve_ae.encode(),)),
        }
        if group:
            odd = self.plan.odd_dates[group - 1][0].encode()
            fixed[q.STUDY_DATE] = Attribute("DA", (odd,) if odd else ())
            fixed[q.STUDY_TIME] = Attribute("TM")
        answer = {q.SPECIFIC_CHARACTER_SET: fixed[q.SPECIFIC_CHARACTER_SET]}
        for tag, vr in wanted.items():
            known = fixed.get(tag) or self._attributes.get(tag)
            if known is not None and LEVELS.get(tag, 0) > DEPTH[query.level]:
                known = Attribute(known.vr)  # it says nothing at this level
            answer[tag] = known or Attribute(vr or "UN")
        for tag, text in framing.shown:
            if text is None:
                answer.pop(tag, None)
            elif tag in answer:
                answer[tag] = Attribute(answer[tag].vr, (text,) if text else ())
        return sorted(answer.items())


def _chunks(run: tuple[int, int], explicit: Indices | None) -> Iterator[tuple[int, int]]:
    """Cut a run of studies, or the places in ``explicit`` that lie in it, into pieces of one turn."""
    low, high = run
    if explicit is not None:
        low, high = (int(place) for place in np.searchsorted(explicit, run))
    for start in range(low, high, ROWS_PER_TURN):
        yield start, min(start + ROWS_PER_TURN, high)


def _clock_bounds(times: bytes) -> tuple[int, int]:
    """Bounds of a StudyTime as asked, as numbers HHMMSS; (1, 0), which holds nothing, where they are no times."""
    low, high = q.range_of(times)
    low, high = low.ljust(6, b"0") if low else b"000000", (high + b"235959"[len(high) :])[:6] if high else b"235959"
    fraction = low[6:].strip(b".0 ")
    if not (low[:6].isdigit() and high.isdigit()):
        return 1, 0
    return int(low[:6]) + bool(fraction), int(high)


def _test(attribute: Attribute, tag: int, value: bytes) -> Test:
    suffix = value[1:]
    if value.startswith(b"*") and suffix.isalnum() and tag not in q.DATE_KEYS | q.TIME_KEYS | q.UID_KEYS:
        quick = attribute.ends_with(suffix)  # a scanner goes through an archive by how its PatientIDs end
        if quick is not None:
            return quick
    matches = q.matcher(tag, value)
    return lambda rows: np.array([bool(matches(text)) for text in attribute.texts(rows)], np.bool_)
