"""Whose turn it is: nobody can keep the others out."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.turns import Turns

addresses = st.sampled_from(
    ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", "what?", "fe80::1%eth0"]
)


@given(st.lists(addresses | st.none(), max_size=60), st.integers(1, 8))
def test_it_is_never_fuller_than_its_size_and_loses_nobody_unsaid(steps: list[str | None], size: int) -> None:
    turns: Turns[int] = Turns(size, random.Random(0))
    inside: set[int] = set()
    for number, address in enumerate(steps):
        if address is None:
            taken = turns.take()
            assert (taken is None) == (not inside)
            inside.discard(-1 if taken is None else taken)
        else:
            gone = turns.add(address, number)
            inside.add(number)
            assert (gone is None) == (len(inside) <= size)
            inside.discard(-1 if gone is None else gone)
        assert len(turns) == len(inside) <= size
        assert set(turns.everyone()) == inside


def test_who_has_the_most_makes_room() -> None:
    turns: Turns[str] = Turns(4)
    for number in range(3):
        assert turns.add("192.0.2.1", f"flood {number}") is None
    assert turns.add("192.0.2.2", "other") is None
    assert turns.add("192.0.2.3", "third") == "flood 0"
    assert turns.add("192.0.2.1", "flood 3") == "flood 1"


def test_addresses_take_turns() -> None:
    turns: Turns[str] = Turns(100)
    for number in range(50):
        turns.add("192.0.2.1", f"flood {number}")
    turns.add("192.0.2.2", "other")
    assert "other" in (turns.take(), turns.take())


def test_who_shares_the_flooders_address_is_drawn_as_others_are() -> None:
    served = Counter[bool]()
    for seed in range(400):
        turns: Turns[str] = Turns(100, random.Random(seed))
        turns.add("192.0.2.1", "neighbour")
        for number in range(9):
            turns.add("192.0.2.1", f"flood {number}")
        served[turns.take() == "neighbour"] += 1
    assert 20 <= served[True] <= 60  # one in ten


def test_a_network_of_ipv6_counts_as_one() -> None:
    turns: Turns[str] = Turns(3)
    turns.add("2001:db8::1", "flood 1")
    turns.add("2001:db8::ffff", "flood 2")
    turns.add("::ffff:192.0.2.1", "other")
    assert turns.add("192.0.2.2", "third") == "flood 1"


def test_what_is_done_is_forgotten() -> None:
    turns: Turns[str] = Turns(2)
    turns.add("192.0.2.1", "a")
    turns.discard("192.0.2.1", "a")
    turns.discard("192.0.2.1", "a")
    turns.discard("192.0.2.9", "never")
    assert len(turns) == 0 and turns.take() is None
