"""Writes a MaxMind DB file, format 2.0 (https://maxmind.github.io/MaxMind-DB/), for the lab's own networks.

An operator has such a file from a vendor; the lab's countries are made up, so it makes its own. IPv4 networks only,
which must not overlap; records are maps of maps, texts and whole numbers.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Final

_TEXT, _MAP, _UINT32, _UINT64, _UINT16, _ARRAY = 2, 7, 6, 9, 5, 11
_MARK: Final = b"\xab\xcd\xefMaxMind.com"
_GAP: Final = bytes(16)  # between the search tree and the data
_RECORD_BITS: Final = 28


def mmdb(networks: Iterable[tuple[str, Mapping[str, object]]], kind: str) -> bytes:
    """The file. ``kind`` is its database type, such as ``Lab-Country-ASN``."""
    tree: list[list[int | bytes | None]] = [[None, None]]
    data = bytearray()
    at: dict[bytes, int] = {}
    for text, record in networks:
        encoded = _value(record)
        if encoded not in at:
            at[encoded] = len(data)
            data += encoded
        _place(tree, IPv4Network(text), encoded)
    count = len(tree)

    def pointer(child: int | bytes | None) -> int:
        if child is None:
            return count
        return child if isinstance(child, int) else count + len(_GAP) + at[child]

    nodes = b"".join(_node(pointer(left), pointer(right)) for left, right in tree)
    metadata = {
        "binary_format_major_version": (_UINT16, 2),
        "binary_format_minor_version": (_UINT16, 0),
        "build_epoch": (_UINT64, int(time.time())),
        "database_type": kind,
        "description": {"en": "Networks of a simulated census on loopback"},
        "ip_version": (_UINT16, 4),
        "languages": ["en"],
        "node_count": (_UINT32, count),
        "record_size": (_UINT16, _RECORD_BITS),
    }
    return nodes + _GAP + bytes(data) + _MARK + _value(metadata)


def _place(tree: list[list[int | bytes | None]], network: IPv4Network, leaf: bytes) -> None:
    bits = int(network.network_address)
    node = 0
    for depth in range(network.prefixlen):
        side = bits >> (31 - depth) & 1
        if depth == network.prefixlen - 1:
            tree[node][side] = leaf
            return
        child = tree[node][side]
        if not isinstance(child, int):
            child = tree[node][side] = len(tree)
            tree.append([None, None])
        node = child


def _node(left: int, right: int) -> bytes:
    """28 bits each: the low 24 of the left, four and four high bits, the low 24 of the right."""
    high = left >> 24 << 4 | right >> 24
    return (left & 0xFFFFFF).to_bytes(3, "big") + bytes((high,)) + (right & 0xFFFFFF).to_bytes(3, "big")


def _value(value: object) -> bytes:
    if isinstance(value, str):
        data = value.encode()
        return _control(_TEXT, len(data)) + data
    if isinstance(value, Mapping):
        return _control(_MAP, len(value)) + b"".join(_value(key) + _value(one) for key, one in value.items())
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(_value(one) for one in value)
    if isinstance(value, int):
        return _number(_UINT32, value)
    assert isinstance(value, tuple)
    return _number(*value)


def _number(kind: int, number: int) -> bytes:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _control(kind, len(data)) + data


def _control(kind: int, size: int) -> bytes:
    """The control octet, with the extended type and the size behind it."""
    first, after = (kind << 5, b"") if kind < 8 else (0, bytes((kind - 7,)))
    if size < 29:
        return bytes((first | size,)) + after
    if size < 285:
        return bytes((first | 29,)) + after + bytes((size - 29,))
    return bytes((first | 30,)) + after + struct.pack(">H", size - 285)
