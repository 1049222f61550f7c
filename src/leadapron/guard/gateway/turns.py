"""Whose turn it is when more come than can be served, so that nobody can keep the others out.

A bound on all connections lets one who holds them all lock everybody out, and a bound for each address lets him lock
out those who share it. So nothing is refused to one who comes; instead somebody goes when it gets too full: the oldest
of the address that has the most. And the next to be served is taken from each address in turn, from within an address
at random. Who floods makes himself wait, and those who share his address have a fair draw at each turn.

IPv6 hosts choose among 2⁶⁴ addresses, so there a network of 64 bits counts as one.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """At most ``size`` items, each of an address."""

    def __init__(self, size: int, choose: random.Random | None = None) -> None:
        self._size = size
        self._random = choose or random.Random()
        self._items: OrderedDict[str, list[T]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, address: str, item: T) -> T | None:
        """Let ``item`` in. Gives the one that has to go for it, if it is too full now."""
        self._items.setdefault(_place(address), []).append(item)
        self._count += 1
        if self._count <= self._size:
            return None
        most = max(self._items, key=lambda place: len(self._items[place]))
        return self._pop(most, 0)

    def take(self) -> T | None:
        """Whose turn it is; it is not among them any more. None where nobody waits."""
        if not self._items:
            return None
        place = next(iter(self._items))
        item = self._pop(place, self._random.randrange(len(self._items[place])))
        if place in self._items:
            self._items.move_to_end(place)
        return item

    def discard(self, address: str, item: T) -> None:
        """``item`` is done, or never was among them."""
        place = _place(address)
        held = self._items.get(place, [])
        if item in held:
            self._pop(place, held.index(item))

    def everyone(self) -> list[T]:
        return [item for items in self._items.values() for item in items]

    def _pop(self, place: str, at: int) -> T:
        items = self._items[place]
        item = items.pop(at)
        self._count -= 1
        if not items:
            del self._items[place]
        return item


def _place(address: str) -> str:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped) if parsed.ipv4_mapped else str(int(parsed) >> 64)
