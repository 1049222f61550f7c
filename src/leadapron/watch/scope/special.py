"""The special-purpose blocks of the IANA registries, and IPv6 addresses that carry an IPv4 address inside.

The blocks stand in ``special-purpose.tsv``. They nest (192.0.0.8/32 in 192.0.0.0/24): an address belongs to the
innermost block that holds it, ``depth`` counts how many are around.

A packet to a NAT64 address ends at the IPv4 host that it carries. An exclusion of that host must hold then as well,
so ``carried`` names those addresses.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Final

from msgspec import Struct

from leadapron.watch.scope.addresses import END, V6, Block, parse_block


class SpecialBlock(Struct, frozen=True):
    """One row of the registries. ``text`` is the block as written there, ``source`` the document."""

    block: Block
    text: str
    name: str
    source: str
    depth: int = 0


@functools.cache
def special_blocks() -> tuple[SpecialBlock, ...]:
    """All of them, outer before inner."""
    table = resources.files(__package__).joinpath("special-purpose.tsv").read_text("utf-8")
    rows: list[SpecialBlock] = []
    for line in table.splitlines():
        if line and not line.startswith("#"):
            text, name, source = line.split("\t")
            block = _ipv4_mapped if text == "::ffff:0:0/96" else parse_block(text)
            assert block is not None
            rows.append(SpecialBlock(block, text, name, source))
    rows.sort(key=lambda row: (row.block.start, -row.block.end))
    return tuple(
        SpecialBlock(row.block, row.text, row.name, row.source, sum(_inside(row.block, other.block) for other in rows))
        for row in rows
    )


def innermost(block: Block) -> SpecialBlock | None:
    """The innermost special-purpose block that ``block`` lies in entirely, or None."""
    found = [row for row in special_blocks() if _inside(block, row.block) or block == row.block]
    return max(found, key=lambda row: row.depth) if found else None


def carried(point: int) -> tuple[int, ...]:
    """The IPv4 addresses that an IPv6 address carries in it (NAT64, 6to4, Teredo, IPv4-compatible), as points."""
    for start, end, shifts, flip in _CARRIERS:
        if start <= point <= end:
            inner = (point - V6) ^ flip
            return tuple((inner >> shift) & 0xFFFFFFFF for shift in shifts)
    return ()


def _inside(inner: Block, outer: Block) -> bool:
    return inner != outer and outer.start <= inner.start and inner.end <= outer.end


def _prefix(high: int, length: int) -> tuple[int, int]:
    start = V6 + (high << 96)
    return start, start + (1 << (128 - length)) - 1


# As IPv6 addresses these are never met: ``point_of`` makes them IPv4.
_ipv4_mapped = Block(V6 + (0xFFFF << 32), V6 + (0xFFFF << 32) + 0xFFFFFFFF)

# first and last point, where the IPv4 addresses stand (bits from the right), what they are XORed with
_CARRIERS: Final[tuple[tuple[int, int, tuple[int, ...], int], ...]] = (
    (V6 + 2, V6 + 0xFFFFFFFF, (0,), 0),  # ::/96 but for :: and ::1
    (V6 + (0xFFFF << 48), V6 + (0xFFFF << 48) + 0xFFFFFFFF, (0,), 0),  # ::ffff:0:0:0/96
    (*_prefix(0x0064FF9B, 96), (0,), 0),  # RFC 6052 §2.2
    (V6 + (0x0064FF9B0001 << 80), V6 + (0x0064FF9B0002 << 80) - 1, (0,), 0),  # RFC 8215, as a /96
    (*_prefix(0x20020000, 16), (80,), 0),  # RFC 3056 §2
    (*_prefix(0x20010000, 32), (64, 0), 0xFFFFFFFF),  # RFC 4380 §4: server, and the client with its bits flipped
)
assert all(V6 <= start < end < END for start, end, _, _ in _CARRIERS)
