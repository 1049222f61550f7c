"""Text from anywhere, made fit to stand in XML and to be shown on a terminal.

XML 1.0 §2.2 has no way at all to write most control characters, lone surrogates and two noncharacters; a reader would
refuse the whole message. What steers a terminal or turns text around (C1, bidirectional overrides, line separators)
is well-formed, but has no business in a log. All of these are shown as ``\\x1b`` and ``\\u202e``, so one still sees
what was sent. Every text is cut: a stranger decides on nobody's disk space.
"""

from __future__ import annotations

import re
from typing import Final

SHORT: Final = 256
"""Characters of a name, an AE title, an address, a UID. An AE title has 16, a UID 64 and an LO 64 if they are legal."""
LONG: Final = 2_000
"""Characters of a reason or a description."""

_UNFIT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_MARKUP: Final = re.compile("[&<>\"']")


def clean(text: str, limit: int = SHORT) -> str:
    """``text`` in one line of at most ``limit`` characters that any XML parser takes and any terminal may show."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    shown = _UNFIT.sub(_show, text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def escape(text: str, limit: int = SHORT) -> str:
    """`clean` text as an attribute's or element's content."""
    return _MARKUP.sub(lambda found: _ENTITIES[found[0]], clean(text, limit))


def _show(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
