"""Reading exposures: filters, orders, pages, history; on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from leadapron.kernel.errors import UsageError
from leadapron.watch.measure.judge import judge
from leadapron.watch.track.exposures import days as sums
from leadapron.watch.track.exposures.store import ORDERS, RANKS, Exposures
from leadapron.watch.track.tables import days, exposures
from sightings import archive, exact
from watch_folding import rejecting, round_of

PORT = 11112


@pytest.fixture
def read(engine: sa.Engine) -> Exposures:
    seen = [archive(n, exact(n * 100)) for n in range(1, 6)] + [archive(6), archive(1, exact(7), port=104)]
    round_of(engine, 0, seen, campaign="city")
    round_of(engine, 1, [archive(2, exact(250)), rejecting("127.0.0.3")], closed_after=1)
    with engine.begin() as connection:
        for number, country, operator in ((1, "DE", "Example Telecom"), (2, "FR", "100%_net"), (4, "DE", None)):
            row = exposures.update().where(exposures.c.id == number)
            connection.execute(row.values(country=country, operator=operator))
    return Exposures(engine)


def hosts(found: tuple[list[object], int]) -> list[str]:
    return [str(one).removeprefix("127.0.0.") for one in found[0]]


def test_the_largest_come_first_and_the_unknown_last(read: Exposures) -> None:
    found, number = read.find()
    assert [one.studies for one in found] == [500, 400, 300, 250, 100, 7, None]
    assert number == 7
    assert [one.studies for one in read.find(order="studies")[0]][-1] is None


def test_filters_and_pages(read: Exposures) -> None:
    assert hosts(read.find(state="closed")) == [f"3:{PORT}"]
    assert hosts(read.find(country="DE", order="id")) == [f"1:{PORT}", f"4:{PORT}"]
    assert read.find(country="")[1] == 4
    assert read.find(campaign="city")[1] == 7 and read.find(campaign="")[1] == 0
    assert read.find(product="DCMTK")[1] == 7 and read.find(product="Orthanc")[1] == 0
    everything = [read.find(order="address", limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [number for _, number in everything] == [7] * 4
    assert len({one.id for page, _ in everything for one in page}) == 7


def test_severity_means_at_least(read: Exposures) -> None:
    critical, medium = read.find(severity="critical"), read.find(severity="medium")
    assert {one.severity for one in critical[0]} == {"critical"}
    assert critical[1] == 6 and medium[1] == 7
    ranks = [RANKS[str(one.severity)] for one in read.find(order="-severity")[0]]
    assert ranks == sorted(ranks, reverse=True)
    with pytest.raises(UsageError, match="no such severity"):
        read.find(severity="terrible")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.2", [2]),
        ("127.0.0.1:104", [7]),
        ("EXAMPLE tele", [1]),
        ("100%_n", [2]),
        ("%", [2]),  # no pattern, only itself
        ("dcmtk", [1, 2, 3, 4, 5, 6, 7]),
        ("' OR 1=1 --", []),
    ],
)
def test_text_is_looked_for_as_it_stands(read: Exposures, text: str, expected: list[int]) -> None:
    assert [one.id for one in read.find(text=text, order="id")[0]] == expected


@pytest.mark.parametrize("order", [*ORDERS, "severity"])
def test_every_order_holds_both_ways(read: Exposures, order: str) -> None:
    assert len(read.find(order=order)[0]) == len(read.find(order=f"-{order}")[0]) == 7


def test_an_order_that_does_not_exist(read: Exposures) -> None:
    with pytest.raises(UsageError, match="cannot be put in that order"):
        read.find(order="marks; DROP TABLE exposures")


def test_history_sightings_and_measurement(read: Exposures) -> None:
    assert [(event.kind, event.studies) for event in read.events(2)] == [("opened", 200), ("grew", 250)]
    assert [event.kind for event in read.events(3)] == ["opened", "closed"]
    seen = read.sightings(3)
    assert [(scan, record.verdict) for scan, record in seen] == [(2, "guarded"), (1, "exposed")]
    assert read.sightings(3, 1) == seen[:1]
    measurement = read.measurement(3)
    assert judge(measurement).verdict == "exposed", "of a closed one the last that showed it open"
    everything = read.since(0)
    assert [event.id for event in everything] == sorted(event.id for event in everything)
    assert read.since(everything[-1].id) == [] and read.since(everything[-2].id) == everything[-1:]


def test_what_does_not_exist(read: Exposures) -> None:
    assert read.at("127.0.0.99", PORT) is None
    assert [one.id for one in read.some([3, 99, 1])] == [1, 3]
    for ask in (read.get, read.sightings, read.measurement):
        with pytest.raises(UsageError, match="no exposure 99"):
            ask(99)


def test_open_endpoints(read: Exposures) -> None:
    every = read.open_endpoints()
    assert ("127.0.0.3", PORT) not in every and len(every) == 6
    assert read.open_endpoints("city") == every and read.open_endpoints("village") == frozenset()


def test_sums_are_counted_again_when_countries_become_known(read: Exposures, engine: sa.Engine) -> None:
    sums.recount(engine)
    with engine.connect() as connection:
        query = sa.select(days.c.country, sa.func.sum(days.c.studies)).where(days.c.day == "2026-11-02")
        found = {country: number for country, number in connection.execute(query.group_by(days.c.country))}
    assert found == {"": 500 + 7, "DE": 100 + 400, "FR": 250}
