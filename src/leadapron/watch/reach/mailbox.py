"""Mailboxes, domains and networks as they are compared.

Somebody who asked not to be written to means themselves, not a spelling: ``Anna+PACS@Klinik.example`` is the same
reader as ``anna@klinik.example`` (RFC 5233 for what stands behind the plus sign), a domain means what lies below it,
and one address of a network means the network that was named. Comparing too much keeps us silent where we might have
written; comparing too little writes to somebody who said no. So where it is not known (capitals in the local part have
a meaning in RFC 5321 and nowhere else), both count as the same.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from leadapron.kernel.errors import UsageError

Kind = Literal["mailbox", "domain", "network"]

LONGEST: Final = 254  # RFC 5321 §4.5.3.1.3, with the errata: 256 less the angle brackets
_LOCAL: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = rf"(?:{_LABEL}\.)*{_LABEL}"
_MAILBOX: Final = re.compile(rf"{_LOCAL}@{_DOMAIN}")
_NAME: Final = re.compile(_DOMAIN)
_DEVIATES: Final = frozenset("ß\u1e9eς\u200c\u200d")  # UTS #46 §7: one domain in IDNA 2003, another one in IDNA 2008
Network = IPv4Network | IPv6Network


def is_mailbox(text: str) -> bool:
    """Whether it is a plain mailbox, ``local@domain``: no display name, quoting, comment or address literal, so that
    nothing in it can be read as a second recipient or a header."""
    return len(text) <= LONGEST and _MAILBOX.fullmatch(text) is not None


def encoded(mailbox: str) -> str:
    """The mailbox as it can be sent to everywhere, with its domain in ASCII (RFC 5891). One that is no mailbox, or can
    mean two domains, is given back as it is."""
    local, at, domain = mailbox.strip().rpartition("@")
    if domain.isascii() or not _DEVIATES.isdisjoint(domain):
        return mailbox.strip()
    return f"{local}{at}{_ascii(domain)}"


def canonical(mailbox: str) -> str:
    """The mailbox as it is compared: small letters, the domain in ASCII, without what stands behind a plus sign."""
    local, _, domain = mailbox.strip().rpartition("@")
    bare = local.partition("+")[0] or local
    return f"{bare.casefold()}@{_ascii(domain)}"


def domain_of(mailbox: str) -> str:
    """The domain of a mailbox, as it is compared."""
    return _ascii(mailbox.rpartition("@")[2])


def classify(text: str) -> tuple[Kind, str]:
    """What somebody wrote who is not to be written to: a mailbox, a domain or a network, and how it is kept.

    Raises `UsageError` where it is none of them, can mean two domains (straße.example: programs differ), or is so wide
    that it can only be a slip (a network of everything, a domain without a dot).
    """
    text = text.strip()
    if network := _network(text):
        if not network.prefixlen:
            raise UsageError(f"{text!a} is every address there is; name the network that is meant, as 192.0.2.0/24")
        return "network", str(network)
    if not _DEVIATES.isdisjoint(text.rpartition("@")[2]):
        raise UsageError(f"{text[:LONGEST]!a} can mean two domains; write the one that is meant encoded, as xn--…")
    if "@" in text.lstrip("@"):
        if not is_mailbox(text.rpartition("@")[0] + "@" + _ascii(text.rpartition("@")[2])):
            raise UsageError(f"{text[:LONGEST]!a} is no mailbox; one looks like it@clinic.example")
        return "mailbox", canonical(text)
    domain = _ascii(text.removeprefix("@").removeprefix("*."))
    if "." not in domain or len(domain) > 253 or not _NAME.fullmatch(domain) or domain.rpartition(".")[2].isdigit():
        raise UsageError(
            f"{text[:LONGEST]!a} is no mailbox (it@clinic.example), domain (clinic.example) or network (192.0.2.0/24)"
        )
    return "domain", domain


def matches(kind: Kind, value: str, mailbox: str | None, address: str | None) -> bool:
    """Whether what `classify` gave means this mailbox or this address."""
    if kind == "network":
        return address is not None and _holds(ip_network(value), address)
    if mailbox is None:
        return False
    if kind == "mailbox":
        return canonical(mailbox) == value
    domain = domain_of(mailbox)
    return domain == value or domain.endswith("." + value)


def _holds(network: Network, address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found) in network


def _network(text: str) -> Network | None:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        return ip_network(f"{mapped}/{network.prefixlen - 96}", strict=False)
    return network


def _ascii(domain: str) -> str:
    domain = domain.strip().rstrip(".").casefold()
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain
