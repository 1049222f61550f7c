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
    base, slash, _ = text.partition("/")
    try:
        if "-" in text:
            first, last = (ip_address(end.strip()) for end in text.split("-", 1))
            if first.version != last.version or int(first) > int(last):
                raise UsageError(f"the range {shown(text)} ends before it begins; {_EXAMPLE}")
            return Network(first.version, int(first), int(last))
        if not slash:
            address = _plain(ip_address(text.strip()))
            return Network(address.version, int(address), int(address))
        block = ip_network(text.strip(), strict=False)
        if block.network_address != ip_address(base.strip()):
            raise UsageError(
                f"{shown(text)} has bits beyond its length; for the block write {block}, or the address alone"
            )
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
