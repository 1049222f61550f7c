"""A pure function's results, remembered so that looking one up costs no Python call.

Days and numbers of images repeat by the thousand; an ``lru_cache`` behind a function costs three times as much as the
``__getitem__`` of a dictionary that fills itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LONGEST: Final = 16  # octets of a value that is remembered: with padding none that means something is longer


class Remembered(dict[bytes, int]):
    """``remembered[value]`` is ``function(value)``. Forgets everything when ``limit`` values are known."""

    def __init__(self, function: Callable[[bytes], int], limit: int) -> None:
        super().__init__()
        self._function, self._limit = function, limit

    def __missing__(self, value: bytes) -> int:
        result = self._function(value)
        if len(value) <= LONGEST:
            if len(self) >= self._limit:
                self.clear()
            self[value] = result
        return result
