from __future__ import annotations

import math
import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.watch.find import Pace, Pacer
from leadapron.watch.find.pace import DEFAULT_NETWORK_RATE
from leadapron.watch.scope import Rates
from leadapron.watch.scope.addresses import point_of


class Item(Struct, frozen=True):
    point: int
    number: int = 0


def item(address: str, number: int = 0) -> Item:
    return Item(point_of(address), number)


FREE = Pace(network=1e9, host_pause=0)  # as good as no rate at all for one start in each network


def network_of(target: Item) -> int:
    return target.point >> 8


# ---- one rule at a time ---------------------------------------------------------------------------------------------


def test_without_a_limit_all_start_at_once_in_order() -> None:
    pacer: Pacer[Item] = Pacer(FREE)
    targets = [item(f"127.0.{n // 256}.{n % 256}") for n in range(1000)]
    for target in targets:
        pacer.offer(target)
    assert len(pacer) == 1000 and pacer.next_due == -math.inf
    assert pacer.due(0.0) == targets
    assert len(pacer) == 0 and pacer.in_flight == 1000 and pacer.next_due is None


def test_the_overall_rate() -> None:
    pacer: Pacer[Item] = Pacer(Pace(overall=10, host_pause=0))
    for n in range(30):
        pacer.offer(item(f"127.0.0.{n}"))
    assert len(pacer.due(100.0)) == 1, "ten a second leave no burst"
    assert pacer.next_due == pytest.approx(100.1)
    assert pacer.due(100.09) == []
    assert len(pacer.due(100.1)) == 1
    assert len(pacer.due(200.0)) == 1, "what was not used is not saved up"


def test_the_overall_burst_is_ten_milliseconds_worth() -> None:
    pacer: Pacer[Item] = Pacer(Pace(overall=1000, host_pause=0))
    for n in range(60):
        pacer.offer(item(f"127.0.0.{n}"))
    assert [len(pacer.due(t)) for t in (5.0, 5.0, 5.005, 5.006, 6.0)] == [10, 0, 5, 1, 10]
    assert len(pacer.due(7.0, limit=3)) == 3


def test_the_rate_of_a_network() -> None:
    pacer: Pacer[Item] = Pacer(Pace(network=10, host_pause=0))
    for n in range(5):
        pacer.offer(item(f"198.18.0.{n}"))
        pacer.offer(item(f"198.18.1.{n}"))
        pacer.offer(item(f"2001:db8::{n}"))
        pacer.offer(item(f"2001:db8:0:00ff::{n}"))  # the same /56
        pacer.offer(item(f"2001:db8:0:0100::{n}"))
    started = pacer.due(0.0)
    assert [t.point for t in started] == [
        point_of(a) for a in ("198.18.0.0", "198.18.1.0", "2001:db8::", "2001:db8:0:100::")
    ]
    assert pacer.next_due == pytest.approx(0.1)
    assert len(pacer.due(0.1)) == 4
    total = 8
    now = 0.1
    while pacer.next_due is not None:
        now = max(now, pacer.next_due)
        total += len(pacer.due(now))
    assert total == 25 and now == pytest.approx(0.9), "ten of the one /56, one each 0.1 s"


def test_loopback_has_no_network_rate_unless_it_is_asked_for() -> None:
    for pace, count in ((Pace(host_pause=0), 20), (Pace.of(network_rate=5), 1)):
        pacer: Pacer[Item] = Pacer(pace)
        for n in range(20):
            pacer.offer(item(f"127.0.0.{n}"))
        assert len(pacer.due(0.0)) == count


def test_one_at_a_time_on_a_host() -> None:
    pacer: Pacer[Item] = Pacer(FREE)
    first, second, other = item("198.18.0.1", 1), item("198.18.0.1", 2), item("198.18.1.2")
    for target in (first, second, other):
        pacer.offer(target)
    assert pacer.due(0.0) == [first, other]
    assert pacer.due(9.0) == [] and pacer.next_due is None, "waits for done, not for time"
    pacer.done(first, 9.0)
    assert pacer.due(9.0) == [second]


def test_a_host_is_left_alone_for_a_moment() -> None:
    pacer: Pacer[Item] = Pacer(Pace(network=1e9, host_pause=0.5))
    first, second = item("127.0.0.1", 1), item("127.0.0.1", 2)
    pacer.offer(first)
    pacer.offer(second)
    assert pacer.due(0.0) == [first]
    pacer.done(first, 1.0)
    assert pacer.next_due == 1.5 and pacer.due(1.49) == []
    assert pacer.due(1.5) == [second]


def test_it_holds_no_more_than_its_capacity() -> None:
    pacer: Pacer[Item] = Pacer(FREE, capacity=3)
    for n in range(3):
        pacer.offer(item("127.0.0.1", n))
    assert pacer.room == 0
    with pytest.raises(ValueError, match="room"):
        pacer.offer(item("127.0.0.2"))
    assert len(pacer.due(0.0)) == 1 and pacer.due(0.0) == []
    assert pacer.room == 1
    assert sorted(t.number for t in pacer.drain()) == [1, 2] and len(pacer) == 0


def test_done_without_a_start_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not started"):
        Pacer[Item](FREE).done(item("127.0.0.1"), 0.0)


def test_networks_of_the_past_are_forgotten() -> None:
    pacer: Pacer[Item] = Pacer(Pace(network=10, host_pause=0))
    for n in range(200_000):
        now = n / 10_000  # 10,000 networks a second, each remembered for 0.1 s
        pacer.offer(Item(n << 8))
        for target in pacer.due(now):
            pacer.done(target, now)
    assert len(pacer._owed) <= 3 * 1024


def test_too_many_networks_wait_instead_of_filling_the_memory() -> None:
    pacer: Pacer[Item] = Pacer(Pace(network=1, host_pause=0), max_networks=100)
    for n in range(1000):
        pacer.offer(Item(n << 8))
    now, started, most = 0.0, 0, 0
    while started < 1000:
        found = pacer.due(now)
        started += len(found)
        most = max(most, len(pacer._owed))
        if not found:
            assert pacer.next_due is not None and pacer.next_due > now
            now = pacer.next_due
    assert most <= 1000 and now < 60


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_rates_are_above_nothing(rate: float) -> None:
    for field in ("overall", "network", "loopback"):
        with pytest.raises(UsageError, match="above 0"):
            Pace(**{field: rate})


def test_the_scope_caps_what_is_asked_for() -> None:
    assert Pace.of(1000, 50, Rates(100, 5)) == Pace(100, 5, 5)
    assert Pace.of(10, 1, Rates(100, 5)) == Pace(10, 1, 1)
    assert Pace.of(None, None, Rates(100, 5)) == Pace(100, 5, None)
    assert Pace.of() == Pace(None, DEFAULT_NETWORK_RATE, None)
    with pytest.raises(UsageError):
        Pace(host_pause=-1)


# ---- all of them together, against a clock held by hand -------------------------------------------------------------


@given(
    overall=st.none() | st.sampled_from([1.0, 7.0, 100.0, 5000.0]),
    network=st.sampled_from([0.5, 3.0, 20.0, 1000.0]),
    pause=st.sampled_from([0.0, 0.1, 1.5]),
    hosts=st.lists(st.integers(0, 40).map(lambda n: (198 << 24) + (n // 8 << 8) + n % 8), max_size=60),
    seed=st.integers(0, 2**32),
)
def test_never_above_a_rate_never_two_on_a_host_and_all_come_out_once(
    overall: float | None, network: float, pause: float, hosts: list[int], seed: int
) -> None:
    chance = random.Random(seed)
    pacer: Pacer[Item] = Pacer(Pace(overall, network, None, pause), capacity=16)
    waiting = [Item(point, number) for number, point in enumerate(hosts)]
    now = chance.uniform(0, 1e6)
    starts: list[tuple[float, Item]] = []
    running: dict[int, tuple[float, Item]] = {}
    rests: dict[int, float] = {}
    for _ in range(100_000):
        while waiting and pacer.room:
            pacer.offer(waiting.pop(0))
        for target in pacer.due(now, chance.choice([None, 1, 5])):
            assert target.point not in running, "two at once"
            assert now >= rests.get(target.point, 0.0), "no pause"
            starts.append((now, target))
            running[target.point] = (now + chance.expovariate(2), target)
        if not waiting and not len(pacer) and not running:
            break
        ends = min((end for end, _ in running.values()), default=math.inf)
        soonest = pacer.next_due
        # mostly to the next event, at times a little further or not quite there, as a busy loop does
        now = max(now, min(ends, math.inf if soonest is None else soonest)) + chance.choice([0, 0, 1e-4, 0.3])
        for point, (end, target) in list(running.items()):
            if end <= now:
                del running[point]
                rests[point] = now + pause
                pacer.done(target, now)
    assert sorted(t.number for _, t in starts) == list(range(len(hosts))), "each once"
    times: dict[int | None, list[float]] = defaultdict(list)
    for moment, target in starts:
        times[None].append(moment)
        times[network_of(target)].append(moment)
    for key, moments in times.items():
        rate, burst = (network, 1) if key is not None else (overall, math.ceil((overall or 0) / 100))
        if rate is None:
            continue
        for first in range(len(moments)):
            for last in range(first, len(moments)):
                most = burst + rate * (moments[last] - moments[first]) + 1e-6
                assert last - first + 1 <= most, f"{key}: {last - first + 1} starts, {most} allowed"
