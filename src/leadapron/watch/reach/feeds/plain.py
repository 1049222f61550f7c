"""Strings that strangers chose, made fit for others' programs: printable, bounded, of the form they claim to have.

A product's version, a network's name and a reverse DNS name are written by whoever runs the server. A reader of a feed
may paste them into a terminal, a ticket or a query. So free text loses what is not printable and gets a bound, and what
has a grammar (names, mailboxes, networks, country codes) is left out where it does not follow it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

TEXT: Final = 200
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_MAILBOX = re.compile(rf"[a-z0-9._%+-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+")
_COUNTRY = re.compile(r"[A-Z]{2}")


def plain(text: str | None, most: int = TEXT) -> str | None:
    """``text`` on one line: what is not printable becomes U+FFFD, blanks at the ends go, ``most`` characters stay; None
    for nothing."""
    if text is None:
        return None
    text = text[: 4 * most]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text.strip()[:most].rstrip() or None


def host_name(text: str | None) -> str | None:
    """A DNS name in lower case, no dot at the end (RFC 1123 and the underscore); None for anything else."""
    name = (text or "").strip().rstrip(".").lower()
    if len(name) > 253 or not _NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        return None
    return name


def mailbox(text: str | None) -> str | None:
    """``local@domain`` in lower case; None for anything else."""
    name = (text or "").strip().lower()
    return name if len(name) <= 254 and _MAILBOX.fullmatch(name) else None


def network(text: str | None, address: str) -> str | None:
    """The block in CIDR form around ``address``, of a network as the hint ``rdap-network`` has it, ``NAME,
    198.51.0.0–198.51.3.255``; or of a block that a person entered. None for anything else. Registries hand out ranges
    that are no single block; then it is the part of it that the address is in."""
    said = (text or "").rpartition(",")[2].strip()
    first, _, last = said.partition("–")
    try:
        point = ipaddress.ip_address(address)
        if not last:
            block = ipaddress.ip_network(said, strict=False)
            return str(block) if "/" in said and point in block else None
        blocks = ipaddress.summarize_address_range(ipaddress.ip_address(first), ipaddress.ip_address(last))
        return next((str(block) for block in blocks if point in block), None)
    except (ValueError, TypeError):
        return None


def country(text: str | None) -> str | None:
    """Two capital letters (ISO 3166-1); None for anything else."""
    return text if text is not None and _COUNTRY.fullmatch(text) else None


def asn(number: int | None) -> int | None:
    """The number of an autonomous system, 1 to 4294967294 (RFC 7607, RFC 7300); None for anything else."""
    return number if number is not None and 0 < number < 2**32 - 1 else None


def address(text: str) -> str:
    """The address without its zone (``%eth0``), which means nothing elsewhere."""
    return text.partition("%")[0]
