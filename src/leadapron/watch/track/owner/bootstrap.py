"""Which RDAP server knows an address: IANA's bootstrap data (RFC 9224).

Why not whoisit, which can do this and the questions too: it has one set of data for the whole process, wants all five
files before it answers for an address, reads bodies of any size, follows redirects to anywhere, and tells time by a
clock of its own. The format is a list of blocks with URLs; reading it is less than what it would take to hold all that
in bounds. (The tests hold our reading to whoisit's.)
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from leadapron.watch.track.owner.asking import Unanswered

URLS: Final = {4: "https://data.iana.org/rdap/ipv4.json", 6: "https://data.iana.org/rdap/ipv6.json"}

# Registries send on to one another, and to the national ones, which the bootstrap data does not name.
# From the registries' own pages on RDAP, November 2026.
REGISTRIES: Final = frozenset(
    (
        "rdap.arin.net",
        "rdap.db.ripe.net",
        "rdap.apnic.net",
        "rdap.afrinic.net",
        "rdap.lacnic.net",
        "rdap.registro.br",
        "rdap.nic.mx",
        "jpnic.rdap.apnic.net",
        "krnic.rdap.apnic.net",
        "idnic.rdap.apnic.net",
        "twnic.rdap.apnic.net",
        "cnnic.rdap.apnic.net",
        "irinn.rdap.apnic.net",
        "vnnic.rdap.apnic.net",
    )
)


class Bootstrap:
    """The blocks of one address family. ``text``: the file as IANA serves it. Raises `Unanswered` where it is none."""

    def __init__(self, text: bytes) -> None:
        try:
            services = msgspec.json.decode(text, type=_File).services
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise Unanswered("the bootstrap data of IANA cannot be read") from None
        self._blocks: dict[IPv4Network | IPv6Network, str] = {}
        for service in services:
            base = next((url for url in _texts(service, 1) if _fit(url)), None)
            if base is None:
                continue
            for block in _texts(service, 0):
                try:
                    self._blocks[ip_network(block)] = base
                except ValueError:
                    continue  # one odd entry must not take the rest away
        if not self._blocks:
            raise Unanswered("the bootstrap data of IANA names no server")

    def server(self, address: str) -> str | None:
        """The base URL for an address, of the longest block that holds it (RFC 9224 §5.1), with a final slash."""
        point = ip_address(address)
        for length in range(point.max_prefixlen, 0, -1):
            found = self._blocks.get(ip_network(f"{address}/{length}", strict=False))
            if found is not None:
                return found if found.endswith("/") else found + "/"
        return None

    @property
    def hosts(self) -> frozenset[str]:
        """All servers that are named."""
        return frozenset(urlsplit(url).hostname or "" for url in self._blocks.values())


class _File(msgspec.Struct):
    services: list[Any]


def _texts(service: Any, at: int) -> list[str]:
    part = service[at] if isinstance(service, list) and len(service) > at else None
    return [one for one in part if isinstance(one, str)] if isinstance(part, list) else []


def _fit(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and not parts.query and "@" not in parts.netloc
    except ValueError:
        return False
