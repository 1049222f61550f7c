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
    """Looks at a few answers; keeps their PatientIDs only until ``shapes`` is asked, and gives booleans.

    One check digit passes by chance once in ten, so it takes several different identifiers of the same kind. A strong
    kind (two check digits, or one and a birth date) counts when three in ten have it and at least two do, or the only
    one there is. A weak kind needs three and three in five; social security numbers without dashes must also come from
    three areas, since running numbers share their first digits.
    """

    def __init__(self) -> None:
        self.answers = 0
        self._names = self._births = False
        self._identifiers: set[bytes] = set()

    def add(self, name: bytes, birth_date: bytes, patient_id: bytes) -> None:
        self.answers += 1
        self._names |= has_name(name)
        self._births |= has_birth_date(birth_date)
        identifier = patient_id.strip(b" \0")
        if identifier:
            self._identifiers.add(identifier[:64])

    def shapes(self) -> Shapes:
        """None everywhere when there was nothing to look at."""
        if not self.answers:
            return Shapes()
        return Shapes(names=self._names, birth_dates=self._births, national_ids=self._national())

    def _national(self) -> bool:
        total = len(self._identifiers)
        areas = len({identifier[:3] for identifier in self._identifiers})
        for kind, n in Counter(kind for i in self._identifiers for kind in kinds_of(i)).items():
            if kind not in WEAK:
                if (n >= 2 and n * 10 >= total * 3) or n == total:
                    return True
            elif n >= 3 and n * 5 >= total * 3 and (kind != "us-ssn-bare" or areas >= 3):
                return True
        return False
