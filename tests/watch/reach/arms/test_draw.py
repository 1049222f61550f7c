"""Drawing arms: the same each time, balanced in each block, and no pattern between factors."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.reach.arms.factors import ARMS, FACTORS, REPEATS, arms_of, draw

SENDERS = ("university", "cert", "press")
seeds = st.integers(-(2**63), 2**63 - 1)
numbers = st.integers(0, 10**9)


@given(seeds, numbers)
def test_the_same_each_time(seed: int, number: int) -> None:
    factors = arms_of(FACTORS, SENDERS)
    first = draw(number, factors, seed)
    assert first == draw(number, dict(reversed(factors.items())), seed)
    assert first == draw(number, arms_of(FACTORS, SENDERS[::-1]), seed)
    assert {factor: first[factor] for factor in ("medium",)} == draw(number, arms_of(["medium"], ()), seed)


@given(seeds, st.integers(0, 10**6), st.sampled_from(FACTORS))
def test_each_block_is_balanced(seed: int, block: int, factor: str) -> None:
    arms = arms_of([factor], SENDERS)
    size = len(arms[factor]) * REPEATS
    drawn = [draw(block * size + place, arms, seed)[factor] for place in range(size)]
    assert Counter(drawn) == dict.fromkeys(arms[factor], REPEATS)


@given(seeds, st.integers(0, 1000))
def test_at_any_moment_arms_differ_by_no_more_than_half_a_block(seed: int, cases: int) -> None:
    arms = arms_of(["medium"], ())
    counts = Counter(draw(number, arms, seed)["medium"] for number in range(min(cases, 60)))
    assert abs(counts["letter"] - counts["email"]) <= REPEATS


def test_factors_are_drawn_apart_and_seeds_differ() -> None:
    arms = {factor: ARMS[factor] for factor in ("framing", "medium")}
    drawn = [draw(number, arms, 1) for number in range(2000)]
    pairs = Counter((one["framing"], one["medium"]) for one in drawn)
    assert len(pairs) == 4 and all(400 < number < 600 for number in pairs.values())
    assert drawn != [draw(number, arms, 2) for number in range(2000)]
