"""National identifiers by their shape and check digits, so that a hospital's running numbers do not pass for them.

Each check is written from the published rule named beside it. A number without check digits (a US social security
number written without dashes, Argentina's DNI) proves little alone, and one with a single check digit passes by chance
once in ten or eleven: those kinds are ``WEAK``, and only many of them together say something (see ``shape``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Final

_NUMBERS: Final = re.compile(r"\d{9,18}")


def kinds_of(value: bytes) -> frozenset[str]:
    """The kinds of national identifier that this PatientID could be, by name; empty for none."""
    try:
        text = value.strip(b" \0").decode("ascii").upper()
    except UnicodeDecodeError:
        return frozenset()
    if not 9 <= len(text) <= 21 or text.count(".") > 3:
        return frozenset()  # too short, too long, or a UID
    bare = re.sub(r"[ ./-]", "", text)
    return frozenset(kind for kind, check in _CHECKS.items() if check(text if kind == "us-ssn" else bare))


def looks_like_national_id(value: bytes) -> bool:
    """Whether one PatientID could be a national identifier. By chance alone a random number may: judge several."""
    return bool(kinds_of(value))


def _digits(text: str) -> list[int]:
    return [int(c) for c in text]


def _weighted(text: str, weights: str | list[int]) -> int:
    factors = _digits(weights) if isinstance(weights, str) else weights
    return sum(d * w for d, w in zip(_digits(text), factors, strict=False))


def _luhn(text: str) -> bool:
    """ISO/IEC 7812-1 Annex B."""
    total = 0
    for i, d in enumerate(reversed(_digits(text))):
        total += d if i % 2 == 0 else d * 2 - 9 * (d > 4)
    return total % 10 == 0


def _number(text: str, length: int) -> bool:
    """So many ASCII digits, not all the same."""
    return len(text) == length and _NUMBERS.fullmatch(text) is not None and text.isascii() and len(set(text)) > 1


def _born(year: int, month: str, day: str) -> bool:
    try:
        date(year, int(month), int(day))
    except ValueError:
        return False
    return True


def _us_ssn_parts(area: str, group: str, serial: str) -> bool:
    # Social Security Administration, "The SSN numbering scheme": never 000, 666 or 9xx; never group 00, serial 0000.
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def us_ssn(text: str) -> bool:
    """Written with its dashes, 3-2-4: nothing else is written so."""
    m = re.fullmatch(r"(\d{3})-(\d{2})-(\d{4})", text, re.ASCII)
    return m is not None and _us_ssn_parts(*m.groups())


def us_ssn_bare(text: str) -> bool:
    """Nine digits; area numbers up to 772, as far as they were given out before 2011."""
    return _number(text, 9) and _us_ssn_parts(text[:3], text[3:5], text[5:]) and text[:3] <= "772"


def german_tax_id(text: str) -> bool:
    """Identifikationsnummer, § 139b AO: in ten digits one occurs twice or thrice; check digit by ISO 7064 MOD 11,10."""
    if not _number(text, 11) or text[0] == "0":
        return False
    repeated = sorted(text[:10].count(d) for d in set(text[:10]))
    if repeated[-1] not in (2, 3) or (len(repeated) > 1 and repeated[-2] != 1):
        return False
    product = 10
    for d in _digits(text[:10]):
        product = ((d + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(text[10])


def german_health_insurance(text: str) -> bool:
    """Krankenversichertennummer, § 290 SGB V: a letter as two digits, eight digits, modulus 10 with weights 1 and 2."""
    if not re.fullmatch(r"[A-Z]\d{9}", text, re.ASCII):
        return False
    digits = _digits(f"{ord(text[0]) - 64:02d}{text[1:9]}")
    total = sum(sum(_digits(str(d * (1 + i % 2)))) for i, d in enumerate(digits))
    return total % 10 == int(text[9])


def french_nir(text: str) -> bool:
    """Numéro d'inscription au répertoire, INSEE: 13 characters and a key of 97 less the number modulo 97; Corsica has
    letters.
    """
    if not re.fullmatch(r"[1-478]\d{2}(0[1-9]|1[0-2]|[2-9]\d)(\d{2}|2[AB])\d{8}", text, re.ASCII):
        return False
    number = int(text[:13].replace("2A", "19").replace("2B", "18"))
    return 97 - number % 97 == int(text[13:])


_ITALIAN_DIGITS: Final = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21]
_ITALIAN_LETTERS: Final = [*_ITALIAN_DIGITS, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]


def italian_codice_fiscale(text: str) -> bool:
    """Decreto ministeriale 23 dicembre 1976, with the letters that stand for digits where two persons would clash."""
    d = r"[\dLMNP-V]"
    if not re.fullmatch(rf"[A-Z]{{6}}{d}{{2}}[ABCDEHLMPRST]{d}{{2}}[A-Z]{d}{{3}}[A-Z]", text, re.ASCII):
        return False
    total = 0
    for i, c in enumerate(text[:15]):
        place = int(c) if c.isdigit() else ord(c) - 65
        odd = _ITALIAN_DIGITS if c.isdigit() else _ITALIAN_LETTERS
        total += odd[place] if i % 2 == 0 else place
    return chr(65 + total % 26) == text[15]


def spanish_dni(text: str) -> bool:
    """DNI and NIE, Real Decreto 1553/2005: a letter for the number modulo 23; X, Y, Z count as 0, 1, 2."""
    if not re.fullmatch(r"(\d{8}|[XYZ]\d{7})[A-Z]", text, re.ASCII):
        return False
    number = int(text[:-1].translate(str.maketrans("XYZ", "012")))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == text[-1]


def turkish_kimlik(text: str) -> bool:
    """T.C. kimlik numarası, Nüfus ve Vatandaşlık İşleri: two check digits."""
    if not _number(text, 11) or text[0] == "0":
        return False
    d = _digits(text)
    return (7 * sum(d[0:9:2]) - sum(d[1:8:2])) % 10 == d[9] and sum(d[:10]) % 10 == d[10]


def brazilian_cpf(text: str) -> bool:
    """Cadastro de Pessoas Físicas, Receita Federal: two check digits modulo 11."""
    if not _number(text, 11):
        return False
    return all(_weighted(text[:n], list(range(n + 1, 1, -1))) * 10 % 11 % 10 == int(text[n]) for n in (9, 10))


def chinese_resident_id(text: str) -> bool:
    """GB 11643-1999: region, birth date, sequence; ISO 7064 MOD 11-2."""
    if not re.fullmatch(r"[1-9]\d{16}[\dX]", text, re.ASCII):
        return False
    if not 1880 <= int(text[6:10]) <= 2100 or not _born(int(text[6:10]), text[10:12], text[12:14]):
        return False
    return "10X98765432"[_weighted(text[:17], [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11] == text[17]


_VERHOEFF_PERMUTED: Final = tuple(
    ["0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"]
)


def _dihedral(a: int, b: int) -> int:
    """Multiplication in the group of the symmetries of a pentagon."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def indian_aadhaar(text: str) -> bool:
    """UIDAI: twelve digits, none begins with 0 or 1, Verhoeff's check digit (1969)."""
    if not _number(text, 12) or text[0] in "01":
        return False
    c = 0
    for i, d in enumerate(reversed(_digits(text))):
        c = _dihedral(c, int(_VERHOEFF_PERMUTED[i % 8][d]))
    return c == 0


def british_nhs(text: str) -> bool:
    """NHS number, NHS Data Dictionary: modulo 11, weights 10 to 2."""
    if not _number(text, 10) or text[0] == "0":
        return False
    return (11 - _weighted(text[:9], list(range(10, 1, -1))) % 11) % 11 == int(text[9])


def korean_rrn(text: str) -> bool:
    """Resident registration number: birth date, sex and century, modulo 11 (numbers given before October 2020)."""
    if not _number(text, 13) or not _born(2000 if text[6] in "3478" else 1900, text[2:4], "01"):
        return False
    century = {"9": 1800, "0": 1800, "3": 2000, "4": 2000, "7": 2000, "8": 2000}.get(text[6], 1900)
    if not _born(century + int(text[:2]), text[2:4], text[4:6]):
        return False
    return (11 - _weighted(text[:12], "234567892345") % 11) % 10 == int(text[12])


def south_african_id(text: str) -> bool:
    """Identification Act 68 of 1997: birth date, sex, citizenship 0 to 2, Luhn."""
    if not _number(text, 13) or text[10] not in "012" or not _luhn(text):
        return False
    return _born(1900 + int(text[:2]), text[2:4], text[4:6]) or _born(2000 + int(text[:2]), text[2:4], text[4:6])


def canadian_sin(text: str) -> bool:
    """Social insurance number: never begins with 0 or 8; Luhn."""
    return _number(text, 9) and text[0] not in "08" and _luhn(text)


def iranian_melli(text: str) -> bool:
    """Kart-e melli: ten digits, modulo 11, weights 10 to 2."""
    if not _number(text, 10):
        return False
    rest = _weighted(text[:9], list(range(10, 1, -1))) % 11
    return (rest if rest < 2 else 11 - rest) == int(text[9])


def thai_id(text: str) -> bool:
    """Thirteen digits, the first 1 to 8, modulo 11, weights 13 to 2."""
    if not _number(text, 13) or text[0] in "09":
        return False
    return (11 - _weighted(text[:12], list(range(13, 1, -1))) % 11) % 10 == int(text[12])


def mexican_curp(text: str) -> bool:
    """Clave Única de Registro de Población, Diario Oficial 18 October 2021: the last is a check digit modulo 10."""
    if not re.fullmatch(r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z\d]\d", text, re.ASCII):
        return False
    alphabet = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"
    total = sum(alphabet.index(c) * (18 - i) for i, c in enumerate(text[:17]))
    return (10 - total % 10) % 10 == int(text[17])


_CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "us-ssn": us_ssn,
    "us-ssn-bare": us_ssn_bare,
    "de-tax": german_tax_id,
    "de-health": german_health_insurance,
    "fr": french_nir,
    "it": italian_codice_fiscale,
    "es": spanish_dni,
    "tr": turkish_kimlik,
    "br": brazilian_cpf,
    "cn": chinese_resident_id,
    "in": indian_aadhaar,
    "gb": british_nhs,
    "kr": korean_rrn,
    "za": south_african_id,
    "ca": canadian_sin,
    "ir": iranian_melli,
    "th": thai_id,
    "mx": mexican_curp,
}
WEAK: Final = frozenset(("us-ssn-bare", "de-health", "in", "gb", "ca", "ir", "th"))
