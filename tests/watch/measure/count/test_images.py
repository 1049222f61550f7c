"""Images that no study-level answer counted: all where the budget reaches, else a sample, and never too many."""

from __future__ import annotations

import asyncio
import random

import pytest
from fake_archive import FakeArchive, FixedClock, Policy, Study, some_studies

from leadapron.watch.measure.count import words
from leadapron.watch.measure.count.inquiry import Budget
from leadapron.watch.measure.count.plan import count
from leadapron.watch.measure.count.query import StudyQuery
from leadapron.watch.measure.count.tally import Tally
from leadapron.watch.measure.model import Count


def counted(archive: FakeArchive, requests: int = 400) -> Count:
    outcome = asyncio.run(
        count(archive, Budget(max_requests=requests), clock=FixedClock(), rng=random.Random(archive.seed))
    )
    assert archive.requests <= requests and isinstance(outcome.count, Count)
    return outcome.count


def test_all_of_them_where_the_budget_reaches() -> None:
    archive = FakeArchive(some_studies(350), Policy(study_counts="missing"))
    result = counted(archive)
    assert result.complete and result.images == archive.truth[1] and result.requests <= 366


def test_to_the_last_image_where_no_level_counts() -> None:
    archive = FakeArchive(some_studies(80, undated=3), Policy(study_counts="missing", series_counts="missing"))
    result = counted(archive)
    assert result.complete and result.images == archive.truth[1]


def test_a_sample_where_it_does_not() -> None:
    covered = 0
    for seed in range(40):
        archive = FakeArchive(some_studies(903, seed=seed + 1), Policy(study_counts="missing"), seed=seed)
        result = counted(archive)
        assert (result.studies, result.method, result.complete) == (903, "estimate", False)
        assert result.interval is not None and result.interval.images is not None
        assert result.interval.studies == (903, 903) and result.patients == archive.truth[2]
        low, high = result.interval.images
        assert low <= (result.images or 0) <= high
        covered += low <= archive.truth[1] <= high
        assert "estimated from 60 studies of 903" in (result.note or "") and result.requests < 90
    assert covered >= 35


def test_only_what_is_missing_is_asked_for() -> None:
    archive = FakeArchive(some_studies(503), Policy(study_counts="some"))
    result = counted(archive)
    assert result.complete and result.images == archive.truth[1] and 150 < result.requests < 350


@pytest.mark.parametrize(
    "policy",
    [
        Policy(study_counts="missing", series_counts="refused"),
        Policy(study_counts="missing", series_counts="missing", image_level="refused"),
    ],
)
def test_a_server_that_will_not_say(policy: Policy) -> None:
    result = counted(FakeArchive(some_studies(103), policy))
    assert result.images is None and result.studies == 103 and result.complete
    assert result.requests < 20


def test_some_counts_and_no_way_to_the_rest() -> None:
    archive = FakeArchive(some_studies(103), Policy(study_counts="some", series_counts="refused"))
    result = counted(archive)
    assert 0 < (result.images or 0) < archive.truth[1] and not result.complete
    assert "came without a number of images" in (result.note or "")


def test_not_asked_is_not_the_same_as_not_told() -> None:
    result = counted(FakeArchive(some_studies(103), Policy(study_counts="missing")), requests=3)
    assert result.images is None and not result.complete and result.note == words.STOPPED["requests"]


@pytest.mark.parametrize("at_limit", ["silent", "cancel", "refuse", "refuse-late", "lost"])
def test_a_limit_below_study_level(at_limit: str) -> None:
    """A series of 230 images where the server gives 200 at once: nothing there can be cut in two."""
    studies = [*some_studies(30), Study(b"1.2.9", b"20200202", series=(230,))]
    policy = Policy(study_counts="missing", series_counts="missing", limit=200, limit_below=True, at_limit=at_limit)  # type: ignore[arg-type]
    archive = FakeArchive(studies, policy)
    result = counted(archive)
    assert not result.complete and result.studies == 31 and result.note
    assert (result.images or 0) < archive.truth[1]


def test_a_long_series_below_the_longest_answer_is_no_doubt() -> None:
    studies = [*some_studies(130), Study(b"1.2.9", b"20200202", series=(100,))]
    archive = FakeArchive(studies, Policy(study_counts="some", series_counts="missing"))
    result = counted(archive)
    assert result.complete and result.images == archive.truth[1]


def test_repeats_that_contradict_each_other_are_a_doubt() -> None:
    """A row for each file that counts that file alone."""

    class PerFile(FakeArchive):
        def _add(self, tally: Tally, s: Study, query: StudyQuery) -> None:
            tally.add(s.uid, s.date, b"%d" % (1 + self.rows % 3), s.patient)
            self.rows += 1

    archive = PerFile(some_studies(40), Policy(rows_per_file=True))
    result = counted(archive)
    assert not result.complete and words.CONFLICTS in (result.note or "")
    assert result.studies == 40 and (result.images or 0) <= archive.truth[1]
