"""Planted canaries: what the lab's archives told of patients, and the search for it in what is left and what is shown.

Every text attribute of every study, and every error comment, is a canary; so are the UIDs, whose root is the lab's, and
the dates of birth, which pynetdicom has read.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE

from leadapron.wire import uids

LAB_ROOT = "1.2.276.0.7230010.3.1."  # of study, series and instance UIDs in the lab; DCMTK's own version is ….3.0.
_TEXTS = ("PatientName", "PatientID", "AccessionNumber", "StudyDescription", "InstitutionName", "StudyID")


def told(address: str, port: int, canary: str) -> set[str]:
    """What pynetdicom is told by an archive: dates of birth, and that each text is a canary."""
    ae = AE()
    ae.add_requested_context(uids.STUDY_ROOT_FIND)
    association = ae.associate(address, port)
    assert association.is_established
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    for keyword in (*_TEXTS, "StudyInstanceUID", "PatientBirthDate"):
        setattr(keys, keyword, "")
    found: set[str] = set()
    for _, answer in association.send_c_find(keys, uids.STUDY_ROOT_FIND):
        if answer is not None:
            assert all(str(answer[keyword].value).startswith(canary) for keyword in _TEXTS)
            assert str(answer.StudyInstanceUID).startswith(LAB_ROOT)
            born = str(answer.PatientBirthDate)
            found |= {born, f"{born[:4]}-{born[4:6]}-{born[6:]}"}
    association.release()
    assert len(found) > 20
    return found


def forms(secret: str) -> dict[str, bytes]:
    """How text can be written down: as it is, wide, in digits, in base64 wherever it begins."""
    plain = secret.encode()
    found = {
        "plain": plain,
        "lower case": plain.lower(),
        "UTF-16 LE": secret.encode("utf-16-le"),
        "UTF-16 BE": secret.encode("utf-16-be"),
        "UTF-32": secret.encode("utf-32-le"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "backwards": plain[::-1],
        "numbers": str(list(plain))[1:-1].encode(),
    }
    for shift in range(3):
        # The first and last characters depend on what stands beside it.
        encoded = base64.b64encode(b"\0" * shift + plain)
        found[f"base64 from {shift}"] = encoded[-(-shift * 8 // 6) : len(encoded) - 4]
    return found


def needles(secrets: Iterable[str]) -> list[tuple[str, bytes]]:
    """Each form of each secret that is long enough to be one."""
    return [(form, octets) for secret in secrets for form, octets in forms(secret).items() if len(octets) > 5]


def leaks(places: Iterable[Path], secrets: Iterable[str]) -> list[str]:
    """Which secret stands where, in which form."""
    wanted = needles(secrets)
    found = []
    for place in places:
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            name = path.name.encode()
            octets = path.read_bytes() if path.is_file() else b""
            found += [f"{path.name}: {form}" for form, needle in wanted if needle in octets or needle in name]
    return found
