"""Invariant 3: no packet leaves the scope."""

from __future__ import annotations

from importlib import resources
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from leadapron.kernel.errors import ScopeError
from leadapron.watch.scope import Allowed, Refused, Scope, ScopeGuard, parse_scope
from leadapron.watch.scope.addresses import END, point_of, text_of

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SPECIAL: list[Network] = [
    ip_network(line.split("\t")[0])
    for line in resources.files("leadapron.watch.scope").joinpath("special-purpose.tsv").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def reason_of(scope: Scope, address: str) -> str | None:
    verdict = scope.allows(address)
    return verdict.reason if isinstance(verdict, Refused) else None


# ---- rules, one by one ----------------------------------------------------------------------------------------------


def test_without_a_scope_only_loopback_is_free() -> None:
    scope = Scope.loopback_only()
    for address in ("127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"):
        assert isinstance(scope.allows(address), Allowed)
    for address in ("8.8.8.8", "10.0.0.1", "192.168.1.1", "0.0.0.0", "::", "::2", "fe80::1", "2606::1", "::7f00:1"):
        assert reason_of(scope, address) == "no-scope"
    assert scope.ranges().size == 2**24 + 1
    assert not scope.expired and scope.names == () and scope.resolved({}) is scope


def test_a_verdict_cannot_be_taken_for_a_bool() -> None:
    scope = Scope.loopback_only()
    assert {type(scope.allows("127.0.0.1")), type(scope.allows("10.0.0.1"))} == {Allowed, Refused}


def test_only_what_is_included_is_allowed(scope_of: Any) -> None:
    scope = scope_of(["8.8.8.0/24", "9.9.9.1-9.9.9.3", "2606:4700::/32"])
    for address in ("8.8.8.0", "8.8.8.255", "9.9.9.1", "9.9.9.3", "2606:4700::1", "127.0.0.1", "::1", "::ffff:8.8.8.8"):
        assert isinstance(scope.allows(address), Allowed), address
    for address in ("8.8.7.255", "8.8.9.0", "9.9.9.0", "9.9.9.4", "2606:4701::"):
        assert reason_of(scope, address) == "not-included", address
    assert str(scope.allows("8.8.8.8")) == 'allowed by include "8.8.8.0/24" (line 4)'


def test_exclusions_win_over_everything_loopback_too(scope_of: Any) -> None:
    scope = scope_of(["8.8.8.8", "8.8.8.0/24", "127.0.0.1"], ["8.8.8.8/31", "127.0.0.1", "::1"])
    for address in ("8.8.8.8", "8.8.8.9", "::ffff:8.8.8.8", "127.0.0.1", "::1"):
        assert reason_of(scope, address) == "excluded", address
    assert isinstance(scope.allows("127.0.0.2"), Allowed)


@pytest.mark.parametrize("network", [n for n in SPECIAL if not n.is_loopback], ids=str)
def test_special_purpose_must_be_named(scope_of: Any, network: Network) -> None:
    address = str(network[0])
    everything = ["0.0.0.0/0", "::/0"]
    if network == ip_network("::ffff:0:0/96"):
        assert reason_of(scope_of(["::ffff:8.8.8.8"]), "8.8.8.8") is None, "a mapped address is the IPv4 address"
        return
    assert reason_of(scope_of(everything), address) == "special"
    if network.prefixlen > 8:
        assert reason_of(scope_of([str(network.supernet())]), address) == "special", "a wider block does not name it"
    verdict = scope_of([str(network)]).allows(address)
    innermost = max((n for n in SPECIAL if network[0] in n), key=lambda n: n.prefixlen)
    carries = isinstance(verdict, Refused) and "carries" in verdict.detail
    assert isinstance(verdict, Allowed) == (innermost == network and not carries)


def test_a_block_inside_of_a_special_one_names_it(scope_of: Any) -> None:
    scope = scope_of(["0.0.0.0/0", "10.1.0.0/16", "192.168.5.1-192.168.5.9", "fd00:1::/32", "192.0.0.0/24"])
    for address in ("10.1.2.3", "192.168.5.5", "fd00:1::5", "192.0.0.100", "8.8.8.8"):
        assert isinstance(scope.allows(address), Allowed), address
    for address in ("10.2.0.0", "192.168.5.10", "fd00:2::", "192.0.0.8", "192.0.0.1", "224.0.0.1"):
        assert isinstance(scope.allows(address), Refused), address


def test_a_range_over_the_edge_names_nothing(scope_of: Any) -> None:
    assert reason_of(scope_of(["9.255.255.255-10.0.0.5"]), "10.0.0.1") == "special"


def test_an_ipv4_address_inside_of_an_ipv6_one_is_judged_as_well(scope_of: Any) -> None:
    scope = scope_of(["64:ff9b::/96", "2002::/16", "10.1.0.0/16"], ["8.8.8.8"])
    assert isinstance(scope.allows("64:ff9b::9.9.9.9"), Allowed)
    assert isinstance(scope.allows("64:ff9b::10.1.2.3"), Allowed)
    assert reason_of(scope, "64:ff9b::8.8.8.8") == "excluded"
    assert reason_of(scope, "2002:808:808::1") == "excluded"
    assert reason_of(scope, "64:ff9b::10.2.0.1") == "special"
    assert reason_of(scope, "64:ff9b::127.0.0.1") == "special"
    assert isinstance(scope.allows("2002:909:909::1"), Allowed)


def test_text_that_is_no_address_is_refused(scope_of: Any) -> None:
    for text in ("", "host", "127.1", "0127.0.0.1", "::1%lo", "8.8.8.8:104", "8.8.8.0/24"):
        assert reason_of(scope_of(["0.0.0.0/0", "::/0"]), text) == "not-an-address"


# ---- time -----------------------------------------------------------------------------------------------------------


def test_a_scope_ends_while_it_is_used(scope_of: Any, clock: Any) -> None:
    scope = scope_of(["8.8.8.8"])
    guard = ScopeGuard(scope)
    guard.check("8.8.8.8")
    assert scope.ranges().size == 2**24 + 2
    clock.forward(days=9.49)
    guard.check("8.8.8.8")
    clock.forward(days=0.01)  # midnight after the last day
    assert scope.expired and reason_of(scope, "8.8.8.8") == "expired"
    assert scope.ranges().size == 2**24 + 1
    with pytest.raises(ScopeError, match=r"ended at 2026-12-01T00:00:00Z"):
        guard.check("8.8.8.8")
    guard.check("127.0.0.1")


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_hold_once_they_are_resolved(scope_of: Any) -> None:
    scope = scope_of(["PACS.example.org", "8.8.8.0/24"], ["ct.example.org"])
    assert scope.names == ("pacs.example.org", "ct.example.org")
    assert reason_of(scope, "8.8.8.1") == "unresolved", "nobody knows what the exclusion keeps out"
    assert isinstance(scope.allows("127.0.0.1"), Allowed)
    bound = scope.resolved({"pacs.example.org": ["9.9.9.9", "2606::9"], "ct.example.org": ["8.8.8.8"]})
    for address in ("9.9.9.9", "2606::9", "8.8.8.1"):
        assert isinstance(bound.allows(address), Allowed)
    assert reason_of(bound, "8.8.8.8") == "excluded"
    assert bound.names == scope.names, "it may be resolved again"


def test_a_name_does_not_name_a_special_purpose_block(scope_of: Any) -> None:
    scope = scope_of(["pacs.example.org"]).resolved({"pacs.example.org": ["10.0.0.5", "169.254.169.254"]})
    assert reason_of(scope, "10.0.0.5") == reason_of(scope, "169.254.169.254") == "special"


def test_an_exclude_name_without_an_address_is_an_error(scope_of: Any) -> None:
    with pytest.raises(ScopeError, match="nobody knows what it keeps out"):
        scope_of(["8.8.8.8"], ["ct.example.org"]).resolved({"ct.example.org": []})


def test_an_include_name_without_an_address_includes_nothing(scope_of: Any) -> None:
    scope = scope_of(["pacs.example.org"]).resolved({})
    assert scope.ranges().size == 2**24 + 1


# ---- the guard ------------------------------------------------------------------------------------------------------


def test_the_guard_says_no_with_the_reason(scope_of: Any) -> None:
    guard = ScopeGuard(scope_of(["8.8.8.0/24"], ["8.8.8.8"]))
    guard.check("8.8.8.7")
    guard.check(ip_address("8.8.8.7"))
    with pytest.raises(
        ScopeError, match=r"'8\.8\.8\.8' is out of scope: exclude \"8\.8\.8\.8\" \(line 5\) keeps it out"
    ):
        guard.check("8.8.8.8")
    with pytest.raises(ScopeError, match="no IP address"):
        guard.check("localhost")
    assert ScopeError.exit_code == 2


# ---- files ----------------------------------------------------------------------------------------------------------


def test_loading(tmp_path: Path, clock: Any) -> None:
    path = tmp_path / "scope.toml"
    with pytest.raises(ScopeError, match="cannot read the scope file"):
        Scope.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ScopeError, match="not UTF-8"):
        Scope.load(path)
    path.write_text('authorised_by = "a"\ncontact = "b"\nvalid_until = 2020-01-01\ninclude = ["8.8.8.8"]\n')
    scope = Scope.load(path, clock)
    assert scope.expired and reason_of(scope, "8.8.8.8") == "expired", "loads, so that it can be shown; allows nothing"
    path.write_text('contact = "b"\nvalid_until = 2027-01-01\ninclude = ["8.8.8.8"]\n')
    with pytest.raises(ScopeError, match=f"{path}: authorised_by is missing"):
        Scope.load(path)


# ---- the same rules, written a second time with ipaddress, against random scopes and targets -------------------------

_edges = [n[i] for n in SPECIAL for i in (0, -1)]
_near = st.sampled_from(_edges).flatmap(
    lambda a: st.integers(-2, 2).map(lambda d: type(a)(min(max(int(a) + d, 0), 2**a.max_prefixlen - 1)))
)
_few = st.sampled_from([ip_address(f"8.8.8.{n}") for n in range(8)] + [ip_address(f"2606::{n}") for n in range(8)])
targets = st.one_of(_near, _few, st.ip_addresses())


def _network(address: Address, length: int) -> Network:
    return ip_network((address, min(length, address.max_prefixlen)), strict=False)


networks = st.one_of(
    st.builds(_network, targets, st.integers(0, 32)),
    st.builds(_network, targets, st.integers(24, 128)),
    st.sampled_from(SPECIAL),
)


def _plain(network: Network) -> Network:
    """A mapped network as the IPv4 network."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network[0].ipv4_mapped is not None:
        return ip_network((network[0].ipv4_mapped, network.prefixlen - 96))
    return network


def _allowed(address: Address, include: list[Network], exclude: list[Network]) -> bool:
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in network for network in exclude):
        return False
    if address.is_loopback:
        return True
    around = [network for network in SPECIAL if address in network]
    if around:
        innermost = max(around, key=lambda network: network.prefixlen)
        include = [n for n in include if n.version == innermost.version and n.subnet_of(innermost)]  # type: ignore[arg-type]
    return any(address in network for network in include)


def _carrier(address: Address) -> bool:
    carriers = ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
    return any(address in ip_network(text) for text in carriers)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.lists(networks, min_size=1, max_size=5), st.lists(networks, max_size=4), st.lists(targets, max_size=12))
def test_nothing_outside_ever_comes_out(
    clock: Any, include: list[Network], exclude: list[Network], asked: list[Address]
) -> None:
    text = (
        f'authorised_by = "a"\ncontact = "b"\nvalid_until = 2026-12-24\ninclude = {[str(n) for n in include]!r}\n'
        f"exclude = {[str(n) for n in exclude]!r}\n"
    )
    scope = Scope(parse_scope(text), clock)
    guard = ScopeGuard(scope)
    plain_include, plain_exclude = [_plain(n) for n in include], [_plain(n) for n in exclude]
    ranges = scope.ranges()
    edges = [ip_address(text_of(point)) for pair in list(ranges)[:20] for point in pair]
    for address in (*asked, *edges, *(n[0] for n in include), *(n[-1] for n in exclude)):
        expected = _allowed(address, plain_include, plain_exclude)
        verdict = scope.allows(address)
        if _carrier(address):
            assert expected or isinstance(verdict, Refused), f"{address}: {verdict}"
            continue
        assert isinstance(verdict, Allowed) == expected, f"{address}: {verdict}"
        assert (point_of(address) in ranges) == expected
        if expected:
            guard.check(address)
        else:
            with pytest.raises(ScopeError):
                guard.check(address)


@given(st.ip_addresses(v=4), st.lists(networks, max_size=3))
def test_a_carried_address_that_is_excluded_stays_out(inner: IPv4Address, exclude: list[Network]) -> None:
    outer = ip_address(f"64:ff9b::{inner}")
    text = (
        'authorised_by = "a"\ncontact = "b"\nvalid_until = 2900-12-24\ninclude = ["64:ff9b::/96", "0.0.0.0/0"]\n'
        f"exclude = {[str(n) for n in exclude]!r}\n"
    )
    scope = Scope(parse_scope(text))
    assume(not any(outer in n for n in exclude))
    expected = isinstance(scope.allows(inner), Allowed) and not inner.is_loopback
    assert isinstance(scope.allows(outer), Allowed) == expected


def test_between_covers_every_point_once(scope_of: Any) -> None:
    scope = scope_of(["0.0.0.0/0", "10.1.0.0/16", "2606::/32"], ["8.8.8.8"])
    at = 0
    for start, end, verdict in scope.between(0, END - 1):
        assert start == at <= end
        if not _carrier(ip_address(text_of(start))):
            assert scope.allows_point(start) == scope.allows_point(end) == verdict
        at = end + 1
    assert at == END
