"""How peers are called: our name for one, its AE title, and both as they stand in a certificate.

A certificate says who it is for in two subject alternative names of type URI (RFC 5280 §4.2.1.6). URIs, not DNS names,
so that a peer's certificate passes for no host: a peer takes deliveries and may therefore act as a TLS server, and a
client that checks host names must never take it for the guard. The AE title is percent-encoded (RFC 3986 §2.1), because
it may hold a space.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

from leadapron.kernel.errors import UsageError

GUARD_URI: Final = "urn:leadapron:guard"
PEER_URI: Final = "urn:leadapron:peer:"
AE_URI: Final = "urn:leadapron:ae:"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


def peer_name(text: str) -> str:
    """``text`` if it can be a peer's name: it stands in files, on terminals and in certificates as it is."""
    if not _NAME.fullmatch(text):
        raise UsageError("a peer's name has 1 to 63 letters, digits, dots, dashes and underscores: CT1, reading-room-2")
    return text


def ae_title(text: str) -> str:
    """An AE title without the spaces around it, which mean nothing (PS3.5 Table 6.2-1: 1 to 16 characters, no
    backslash, no control characters)."""
    title = text.strip(" ")
    if not 1 <= len(title) <= 16 or not all(" " <= c <= "~" and c != "\\" for c in title):
        raise UsageError("an AE title has 1 to 16 printable ASCII characters without a backslash")
    return title


def peer_uris(name: str, ae: str) -> tuple[str, str]:
    return PEER_URI + name, AE_URI + quote(ae, safe="")
