"""Everything public in scope and find that takes or gives an address: without a scope file, nothing but loopback.

A new public name must be put into one of the two lists below, or the first test fails.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import leadapron.watch.find as find
import leadapron.watch.scope as scope_room
from leadapron.kernel.errors import ScopeError
from leadapron.watch.find import Pace, Pacer, ScanTargets, Target, TargetSet, TargetSetBuilder, parse_target, resolve
from leadapron.watch.find import bind_names as bind_names_
from leadapron.watch.scope import Allowed, Scope, ScopeGuard
from leadapron.watch.scope.addresses import END, is_loopback, point_of

OUTSIDE = ["8.8.8.8", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0", "fe80::1"]
OUTSIDE += [
    "255.255.255.255",
    "::",
    "::2",
    "2606:4700::1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "ff02::1",
]


def targets_of(*texts: str) -> TargetSet:
    builder = TargetSetBuilder()
    for text in texts:
        builder.add(parse_target(text))
    return builder.build()


def allows(address: str) -> bool:
    return isinstance(Scope.loopback_only().allows(address), Allowed)


def allows_point(address: str) -> bool:
    return isinstance(Scope.loopback_only().allows_point(point_of(address)), Allowed)


def ranges(address: str) -> bool:
    return point_of(address) in Scope.loopback_only().ranges()


def between(address: str) -> bool:
    point = point_of(address)
    pieces = [(a, b) for a, b, v in Scope.loopback_only().between(0, END - 1) if isinstance(v, Allowed)]
    return any(first <= point <= last for first, last in pieces)


def guard(address: str) -> bool:
    try:
        ScopeGuard(Scope.loopback_only()).check(address)
    except ScopeError:
        return False
    return True


def plan(address: str) -> bool:
    return bool(ScanTargets(targets_of(address), [104], Scope.loopback_only()).take(1))


def paced_plan(address: str) -> bool:
    pacer: Pacer[Target] = Pacer(Pace())
    for target in ScanTargets(targets_of(address, "127.0.0.1"), [104, 80], Scope.loopback_only()).take(9):
        pacer.offer(target)
    return any(not is_loopback(target.point) for target in pacer.due(0.0))


GATES: dict[str, list[Callable[[str], bool]]] = {
    "Scope": [allows, allows_point, ranges, between],
    "ScopeGuard": [guard],
    "ScanTargets": [plan],
    "Pacer": [paced_plan],
}
# records and verdicts, or what speaks of addresses before the scope has judged them: ScanTargets is the way out
HARMLESS = {
    *("Allowed", "Refused", "Verdict", "Reason", "Entry", "Rates", "RangeSet", "ScopeFile", "parse_scope"),
    *("parse_until", "render", "Checkpoint", "Gathered", "Pace", "Permutation", "Resolved", "Unresolved", "Spec"),
    *("Target", "TargetSet", "TargetSetBuilder", "parse_target", "parse_port"),
    *("gather", "resolve", "bind_names"),  # ask this machine's resolver, not the host
}


def test_every_public_name_is_known_here() -> None:
    public = {*find.__all__, *scope_room.__all__}
    assert public == {*GATES, *HARMLESS}


@pytest.mark.parametrize("gate", [gate for gates in GATES.values() for gate in gates])
@pytest.mark.parametrize("address", OUTSIDE)
def test_without_a_scope_nothing_but_loopback_passes(gate: Callable[[str], bool], address: str) -> None:
    assert not gate(address)


@pytest.mark.parametrize("gate", [allows, allows_point, ranges, between, guard, plan])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_passes(gate: Callable[[str], bool], address: str) -> None:
    assert gate(address)


async def test_names_do_not_open_anything_without_a_scope() -> None:
    answers = await resolve(["evil.example.org"], look_up=lambda name: ["10.0.0.1", "127.0.0.1"])
    scope, _ = await bind_names_(Scope.loopback_only())
    builder = TargetSetBuilder()
    builder.add_named(parse_target("evil.example.org"), answers["evil.example.org"].addresses)  # type: ignore[union-attr]
    found = ScanTargets(builder.build(), [104], scope).take(9)
    assert [target.address for target in found] == ["127.0.0.1"]
