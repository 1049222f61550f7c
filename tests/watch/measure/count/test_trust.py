"""What must hold whatever the server does: never complete with a wrong number, never a number above the truth."""

from __future__ import annotations

import asyncio
import random
from datetime import date

from fake_archive import FakeArchive, FixedClock, Policy, Study, some_studies
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from leadapron.watch.measure.count.inquiry import Budget
from leadapron.watch.measure.count.limits import SMALLEST_OF_ALL, like_a_limit
from leadapron.watch.measure.count.plan import CountOutcome, count
from leadapron.watch.measure.model import Count

FIRST_DAYS = [date(1899, 12, 25), date(1995, 3, 1), date(2020, 1, 1), date(2026, 11, 1), date(2026, 11, 21)]

archives = st.builds(
    some_studies,
    st.integers(0, 130),
    seed=st.integers(1, 999),
    first=st.sampled_from(FIRST_DAYS),
    days=st.sampled_from([1, 2, 3, 40, 800, 5000]),
    undated=st.sampled_from([0, 0, 1, 3, 30]),
    nameless=st.sampled_from([0, 0, 1, 20]),
    same_time=st.booleans(),
)
usual = st.sampled_from
policies = st.builds(
    Policy,
    limit=st.one_of(st.none(), st.integers(1, 60), st.sampled_from([20, 50, 100, 128])),
    at_limit=st.sampled_from(["silent", "silent", "cancel", "refuse", "refuse-late", "lost"]),
    limited=st.sampled_from(["all", "all", "all", "universal", "ranged"]),
    jitter=st.sampled_from([0, 0, 0, 1, 4]),
    order=st.sampled_from(["date", "newest", "shuffled", "undated-first"]),
    dates=st.sampled_from(["ok"] * 5 + ["ignored", "no-open", "no-closed", "exclusive", "nothing", "refused"]),
    undated_before_all=st.booleans(),
    show_dates=st.sampled_from([True, True, True, False]),
    times=st.sampled_from(["ok", "ok", "ignored", "refused", "nothing"]),
    patients=st.sampled_from(["ok", "ok", "ok", "ignored", "refused", "literal"]),
    study_counts=st.sampled_from(["ok", "ok", "ok", "missing", "some", "zero", "absurd", "text"]),
    series_counts=st.sampled_from(["ok", "missing", "refused"]),
    image_level=st.sampled_from(["ok", "ok", "refused"]),
    limit_below=st.booleans(),
    repeat=st.sampled_from([1, 1, 1, 2]),
    rows_per_file=st.sampled_from([False] * 7 + [True]),
    fails_every=st.sampled_from([0, 0, 0, 2, 3, 7]),
    universal=st.sampled_from(["ok"] * 6 + ["empty", "refused"]),
    refuses_all=st.sampled_from([0] * 12 + [0xA900, 0x0124]),
    status=st.sampled_from([0] * 8 + [0xB000]),
    grows=st.sampled_from([0, 0, 0, 0.1, 1.0]),
    dead_after=st.sampled_from([None] * 8 + [1, 6, 30]),
)


def run(archive: FakeArchive, requests: int = 400, **options: object) -> CountOutcome:
    rng = random.Random(archive.seed)
    budget = Budget(max_requests=requests)
    return asyncio.run(count(archive, budget, clock=FixedClock(), rng=rng, **options))  # type: ignore[arg-type]


def assumed_away(studies: list[Study], policy: Policy) -> bool:
    """The assumptions that docs/counting.md names: what is hidden so that no question could bring it up."""
    if policy.limit is None:
        return False
    rows = [s.images if policy.rows_per_file else policy.repeat for s in studies]
    undated = [s for s in studies if not s.day or not 1900 <= s.day // 10000 <= 2100]
    dated = [s for s in studies if s not in undated]
    hideable = undated or len({s.day for s in dated}) <= 1 or not policy.show_dates
    if not hideable or sum(rows) <= policy.limit - policy.jitter:
        return False
    nobody_would_choose_it = policy.jitter > 0 or not like_a_limit(policy.limit, SMALLEST_OF_ALL)
    coincidence = len(dated) * (sum(rows) // max(1, len(rows))) == policy.limit
    return nobody_would_choose_it or coincidence or any(not s.patient for s in studies)


def check(archive: FakeArchive, outcome: CountOutcome, requests: int) -> None:
    """``complete`` is right, what is below is below, and the budget held."""
    result = outcome.count
    assert archive.requests <= requests
    assert result.requests == archive.requests
    if not isinstance(result, Count):
        return
    low, high = archive.truth_at_first, archive.truth
    if result.method != "estimate":
        assert result.studies <= high[0]
        assert result.images is None or result.images <= high[1]
        assert result.patients is None or result.patients <= high[2]
    if result.complete:
        assert (result.method, result.note, result.interval) == ("exact", None, None)
        assert low[0] <= result.studies
        assert result.images is None or low[1] <= result.images
        assert result.patients is None or low[2] <= result.patients
    else:
        assert result.note


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(archives, policies, st.sampled_from([400, 400, 400, 60, 12, 4, 1]))
def test_complete_is_never_said_of_a_wrong_number(studies: list[Study], policy: Policy, requests: int) -> None:
    excused = assumed_away(studies, policy)
    archive = FakeArchive(studies, policy)
    outcome = run(archive, requests)
    note(f"{outcome.count} truth {archive.truth}")
    result = outcome.count
    if excused and isinstance(result, Count) and result.complete and result.studies < archive.truth_at_first[0]:
        # At most as many as a limit gives at once: once more than that has been seen, there is no excuse but one.
        assert result.studies <= (policy.limit or 0) + policy.jitter or any(not s.patient for s in studies)
        return
    if policy.universal == "empty" and isinstance(result, Count) and result.complete and not result.studies:
        return  # what is never listed to anybody who asks broadly is not counted
    if (
        isinstance(result, Count)
        and result.complete
        and policy.limit_below
        and policy.limit is not None
        and (policy.jitter or not like_a_limit(policy.limit))
        and policy.study_counts != "ok"
    ):
        return  # a limit nobody would choose, below STUDY level, where nothing can be cut in two
    check(archive, outcome, requests)
