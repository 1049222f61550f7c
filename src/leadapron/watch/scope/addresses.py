"""Addresses as points on one line: IPv4 is 0 to 2³²−1, IPv6 follows from 2³² on.

Scopes and targets hold millions of addresses in a few ranges; with both families on one line of integers a look-up
is one bisection, and nobody has to ask for the family. An IPv4-mapped IPv6 address (``::ffff:a.b.c.d``) reaches the
IPv4 host, so it *is* that IPv4 point here: no spelling of an address slips past a rule written for another one.

Spellings are strict. ``127.1``, ``0x7f.1`` and ``010.0.0.1`` mean different hosts to different libraries, and an
IPv6 zone (``%eth0``) means something on this machine only: both are turned down with the spelling to use instead.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final, NamedTuple

from leadapron.kernel.errors import UsageError

V6: Final = 1 << 32  # the first IPv6 point, ::
END: Final = V6 + (1 << 128)  # one past the last point
MAPPED: Final = V6 + (0xFFFF << 32)  # ::ffff:0:0
MAPPED_END: Final = MAPPED + (1 << 32)
LOOPBACK_V6: Final = V6 + 1

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_LETTER = re.compile(r"[a-z]")

Address = str | IPv4Address | IPv6Address


class Block(NamedTuple):
    """Points ``start`` to ``end``, both included."""

    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start + 1


def point_of(address: Address) -> int:
    """The point of an IPv4 or IPv6 address; an IPv4-mapped one is its IPv4 point. Raises UsageError."""
    if isinstance(address, IPv4Address):
        return int(address)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise UsageError(f"{shown(str(address))} has a zone; write the address without it")
        return _fold(V6 + int(address))
    point = try_point(address)
    if point is None:
        raise UsageError(
            f"{shown(address)} is no address; write IPv4 as 192.0.2.1 (four decimal numbers, no leading zeros) "
            "or IPv6 as 2001:db8::1 (no zone)"
        )
    return point


def try_point(text: str) -> int | None:
    """Like ``point_of``, None where ``text`` is no address."""
    try:
        if ":" in text:
            return _fold(V6 + int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big"))
        packed = socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError, UnicodeError):
        return None
    # some C libraries take leading zeros: one spelling an address, or none
    return int.from_bytes(packed, "big") if socket.inet_ntoa(packed) == text else None


def text_of(point: int) -> str:
    """The address at ``point`` in its usual spelling."""
    if point < V6:
        return socket.inet_ntoa(point.to_bytes(4, "big"))
    return socket.inet_ntop(socket.AF_INET6, (point - V6).to_bytes(16, "big"))


def is_loopback(point: int) -> bool:
    """127.0.0.0/8 and ::1."""
    return point >> 24 == 127 or point == LOOPBACK_V6


def parse_block(text: str) -> Block | None:
    """``192.0.2.1``, ``192.0.2.0/24``, ``192.0.2.1-192.0.2.9``, ``192.0.2.1-9`` or the like in IPv6, else None.

    Raises UsageError for one that is meant as such and is wrong: bits set behind the prefix, a range that runs
    backwards or from one family into the other.
    """
    text = text.strip()
    if "/" in text:
        return _parse_network(text)
    if "-" in text:
        left, right = (part.strip() for part in text.split("-", 1))
        first = try_point(left)
        if first is not None and first < V6 and right.isascii() and right.isdigit():
            right = f"{left.rpartition('.')[0]}.{right}"
        last = try_point(right)
        if first is None or last is None:
            return None
        if (first < V6) != (last < V6):
            raise UsageError(f"{shown(text)} runs from one address family into the other; write two ranges")
        if last < first:
            raise UsageError(f"{shown(text)} runs backwards: write the lower address first")
        if first < MAPPED_END and last >= MAPPED:
            raise UsageError(f"{shown(text)} runs through the IPv4-mapped addresses; write those as IPv4")
        return Block(first, last)
    point = try_point(text)
    return None if point is None else Block(point, point)


def parse_name(text: str) -> str | None:
    """A host name in lower case, in ASCII (IDNA), without the final dot; None where ``text`` cannot be one.

    The last of several labels begins with a letter, as every top-level domain does: ``getaddrinfo`` would read
    ``127.1`` or ``0x7f.1`` as an address, and ``10.0.0.1-50`` is a mistyped range.
    """
    try:
        name = text.strip().rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.match(label) for label in labels):
        return None
    last = labels[-1]
    named = _LETTER.match(last) if len(labels) > 1 else _LETTER.search(last) and not last.startswith("0x")
    return name if named else None


def describe(block: Block) -> str:
    """A block as text: one address, a prefix where it is one, else a range."""
    start, end = block
    if start == end:
        return text_of(start)
    bits = block.size.bit_length() - 1
    base = start if start < V6 else start - V6
    if block.size == 1 << bits and base % block.size == 0:
        return f"{text_of(start)}/{(32 if start < V6 else 128) - bits}"
    return f"{text_of(start)}-{text_of(end)}"


def shown(text: str) -> str:
    """What the user wrote, quoted and cut for a message."""
    text = text if len(text) <= 60 else text[:57] + "…"
    return repr(text)


def _fold(point: int) -> int:
    return point - MAPPED if MAPPED <= point < MAPPED_END else point


def _parse_network(text: str) -> Block | None:
    base, _, length = text.partition("/")
    point = try_point(base)
    if point is None:
        return None
    if not (length.isascii() and length.isdigit()):
        raise UsageError(f"{shown(text)} has no prefix length after the slash; write 192.0.2.0/24")
    try:
        network = ip_network(text)
    except ValueError:
        try:
            wider = ip_network(text, strict=False)
        except ValueError:
            most = 128 if ":" in base else 32
            raise UsageError(f"{shown(text)} has a prefix length above {most}") from None
        raise UsageError(
            f"{shown(text)} has bits set behind the prefix; write {wider} for the whole block "
            f"or {base} for the one address"
        ) from None
    if network.version == 4:
        return Block(int(network.network_address), int(network.broadcast_address))
    start, end = V6 + int(network.network_address), V6 + int(network.broadcast_address)
    return Block(_fold(start), _fold(end)) if start >= MAPPED and end < MAPPED_END else Block(start, end)
