"""Gathering a scan: tallies of everything, details of what matters, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.model import Load, Measurement
from leadapron.watch.measure.record import EndpointRecord, ExposedTotal, Summary
from leadapron.watch.report.model import Facts, Report, collect
from sightings import about, archive, exact, refusing, web

FACTS = Facts(
    number=1,
    state="done",
    targets=("127.1.0.0/24",),
    started_at="2026-11-21T20:00:00Z",
    finished_at=None,
    authorised_by=None,
    scope=None,
)
SUMMARY = Summary(256, {"exposed": 3}, 3, ExposedTotal(1, 2, 3, True), 12.3)


def gathered(measured: list[Measurement], keep: int = 100) -> Report:
    return collect(FACTS, ((m, judged(m)) for m in measured), lambda: SUMMARY, keep=keep)


def test_tallies_are_of_all_and_details_of_what_matters() -> None:
    report = gathered(
        [*(web(n) for n in range(50)), *(archive(n, exact(n)) for n in range(60, 70)), refusing(99)], keep=12
    )
    assert (report.total, report.left_out) == (61, 49)
    assert report.verdicts == {"exposed": 10, "guarded": 1, "other": 50}
    assert [point.record.verdict for point in report.endpoints] == ["exposed"] * 10 + ["guarded", "other"]
    assert report.load == Load(50 + 20 + 1, 20 + 1, 50)
    assert report.busiest == 5
    assert all(point.findings for point in report.endpoints[:10])


def test_findings_are_counted_once_an_endpoint_and_by_severity() -> None:
    report = gathered([archive(1, exact(5)), archive(2, exact(7)), archive(3), refusing(4)])
    query = report.findings[0]
    assert (query.id, query.severities, query.endpoints) == (
        "query-without-credentials",
        (("critical", 2), ("high", 1)),
        3,
    )
    assert query.title == "Anybody can list the patients and their studies"
    assert len({finding.id for finding in report.findings}) == len(report.findings)


def test_remedies_of_an_endpoint_are_each_named_once() -> None:
    (point,) = gathered([archive(1, exact(5))]).endpoints
    named = [(remedy.product, remedy.title) for remedy in point.remedies]
    assert len(named) == len(set(named)) >= 2
    assert sum(len(finding.remedies) for finding in point.findings) > len(named), "several findings share one"
    assert point.remedies[0] == point.findings[0].remedies[0]


def test_an_estimate_among_the_counts_makes_the_sum_one() -> None:
    assert not gathered([archive(1, exact(5))]).estimated
    assert gathered([archive(1, exact(5)), archive(2, about(100))]).estimated
    assert gathered([archive(1, exact(5)), archive(2, about(100))], keep=1).estimated


def test_the_summary_is_asked_for_when_all_were_read() -> None:
    read: list[int] = []

    def pairs() -> Iterator[tuple[Measurement, EndpointRecord]]:
        for n in range(3):
            read.append(n)
            yield web(n), judged(web(n))

    def summarise() -> Summary:
        assert read == [0, 1, 2]
        return SUMMARY

    assert collect(FACTS, pairs(), summarise).summary is SUMMARY
