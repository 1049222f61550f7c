"""Estimates: intervals cover the truth as often as they say, large archives are hardly touched, small ones counted."""

from __future__ import annotations

import asyncio
import random
from functools import cache
from typing import NamedTuple

import pytest
from big_archive import BigArchive
from fake_archive import FakeArchive, FixedClock, Policy, some_studies

from leadapron.watch.measure.count import verify, words
from leadapron.watch.measure.count.inquiry import Budget
from leadapron.watch.measure.count.plan import count
from leadapron.watch.measure.count.statistics import Sample, mean_interval, stratified, t975
from leadapron.watch.measure.model import Count

ARCHIVES = 200


def estimated(archive: BigArchive | FakeArchive, seed: int = 1, depth: str = "estimate", requests: int = 400) -> Count:
    outcome = asyncio.run(
        count(archive, Budget(max_requests=requests), clock=FixedClock(), depth=depth, rng=random.Random(seed))  # type: ignore[arg-type]
    )
    assert archive.requests <= requests
    assert isinstance(outcome.count, Count)
    return outcome.count


class Estimated(NamedTuple):
    truth: tuple[int, int]  # studies and images
    rows: int  # that were asked for
    result: Count


@cache
def census() -> list[Estimated]:
    """Two hundred archives of 20,000 to 200,000 studies over three to twenty years, each estimated once."""
    found = []
    for seed in range(ARCHIVES):
        rng = random.Random(seed)
        studies, years = int(20_000 * 10 ** rng.random()), rng.randint(3, 20)
        archive = BigArchive(studies, years, seed, counts=seed % 4 > 0)
        result = estimated(archive, seed)
        found.append(Estimated(archive.truth, archive.rows, result))
    return found


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    studies = images = 0
    for truth, _, result in census():
        assert result.interval is not None and result.interval.images is not None
        low, high = result.interval.studies
        assert low <= result.studies <= high
        studies += low <= truth[0] <= high
        low, high = result.interval.images
        images += low <= truth[1] <= high
    assert studies >= 0.9 * ARCHIVES
    assert images >= 0.88 * ARCHIVES


def test_an_estimate_is_near() -> None:
    off = sorted(abs(result.studies / truth[0] - 1) for truth, _, result in census())
    assert off[ARCHIVES // 2] < 0.12 and off[ARCHIVES * 95 // 100] < 0.35


def test_large_archives_are_hardly_touched() -> None:
    shares = sorted(rows / truth[0] for truth, rows, _ in census())
    assert shares[ARCHIVES * 95 // 100] < 0.01
    assert shares[-1] < 0.013  # archives of three years: eight days are almost that


def test_an_estimate_never_says_complete() -> None:
    for *_, result in census():
        assert (result.complete, result.method, result.patients) == (False, "estimate", None)
        assert result.note is not None and "without a date are not in the estimate" in result.note
        assert result.requests < 200


@pytest.mark.parametrize("studies", [3, 51, 300, 1_200])
def test_what_is_small_is_counted(studies: int) -> None:
    archive = FakeArchive(some_studies(studies), Policy())
    result = estimated(archive)
    assert (result.studies, result.images, result.patients) == archive.truth and result.complete


def test_days_that_cannot_be_had_whole_give_no_estimate() -> None:
    archive = FakeArchive(some_studies(8_000, days=400), Policy(limit=10))
    result = estimated(archive)
    assert result.method == "lower-bound" and result.interval is None and words.NO_ESTIMATE in (result.note or "")
    assert 0 < result.studies <= 8_000


def test_nothing_by_date_gives_no_estimate() -> None:
    result = estimated(FakeArchive(some_studies(900), Policy(dates="refused")))
    assert not result.complete and result.studies <= 900


def test_what_the_budget_does_not_reach_is_estimated() -> None:
    covered = tried = 0
    for seed in range(12):
        archive = BigArchive(90_000 + 10_000 * seed, 5 + seed, seed, limit=500)
        result = estimated(archive, seed, "count", 200)
        studies, images = archive.truth
        assert not result.complete and result.note is not None
        assert words.at_most(500) in result.note and words.STOPPED["requests"] in result.note
        assert result.method == "estimate" and result.interval is not None and result.interval.images is not None
        low, high = result.interval.studies
        covered += (low <= studies <= high) + (result.interval.images[0] <= images <= result.interval.images[1])
        tried += 2
        assert result.limit == 500
    assert covered >= 0.8 * tried


def test_too_small_a_budget_leaves_a_lower_bound() -> None:
    archive = BigArchive(90_000, 10, 1, limit=500)
    result = estimated(archive, depth="count", requests=30)
    assert result.method == "lower-bound" and result.interval is None and 500 < result.studies < archive.truth[0]


# ---- large archives are verified by spots --------------------------------------------------------------------------


def test_a_large_archive_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SPOT_FROM", 20_000)
    archive = BigArchive(21_111, 8, 3)
    result = estimated(archive, depth="count")
    assert result.complete and (result.studies, result.images) == archive.truth
    assert archive.rows < 1.02 * result.studies and result.requests < 30


def test_an_odd_limit_on_a_large_archive_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SPOT_FROM", 20_000)
    archive = BigArchive(21_111, 8, 3, limit=20_677)
    result = estimated(archive, depth="count")
    assert result.limit == 20_677 and result.studies == archive.truth[0]


# ---- the statistics below ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (10, 2.228), (30, 2.042)]
)
def test_t_is_as_in_the_tables(freedom: int, value: float) -> None:
    assert t975(freedom) == pytest.approx(value, rel=0.002)


def test_t_of_many_is_normal() -> None:
    assert t975(1e9) == pytest.approx(1.96, abs=1e-4) and t975(float("inf")) == pytest.approx(1.96, abs=1e-4)


def test_a_sample_of_all_is_no_estimate() -> None:
    assert mean_interval([3, 5, 7], 3) == (15, 15, 15)
    assert stratified([Sample(3, [3, 5, 7], 0), Sample(1, [4], 1)]).interval() == (19, 19)


def test_mean_interval_covers_skewed_sizes() -> None:
    rng = random.Random(1)
    covered = 0
    for _ in range(300):
        population = [int(rng.lognormvariate(3, 1)) + 1 for _ in range(900)]
        _, low, high = mean_interval(rng.sample(population, 60), 900)
        covered += low <= sum(population) <= high
    assert covered >= 0.9 * 300


def test_strata_of_zeros_are_not_certain() -> None:
    total = stratified([Sample(100, [10, 12, 11], 0), Sample(100, [0, 0, 0], 1)])
    sure = stratified([Sample(100, [10, 12, 11], 0)])
    assert total.value == sure.value and total.error > sure.error


def test_two_draws_that_agree_by_chance_promise_no_more_than_their_kind() -> None:
    agreeing = stratified([Sample(100, [10, 10], 0), Sample(100, [5, 15], 0)])
    assert agreeing.error > stratified([Sample(100, [10, 10], 1), Sample(100, [5, 15], 0)]).error
