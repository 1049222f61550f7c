"""Reverse DNS: the names of an address (PTR, RFC 1035 §3.5), and whether those names lead back to it.

Anybody who has a network may write any name into its reverse zone. A name counts as confirmed when its own zone gives
the address too (A, AAAA); an unconfirmed one is kept, and marked.
"""

from __future__ import annotations

import ipaddress
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
import dns.reversename

from leadapron.kernel.hostport import HostPort
from leadapron.watch.track.owner import certificate
from leadapron.watch.track.owner.asking import Turns, Unanswered
from leadapron.watch.track.owner.domains import made_from_address
from leadapron.watch.track.owner.model import Found
from leadapron.watch.track.owner.text import host_name

CONFIRMED: Final = "PTR, and the name leads back to the address"
UNCONFIRMED: Final = "PTR; the name does not lead back to the address"
LINE: Final = "PTR; a name that the network's operator made for the line"
MOST_NAMES: Final = 4
MOST_ADDRESSES: Final = 16
_SERVER: Final = "dns"


class Resolver:
    """``server``: address and port; None is the system's."""

    def __init__(self, server: HostPort | None, *, rate: float, within: float) -> None:
        self._turns, self._within = Turns(rate), within
        self._resolver: dns.asyncresolver.Resolver | None
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=server is None)
        except (dns.exception.DNSException, OSError):
            self._resolver = None
            return
        if server is not None:
            self._resolver.nameservers, self._resolver.port = [server.host], server.port
        self._resolver.lifetime = within
        self._resolver.timeout = max(within / 3, 0.1)

    async def names(self, address: str) -> tuple[Found, ...]:
        """What the address is called. Raises `Unanswered`."""
        pointers = await self._ask(dns.reversename.from_address(address), "PTR")
        found = []
        for name in sorted({clean for text in pointers if (clean := host_name(text)) is not None})[:MOST_NAMES]:
            if made_from_address(name, address):
                found.append(Found("reverse-dns", name, LINE))
                continue
            try:
                back = await self._is_at(name, address)
            except Unanswered:
                back = False
            found.append(Found("reverse-dns", name, CONFIRMED if back else UNCONFIRMED))
        return tuple(found)

    async def leads(self, name: str, address: str) -> tuple[Found, ...]:
        """That a certificate's name leads to the address, if it does. Raises `Unanswered`."""
        found = Found("certificate-name", name, certificate.LEADS)
        return (found,) if await self._is_at(name, address) else ()

    async def _is_at(self, name: str, address: str) -> bool:
        wanted = ipaddress.ip_address(address)
        return str(wanted) in await self.addresses(name, version=wanted.version)

    async def addresses(self, name: str, *, version: int) -> tuple[str, ...]:
        """The addresses of a name. Raises `Unanswered`."""
        texts = await self._ask(dns.name.from_text(name), "A" if version == 4 else "AAAA")
        return tuple(str(ipaddress.ip_address(text)) for text in texts[:MOST_ADDRESSES])

    async def _ask(self, name: dns.name.Name, kind: str) -> list[str]:
        """Answers as text; none where the name or the record does not exist."""
        if self._resolver is None:
            raise Unanswered('this machine has no resolver; name one: resolver = "192.168.1.1:53"')
        await self._turns.take(_SERVER)
        try:
            answer = await self._resolver.resolve(name, kind, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            self._turns.answered(_SERVER)
            return []
        except dns.resolver.LifetimeTimeout:
            raise self._turns.failed(_SERVER, f"the resolver does not answer within {self._within:g} s") from None
        except dns.resolver.NoNameservers:
            # The zone's servers are broken far more often than the resolver is.
            raise Unanswered("the resolver could not find it out") from None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise self._turns.failed(_SERVER, f"the resolver's answer is of no use ({type(error).__name__})") from None
        self._turns.answered(_SERVER)
        return [] if answer.rrset is None else [_text(record) for record in answer.rrset]


def _text(record: object) -> str:
    """A name as it stands in the zone: dnspython escapes what is no letter (``\\010``), which no host name has."""
    return str(getattr(record, "target", record))
