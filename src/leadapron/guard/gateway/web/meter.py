"""How many different studies someone retrieved from in the last hour, over all of WADO and Orthanc's downloads.

A reader opens tens of studies in an hour and each of them with hundreds of requests; someone who copies the archive
opens each study once. So studies are counted, not requests or octets.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from leadapron.kernel.clock import Clock, SystemClock

HOUR: Final = 3600.0
MAX_PEOPLE: Final = 4096


class HourlyMeter:
    """A `Meter` in memory. ``limit``: different studies within any hour; 0 means none."""

    def __init__(self, limit: int, clock: Clock | None = None) -> None:
        self.limit = limit
        self._clock = clock or SystemClock()
        self._seen: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()

    def retrieved(self, who: str, study_uid: str) -> bool:
        now = self._clock.monotonic()
        studies = self._seen.setdefault(who, OrderedDict())
        self._seen.move_to_end(who)
        while studies and next(iter(studies.values())) <= now - HOUR:
            studies.popitem(last=False)
        if study_uid in studies:  # counted when it was first opened: looking at it for longer does not prolong that
            return True
        if len(studies) >= self.limit:
            return False
        if len(self._seen) > MAX_PEOPLE:
            self._seen.popitem(last=False)
        studies[study_uid] = now
        return True
