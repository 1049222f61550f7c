"""How far a scan is: plain numbers that the scan moves and a display reads."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

RATE_WINDOW_S: Final = 5.0
MARK_EVERY_S: Final = 0.5


@dataclass
class Progress:
    """``endpoints``: how many (address, port) pairs there are; ``done`` of them are finished, ``found`` answered at
    all, ``measured`` spoke DICOM. Studies and images are those counted so far, ``counting`` the endpoints in hand."""

    endpoints: int = 0
    done: int = 0
    found: int = 0
    measured: int = 0
    exposed: int = 0
    studies: int = 0
    images: int = 0
    counting: dict[tuple[str, int], int] = field(default_factory=dict)
    _marks: deque[tuple[float, int]] = field(default_factory=deque)

    def counted_so_far(self, address: str, port: int, studies: int) -> None:
        """An endpoint that is being counted has come this far."""
        self.counting[address, port] = studies

    @property
    def studies_so_far(self) -> int:
        """Finished endpoints, and those in hand."""
        return self.studies + sum(self.counting.values())

    def rate(self, now: float) -> float:
        """Endpoints finished a second, over the last few seconds. Call it regularly."""
        marks = self._marks
        if not marks or now - marks[-1][0] >= MARK_EVERY_S:
            marks.append((now, self.done))
            while len(marks) > 2 and now - marks[1][0] >= RATE_WINDOW_S:
                marks.popleft()
        since, before = marks[0]
        return (self.done - before) / (now - since) if now > since else 0.0

    def left(self, now: float) -> float | None:
        """Seconds to go at the present rate; None where that can't be told."""
        rate = self.rate(now)
        return (self.endpoints - self.done) / rate if rate > 0 else None
