"""Invariant 3 once more, where targets come out; order; stop and resume."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import ScopeError, UsageError
from leadapron.watch.find import Checkpoint, ScanTargets, Spec, Target, TargetSet, TargetSetBuilder, parse_target
from leadapron.watch.scope import Allowed, Scope, ScopeGuard, parse_scope
from leadapron.watch.scope.addresses import V6, Block, point_of


class StillClock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 21, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return 0.0


def target_set(*texts: str) -> TargetSet:
    builder = TargetSetBuilder()
    for text in texts:
        builder.add(parse_target(text))
    return builder.build()


def scope_of(*include: str, exclude: tuple[str, ...] = (), clock: StillClock | None = None) -> Scope:
    text = (
        f'authorised_by = "a"\ncontact = "b"\nvalid_until = 2026-11-30\ninclude = {list(include)!r}\n'
        f"exclude = {list(exclude)!r}"
    )
    return Scope(parse_scope(text), clock or StillClock())


def pairs(targets: list[Target]) -> list[tuple[str, int]]:
    return [(target.address, target.port) for target in targets]


def test_every_pair_once() -> None:
    plan = ScanTargets(
        target_set("127.1.0.0/28", "127.1.0.3:9", "127.9.9.9:9", "::1"), [104, 11112], Scope.loopback_only()
    )
    found = plan.take(1000)
    wanted = [*product([f"127.1.0.{n}" for n in range(16)] + ["::1"], [104, 11112]), ("127.1.0.3", 9), ("127.9.9.9", 9)]
    assert sorted(pairs(found)) == sorted(wanted)
    assert len(plan) == len(wanted) == 36 and plan.addresses == 18 and plan.left == 0
    assert [target.index for target in found] == list(range(36))
    assert all(target.point == point_of(target.address) for target in found)
    assert plan.take(10) == []


def test_a_port_that_is_named_twice_is_asked_once() -> None:
    plan = ScanTargets(target_set("127.0.0.1", "127.0.0.1:104"), [104, 104, 11112], Scope.loopback_only())
    assert sorted(pairs(plan.take(9))) == [("127.0.0.1", 104), ("127.0.0.1", 11112)]


def test_what_the_scope_refuses_is_cut_out_and_counted() -> None:
    plan = ScanTargets(
        target_set("0.0.0.0/0", "2606::/120"), [104, 11112], scope_of("8.8.8.0/24", "10.1.0.0/24", exclude=("8.8.8.8",))
    )
    assert plan.addresses == 2**24 + 255 + 256, "loopback, and what is named"
    assert plan.skipped["excluded"] == 2
    assert plan.skipped["special"] + plan.skipped["not-included"] == 2 * (2**32 + 256 - plan.addresses - 1)
    assert plan.details["excluded"] == 'exclude "8.8.8.8" (line 5) keeps it out'
    assert len(plan) == 2 * plan.addresses


def test_carried_addresses_are_refused_one_by_one() -> None:
    plan = ScanTargets(
        target_set("64:ff9b::8.8.8.0/120"), [104], scope_of("64:ff9b::/96", exclude=("8.8.8.0/25",)), seed=1
    )
    assert len(plan) == 256
    found = plan.take(1000)
    assert len(found) == 128 and plan.skipped == {"excluded": 128}
    assert all(point_of(target.address) - V6 & 0xFF >= 128 for target in found)


def test_a_scope_that_ends_stops_the_scan_where_it_is() -> None:
    clock = StillClock()
    scope = scope_of("8.8.8.0/24", clock=clock)
    plan = ScanTargets(target_set("8.8.8.0/24"), [104], scope, seed=1)
    first = plan.take(100)
    clock.moment += timedelta(days=30)
    with pytest.raises(ScopeError, match=r"the scope ended at 2026-12-01.*--resume"):
        plan.take(100)
    assert plan.position == 100
    clock.moment -= timedelta(days=30)  # renewed
    rest = ScanTargets(target_set("8.8.8.0/24"), [104], scope, resume=plan.checkpoint()).take(1000)
    assert {t.index for t in rest} == set(range(256)), "the hundred in flight again, and the rest"
    assert set(pairs(first)) < set(pairs(rest))


def test_a_scope_that_ends_within_one_take_gives_what_it_had() -> None:
    clock = StillClock()
    scope = scope_of("8.8.8.0/24", clock=clock)
    moments = iter([clock.moment] * 5)

    class Ending(StillClock):
        def now(self) -> datetime:
            return next(moments, datetime(2027, 1, 1, tzinfo=UTC))

    plan = ScanTargets(target_set("8.8.8.0/24"), [104], Scope(scope.file, Ending()), seed=1)
    assert 0 < len(plan.take(100)) < 100
    with pytest.raises(ScopeError):
        plan.take(100)


def test_stop_and_resume() -> None:
    ports = [104, 11112, 4242]
    targets = target_set("127.1.0.0/24", "127.2.0.1:9")
    plan = ScanTargets(targets, ports, Scope.loopback_only())
    done: set[tuple[str, int]] = set()
    in_flight: list[Target] = []
    for number, target in enumerate(plan.take(300)):
        if number % 7:
            plan.finished(target)
            done.add((target.address, target.port))
        else:
            in_flight.append(target)
    saved = msgspec.json.decode(msgspec.json.encode(plan.checkpoint()), type=Checkpoint)
    assert saved.position == 300 and len(saved.pending) == 43
    again = ScanTargets(targets, ports, Scope.loopback_only(), seed=99, resume=saved)
    assert again.left == 43 + len(again) - 300
    rest = again.take(10)
    assert rest == in_flight[:10], "what was in flight comes first, the very same targets"
    assert again.checkpoint() == saved, "taken, not finished"
    rest += again.take(33)
    while more := again.take(64):
        rest += more
    assert len(rest) == 43 + len(again) - 300
    assert {(t.address, t.port) for t in rest} | done == set(product([f"127.1.0.{n}" for n in range(256)], ports)) | {
        ("127.2.0.1", 9)
    }
    assert not done & {(t.address, t.port) for t in rest}


def test_resume_wants_the_same_targets_ports_and_scope() -> None:
    saved = ScanTargets(target_set("127.1.0.0/24"), [104], Scope.loopback_only()).checkpoint()
    for targets, ports in (("127.1.0.0/25", [104]), ("127.1.0.0/24", [104, 11112])):
        with pytest.raises(UsageError, match="not the same"):
            ScanTargets(target_set(targets), ports, Scope.loopback_only(), resume=saved)
    with pytest.raises(UsageError, match="not the same"):
        ScanTargets(target_set("127.1.0.0/24"), [104], scope_of("8.8.8.8", exclude=("127.1.0.9",)), resume=saved)


def test_the_order_is_the_seeds() -> None:
    def order(seed: int | None) -> list[tuple[str, int]]:
        return pairs(ScanTargets(target_set("127.1.0.0/22"), [104, 80], Scope.loopback_only(), seed=seed).take(5000))

    assert order(1) == order(1) != order(2)
    assert order(None) != order(None)


def test_ports_of_a_host_are_far_apart_and_networks_share() -> None:
    ports = [104, 11112, 4242, 2761, 2762, 80, 443, 8042, 8080]
    plan = ScanTargets(target_set("127.1.0.0/20"), ports, Scope.loopback_only(), seed=5)
    found = plan.take(10**6)
    last: dict[str, int] = {}
    for target in found:
        if target.address in last:
            assert target.index - last[target.address] > 4096 / 10
        last[target.address] = target.index
    window = 16 * 20  # sixteen /24
    for start in range(0, len(found) - window, 97):
        counts: dict[int, int] = {}
        for target in found[start : start + window]:
            counts[target.point >> 8] = counts.get(target.point >> 8, 0) + 1
        assert max(counts.values()) <= 22


def test_nothing_to_do() -> None:
    plan = ScanTargets(target_set("8.8.8.8"), [104], Scope.loopback_only())
    assert len(plan) == 0 and plan.take(5) == [] and plan.skipped == {"no-scope": 1}
    assert ScanTargets(target_set("127.0.0.1"), [], Scope.loopback_only()).take(5) == []


corners = [point_of(text) for text in ("8.8.8.0", "10.1.0.0", "127.0.0.0", "192.168.0.0", "2606::", "fd00::")]
blocks = st.tuples(st.sampled_from(corners), st.integers(-4, 12), st.integers(0, 10)).map(
    lambda t: Block(t[0] + t[1], t[0] + t[1] + t[2])
)
entries = st.sampled_from(
    [
        *("8.8.8.0/29", "8.8.8.4", "10.0.0.0/8", "10.1.0.0/30", "10.1.0.2", "0.0.0.0/0", "::/0", "127.0.0.0/29"),
        *("192.168.0.1-192.168.0.3", "2606::/126", "fd00::/16", "fd00::1", "fc00::/7", "127.0.0.2", "2606::2"),
    ]
)


@given(
    st.lists(st.tuples(blocks, st.none() | st.just(9)), max_size=6),
    st.none() | st.tuples(st.lists(entries, min_size=1, max_size=4), st.lists(entries, max_size=3)),
    st.integers(0, 99),
)
def test_all_that_is_allowed_comes_out_once_and_nothing_else(
    added: list[tuple[Block, int | None]], rules: tuple[list[str], list[str]] | None, seed: int
) -> None:
    scope = Scope.loopback_only() if rules is None else scope_of(*rules[0], exclude=tuple(rules[1]))
    guard = ScopeGuard(scope)
    builder = TargetSetBuilder()
    asked: set[tuple[int, int]] = set()
    for block, port in added:
        builder.add(Spec((block,), port=port))
        asked |= {(p, q) for p in range(block.start, block.end + 1) for q in ([104, 80] if port is None else [port])}
    plan = ScanTargets(builder.build(), [104, 80], scope, seed=seed)
    found: list[Target] = []
    while more := plan.take(7):
        found += more
    allowed = {(point, port) for point, port in asked if isinstance(scope.allows_point(point), Allowed)}
    assert sorted((t.point, t.port) for t in found) == sorted(allowed)
    assert sum(plan.skipped.values()) == len(asked - allowed)
    for target in found:
        guard.check(target.address)
