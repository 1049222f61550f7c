"""What a limit on answers looks like from outside.

DICOM has no status for "there is more", so a server with a limit often says Success. Under a constant limit L no answer
is longer than L, and one that was cut is exactly L long. So an answer that is shorter than another one of the same kind
was not cut; only the longest is in doubt, and it is cleared when its parts add up to no more. What has no parts
(studies without a date) is in doubt as long as the length is one that a person would choose as a limit.
"""

from __future__ import annotations

from typing import Final

SMALLEST: Final = 100  # the lowest limit heard of (a cloud adapter's default)
SMALLEST_OF_ALL: Final = 10  # what is believed where part of an answer cannot be verified in any other way
_TWO_DIGITS: Final = frozenset((*range(10, 100, 10), 16, 25, 32, 64, 75, 99))


def like_a_limit(answers: int, smallest: int = SMALLEST) -> bool:
    """Whether a person would choose this number: tens, twenty-fives or powers of two, one more or less allowed."""
    if answers < smallest - 1:
        return False
    if answers < 99:
        return answers in _TWO_DIGITS
    unit = 10 ** (len(str(answers)) - 2)
    if unit > 1 and (answers % unit == 0 or (answers * 4) % (unit * 10) == 0):
        return True
    return any(n & (n - 1) == 0 or _very_round(n) for n in (answers - 1, answers, answers + 1))


def _very_round(n: int) -> bool:
    """One, two or five and zeros."""
    return str(n).rstrip("0") in ("1", "2", "5")
