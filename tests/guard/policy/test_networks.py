from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.policy.networks import parse_network, within
from leadapron.kernel.errors import UsageError


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.1.2.3", ["10.1.2.3", "::ffff:10.1.2.3"], ["10.1.2.4", "::10.1.2.3", "::ffff:10.1.2.4"]),
        ("10.1.0.0/16", ["10.1.0.0", "10.1.255.255", "::ffff:a01:203"], ["10.2.0.0"]),
        ("10.1.2.3-10.1.2.5", ["10.1.2.3", "10.1.2.5"], ["10.1.2.2", "10.1.2.6"]),
        ("fe80::/10", ["fe80::1%eth0", "fe80::1"], ["fd00::1", "127.0.0.1"]),
        ("::1", ["::1", "0:0:0:0:0:0:0:1"], ["::2", "0.0.0.1"]),
        ("::ffff:10.1.2.3", ["10.1.2.3"], ["10.1.2.4"]),
        ("::ffff:10.1.2.3-::ffff:10.1.2.5", ["10.1.2.4"], ["10.1.2.6"]),
        ("0.0.0.0/0", ["1.2.3.4", "::ffff:1.2.3.4"], ["::1", "", "x", "1.2.3", "1.2.3.4 ", "01.2.3.4"]),
    ],
)
def test_where_somebody_comes_from(network: str, inside: list[str], outside: list[str]) -> None:
    networks = (parse_network(network),)
    assert [address for address in inside if not within(networks, address)] == []
    assert [address for address in outside if within(networks, address)] == []


@given(st.ip_addresses(), st.integers(0, 128), st.ip_addresses())
def test_a_block_holds_what_the_library_says(base: object, length: int, other: object) -> None:
    address = ip_address(str(base))
    block = ip_network(f"{address}/{min(length, address.max_prefixlen)}", strict=False)
    if block.version == 6 and block.subnet_of(ip_network("::ffff:0:0/96")):  # type: ignore[arg-type]
        return
    found = parse_network(str(block))
    assert within((found,), str(address)) or getattr(address, "ipv4_mapped", None) is not None
    if getattr(ip_address(str(other)), "ipv4_mapped", None) is None:
        assert within((found,), str(other)) is (ip_address(str(other)) in block)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10.1.2.3/16", r"10\.1\.0\.0/16"),
        ("10.1.2.9-10.1.2.3", "before it begins"),
        ("10.1.2.3-::1", "before it begins"),
        ("ws1.example.org", "no address and no network"),
        ("10.1.2.0/33", "no address"),
        ("10.1.2", "no address"),
        ("*", "no address"),
        ("", "no address"),
        ("any", "no address"),
        ("::ffff:0:0/96", "as IPv4"),
        ("::ffff:10.0.0.0/104", "as IPv4"),
    ],
)
def test_a_mistake_is_said_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        parse_network(text)


@given(st.text(max_size=60) | st.from_regex(r"[0-9a-f.:]{1,20}[/-][0-9a-f.:]{1,20}", fullmatch=True), st.text())
def test_any_text_is_a_network_or_a_usage_error(text: str, address: str) -> None:
    try:
        found = parse_network(text)
    except UsageError as error:
        assert str(error).isprintable()
    else:
        assert found.first <= found.last
        within((found,), address)
