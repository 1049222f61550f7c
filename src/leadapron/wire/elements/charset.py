"""Text and (0008,0005) Specific Character Set, PS3.3 §C.12.1.1.2 and PS3.5 §6.1.

Most text is ASCII, Latin-1 or UTF-8, which need nothing. For the rest (ISO 2022 escapes, single-byte code pages,
GB 18030) pydicom knows the way; it is imported when such a text first comes, never before.

Decoding never fails: what cannot be read becomes U+FFFD, because a wrong character set is common and a scan or a
listing must go on.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Final

_PLAIN: Final[dict[str, str]] = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO 2022 IR 6": "ascii",
    "ISO_IR 100": "latin-1",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
_AFFECTED: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))  # the VRs that (0008,0005) is for
_RESET: Final = frozenset(b"\\\r\n\t\f")  # after these the first character set holds again, PS3.5 §6.1.2.5.3
_RESET_IN_NAME: Final = _RESET | frozenset(b"^=")
_BEYOND_ASCII: Final = re.compile(rb"(?:^|\x1b\(B)[^\x1b]*[\x80-\xff]")  # pydicom takes Latin-1 for the default set


def decode_text(value: bytes, character_set: bytes | None = None, vr: str = "LO") -> str:
    """A text value as str, without padding at its end; several values stay joined by backslashes.

    ``character_set`` is the raw value of (0008,0005) of the data set, None if it has none.
    """
    raw = value.rstrip(b"\0 ")
    terms = [term.strip("\0 ") for term in (character_set or b"").decode("ascii", "replace").split("\\")]
    codec = _PLAIN.get(terms[0]) if len(terms) == 1 else None
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if codec is not None:
        return raw.decode(codec, "replace")
    return _decode_by_pydicom(raw, terms, _RESET_IN_NAME if vr == "PN" else _RESET)


def _decode_by_pydicom(raw: bytes, terms: list[str], reset: frozenset[int]) -> str:
    from pydicom import charset

    known = [term if term in charset.python_encoding else "" for term in terms]  # its log would quote an unknown one
    if not any(known):
        return raw.decode("ascii", "replace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return charset.decode_bytes(raw, charset.convert_encodings(known), {*reset})
        except (LookupError, ValueError):
            return raw.decode("ascii", "replace")


def encoder(character_set: object) -> Callable[[str, str], bytes]:
    """A function (text, VR) → octets for a data set with this (0008,0005): None, a term, or a list of terms.

    ValueError from it for text that the character set cannot hold. VRs outside of it (CS, UI, DA …) are ASCII always.
    """
    if isinstance(character_set, bytes):
        character_set = character_set.decode("ascii")
    terms = character_set.split("\\") if isinstance(character_set, str) else character_set
    names = [str(term).strip() for term in terms] if isinstance(terms, Sequence) else [""]
    codec = _PLAIN.get(names[0]) if len(names) == 1 else None

    def encode(text: str, vr: str) -> bytes:
        if text.isascii():
            return text.encode("ascii")
        if vr not in _AFFECTED:
            raise ValueError(f"{vr} takes ASCII only")
        raw = _encode_by_pydicom(text, names) if codec is None else text.encode(codec, "ignore")
        if not raw or (codec is not None and raw.decode(codec) != text):
            raise ValueError("the data set's character set cannot hold a text of it")  # without the text: invariant 2
        return raw

    return encode


def _encode_by_pydicom(text: str, names: list[str]) -> bytes:
    """Empty when it cannot be done."""
    from pydicom import charset

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            raw = charset.encode_string(text, charset.convert_encodings(names))
        except (LookupError, ValueError, UserWarning):
            return b""
    return b"" if not names[0] and _BEYOND_ASCII.search(raw) else raw
