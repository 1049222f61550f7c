"""One server habit at a time: where it lets the count be complete, it is, to the last image; where not, it says why."""

from __future__ import annotations

import asyncio
import random
from datetime import date

import pytest
from fake_archive import FakeArchive, FixedClock, Policy, Study, some_studies

from leadapron.watch.measure.count import words
from leadapron.watch.measure.count.inquiry import Budget
from leadapron.watch.measure.count.plan import CountOutcome, count
from leadapron.watch.measure.model import Count, CountFailed, Shapes


def run(archive: FakeArchive, budget: Budget | None = None, **options: object) -> CountOutcome:
    options.setdefault("rng", random.Random(archive.seed))
    return asyncio.run(count(archive, budget, clock=FixedClock(), **options))  # type: ignore[arg-type]


def counted(archive: FakeArchive, budget: Budget | None = None) -> Count:
    result = run(archive, budget).count
    assert isinstance(result, Count)
    assert result.requests == archive.requests
    return result


COMPLETE = {
    "plain": (some_studies(1503), Policy(), 4),
    "empty": ([], Policy(), 4),
    "one": (some_studies(1), Policy(), 7),
    "small": (some_studies(37), Policy(), 4),
    "round": (some_studies(500), Policy(), 14),
    "future dates": (some_studies(90, first=date(2026, 1, 1), days=2500), Policy(), 5),
    "before 1900": (some_studies(40, first=date(1850, 1, 1), days=9000), Policy(), 14),
    "undated": (some_studies(90, undated=17), Policy(), 14),
    "all undated": (some_studies(0, undated=43), Policy(), 14),
    "nameless": (some_studies(90, nameless=9), Policy(), 5),
    "one day": (some_studies(300, days=1), Policy(), 17),
    "silent limit": (some_studies(3000), Policy(limit=500), 40),
    "silent limit, sorted": (some_studies(3000), Policy(limit=500, order="date"), 40),
    "silent limit, newest first": (some_studies(3000), Policy(limit=500, order="newest"), 40),
    "silent limit that nobody would choose": (some_studies(1100), Policy(limit=137), 60),
    "cancels at the limit": (some_studies(3000), Policy(limit=500, at_limit="cancel"), 40),
    "refuses above the limit": (some_studies(3000), Policy(limit=500, at_limit="refuse"), 60),
    "answers, then refuses": (some_studies(3000), Policy(limit=500, at_limit="refuse-late"), 60),
    "hangs up at the limit": (some_studies(3000), Policy(limit=500, at_limit="lost"), 60),
    "only the query for everything is limited": (some_studies(900), Policy(limit=100, limited="universal"), 40),
    "only ranges are limited": (some_studies(903), Policy(limit=100, limited="ranged"), 60),
    "refuses the query for everything": (some_studies(700), Policy(universal="refused"), 30),
    "nothing for the query for everything": (some_studies(700), Policy(universal="empty"), 20),
    "no open ranges": (some_studies(301), Policy(dates="no-open"), 5),
    "no closed ranges": (some_studies(301), Policy(dates="no-closed"), 7),
    "a limit within a day": (some_studies(700, days=2), Policy(limit=200), 50),
    "each row twice": (some_studies(301), Policy(repeat=2), 15),
    "a row for each file": (some_studies(60), Policy(rows_per_file=True), 15),
    "every second request fails": (some_studies(301), Policy(fails_every=2), 15),
    "every third request fails, and a limit": (some_studies(301), Policy(fails_every=3, limit=100), 45),
    "no dates in the answers": (some_studies(301), Policy(show_dates=False), 16),
    "empty dates lie in open ranges": (some_studies(301, undated=5), Policy(undated_before_all=True), 16),
    "no study counts": (some_studies(90), Policy(study_counts="missing"), 100),
    "some study counts": (some_studies(90), Policy(study_counts="some"), 70),
    "zero study counts": (some_studies(90), Policy(study_counts="zero"), 100),
    "absurd study counts": (some_studies(90), Policy(study_counts="absurd"), 100),
    "no counts anywhere": (some_studies(77), Policy(study_counts="missing", series_counts="missing"), 400),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_where_the_server_lets_it_be(name: str) -> None:
    studies, policy, at_most = COMPLETE[name]
    archive = FakeArchive(list(studies), policy)
    result = counted(archive)
    assert (result.studies, result.images, result.patients) == archive.truth
    assert (result.complete, result.method, result.note, result.interval) == (True, "exact", None, None)
    assert result.requests <= at_most


INCOMPLETE = {
    "undated behind a limit, unseen": (
        some_studies(3000, undated=17),
        Policy(limit=500, order="date", patients="refused"),
        [words.at_most(500), words.UNDATED_HIDDEN],
    ),
    "undated behind a limit, brought up by patient": (
        some_studies(3000, undated=17),
        Policy(limit=500, order="date"),
        [words.at_most(500), words.UNDATED_HIDDEN],
    ),
    "undated, as many answers as a limit": (
        some_studies(193, undated=37),
        Policy(limit=200, order="date", patients="ignored"),
        [words.ROUND],
    ),
    "undated, as many answers as a limit, found out": (
        some_studies(193, undated=37),
        Policy(limit=200, order="date"),
        [words.at_most(200), words.UNDATED_HIDDEN],
    ),
    "ignores dates": (some_studies(301), Policy(dates="ignored"), [words.IGNORES_DATES]),
    "ignores dates, and a limit": (
        some_studies(900),
        Policy(dates="ignored", limit=200),
        [words.IGNORES_DATES],
    ),
    "knows no ranges": (some_studies(301), Policy(dates="nothing"), [words.LOSSY]),
    "refuses ranges": (some_studies(301), Policy(dates="refused"), [words.BY_DATE_REFUSED]),
    "ranges without their last day": (some_studies(301), Policy(dates="exclusive"), [words.LOSSY]),
    "ranges without their last day, and a limit": (
        some_studies(1301),
        Policy(dates="exclusive", limit=200),
        [words.at_most(200), words.LOSSY],
    ),
    "a limit that changes": (some_studies(1301), Policy(limit=200, jitter=60), [words.UNDATED_HIDDEN]),
    "a day longer than the limit, times ignored": (
        some_studies(700, days=4),
        Policy(limit=100, times="ignored"),
        [words.at_most(100), words.long_days(4)],
    ),
    "one minute longer than the limit": (
        some_studies(300, days=3, same_time=True),
        Policy(limit=50),
        [words.at_most(50), words.long_days(3)],
    ),
    "more before 1900 than the limit": (
        some_studies(90, first=date(1899, 12, 1), days=25),
        Policy(limit=20, at_limit="cancel", dates="no-closed"),
        [words.at_most(20)],
    ),
    "a limit of one": (some_studies(300), Policy(limit=1), [words.at_most(1)]),
    "always ends with a warning": (some_studies(301), Policy(status=0xB000), [words.odd_status(0xB000)]),
    "dies": (some_studies(300), Policy(limit=50, dead_after=3), [words.STOPPED["silence"]]),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_not_complete_and_says_why(name: str) -> None:
    studies, policy, why = INCOMPLETE[name]
    archive = FakeArchive(list(studies), policy)
    result = counted(archive)
    studies_there, images_there, patients_there = archive.truth
    assert not result.complete and result.method == "lower-bound"
    assert 0 < result.studies <= studies_there
    assert 0 < (result.images or 0) <= images_there and 0 < (result.patients or 0) <= patients_there
    assert result.note is not None
    for sentence in why:
        assert sentence in result.note.split("; ")


def test_studies_that_dates_do_not_bring_up_are_counted_all_the_same() -> None:
    archive = FakeArchive(some_studies(3000, undated=17), Policy(limit=500, order="date"))
    result = counted(archive)
    assert (result.studies, result.images, result.patients) == archive.truth
    assert result.undated == 17 and not result.complete and result.limit == 500


@pytest.mark.parametrize(
    "policy", [Policy(grows=1.0), Policy(grows=0.5, limit=200), Policy(grows=0.5, study_counts="some")]
)
def test_studies_that_come_in_meanwhile_do_no_harm(policy: Policy) -> None:
    archive = FakeArchive(some_studies(503), policy)
    result = counted(archive)
    assert result.complete
    for number, before, after in zip(
        (result.studies, result.images, result.patients), archive.truth_at_first, archive.truth, strict=True
    ):
        assert number is not None and before <= number <= after


def test_patients_without_a_number_count_as_one() -> None:
    result = counted(FakeArchive(some_studies(200, nameless=50), Policy()))
    known = {s.patient for s in some_studies(200, nameless=50) if s.patient}
    assert result.patients == len(known) + 1


def test_no_patients_are_claimed_where_none_are_numbered() -> None:
    assert counted(FakeArchive(some_studies(20, nameless=20), Policy())).patients is None


@pytest.mark.parametrize(
    ("policy", "requests", "status"),
    [
        (Policy(refuses_all=0x0124), 1, 0x0124),
        (Policy(refuses_all=0x0122), 1, 0x0122),
        (Policy(refuses_all=0xA900), 2, 0xA900),
        (Policy(dead_after=0), 4, None),
    ],
)
def test_a_refusal_is_a_failed_count(policy: Policy, requests: int, status: int | None) -> None:
    archive = FakeArchive(some_studies(100), policy)
    outcome = run(archive)
    assert isinstance(outcome.count, CountFailed)
    assert (outcome.count.status, outcome.count.requests, archive.requests) == (status, requests, requests)
    assert outcome.count.reason in (
        "the connection was lost",
        f"the server refused the query (status {status or 0:04X}H)",
    )
    assert outcome.shapes == Shapes() and outcome.fingerprint.size == 0


@pytest.mark.parametrize("requests", [0, 1, 2, 3, 5, 9, 20, 45, 90])
@pytest.mark.parametrize(
    "policy", [Policy(limit=50), Policy(study_counts="missing"), Policy(limit=20, at_limit="refuse")]
)
def test_the_budget_is_never_exceeded(policy: Policy, requests: int) -> None:
    archive = FakeArchive(some_studies(900, undated=4), policy)
    outcome = run(archive, Budget(max_requests=requests))
    assert archive.requests <= requests
    assert outcome.count.requests == archive.requests
    if isinstance(outcome.count, Count):
        assert not outcome.count.complete and outcome.count.note


def test_the_budget_of_answers_is_held() -> None:
    archive = FakeArchive(some_studies(900), Policy())
    result = counted(archive, Budget(max_answers=250))
    assert archive.rows <= 250 and result.answers <= 250
    assert result.studies == 250 and not result.complete and result.note == words.STOPPED["answers"]


def test_the_budget_of_time_is_held() -> None:
    archive = FakeArchive(some_studies(3000), Policy(limit=100))
    result = counted(archive, Budget(seconds=12))  # the clock of the tests moves a second at each look
    assert archive.requests < 12 and words.STOPPED["time"] in (result.note or "")


def test_progress_tells_studies_so_far() -> None:
    told: list[int] = []
    run(FakeArchive(some_studies(900), Policy(limit=100)), progress=told.append)
    assert told == sorted(told) and told[0] == 100 and told[-1] == 900


def test_rows_per_file_is_a_tell() -> None:
    assert counted(FakeArchive(some_studies(30), Policy(rows_per_file=True))).tells == ("rows-per-file",)
    assert counted(FakeArchive(some_studies(30), Policy())).tells == ()


def test_shapes_come_from_one_small_question() -> None:
    archive = FakeArchive(some_studies(903), Policy())
    outcome = run(archive)
    assert outcome.shapes == Shapes(names=True, birth_dates=True, national_ids=False)
    assert archive.rows <= 2 * 903 + 10


def test_national_numbers_are_seen() -> None:
    studies = [Study(b"1.2.%d" % i, b"20200102", patient=b"%s" % n) for i, n in enumerate([b"10000000146"] * 5)]
    assert run(FakeArchive(studies)).shapes.national_ids is True


def test_two_doors_to_one_archive_have_one_fingerprint() -> None:
    from leadapron.watch.measure.count.hashes import same_archive

    front = run(FakeArchive(some_studies(900), Policy(order="date"), seed=3)).fingerprint
    back = run(FakeArchive(some_studies(900), Policy(limit=100, order="newest"), seed=4)).fingerprint
    other = run(FakeArchive(some_studies(900, seed=77), Policy())).fingerprint
    assert front == back and same_archive(front, back)
    assert not same_archive(front, other)
