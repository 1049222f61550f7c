"""Hosts and ports as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort, parse_host_port


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("pacs:104", "pacs", 104),
        ("10.0.0.5:11112", "10.0.0.5", 11112),
        ("[2001:db8::5]:104", "2001:db8::5", 104),
        ("pacs.example.org", "pacs.example.org", 4242),
        ("2001:db8::5", "2001:db8::5", 4242),
        ("[::1]", "::1", 4242),
    ],
)
def test_what_people_write(text: str, host: str, port: int) -> None:
    assert parse_host_port(text, "--archive", 4242) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "pacs:", ":104", "pacs:0", "pacs:65536", "pacs:1e3", "a b:1", "[::1", "[::1]x:1", "-x:1"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="--archive"):
        parse_host_port(text, "--archive")


def test_a_listener_may_take_any_port() -> None:
    assert parse_host_port("[::1]:0", "--listen", any_port=True) == ("::1", 0)
    assert parse_host_port("localhost:65535", "--listen", any_port=True) == ("localhost", 65535)
    for text in ("localhost:", "localhost", "localhost:65536", "localhost:-0"):
        with pytest.raises(UsageError, match="--listen"):
            parse_host_port(text, "--listen", any_port=True)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_what_is_shown_is_read(address: object, port: int) -> None:
    place = HostPort(str(address), port)
    assert parse_host_port(str(place), "x") == place


@given(st.text(max_size=30))
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        place = parse_host_port(text, "x", 104)
    except UsageError as error:
        assert str(error).isprintable()
    else:
        assert place.host and 0 < place.port < 65536


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.3.2.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("0.0.0.0", False), ("pacs", False)],
)
def test_loopback(host: str, only_here: bool) -> None:
    assert HostPort(host, 1).loopback is only_here
