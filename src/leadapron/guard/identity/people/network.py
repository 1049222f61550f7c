"""Which network an address belongs to, as far as lock-out is concerned.

Who has one address of a block usually has the others: an IPv4 /24, an IPv6 /56 (what a home or practice is given).
``wide`` is what one attacker may hold with little effort, a /16 and a /32; it is used to tell one attacker with many
addresses from many (a botnet).
"""

from __future__ import annotations

import ipaddress
from typing import Final

from msgspec import Struct

_NARROW: Final = {4: 24, 6: 56}
_WIDE: Final = {4: 16, 6: 32}


class Network(Struct, frozen=True):
    narrow: str
    wide: str


def network_of(source: str) -> Network:
    """The network of a source address. What is no address (a socket of this machine) is a network of its own."""
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return Network("local", "local")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    narrow, wide = (
        str(ipaddress.ip_network((address, bits[address.version]), strict=False)) for bits in (_NARROW, _WIDE)
    )
    return Network(narrow, wide)
