"""Where a peer may come from: addresses, blocks and ranges, IPv4 and IPv6.

An IPv4 address that arrives as an IPv6 one (``::ffff:10.1.2.3``, what a listener on ``::`` sees) is that IPv4 address,
and a zone (``%eth0``) is no part of where somebody is.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from msgspec import Struct

from leadapron.guard.policy.words import shown
from leadapron.kernel.errors import UsageError

_EXAMPLE: Final = "write an address (10.1.2.3), a block (10.1.2.0/24) or a range (10.1.2.3-10.1.2.9)"


class Network(Struct, frozen=True):
    """Addresses ``first`` to ``last`` of IP ``version``, as numbers."""

    version: int
    first: int
    last: int


def parse_network(text: str) -> Network:
    """Raises UsageError that says what to write instead."""
    try:
        if "-" in text:
            ends = [_plain(ip_address(end.strip())) for end in text.split("-", 1)]
            network = Network(ends[0].version, int(ends[0]), int(ends[1]))
            if ends[0].version != ends[1].version or network.first > network.last:
                raise UsageError(f"the range {shown(text)} ends before it begins; {_EXAMPLE}")
            return network
        if "/" not in text:
            address = _plain(ip_address(text.strip()))
            return Network(address.version, int(address), int(address))
        block = ip_network(text.strip(), strict=False)
        if block.network_address != ip_address(text.partition("/")[0].strip()):
            raise UsageError(f"{shown(text)} has bits beyond its length; write {block}, or the address alone")
        if block.version == 6 and isinstance(_plain(block.network_address), IPv4Address):
            raise UsageError(f"{shown(text)} holds IPv4 addresses; write them as IPv4")
        return Network(block.version, int(block.network_address), int(block.broadcast_address))
    except ValueError:
        raise UsageError(f"{shown(text)} is no address and no network; {_EXAMPLE}") from None


def try_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return _plain(ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def within(networks: tuple[Network, ...], text: str) -> bool:
    """Whether the address is in any of them; what is no address is in none."""
    address = try_address(text)
    if address is None:
        return False
    version, point = address.version, int(address)
    return any(one.version == version and one.first <= point <= one.last for one in networks)


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
