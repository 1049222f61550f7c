"""What strangers wrote, made safe to keep: bounded, one line, no character that moves a cursor or turns text around.

It is still a stranger's text. Who puts it on a page or into a mail escapes it there.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from leadapron.watch.track.owner.model import LONGEST

_HOST = re.compile(r"(?=.{4,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)+(?!-)[a-z][a-z0-9-]{0,62}(?<!-)\Z")
# A mailbox as dot-atom (RFC 5322 §3.2.3) without the signs that mean something to shells and mail headers.
_LOCAL = re.compile(r"[a-z0-9](?:[a-z0-9._+-]{0,62}[a-z0-9])?\Z", re.IGNORECASE)
# Roles, not people: RFC 2142 and what registries' contacts are called.
_ROLE = re.compile(
    r"(abuse|noc|security|cert|csirt|soc|postmaster|hostmaster|webmaster|dns|ip|ipadmin|ip-?abuse|network|netadmin|"
    r"admin|administrator|info|contact|support|help|helpdesk|it|edv|informatik|ict|sysadmin|lir|registry|noreply-abuse|"
    r"incident|incidents|report|reports|datenschutz|dpo|dsb|privacy|office|mail)"
    r"(?:[._+-](?:abuse|noc|desk|team|ops|center|centre|contact|[a-z]{2})|[._+-]?[0-9]{1,6})?\Z",
    re.IGNORECASE,
)
_DROPPED: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def one_line(text: object, longest: int = LONGEST) -> str | None:
    """``text`` as one printable line of at most ``longest`` characters; None where it is no text or nothing is left.

    Control and format characters go (among them those that turn the direction of writing), runs of space become one.
    """
    if not isinstance(text, str):
        return None
    raw = text[: 8 * longest]
    kept = "".join(" " if sign.isspace() else sign for sign in raw if sign.isspace() or _shown(sign))
    kept = " ".join(kept.split())
    return kept[:longest].strip() or None


def _shown(sign: str) -> bool:
    return unicodedata.category(sign) not in _DROPPED


def host_name(text: object) -> str | None:
    """A host name with at least two labels, in lower case, without final dot and leading ``*.``; else None."""
    if not isinstance(text, str) or len(text) > 300:
        return None
    name = text.strip().lower().rstrip(".").removeprefix("*.")
    return name if _HOST.match(name) else None


def mailbox(text: object) -> str | None:
    """An ordinary mailbox, its domain in lower case; None for all else, however a mail server might take it."""
    if not isinstance(text, str) or len(text) > LONGEST:
        return None
    local, at, domain = text.strip().rpartition("@")
    name = host_name(domain)
    if not at or name is None or name.startswith("_") or domain.startswith("*") or ".." in local:
        return None
    return f"{local}@{name}" if _LOCAL.match(local) else None


def is_role(address: str) -> bool:
    """Whether a mailbox is an office's rather than a person's, by what stands before the @."""
    return bool(_ROLE.match(address.partition("@")[0]))
