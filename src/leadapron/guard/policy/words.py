"""Names as they may be written, and how what somebody else wrote is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Our name for a peer. It becomes part of a URI in its certificate (guard.identity), so nothing needs escaping."""

# ISO 646 basic G0 set without backslash and control characters: VR AE, PS3.5 §6.2; 16 octets, PS3.8 Table 9-11.
_AE_TITLE: Final = re.compile(r"[ -\[\]-~]{1,16}")
_UID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))+")  # PS3.5 §9.1
_LONGEST: Final = 64


def shown(text: str) -> str:
    """Text from elsewhere, quoted, in ASCII and cut: fit for a log line, a terminal and an audit message."""
    return ascii(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")


def title(text: str) -> str | None:
    """An AE title without its padding: leading and trailing spaces mean nothing (PS3.5 §6.2). None if it is none."""
    return text.strip(" ") if _AE_TITLE.fullmatch(text) and text.strip(" ") else None


def is_uid(text: str) -> bool:
    """Whether ``text`` is a UID as PS3.5 §9.1 has it: at most 64 characters, components without leading zeros."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def closest(text: str, known: Iterable[str]) -> str:
    """Which of ``known`` (at least one) was most likely meant."""
    folded = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(text.strip().casefold(), folded, n=1, cutoff=0.0)
    return folded[close[0]] if close else next(iter(folded.values()))
