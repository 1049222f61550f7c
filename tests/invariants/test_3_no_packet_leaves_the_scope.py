"""Invariant 3: no packet leaves the scope.

Every connect of this process is caught where Python hands it to the kernel, whichever part of the scan makes it. What
is no loopback is refused there, or led to a server of the lab: so nothing leaves this machine, whatever breaks. Which
addresses may be connected to is worked out again here, with ``ipaddress`` and a table of a few networks.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadapron.kernel.errors import ScopeError, UsageError
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.find.gather import gather
from leadapron.watch.find.pace import Pace
from leadapron.watch.find.plan import ScanTargets
from leadapron.watch.measure.dicom.visit import Options
from leadapron.watch.scan.scanner import Scanner
from leadapron.watch.scope import Scope, ScopeGuard, parse_scope
from scan.scanning import moved, scan

Address = IPv4Address | IPv6Address
# Networks, and the special-purpose block around each (None: none); RFC 6890 and its successors.
NETWORKS = {
    "8.8.4.0/28": None,
    "151.101.0.0/28": None,
    "127.77.0.0/28": None,
    "10.1.2.0/28": "10.0.0.0/8",
    "100.64.3.0/28": "100.64.0.0/10",
    "169.254.7.0/28": "169.254.0.0/16",
    "192.168.5.0/28": "192.168.0.0/16",
    "203.0.113.0/28": "203.0.113.0/24",
    "224.0.0.0/28": "224.0.0.0/4",
    "2606:4700::/124": None,
    "2001:db8::/124": "2001:db8::/32",
    "fe80::/124": "fe80::/10",
}
WIDE = ("0.0.0.0/0", "::/0", "8.0.0.0/6", "10.0.0.0/8", "192.168.0.0/16", "100.0.0.0/8", "2000::/3", "fe80::/10")


@dataclass
class Wire:
    """What was asked of the kernel. ``led``: where a connect to a port is led; others are refused."""

    led: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    connects: list[tuple[Address, int]] = field(default_factory=list)
    on_connect: Callable[[], None] = lambda: None

    def noted(self, address: Sequence[Any]) -> tuple[str, int] | None:
        self.on_connect()
        self.connects.append((ip_address(address[0]), address[1]))
        return self.led.get(address[1])


@contextmanager
def caught(wire: Wire) -> Iterator[Wire]:
    """Put the wire between this process and its kernel."""
    original = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}

    def connect(self: socket.socket, address: Any) -> None:
        door = wire.noted(address)
        if door is None or self.family is not socket.AF_INET:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused by the test")
        original["connect"](self, door)

    def connect_ex(self: socket.socket, address: Any) -> int:
        door = wire.noted(address)
        if door is None or self.family is not socket.AF_INET:
            return errno.ECONNREFUSED
        code: int = original["connect_ex"](self, door)
        return code

    with pytest.MonkeyPatch.context() as patch:
        for name, replacement in (("connect", connect), ("connect_ex", connect_ex)):
            patch.setattr(socket.socket, name, replacement)
        for name in ("sendto", "sendmsg"):
            patch.setattr(socket.socket, name, _never)
        yield wire


def _never(*_: object) -> None:
    raise AssertionError("a datagram was about to be sent")


class Kept:
    """A sink that keeps nothing but what was judged."""

    def __init__(self) -> None:
        self.judged: list[str] = []

    def put(self, measurement: Any, record: Any, fingerprint: Any, door: Any) -> None:
        self.judged.append(record.address)

    def checkpoint(self, position: int, tally: Mapping[str, int]) -> None:
        pass


class Clock:
    """A wall clock that is put forward by hand."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return self.moment


def scanned(targets: Sequence[str], scope: Scope, ports: Sequence[int], wire: Wire) -> list[tuple[Address, int]]:
    """Run a scanner over the targets; gives every connect that it tried."""

    async def run() -> None:
        gathered = await gather(targets)
        plan = ScanTargets(gathered.targets, ports, scope, seed=1)
        pace = Pace(network=100_000.0, host_pause=0.0)
        await Scanner(plan, pace=pace, guard=ScopeGuard(scope), options=Options(timeout=1), sink=Kept()).run()

    with caught(wire):
        asyncio.run(run())
    return wire.connects


def written(include: Sequence[str], exclude: Sequence[str], valid_until: str = "2030-01-01") -> str:
    return (
        f'authorised_by = "A. Person"\ncontact = "a@example.org"\nvalid_until = {valid_until}\n'
        f"include = {list(include)!r}\nexclude = {list(exclude)!r}\n"
    )


# ---- scopes and targets of any kind ----------------------------------------------------------------------------------


def covers(entry: str, address: Address) -> bool:
    first, _, last = entry.partition("-")
    if last:
        low, high = ip_address(first), ip_address(last)
        return low.version == address.version and int(low) <= int(address) <= int(high)
    network = ip_network(entry, strict=False)
    return network.version == address.version and address in network


def inside(entry: str, block: str) -> bool:
    first, _, last = entry.partition("-")
    if last:
        return covers(block, ip_address(first)) and covers(block, ip_address(last))
    network, around = ip_network(entry, strict=False), ip_network(block)
    return network.version == around.version and network.subnet_of(around)  # type: ignore[arg-type]


def may(address: Address, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """The rule: exclusions win; loopback is free; a special-purpose block must be named."""
    if any(covers(entry, address) for entry in exclude):
        return False
    if address.is_loopback:
        return True
    special = next(special for network, special in NETWORKS.items() if covers(network, address))
    return any(covers(entry, address) and (special is None or inside(entry, special)) for entry in include)


@st.composite
def pieces(draw: st.DrawFn) -> str:
    """An address, a block or a range in one of the networks."""
    network = ip_network(draw(st.sampled_from(list(NETWORKS))))
    first, last = sorted((draw(st.integers(0, 15)), draw(st.integers(0, 15))))
    kind = draw(st.sampled_from(["address", "block", "range"]))
    if kind == "address":
        return str(network[first])
    if kind == "range":
        return f"{network[first]}-{network[last]}"
    longest = network.max_prefixlen
    return str(ip_network((network[first], draw(st.integers(longest - 4, longest))), strict=False))


def members(text: str) -> list[Address]:
    first, _, last = text.partition("-")
    if last:
        low, high = ip_address(first), ip_address(last)
        return [type(low)(number) for number in range(int(low), int(high) + 1)]
    return list(ip_network(text))


entries = st.lists(st.one_of(pieces(), st.sampled_from(WIDE)), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    targets=st.lists(pieces(), min_size=1, max_size=6),
    include=entries,
    exclude=st.lists(pieces(), max_size=4),
    ports=st.lists(st.sampled_from([104, 2762, 11112]), min_size=1, max_size=3, unique=True),
)
def test_exactly_what_the_scope_allows_is_connected_to(
    targets: list[str], include: list[str], exclude: list[str], ports: list[int]
) -> None:
    connects = scanned(targets, Scope(parse_scope(written(include, exclude))), ports, Wire())
    asked = {address for target in targets for address in members(target)}
    allowed = {address for address in asked if may(address, include, exclude)}
    assert {address for address, _ in connects} <= allowed
    assert sorted(connects, key=str) == sorted(((a, port) for a in allowed for port in ports), key=str)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(targets=st.lists(pieces(), min_size=1, max_size=6))
def test_without_a_scope_only_loopback_is_connected_to(targets: list[str]) -> None:
    connects = scanned(targets, Scope.loopback_only(), (11112,), Wire())
    asked = {address for target in targets for address in members(target)}
    assert {address for address, _ in connects} == {address for address in asked if address.is_loopback}


# ---- every connection of a visit -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def doors() -> Iterator[dict[int, tuple[str, int]]]:
    """Servers for which a visit takes more than one connection: counting, TLS, other titles, congestion, a hang-up."""
    personas = {11112: "dcmtk", 2762: "tls-open", 4242: "rejects-called", 2761: "congested", 104: "closes"}
    specs = [
        EndpointSpec("127.2.0.1", port, persona, archive=ArchiveSpec(studies=30, seed=4))
        for port, persona in personas.items()
    ]
    with LabProcess(moved(Population("doors", specs)), free_ports=True) as lab:
        yield {port: (one.address, one.port) for port, one in zip(personas, lab.truth(), strict=True)}


def test_counting_tls_and_second_tries_stay_where_they_may(tmp_path: Path, doors: dict[int, tuple[str, int]]) -> None:
    """The servers are led to the lab; to the scan they stand at public and private addresses."""
    scope = tmp_path / "scope.toml"
    scope.write_text(written(["8.8.4.0/30", "10.1.2.3"], ["8.8.4.2"]))
    with caught(Wire(doors)) as wire:
        done = scan(["8.8.4.0/29", "10.1.2.0/29", "192.168.5.1"], ports=tuple(doors), scope=scope, timeout=3)
    allowed = {ip_address(text) for text in ("8.8.4.0", "8.8.4.1", "8.8.4.3", "10.1.2.3")}
    assert {address for address, _ in wire.connects} == allowed
    assert {address for address, _ in done.records} == set(map(str, allowed))
    for address in allowed:
        at = [port for where, port in wire.connects if where == address]
        assert at.count(11112) == 2 and at.count(2762) == 2, "touched, then counted"
        assert at.count(4242) == 3 and at.count(2761) == 3 and at.count(104) == 2
        assert done.records[str(address), 11112].verdict == done.records[str(address), 2762].verdict == "exposed"


# ---- time ------------------------------------------------------------------------------------------------------------


def test_nothing_more_is_connected_to_once_the_scope_has_ended() -> None:
    clock = Clock()
    scope = Scope(parse_scope(written(["8.8.4.0/24", "151.101.0.0/24"], [])), clock)
    ended_after = 40
    valid: list[bool] = []

    def on_connect() -> None:
        valid.append(clock.now() < datetime(2030, 1, 1, tzinfo=UTC))
        if len(valid) == ended_after:
            clock.moment += timedelta(days=3650)

    wire = Wire(on_connect=on_connect)
    with pytest.raises(ScopeError, match="ended"):
        scanned(["8.8.4.0/24", "151.101.0.0/24"], scope, (104, 11112), wire)
    assert len(valid) == ended_after and all(valid)


def test_an_expired_scope_starts_nothing(tmp_path: Path) -> None:
    scope = tmp_path / "scope.toml"
    scope.write_text(written(["8.8.4.0/24"], [], "2020-01-01"))
    with caught(Wire()) as wire, pytest.raises(UsageError, match="ended"):
        scan("8.8.4.0/24", scope=scope)
    assert wire.connects == []


def test_a_target_that_slips_through_the_plan_is_stopped_at_the_connect() -> None:
    """The last guard stands by itself: here the plan is made under one scope, and the guard knows a narrower one."""
    wide, narrow = (Scope(parse_scope(written([network], []))) for network in ("8.8.4.0/28", "8.8.4.0/30"))

    async def run() -> None:
        plan = ScanTargets((await gather(["8.8.4.0/28"])).targets, (11112,), wide, seed=1)
        scanner = Scanner(plan, pace=Pace(), guard=ScopeGuard(narrow), options=Options(timeout=1), sink=Kept())
        await scanner.run()

    with caught(Wire()) as wire, pytest.raises(ScopeError, match="out of scope"):
        asyncio.run(run())
    assert {address for address, _ in wire.connects} <= set(ip_network("8.8.4.0/30"))


def test_a_name_is_looked_up_once_and_its_addresses_judged() -> None:
    """Where a name points is no authorisation, and where it points a moment later is of no concern."""
    told = {"pacs.example.org": iter((["8.8.4.1", "10.1.2.3", "192.168.5.1"], ["8.8.4.9"]))}
    loaded = Scope(parse_scope(written(["8.8.4.0/30"], [])))

    async def run() -> None:
        gathered = await gather(["pacs.example.org"], look_up=lambda name: next(told[name]))
        plan = ScanTargets(gathered.targets, (104, 11112), loaded, seed=1)
        pace = Pace(network=100_000.0, host_pause=0.0)
        await Scanner(plan, pace=pace, guard=ScopeGuard(loaded), options=Options(timeout=1), sink=Kept()).run()

    with caught(Wire()) as wire:
        asyncio.run(run())
    assert {address for address, _ in wire.connects} == {ip_address("8.8.4.1")}
    assert next(told["pacs.example.org"]) == ["8.8.4.9"], "it was looked up twice"
