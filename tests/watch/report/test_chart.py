"""The chart's geometry: where marks stand, and when the axis is logarithmic."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from leadapron.watch.measure.judge import record as judged
from leadapron.watch.report.chart import BARS, short, studies_chart
from sightings import about, archive, at_least, exact, refusing


def records(*studies: int) -> list:  # type: ignore[type-arg]
    return [judged(archive(n, exact(value))) for n, value in enumerate(studies)]


def test_alike_archives_have_bars_from_nought() -> None:
    chart = studies_chart(records(402, 1503, 800))
    assert chart is not None and chart.factor is None
    assert [(bar.shown, bar.at) for bar in chart.bars] == [("1,503", 75.15), ("800", 40.0), ("402", 20.1)]
    assert [(tick.at, tick.label) for tick in chart.ticks] == [
        (0, "0"),
        (25, "500"),
        (50, "1 k"),
        (75, "1.5 k"),
        (100, "2 k"),
    ]


def test_a_heavy_tail_has_a_logarithmic_axis() -> None:
    chart = studies_chart(records(10, 1000, 100000, 316))
    assert chart is not None and chart.factor == 10
    assert [(bar.shown, bar.at) for bar in chart.bars] == [("100,000", 100), ("1,000", 50), ("316", 37.49), ("10", 0)]
    assert [tick.label for tick in chart.ticks] == ["10", "100", "1 k", "10 k", "100 k"]


def test_ticks_stay_few_over_many_decades() -> None:
    chart = studies_chart(records(1, 30_000_000))
    assert chart is not None and chart.factor == 100
    assert [tick.label for tick in chart.ticks] == ["1", "100", "10 k", "1 M", "100 M"]


@pytest.mark.parametrize("studies", [(1,), (1, 1), (0, 5), (49, 1), (50, 1), (7, 999, 123456789), (0,), (0, 0)])
def test_every_mark_stands_in_the_chart(studies: tuple[int, ...]) -> None:
    found = [judged(archive(n, exact(1))) for n in range(len(studies))]
    found = [replace(r, exposed=replace(r.exposed, studies=s)) for r, s in zip(found, studies, strict=True)]
    chart = studies_chart(found)
    assert chart is not None
    assert all(0 <= mark.at <= 100 for mark in (*chart.bars, *chart.ticks))
    assert [tick.at for tick in chart.ticks] == sorted({tick.at for tick in chart.ticks})
    assert len(chart.ticks) >= 2


def test_what_is_not_sure_is_drawn_so() -> None:
    chart = studies_chart(
        [judged(m) for m in (archive(1, exact(100)), archive(2, about(90)), archive(3, at_least(80)))]
    )
    assert chart is not None
    exactly, estimated, bound = chart.bars
    assert (exactly.kind, exactly.low, exactly.shown) == ("exact", None, "100")
    assert (estimated.kind, estimated.shown) == ("estimate", "≈ 90")
    assert estimated.low is not None and estimated.high is not None and estimated.low < estimated.at < estimated.high
    assert (bound.kind, bound.shown) == ("lower-bound", "≥ 80")


def test_only_exposed_servers_are_drawn_and_the_rest_is_counted() -> None:
    assert studies_chart([judged(refusing(1)), judged(archive(2))]) is None
    chart = studies_chart(records(*range(1, BARS + 8)))
    assert chart is not None
    assert len(chart.bars) == BARS
    assert (chart.others, chart.other_studies) == (7, sum(range(1, 8)))


@pytest.mark.parametrize(
    ("value", "said"), [(0, "0"), (950, "950"), (1500, "1.5 k"), (20000, "20 k"), (35_000_000, "35 M"), (10**9, "1 G")]
)
def test_short_numbers(value: int, said: str) -> None:
    assert short(value) == said
