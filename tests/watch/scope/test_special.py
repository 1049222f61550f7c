from __future__ import annotations

import csv
from importlib import resources
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.scope.addresses import Block, parse_block, point_of, text_of
from leadapron.watch.scope.special import carried, innermost, special_blocks


def test_the_table_is_in_good_order() -> None:
    text = resources.files("leadapron.watch.scope").joinpath("special-purpose.tsv").read_text("utf-8")
    rows = list(csv.reader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t"))
    assert len(rows) == len(special_blocks()) == len({row[0] for row in rows})
    for block, name, source in rows:
        ip_network(block)
        assert name and source.startswith("RFC ")


@given(st.ip_addresses())
def test_what_python_calls_not_global_is_special(address: IPv4Address | IPv6Address) -> None:
    """The standard library knows the registries too (an older copy)."""
    address = getattr(address, "ipv4_mapped", None) or address
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_link_local:
        point = point_of(address)
        assert innermost(Block(point, point)) is not None


@given(st.ip_addresses(v=6))
def test_nothing_outside_of_global_unicast_is_ordinary(address: IPv6Address) -> None:
    if address not in ip_network("2000::/3") and address.ipv4_mapped is None:
        point = point_of(address)
        assert innermost(Block(point, point)) is not None


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "192.0.1.1", "172.32.0.1", "2606:4700::1", "2a00::1"])
def test_ordinary_addresses_are_not_special(address: str) -> None:
    point = point_of(address)
    assert innermost(Block(point, point)) is None


def test_the_innermost_block_counts() -> None:
    def named(text: str) -> str | None:
        block = parse_block(text)
        assert block is not None
        found = innermost(block)
        return found.text if found else None

    assert named("192.0.0.8") == "192.0.0.8/32"
    assert named("192.0.0.0/24") == "192.0.0.0/24"
    assert named("10.0.0.0/8") == named("10.1.2.0/24") == "10.0.0.0/8"
    assert named("10.0.0.0-11.0.0.0") is None
    assert named("0.0.0.0/0") is None
    assert named("::1") == "::1/128"
    assert named("2001:db8:1::/48") == "2001:db8::/32"


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("64:ff9b::192.0.2.33", ["192.0.2.33"]),  # RFC 6052 §2.4
        ("64:ff9b:1::192.0.2.33", ["192.0.2.33"]),
        ("2002:c000:221::1", ["192.0.2.33"]),
        ("::192.0.2.33", ["192.0.2.33"]),
        ("::ffff:0:192.0.2.33", ["192.0.2.33"]),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", ["65.54.227.120", "192.0.2.45"]),  # RFC 4380 §5.2 by way of its errata
        ("2001:db8::192.0.2.33", []),
        ("2606:4700::1", []),
        ("::1", []),
        ("10.0.0.1", []),
    ],
)
def test_carried_ipv4(address: str, inside: list[str]) -> None:
    assert [text_of(point) for point in carried(point_of(address))] == inside
