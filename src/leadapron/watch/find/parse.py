"""One target as a person writes it.

``127.1.0.5`` · ``10.0.0.0/24`` · ``10.0.0.1-10.0.0.50`` · ``10.0.0.1-50`` · ``127.1.0-3.1-254`` (any octet may be a
number, a range, a list ``1,5`` or ``*``, as in nmap) · ``2001:db8::5`` · ``pacs.example.org``; with an explicit port
``10.0.0.5:104``, ``pacs.example.org:104``, ``[2001:db8::5]:104``.

A target with a port is asked on that port only, one without on the ports of the scan.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.watch.scope.addresses import V6, Block, parse_block, parse_name, shown, try_point

MAX_IPV6_BLOCK: Final = 1 << 26  # more addresses than that in one IPv6 block and nobody lives to see the end
MAX_PIECES: Final = 1 << 16  # ranges that one octet pattern may fall into

_NUMBER = "(?:0|[1-9][0-9]{0,2})"  # no leading zeros: some take them for octal
_SPAN = f"{_NUMBER}(?:-{_NUMBER})?"
_OCTET = re.compile(rf"(?:\*|{_SPAN}(?:,{_SPAN})*)\Z")
_ADDRESS_AND_PORT = re.compile(rf"({_NUMBER}(?:\.{_NUMBER}){{3}}),(80|104)\Z")  # as in a table of addresses and ports
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)

_FORMS: Final = (
    "an address (10.0.0.5), a block (10.0.0.0/24), a range (10.0.0.1-50, 10.0.0-3.1-254) or a host name, "
    "with :port behind it where only that port is meant"
)


class Spec(Struct, frozen=True):
    """One target: ``blocks`` of points, or a host ``name`` not looked up yet. ``port`` None: the scan's ports."""

    blocks: tuple[Block, ...] = ()
    name: str | None = None
    port: int | None = None


def parse_target(text: str) -> Spec:
    """Raises UsageError that says what was found and what was expected."""
    text = text.strip()
    if (point := try_point(text)) is not None:  # first, because lists of a million are lists of these
        return Spec((Block(point, point),))
    if _URL.match(text):
        raise UsageError(f"{shown(text)} is a URL; write the host, and :port behind it where only that port is meant")
    body, port = _split_port(text)
    block = parse_block(body)
    if block is not None:
        if block.start >= V6 and block.size > MAX_IPV6_BLOCK:
            raise UsageError(
                f"{shown(text)} holds 2^{math.log2(block.size):.0f} addresses; an IPv6 network is not walked through. "
                f"List the hosts that live in it (at most 2^{MAX_IPV6_BLOCK.bit_length() - 1} in one block), "
                "from DNS, DHCP leases or the router's neighbour table, with --from FILE"
            )
        return Spec((block,), port=port)
    if (doubtful := _ADDRESS_AND_PORT.match(body)) is not None:
        address, number = doubtful[1], doubtful[2]
        raise UsageError(
            f"{shown(text)} may mean a port or a second address; write {address}:{number} for the port, or "
            f"{address} and {address.rpartition('.')[0]}.{number} for two addresses"
        )
    if (blocks := _octets(body)) is not None:
        return Spec(blocks, port=port)
    name = parse_name(body)
    if name is None:
        raise UsageError(f"{shown(text)} is no target; expected {_FORMS}")
    return Spec(name=name, port=port)


def parse_port(text: str) -> int:
    """A TCP port, 1 to 65535. Raises UsageError."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:6]) <= 65535:
        raise UsageError(f"{shown(text)} is no port; expected a number from 1 to 65535")
    return int(text)


def _split_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        body, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UsageError(f"{shown(text)} has an unfinished bracket; write [2001:db8::5]:104")
        return body, parse_port(rest[1:]) if rest else None
    if text.count(":") == 1:
        body, _, port = text.partition(":")
        return body, parse_port(port)
    return text, None  # no colon, or an IPv6 address: its port needs brackets


def _octets(text: str) -> tuple[Block, ...] | None:
    """The blocks of an nmap-style octet pattern; None where ``text`` is none."""
    parts = text.split(".")
    if len(parts) != 4 or not all(map(_OCTET.match, parts)):
        return None
    spans = [_spans(part, text) for part in parts]
    # octets that are full from the right melt into the one before: 10.0-1.*.* is two ranges, not 131,072
    full = 0
    while full < 3 and spans[3 - full] == ((0, 255),):
        full += 1
    head, last = spans[: 3 - full], spans[3 - full]
    choices = [[n for low, high in span for n in range(low, high + 1)] for span in head]
    pieces = math.prod(map(len, choices)) * len(last)
    if pieces > MAX_PIECES:
        raise UsageError(
            f"{shown(text)} falls into {pieces:,} ranges, at most {MAX_PIECES:,} are taken; write whole blocks "
            "and keep single addresses out by exclude entries of the scope"
        )
    width = 256**full
    blocks: list[Block] = []
    for numbers in itertools.product(*choices):
        base = 0
        for number in numbers:
            base = base * 256 + number
        for low, high in last:
            start = (base * 256 + low) * width
            blocks.append(Block(start, start + (high - low + 1) * width - 1))
    return tuple(blocks)


def _spans(octet: str, text: str) -> tuple[tuple[int, int], ...]:
    if octet == "*":
        return ((0, 255),)
    spans: list[tuple[int, int]] = []
    for part in octet.split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if last > 255 or first > last:
            raise UsageError(f"{shown(text)} has {shown(part)} for an octet; expected numbers from 0 to 255, low first")
        spans.append((first, last))
    return tuple(sorted(spans))
