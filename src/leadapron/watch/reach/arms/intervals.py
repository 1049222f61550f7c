"""Shares and differences of shares with 95 % intervals that hold for small numbers, and at 0 and 100 %.

The textbook's ``p ± 1.96 √(p(1−p)/n)`` is none of that. Wilson's score interval is; of two of them Newcombe (Statistics
in Medicine 17, 1998, 873–890, method 10) makes one for the difference.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

Z: Final = 1.959963984540054  # of the normal distribution, two-sided 95 %


def wilson(hits: int, cases: int) -> tuple[float, float]:
    """The interval of ``hits / cases``; all that is possible where there are no cases."""
    if not cases:
        return 0.0, 1.0
    share = hits / cases
    middle = share + Z * Z / (2 * cases)
    half = Z * sqrt(share * (1 - share) / cases + Z * Z / (4 * cases * cases))
    below = 1 + Z * Z / cases
    return max(0.0, (middle - half) / below), min(1.0, (middle + half) / below)


def newcombe(hits: int, cases: int, other_hits: int, other_cases: int) -> tuple[float, float]:
    """The interval of the difference ``hits / cases - other_hits / other_cases``."""
    if not cases or not other_cases:
        return -1.0, 1.0
    one, two = hits / cases, other_hits / other_cases
    low_one, high_one = wilson(hits, cases)
    low_two, high_two = wilson(other_hits, other_cases)
    difference = one - two
    low = difference - sqrt((one - low_one) ** 2 + (high_two - two) ** 2)
    high = difference + sqrt((high_one - one) ** 2 + (two - low_two) ** 2)
    return max(-1.0, low), min(1.0, high)
