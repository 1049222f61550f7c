from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.watch.scope.addresses import (
    END,
    V6,
    Block,
    describe,
    is_loopback,
    parse_block,
    parse_name,
    point_of,
    shown,
    text_of,
    try_point,
)

addresses = st.ip_addresses()


@given(addresses)
def test_every_address_is_one_point_and_comes_back(address: IPv4Address | IPv6Address) -> None:
    point = point_of(address)
    assert point == point_of(str(address))
    assert 0 <= point < END
    expected = getattr(address, "ipv4_mapped", None) or address
    assert ip_address(text_of(point)) == expected
    assert (point < V6) == (expected.version == 4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.1",
        "0x7f.0.0.1",
        "010.0.0.1",
        "2130706433",
        "1.2.3.256",
        "1.2.3",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3.4/32",
        "fe80::1%eth0",
        "::g",
        ":::",
        "12345::",
        "1::2::3",
        "１.2.3.4",
        "1.2.3.4\x00",
        "host",
    ],
)
def test_no_other_spelling_is_an_address(text: str) -> None:
    assert try_point(text) is None
    with pytest.raises(UsageError):
        point_of(text)


def test_a_mapped_address_is_the_ipv4_address() -> None:
    for spelling in ("::ffff:10.1.2.3", "::FFFF:0a01:0203", "0:0:0:0:0:ffff:a01:203"):
        assert point_of(spelling) == point_of("10.1.2.3")
    assert parse_block("::ffff:10.0.0.0/104") == parse_block("10.0.0.0/8")
    assert parse_block("::ffff:10.0.0.1-::ffff:10.0.0.9") == parse_block("10.0.0.1-10.0.0.9")


def test_an_address_object_with_a_zone_is_turned_down() -> None:
    with pytest.raises(UsageError, match="zone"):
        point_of(IPv6Address("fe80::1%eth0"))


def test_loopback_is_127_and_one() -> None:
    inside = ["127.0.0.0", "127.255.255.255", "::1", "::ffff:127.0.0.1"]
    outside = ["126.255.255.255", "128.0.0.0", "::", "::2", "::7f00:1", "2001:db8::7f00:1"]
    assert all(is_loopback(point_of(text)) for text in inside)
    assert not any(is_loopback(point_of(text)) for text in outside)


@given(st.integers(0, 32), st.ip_addresses(v=4))
def test_blocks_are_what_ipaddress_says_they_are(length: int, address: IPv4Address) -> None:
    network = ip_network((address, length), strict=False)
    block = parse_block(str(network))
    assert block == (int(network[0]), int(network[-1]))
    assert describe(block) == (str(network) if length < 32 else str(address))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.5/24", "write 10.0.0.0/24"),
        ("10.0.0.0/33", "above 32"),
        ("2001:db8::/129", "above 128"),
        ("10.0.0.0/255.0.0.0", "no prefix length"),
        ("10.0.0.0/", "no prefix length"),
        ("10.0.0.9-10.0.0.1", "backwards"),
        ("10.0.0.1-2001:db8::1", "family"),
        ("::fffe:0:0-::1:0:0:0", "IPv4-mapped"),
    ],
)
def test_a_wrong_block_is_told_how_to_be_right(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_block(text)


def test_ranges() -> None:
    assert parse_block("10.0.0.1-10.0.0.50") == parse_block("10.0.0.1-50") == parse_block(" 10.0.0.1 - 10.0.0.50 ")
    assert parse_block("2001:db8::1-2001:db8::5") == Block(point_of("2001:db8::1"), point_of("2001:db8::5"))
    assert parse_block("10.0.0.1-256") is None
    assert parse_block("my-host") is None
    assert describe(Block(1, 5)) == "0.0.0.1-0.0.0.5"
    assert describe(Block(point_of("2001:db8::"), point_of("2001:db8::ff"))) == "2001:db8::/120"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PACS.Example.org.", "pacs.example.org"),
        ("localhost", "localhost"),
        ("1-ct", "1-ct"),
        ("röntgen.example", "xn--rntgen-wxa.example"),
        ("my_host.example", "my_host.example"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert parse_name(text) == name


@pytest.mark.parametrize(
    "text",
    ["", ".", "127.1", "0x7f000001", "0x7f.1", "1234", "10.0.0.1-50", "a..b", "-a", "a-", "a b", "a/b", "x" * 64],
)
def test_what_getaddrinfo_might_read_as_an_address_is_no_name(text: str) -> None:
    assert parse_name(text) is None


def test_messages_stay_short() -> None:
    assert len(shown("x" * 1000)) < 70
