"""What the counting asks, and what it hears: the seam between the algorithm and the network.

The algorithm never sees a data set. An adapter turns a query into a C-FIND (PS3.4 §C.4.1) and its pending responses
into an answer: numbers, and hashes under a key that dies with the process. The only values of the server's that live on
are UIDs of a few studies without an image count, in memory, so that their series can be asked for; never in a record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from leadapron.watch.measure.count.hashes import Hashes
from leadapron.watch.measure.model import Shapes

FIRST_DAY = 19000101  # dates outside of these two count as no date: see days.valid_day
LAST_DAY = 21001231


class DateRange(Struct, frozen=True):
    """Days from ``first`` to ``last``, both included, as yyyymmdd; None: open on that side.

    ``as_range``: write a single day as a range as well ("20200101-20200101").
    """

    first: int | None
    last: int | None
    as_range: bool = False

    @property
    def text(self) -> str:
        """The value of StudyDate, PS3.4 §C.2.2.2.5: ``20200101``, ``20200101-20201231``, ``-20201231``,
        ``20200101-``.
        """
        if self.first == self.last and self.first is not None and not self.as_range:
            return f"{self.first:08d}"
        first = "" if self.first is None else f"{self.first:08d}"
        last = "" if self.last is None else f"{self.last:08d}"
        return f"{first}-{last}"

    def __contains__(self, day: int) -> bool:
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


class TimeRange(Struct, frozen=True):
    """Seconds of the day from ``first`` to ``last``, both included whole: the last one up to its last microsecond."""

    first: int
    last: int

    @property
    def text(self) -> str:
        """The value of StudyTime: ``080000-115959.999999`` (VR TM, PS3.5 §6.2)."""
        return f"{_clock(self.first)}-{_clock(self.last)}.999999"


def _clock(second: int) -> str:
    return f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"


class StudyQuery(Struct, frozen=True):
    """A STUDY-level C-FIND in the Study Root model.

    ``date`` None: StudyDate empty (universal matching); ``time`` only within a single day. ``patient``: the value of
    PatientID, ``*`` and then digits or letters, or these alone; None: empty. Return keys: StudyInstanceUID, StudyDate,
    PatientID, NumberOfStudyRelatedInstances, StudyTime where ``time`` is set; with ``want_shapes`` PatientName and
    PatientBirthDate too. ``max_answers``: send C-CANCEL after so many (the answer is then ``cancelled``). ``sample``:
    how many UIDs of studies without an image count to keep. ``yielding``: give up, by C-CANCEL, when memory gets tight
    and the answer is a large one (it is then ``yielded``).
    """

    date: DateRange | None = None
    time: TimeRange | None = None
    patient: str | None = None
    want_shapes: bool = False
    max_answers: int | None = None
    sample: int = 0
    yielding: bool = False


class SeriesQuery(Struct, frozen=True):
    """A SERIES-level C-FIND for one study. Return keys: SeriesInstanceUID, NumberOfSeriesRelatedInstances."""

    study_uid: bytes


class ImageQuery(Struct, frozen=True):
    """An IMAGE-level C-FIND for one series. Return key: SOPInstanceUID."""

    study_uid: bytes
    series_uid: bytes


class Answer(Struct, frozen=True):
    """The whole answer to a ``StudyQuery``: what the pending responses add up to, and how they ended.

    ``status``: the final DIMSE status, None when none came; then ``failure`` says why not (time-out, lost connection,
    aborted, malformed), in our words. ``cancelled``: we had enough and sent C-CANCEL; ``yielded``: that was because
    memory is short, so that it has to be asked again. ``answers``: pending responses, FF00 and FF01 alike.

    Everything else counts each StudyInstanceUID once: ``dates`` studies by day (yyyymmdd), ``undated`` those whose date
    is empty, absent or no date, ``images`` the sum of the counts that can be believed, ``images_missing`` studies
    without one, the same two again for the undated studies alone, ``patients`` distinct PatientIDs,
    ``patients_missing`` studies without one.

    About single responses: ``duplicates`` repeat a study (``conflicts``: with another number of images),
    ``without_uid`` name none, ``outside`` lie outside of the dates, times or patients asked for, ``wrong_level`` are at
    another level. ``sample``: hash to UID of the studies with the smallest hashes among those without an image count: a
    random sample without replacement, and all of them when there are few.
    """

    status: int | None
    failure: str | None
    cancelled: bool
    answers: int
    studies: Hashes
    dates: Mapping[int, int]
    undated: Hashes
    images: int
    images_missing: int
    undated_images: int
    undated_images_missing: int
    patients: Hashes
    patients_missing: int
    duplicates: int
    conflicts: int
    without_uid: int
    outside: int
    wrong_level: int
    sample: Mapping[int, bytes]
    shapes: Shapes | None = None
    yielded: bool = False

    @property
    def ok(self) -> bool:
        """Ended with Success, as if this were all."""
        return self.status == 0 and self.failure is None and not self.cancelled

    @property
    def nothing(self) -> bool:
        """Not one response, and no Success: refused, or failed."""
        return not self.ok and not self.answers


class SeriesAnswer(Struct, frozen=True):
    """The answer to a ``SeriesQuery``, each SeriesInstanceUID once.

    ``images``: the sum of NumberOfSeriesRelatedInstances where it can be believed; ``uncounted``: the series without.
    ``foreign``: responses that belong to another study. ``overflow``: more series than are kept; the sums are then
    incomplete.
    """

    status: int | None
    failure: str | None
    answers: int
    series: int
    images: int
    uncounted: tuple[bytes, ...]
    foreign: int
    overflow: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0 and self.failure is None


class ImageAnswer(Struct, frozen=True):
    """The answer to an ``ImageQuery``: ``images`` distinct SOPInstanceUIDs; ``foreign`` as in ``SeriesAnswer``."""

    status: int | None
    failure: str | None
    answers: int
    images: int
    foreign: int
    overflow: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 0 and self.failure is None


class Ask(Protocol):
    """What is injected: three kinds of questions, one at a time. Raises for nothing that a server does.

    Pauses between requests, reconnects and time-outs are the asker's; each call is one DIMSE request at most.
    ``rest``: nothing is asked while ``wait`` lasts, which is our own affair: it is not of the time for this server.
    """

    async def study(self, query: StudyQuery) -> Answer: ...

    async def series(self, query: SeriesQuery) -> SeriesAnswer: ...

    async def image(self, query: ImageQuery) -> ImageAnswer: ...

    async def rest(self, wait: Callable[[], Awaitable[None]]) -> None: ...
