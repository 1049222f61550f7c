"""Which kinds of identifiers the answers hold: three booleans out of at most ten answers, and then they are
forgotten.
"""

from __future__ import annotations

from collections import Counter

from leadapron.watch.measure.count.days import valid_day
from leadapron.watch.measure.count.national import WEAK, kinds_of, looks_like_national_id
from leadapron.watch.measure.model import Shapes

__all__ = ["ShapeTally", "has_birth_date", "has_name", "looks_like_national_id"]


def has_name(value: bytes) -> bool:
    """Whether a PatientName (VR PN, PS3.5 §6.2.1) has a letter in any of its components, in whatever character set."""
    return any(octet > 0x7F or chr(octet).isalpha() for octet in value)


def has_birth_date(value: bytes) -> bool:
    """Whether a PatientBirthDate is a date. 19000101 and the like are fillers."""
    return valid_day(value) > 19000101


class ShapeTally:
    """Looks at a few answers and keeps only numbers: how many had what, and how many could be which national
    identifier.

    A strong kind (two check digits, or a check digit and a birth date) counts when two answers have it, or the only
    one. A weak kind counts when at least three answers and three in five have it; social security numbers without
    dashes must also come from three areas, since running numbers share their first digits.
    """

    def __init__(self) -> None:
        self.answers = self.identifiers = 0
        self._names = self._births = False
        self._kinds: Counter[str] = Counter()
        self._areas: set[bytes] = set()

    def add(self, name: bytes, birth_date: bytes, patient_id: bytes) -> None:
        self.answers += 1
        self._names |= has_name(name)
        self._births |= has_birth_date(birth_date)
        if patient_id.strip(b" \0"):
            self.identifiers += 1
            self._kinds.update(kinds_of(patient_id))
            self._areas.add(patient_id.strip(b" \0")[:3])

    def shapes(self) -> Shapes:
        """None everywhere when there was nothing to look at."""
        if not self.answers:
            return Shapes()
        return Shapes(names=self._names, birth_dates=self._births, national_ids=self._national())

    def _national(self) -> bool:
        for kind, n in self._kinds.items():
            if kind not in WEAK:
                if n >= 2 or n == self.identifiers:
                    return True
            elif n >= 3 and n * 5 >= self.identifiers * 3 and (kind != "us-ssn-bare" or len(self._areas) >= 3):
                return True
        return False
