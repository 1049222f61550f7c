from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.find.permute import GOOD, Permutation, roughness

seeds = st.integers(0, 2**63)


@given(st.integers(0, 3000), seeds)
def test_it_is_a_bijection(n: int, seed: int) -> None:
    permutation = Permutation(n, seed)
    order = list(permutation)
    assert sorted(order) == list(range(n))
    assert order == [permutation[position] for position in range(n)]
    assert len(permutation) == n


@given(st.integers(1, 2**70), seeds, st.data())
def test_it_goes_on_from_any_position(n: int, seed: int, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, n - 1))
    order = Permutation(n, seed)
    resumed = list(islice(Permutation(n, seed).walk(position), 50))
    assert resumed == [order[p] for p in range(position, min(n, position + 50))]
    assert all(0 <= item < n for item in resumed) and len(set(resumed)) == len(resumed)


def test_it_ends() -> None:
    order = Permutation(10, 1)
    assert list(order.walk(10)) == list(order.walk(99)) == []
    with pytest.raises(IndexError):
        order[10]
    with pytest.raises(ValueError):
        Permutation(-1, 1)


def test_the_seed_picks_the_order() -> None:
    orders = {tuple(islice(Permutation(10**6, seed), 20)) for seed in range(50)}
    assert len(orders) == 50
    assert Permutation(10**6, 7).stride == Permutation(10**6, 7).stride


@pytest.mark.parametrize("n", [256, 2**16, 10**6 + 3, 2**24 * 9, 2**32, 2**32 * 10, 720720])
def test_strides_are_good(n: int) -> None:
    rough = roughness(Permutation(n, 3).stride, n)
    assert rough is not None and rough <= 2 * GOOD


def test_roughness() -> None:
    assert roughness(5, 8) == 2, "5/8 = [0; 1, 1, 1, 2]"
    assert roughness(1, 100) == 100
    assert roughness(4, 8) is None


def most_in_a_window(order: Iterable[int], window: int, network: int) -> int:
    """The largest number of visits to one network (``network`` neighbours) among ``window`` successive visits."""
    inside: Counter[int] = Counter()
    visits: deque[int] = deque()
    most = 0
    for item in order:
        visits.append(item // network)
        inside[item // network] += 1
        most = max(most, inside[item // network])
        if len(visits) > window:
            inside[visits.popleft()] -= 1
    return most


@pytest.mark.parametrize(("n", "window"), [(2**16, 256), (2**16, 1024), (2**16, 4096), (2**18, 4096)])
@pytest.mark.parametrize("seed", range(3))
def test_no_network_gets_a_burst(n: int, window: int, seed: int) -> None:
    """A /24 of a /16 gets its fair share in every window and two more at the most; shuffled, it gets a multiple."""
    fair = window * 256 / n
    most = most_in_a_window(Permutation(n, seed), window, 256)
    assert most <= fair + 2
    shuffled = list(range(n))
    random.Random(seed).shuffle(shuffled)
    assert most_in_a_window(shuffled, window, 256) > most, "else the test measures nothing"


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_come_far_apart(seed: int) -> None:
    """The nine ports of one host, next to each other in the list, are never asked soon after one another."""
    hosts, ports = 5000, 9
    when = {item: position for position, item in enumerate(Permutation(hosts * ports, seed))}
    for host in range(hosts):
        times = sorted(when[host * ports + port] for port in range(ports))
        assert min(b - a for a, b in pairwise(times)) > hosts / (2 * GOOD + 2)
