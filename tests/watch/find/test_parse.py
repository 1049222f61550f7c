from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.watch.find import Spec, parse_port, parse_target
from leadapron.watch.scope.addresses import Block, point_of, text_of


def addresses(spec: Spec) -> list[str]:
    return [text_of(point) for block in spec.blocks for point in range(block.start, block.end + 1)]


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("10.0.0.5", "10.0.0.5", "10.0.0.5", 1),
        ("10.0.0.0/24", "10.0.0.0", "10.0.0.255", 256),
        ("10.0.0.1-10.0.0.50", "10.0.0.1", "10.0.0.50", 50),
        ("10.0.0.1-50", "10.0.0.1", "10.0.0.50", 50),
        ("127.1.0-3.1-254", "127.1.0.1", "127.1.3.254", 4 * 254),
        ("10.0.*.1,5-6", "10.0.0.1", "10.0.255.6", 256 * 3),
        ("10.0.0-255.0-255", "10.0.0.0", "10.0.255.255", 65536),
        ("2001:db8::5", "2001:db8::5", "2001:db8::5", 1),
        ("2001:db8::/120", "2001:db8::", "2001:db8::ff", 256),
        ("2001:db8::1-2001:db8::9", "2001:db8::1", "2001:db8::9", 9),
        ("::ffff:10.0.0.5", "10.0.0.5", "10.0.0.5", 1),
        ("[2001:db8::5]", "2001:db8::5", "2001:db8::5", 1),
    ],
)
def test_every_form_of_address(text: str, first: str, last: str, count: int) -> None:
    spec = parse_target(text)
    found = addresses(spec)
    assert (found[0], found[-1], len(found), spec.port, spec.name) == (first, last, count, None, None)


@pytest.mark.parametrize(
    ("text", "body", "port"),
    [
        ("10.0.0.5:104", "10.0.0.5", 104),
        ("10.0.0.0/24:11112", "10.0.0.0/24", 11112),
        ("10.0.0.1-50:1", "10.0.0.1-50", 1),
        ("[2001:db8::5]:65535", "2001:db8::5", 65535),
        ("[2001:db8::/120]:104", "2001:db8::/120", 104),
    ],
)
def test_an_explicit_port(text: str, body: str, port: int) -> None:
    assert parse_target(text) == Spec(parse_target(body).blocks, port=port)


def test_names() -> None:
    assert parse_target("PACS.Example.org") == Spec(name="pacs.example.org")
    assert parse_target("pacs:104") == Spec(name="pacs", port=104)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no target"),
        ("10.0.0", "no target"),
        ("10.0.0.256", "expected numbers from 0 to 255"),
        ("10.0.0.9-5", "10.0.0.9-5"),
        ("10.0.5-1.1", "low first"),
        ("10.0.0.1-300", "300"),
        ("010.0.0.1-5", "no target"),
        ("10.0.0.5:0", "no port"),
        ("10.0.0.5:65536", "no port"),
        ("10.0.0.5:dicom", "no port"),
        ("10.0.0.5:" + "9" * 9999, "no port"),
        ("[2001:db8::5", "bracket"),
        ("[2001:db8::5]104", "bracket"),
        ("fe80::1%eth0", "no target"),
        ("http://pacs.example.org:8042/", "URL"),
        ("dicom://pacs", "URL"),
        ("10.0.0.1/24", "write 10.0.0.0/24"),
        ("a b", "no target"),
        ("user@host", "no target"),
        ("--rate", "no target"),
    ],
)
def test_what_is_no_target_says_what_is(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_target(text)


def test_a_huge_ipv6_network_is_refused_with_advice() -> None:
    assert sum(block.size for block in parse_target("2001:db8::/102").blocks) == 2**26
    with pytest.raises(UsageError, match=r"2\^27 addresses.*--from FILE"):
        parse_target("2001:db8::/101")
    with pytest.raises(UsageError, match=r"2\^128 addresses"):
        parse_target("::/0")
    with pytest.raises(UsageError):
        parse_target("2001:db8::-2001:db9::")
    assert parse_target("0.0.0.0/0").blocks[0].size == 2**32


def test_a_pattern_may_not_explode() -> None:
    assert len(parse_target("10.*.*.1").blocks) == 65536
    assert parse_target("*.*.*.*").blocks == (Block(0, 2**32 - 1),)
    with pytest.raises(UsageError, match="131,072 ranges"):
        parse_target("10-11.*.*.1")


octets = st.one_of(
    st.integers(0, 255).map(str),
    st.tuples(st.integers(0, 255), st.integers(0, 255)).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    st.just("*"),
)


@given(octets, octets)
def test_an_octet_pattern_is_the_product_of_its_octets(third: str, fourth: str) -> None:
    def values(octet: str) -> range:
        low, _, high = ("0-255" if octet == "*" else octet).partition("-")
        return range(int(low), int(high or low) + 1)

    wanted = {point_of(f"10.0.{a}.{b}") for a in values(third) for b in values(fourth)}
    blocks = parse_target(f"10.0.{third}.{fourth}").blocks
    found = [point for block in blocks for point in range(block.start, block.end + 1)]
    assert set(found) == wanted and len(found) == len(wanted)


@given(st.text(max_size=40) | st.text("0123456789.-:/[]*,abf", max_size=30))
def test_any_text_is_a_target_or_a_usage_error(text: str) -> None:
    try:
        spec = parse_target(text)
    except UsageError as error:
        assert len(str(error)) < 400
    else:
        assert bool(spec.blocks) != bool(spec.name)
        assert spec.port is None or 1 <= spec.port <= 65535


def test_ports() -> None:
    assert parse_port("104") == 104
    for text in ("", "0", "-1", "65536", "1e3", "１", " 1"):
        with pytest.raises(UsageError):
            parse_port(text)
