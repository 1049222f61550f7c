"""The modality that a SOP class tells: only where PS3.3 leaves no choice of (0008,0060) for it.

Secondary Capture, encapsulated PDF, video and raw data may be anyone's and are not here, nor are classes that two
modalities share in practice (XA and RF). New classes are missing until they are added: then (0008,0060) decides, or the
class's UID in the peer's list, and where neither is known the answer is no.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_TABLE: Final = {
    "CR": ("1",),
    "DX": ("1.1", "1.1.1"),
    "MG": ("1.2", "1.2.1", "13.1.3", "13.1.4", "13.1.5"),
    "IO": ("1.3", "1.3.1"),
    "CT": ("2", "2.1", "2.2"),
    "US": ("3", "3.1", "6", "6.1", "6.2"),
    "MR": ("4", "4.1", "4.2", "4.3", "4.4"),
    "NM": ("5", "20"),
    "PT": ("128", "128.1", "130"),
    "RTIMAGE": ("481.1",),
    "RTDOSE": ("481.2",),
    "RTSTRUCT": ("481.3",),
    "RTPLAN": ("481.5", "481.8"),
    "RTRECORD": ("481.4", "481.6", "481.7", "481.9"),
    "SEG": ("66.4", "66.5"),
    "REG": ("66.1", "66.3"),
    "PR": ("11.1", "11.2", "11.3", "11.4", "11.5", "11.6", "11.7", "11.8"),
    "KO": ("88.59",),
    "SR": ("88.11", "88.22", "88.33", "88.34", "88.35", "88.40", "88.50", "88.65", "88.67", "88.68", "88.69", "88.70"),
    "ECG": ("9.1.1", "9.1.2", "9.1.3"),
    "SM": ("77.1.6",),
    "OPT": ("77.1.5.4",),
}
_MODALITY: Final = {_STORAGE + suffix: code for code, suffixes in _TABLE.items() for suffix in suffixes}


def modality_of(sop_class: str | None) -> str | None:
    """``CT`` for CT Image Storage and its enhanced forms; None where the class does not tell."""
    return None if sop_class is None else _MODALITY.get(sop_class)


def known_modalities() -> Collection[str]:
    return _TABLE.keys()
