"""The section ``[lookups]`` of ``leadapron.toml``: who is asked for the owner of a server, and how gently.

What asks somebody else's web server is off unless it is switched on; data that needs no question (MMDB files) is used
where the operator names it. Private addresses mean nothing outside of the network that they stand in, so nobody is
asked for them, unless ``inside`` says that the resolver and the RDAP server named here are of that network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from leadapron.kernel.config import Settings, find_file, load
from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port
from leadapron.watch.scope.addresses import parse_block
from leadapron.watch.scope.special import innermost

DNS: Final = 53
LONGEST_S: Final = 120.0


class Lookups(Struct, frozen=True, kw_only=True):
    """All of it. Rates are questions a second: ``dns_rate`` in all, ``rdap_rate`` to each server, ``web_rate`` in all.

    ``resolver``: ``host:port`` with an address for a host; None takes the system's. ``rdap_base``: URL of an RDAP
    server that is asked instead of those that IANA's bootstrap data names. ``ca``: PEM file of authorities that are
    trusted besides the system's. ``countries``, ``networks``: files in MaxMind's format. Times in seconds or days.
    """

    dns: bool = True
    resolver: str | None = None
    rdap: bool = True
    rdap_base: str | None = None
    bootstrap_days: int = 30
    security_txt: bool = False
    inside: bool = False
    ca: str | None = None
    countries: str | None = None
    networks: str | None = None
    dns_rate: float = 20.0
    rdap_rate: float = 1.0
    web_rate: float = 1.0
    dns_timeout_s: float = 5.0
    http_timeout_s: float = 15.0
    cache_days: int = 30

    @property
    def nameserver(self) -> HostPort | None:
        """The resolver as address and port."""
        return None if self.resolver is None else parse_host_port(self.resolver, "[lookups] resolver", DNS)


class _File(Settings, frozen=True, kw_only=True):
    lookups: Lookups = Lookups()  # type: ignore[assignment]


def load_lookups(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Lookups:
    """The section ``[lookups]`` of the file at ``path`` (None: the one that `find_file` finds), or its defaults.

    Raises `UsageError` for a key that does not exist and for values that can't be meant.
    """
    return checked(load(_File, path=path or find_file(environment), environment=environment).lookups)


def checked(lookups: Lookups) -> Lookups:
    """Raises `UsageError` for values that can't be meant."""
    for name in ("dns_rate", "rdap_rate", "web_rate"):
        rate: float = getattr(lookups, name)
        if not 0.01 <= rate <= 1000:
            raise UsageError(f"[lookups] {name} must be from 0.01 to 1000 questions a second, not {rate:g}")
    for name in ("dns_timeout_s", "http_timeout_s"):
        seconds: float = getattr(lookups, name)
        if not 0.1 <= seconds <= LONGEST_S:
            raise UsageError(f"[lookups] {name} must be from 0.1 to {LONGEST_S:g} seconds, not {seconds:g}")
    for name in ("cache_days", "bootstrap_days"):
        days: int = getattr(lookups, name)
        if not 0 <= days <= 3650:
            raise UsageError(f"[lookups] {name} must be from 0 to 3650 days, not {days}")
    nameserver = lookups.nameserver
    if nameserver is not None and parse_block(nameserver.host) is None:
        raise UsageError("[lookups] resolver must be an address and a port, as in 192.168.1.1:53")
    if lookups.rdap_base is not None:
        _base(lookups.rdap_base)
    if lookups.security_txt and not lookups.dns:
        raise UsageError("[lookups] security_txt needs dns: the name of a web server has to be looked up")
    if lookups.inside:
        _inside(lookups, nameserver)
    return lookups


def _base(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    plain = host and HostPort(host, port or 80).loopback
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError("[lookups] rdap_base must be a URL like https://rdap.example.net/")
    if parts.scheme == "http" and not plain:
        raise UsageError("[lookups] rdap_base must begin with https:// (http:// is for this machine only)")


def _inside(lookups: Lookups, nameserver: HostPort | None) -> None:
    """``inside`` sends private addresses to servers; those have to be named, and be private themselves."""
    if lookups.dns and (nameserver is None or not special(nameserver.host)):
        raise UsageError(
            '[lookups] inside = true needs a resolver of your own network: resolver = "192.168.1.1:53", or dns = false'
        )
    if lookups.rdap and lookups.rdap_base is None:
        raise UsageError("[lookups] inside = true needs an RDAP server of your own: rdap_base, or rdap = false")


def special(address: str) -> str | None:
    """What an address is for, if it is no ordinary public one: loopback, private use … (the IANA registries).

    What is no address at all is taken for special.
    """
    block = parse_block(address)
    if block is None or block.size != 1:
        return "not an address"
    found = innermost(block)
    if found is not None:
        return found.name
    return None if ipaddress.ip_address(address).is_global else "not a public address"
