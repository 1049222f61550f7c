"""All ways of adding up come to the same, to the last study."""

from __future__ import annotations

import random
from collections.abc import Callable

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from leadapron.console.queries.overview import overview
from leadapron.watch.measure.model import CountFailed, Measurement
from leadapron.watch.reach.feeds.entries import Selection, read
from leadapron.watch.reach.statistics import history
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.exposures.days import Standing
from leadapron.watch.track.exposures.fold import fold
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.tables import days, events
from sightings import about, archive, at_least, exact
from watch_folding import Day, rejecting, save, silent, with_certificate

PORT = 11112
HOSTS = 5
LOOKS = ("exact", "more", "at-least", "about", "touch", "no-count", "refuses", "guarded", "silent", "gone", "lost", "-")


def look(number: int, how: str, size: int) -> Measurement | None:
    """What is measured at the host of that number; None where nothing is there, or nobody looked."""
    where = f"127.0.0.{number}"
    studies = 90 + number * 7 + size
    known: dict[str, Callable[[], Measurement]] = {
        "exact": lambda: archive(number, exact(studies, studies * 3)),
        "more": lambda: archive(number, exact(studies + 40, studies * 3 + 50)),
        "at-least": lambda: archive(number, at_least(studies - 20)),
        "about": lambda: archive(number, about(studies + 5)),
        "touch": lambda: structs.replace(archive(number), depth="touch"),
        "no-count": lambda: structs.replace(archive(number), count=CountFailed("nothing came in time")),
        "refuses": lambda: structs.replace(archive(number), count=CountFailed("refused", 0x0122)),
        "guarded": lambda: rejecting(where),
        "silent": lambda: silent(where),
    }
    if how not in known:
        return None
    made = known[how]()
    return with_certificate(made, f"{number % 3}a") if number % 2 and how not in ("guarded", "silent") else made


ROUND = st.tuples(
    st.lists(st.sampled_from(LOOKS), min_size=HOSTS, max_size=HOSTS),
    st.lists(st.integers(1, HOSTS), min_size=HOSTS, max_size=HOSTS),  # whose door each is
    st.integers(0, 30),
    st.integers(1, 2),
    st.sampled_from([None, "city", "land"]),
    st.booleans(),  # in two parts
)


Rounds = list[tuple[list[str], list[int], int, int, str | None, bool]]


@settings(max_examples=20, deadline=None)
@given(st.lists(ROUND, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_all_ways_of_adding_up_agree(rounds: Rounds, order: random.Random) -> None:
    engine = open_engine("sqlite://")
    live(engine, rounds)
    engine.dispose()
    late = open_engine("sqlite://")
    numbers = [number for number, _ in live(late, rounds, folding=False)]
    order.shuffle(numbers)  # an old scan may be folded after newer ones
    for number in numbers:
        fold(late, number, clock=Day(len(rounds)))
        agree(late, Day(len(rounds)).now().date().isoformat())
    late.dispose()


def test_on_either_database(engine: sa.Engine) -> None:
    drawn = random.Random(20261122)
    for day in range(4):
        looks = [drawn.choice(LOOKS[:6] if number % 2 else LOOKS) for number in range(HOSTS)]
        doors = [1, 1, 3, 3, 5]
        live(engine, [(looks, doors, drawn.randint(0, 30), 1, "city", True)], first=day)


def live(engine: sa.Engine, rounds: Rounds, *, folding: bool = True, first: int = 0) -> list[tuple[int, int]]:
    """Scans as they are drawn, each folded and looked at; their numbers and days."""
    made = []
    for day, (looks, doors, size, closed_after, campaign, in_parts) in enumerate(rounds, first):
        seen: list[Measurement] = []
        absent: dict[tuple[str, int], str] = {}
        for number, how in enumerate(looks, 1):
            one = look(number, how, size)
            if one is not None:
                seen.append(one)
            elif how in ("gone", "lost"):
                absent[f"127.0.0.{number}", PORT] = "ECONNREFUSED" if how == "gone" else "ETIMEDOUT"
        here = {one.address for one in seen}
        behind = {
            (f"127.0.0.{n}", PORT): (f"127.0.0.{door}", PORT)
            for n, door in enumerate(doors, 1)
            if f"127.0.0.{door}" in here and doors[door - 1] == door
        }
        scan_id = None
        half = len(seen) // 2 if in_parts else 0
        for some, gone in ((seen[:half], {}), (seen[half:], absent)) if half else ((seen, absent),):
            scan_id = save(engine, day, some, gone, doors=behind, campaign=campaign, scan_id=scan_id)
            if folding:
                standing = fold(engine, scan_id, closed_after=closed_after, clock=Day(day)).standing
                agree(engine, Day(day).now().date().isoformat(), standing)
        assert scan_id is not None
        made.append((scan_id, day))
    return made


def agree(engine: sa.Engine, day: str, standing: Standing | None = None) -> None:
    """What stands open now, by exposures, by days, in statistics, on the console's first page, and in feeds."""
    opened, _ = Exposures(engine).find(state="open", limit=100)
    by_archive: dict[int, list[tuple[bool, int]]] = {}
    for one in opened:
        by_archive.setdefault(one.door_of or one.id, []).append((bool(one.complete), one.studies or 0))
    studies = sum(max(some)[1] for some in by_archive.values())
    archives, servers = len(by_archive), len(opened)
    if standing is not None:
        assert (standing.studies, standing.archives, standing.open) == (studies, archives, servers)
    with engine.connect() as connection:
        newest = sa.select(sa.func.max(days.c.day)).scalar_subquery()
        query = sa.select(*(sa.func.coalesce(sa.func.sum(days.c[n]), 0) for n in ("studies", "archives", "open")))
        assert tuple(connection.execute(query.where(days.c.day == newest)).one()) == (studies, archives, servers)
        happened = sa.select(*(sa.func.coalesce(sa.func.sum(days.c[n]), 0) for n in ("opened", "reopened", "closed")))
        turns = sa.select(events.c.kind, sa.func.count()).group_by(events.c.kind)
        counted = {kind: number for kind, number in connection.execute(turns)}
        assert tuple(connection.execute(happened).one()) == tuple(
            counted.get(kind, 0) for kind in ("opened", "reopened", "closed")
        )
        shown = overview(connection)
    assert (shown.totals.studies, shown.totals.archives, shown.totals.servers) == (studies, archives, servers)
    assert sum(one.studies for one in shown.countries) == studies
    past = history.read(engine, "2026-11-01", day)
    assert (sum(one.studies for one in past.standing), len(past.standing)) == (studies, archives)
    assert (sum(past.weeks[-1].studies), past.weeks[-1].open) == (studies, archives)
    told = [entry.exposure for entry in read(engine, Selection())]
    assert {(one.id, one.studies) for one in told} == {(one.id, one.studies) for one in opened}
    assert sum(one.door_of is None for one in told) == archives
