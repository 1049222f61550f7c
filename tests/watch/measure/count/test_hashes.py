"""Distinct hashes: exact in either form, an honest estimate beyond, memory paid for, and the same archive told."""

from __future__ import annotations

import gc
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadapron.watch.measure.count.hashes import SET_LIMIT, SKETCH, Fingerprint, Hashes, Memory, same_archive
from leadapron.watch.measure.count.hashing import BlakeHash, KeyedHash, keyed_hash
from leadapron.watch.measure.count.hyperloglog import HyperLogLog

numbers = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), max_size=60)


def many(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64 - 1, n, dtype=np.uint64, endpoint=True)


@given(st.lists(st.tuples(st.sampled_from(["add", "update", "absorb", "merge", "admit"]), numbers), max_size=8))
@settings(deadline=None, max_examples=60)
@pytest.mark.parametrize("limit", [5, 30, 10_000])
def test_a_collection_is_a_set(limit: int, steps: list[tuple[str, list[int]]]) -> None:
    collection, truth = Hashes(limit=limit), set[int]()
    for how, items in steps:
        if how == "add":
            for item in items:
                collection.add(item)
        elif how == "update":
            collection.update(items)
        elif how == "absorb":
            collection.absorb(np.array(items, dtype=np.uint64))
        elif how == "merge":
            collection.merge(Hashes(items))
        elif not collection.admit(items):
            collection.update(items)
        truth.update(items)
    if len(truth) <= limit:
        assert collection.exact
    if collection.exact:
        assert len(collection) == len(truth) and bool(collection) == bool(truth)
        assert all(item in collection for item in truth) and (7777777 in collection) == (7777777 in truth)
        print_ = collection.fingerprint()
        assert print_ == Fingerprint(len(truth), sum(truth) % 2**64, tuple(sorted(truth)[:SKETCH]))


@given(numbers, numbers, numbers, st.booleans(), st.booleans())
@settings(deadline=None)
def test_what_is_missing(a: list[int], b: list[int], c: list[int], large_a: bool, large_b: bool) -> None:
    """In any mixture of small and large collections."""
    filler = [*range(10**6, 10**6 + SET_LIMIT + 1)]
    mine, others = Hashes(a), Hashes(b)
    if large_a:
        mine.absorb(np.array(filler, dtype=np.uint64))
        others.absorb(np.array(filler[:9], dtype=np.uint64))
    if large_b:
        others.absorb(np.array(filler, dtype=np.uint64))
    expected = set(a) | set(filler if large_a else ())
    expected -= set(b) | set(filler if large_b else filler[:9] if large_a else ()) | set(c)
    assert mine.missing_from(others, Hashes(c)) == len(expected)


@pytest.mark.parametrize("n", [SET_LIMIT - 1, SET_LIMIT, 5_000, 70_000])
def test_large_collections_stay_exact(n: int) -> None:
    values = many(n)
    one_by_one, at_once = Hashes(values.tolist()), Hashes()
    at_once.absorb(values)
    half = Hashes(values[: n // 2].tolist())
    half.merge(Hashes(values[n // 3 :].tolist()))
    assert len(one_by_one) == len(at_once) == len(half) == n
    assert one_by_one.fingerprint() == at_once.fingerprint() == half.fingerprint()
    assert one_by_one.missing_from(at_once) == 0 and at_once.missing_from(Hashes(values[:100].tolist())) == n - 100


def test_beyond_the_limit_it_is_an_estimate_and_says_so() -> None:
    collection = Hashes(limit=20_000)
    values = many(200_000)
    for start in range(0, len(values), 5_000):
        collection.absorb(values[start : start + 5_000])
        collection.absorb(values[start : start + 5_000])
    assert not collection.exact and 0 < collection.relative_error < 0.005
    assert abs(len(collection) / 200_000 - 1) < 0.02
    assert collection.missing_from(Hashes()) == 0 and int(values[0]) not in collection
    print_ = collection.fingerprint()
    assert print_.total is None and print_.smallest == tuple(sorted(values.tolist())[:SKETCH])


def test_an_estimate_swallows_what_is_merged_with_it() -> None:
    exact, rough = Hashes(many(3_000).tolist()), Hashes(limit=100)
    rough.absorb(many(50_000, seed=2))
    exact.merge(rough)
    assert not exact.exact and abs(len(exact) / 53_000 - 1) < 0.03


@pytest.mark.parametrize("p", [12, 16])
def test_hyperloglog_is_as_good_as_it_says(p: int) -> None:
    for n in (10, 1_000, 20_000, 300_000):
        errors = []
        for seed in range(8):
            log = HyperLogLog(p)
            log.update(many(n, seed))
            errors.append(log.estimate() / n - 1)
        assert (sum(e * e for e in errors) / 8) ** 0.5 < 2 * log.relative_error


def test_a_coarser_hyperloglog_decides() -> None:
    fine, coarse, direct = HyperLogLog(16), HyperLogLog(12), HyperLogLog(12)
    fine.update(many(30_000))
    coarse.update(many(30_000, 2))
    direct.update(many(30_000))
    direct.update(many(30_000, 2))
    fine.merge(coarse)
    assert fine.p == 12 and (fine.registers == direct.registers).all()


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_memory_is_paid_for_and_given_back() -> None:
    purse = Memory(1_000_000)
    collections = [Hashes(many(5_000, seed).tolist(), memory=purse) for seed in range(5)]
    assert 0 < purse.taken <= purse.octets
    assert all(c.exact for c in collections)
    del collections
    gc.collect()
    assert purse.taken == 0


def test_with_an_empty_purse_it_goes_on_with_little() -> None:
    purse = Memory(200_000)
    collections = [Hashes(many(30_000, seed).tolist(), memory=purse) for seed in range(10)]
    assert purse.taken <= purse.octets
    assert not any(c.exact for c in collections[2:])
    assert all(abs(len(c) / 30_000 - 1) < 0.08 for c in collections)


# ---- the same archive ------------------------------------------------------------------------------------------------


def prints(values: np.ndarray) -> Fingerprint:
    collection = Hashes()
    collection.absorb(values)
    return collection.fingerprint()


def test_same_archive() -> None:
    values = many(40_000)
    whole = prints(values)
    assert same_archive(whole, prints(np.random.default_rng(5).permutation(values)))
    assert same_archive(whole, prints(values[:-300]))  # a few came in between the two visits
    assert not same_archive(whole, prints(many(40_000, 2)))
    assert not same_archive(whole, prints(values[:15_000]))
    assert same_archive(whole, prints(values[:500]), partial=True)
    assert same_archive(prints(values[:500]), whole, partial=True)
    assert not same_archive(whole, prints(many(500, 2)), partial=True)
    assert not same_archive(whole, prints(values[:0])) and not same_archive(prints(values[:0]), prints(values[:0]))


def test_small_archives_are_compared_whole() -> None:
    assert same_archive(prints(many(9)), prints(many(9)[:8]))
    assert not same_archive(prints(many(9)), prints(many(9)[:5]))
    assert not same_archive(
        prints(np.concatenate((many(9), many(9, 2)))), prints(np.concatenate((many(9), many(9, 3))))
    )


# ---- the hash --------------------------------------------------------------------------------------------------------


def test_hashes_need_the_salt() -> None:
    one, other = keyed_hash(), keyed_hash()
    assert one(b"1.2.840.1") == one(b"1.2.840.1") != other(b"1.2.840.1")
    assert all(0 <= one(b"%d" % i) < 2**64 for i in range(100))
    with pytest.raises(ValueError, match="16"):
        keyed_hash(b"short")


@pytest.mark.parametrize("kind", [KeyedHash, BlakeHash])
def test_many_is_one_by_one(kind: type[KeyedHash]) -> None:
    function = kind(b"sixteen octets!!")
    values = [b"", b"1.2.3", b"x" * 100]
    assert function.many(values) == [function(v) for v in values]


def test_hashes_are_spread() -> None:
    function = keyed_hash(random.Random(1).randbytes(16))
    assert abs(np.mean([function(b"1.2.840.%d" % i) / 2**64 for i in range(20_000)]) - 0.5) < 0.02
