"""What was open when, read from exposures, their events and their counts: the raw material, which is not published.

Events tell what opened and closed. How many studies there were is read from the sightings: an event says that they
became more or fewer only where that is certain, and a lower bound, an estimate, or the first count after a mere touch
change what is known without one.

Everything is counted by archive. One that stands open at several doors is one: open while any door is, with the count
that says most, in the place of the first. Free text of strangers ends here: products are those of our own table,
countries two letters, networks one of a few kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.measure.software import products
from leadapron.watch.reach.statistics.networks import kind_of
from leadapron.watch.track.database import failures
from leadapron.watch.track.exposures.model import OPEN_VERDICTS
from leadapron.watch.track.tables import events, exposures, scans, sightings

UNKNOWN: Final = "not known"
OTHER_SOFTWARE: Final = "other software"
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


Count = tuple[bool, int, int]
"""Whether it is complete, studies, images: of two counts of one archive the larger one says more."""
_NONE: Final[Count] = (False, 0, 0)


class Archive(Struct):
    """One archive, as it stands while events are gone through. ``doors``: open ones, with what was counted there."""

    country: str
    product: str
    network: str
    doors: dict[int, Count]
    since: str | None = None

    @property
    def studies(self) -> int:
        return max(self.doors.values(), default=_NONE)[1]

    @property
    def images(self) -> int:
        return max(self.doors.values(), default=_NONE)[2]


class Week(Struct, frozen=True):
    """``end``: its last day; the amounts of each archive that was open at its end, and by how much each that changed
    since the week before is more or less."""

    end: str
    open: int
    opened: int
    closed: int
    studies: tuple[int, ...]
    images: tuple[int, ...]
    studies_moved: tuple[int, ...] = ()
    images_moved: tuple[int, ...] = ()


class History(Struct, frozen=True):
    """``standing``: archives that are open at the end; ``spans``: days open, whether closed then, how many."""

    first: str
    last: str
    standing: tuple[Archive, ...]
    weeks: tuple[Week, ...]
    spans: tuple[tuple[int, bool, int], ...]


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(product.name for product in products())


def read(engine: sa.Engine, first: str, last: str) -> History:
    """From the day ``first`` to the end of the day ``last`` (2026-11-21). Episodes are those that began within."""
    end = f"{last}T23:59:59Z"
    archives, archive_of = _archives(engine)
    spans: dict[tuple[int, bool], int] = {}
    weeks: list[Week] = []
    opened = closed = 0
    ends = _sundays(first, last)
    week_end = next(ends)
    before: dict[int, tuple[int, int]] | None = None

    def finish() -> None:
        nonlocal opened, closed, before
        now = {key: (one.studies, one.images) for key, one in archives.items() if one.doors}
        amounts = tuple(studies for studies, _ in now.values()), tuple(images for _, images in now.values())
        weeks.append(Week(week_end, len(now), opened, closed, *amounts, *_moved(before, now)))
        before = now
        opened = closed = 0

    def episode(archive: Archive, until: str, fixed: bool) -> None:
        if archive.since is not None and archive.since[:10] >= first:
            key = (_days(archive.since, until), fixed)
            spans[key] = spans.get(key, 0) + 1
        archive.since = None

    counted: dict[int, Count] = {}  # last
    for id, at, kind, studies, images, complete, other in _happened(engine, end):
        day = at[:10]
        while day > week_end:
            finish()
            week_end = next(ends)
        archive = archives[archive_of[id]]
        if kind == "counted":
            counted[id] = bool(complete), studies or 0, images or 0
            if id in archive.doors:
                archive.doors[id] = counted[id]
            continue
        known = counted.get(id, _NONE)  # an event has the numbers of the count, not what they are worth
        count = known if known[1:] == (studies or 0, images or 0) else (False, studies or 0, images or 0)
        if kind == "moved" and other is not None:  # stands open all the time, only elsewhere
            left = archives[archive_of[other]]
            left.doors.pop(other, None)
            archive.doors[id] = count
            if not left.doors and left is not archive:
                archive.since, left.since = archive.since or left.since, None
        elif kind == "closed":
            stood = bool(archive.doors)
            archive.doors.pop(id, None)
            if stood and not archive.doors:
                closed += day >= first
                episode(archive, at, True)
        else:
            if not archive.doors:
                opened += day >= first
                archive.since = at
            archive.doors[id] = count
    while True:
        finish()
        following = next(ends, None)
        if following is None:
            break
        week_end = following
    standing = tuple(archive for archive in archives.values() if archive.doors)
    for archive in standing:
        episode(archive, end, False)
    return History(first, last, standing, tuple(weeks), tuple((d, f, n) for (d, f), n in sorted(spans.items())))


def _moved(
    before: dict[int, tuple[int, int]] | None, now: dict[int, tuple[int, int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How far each archive's studies and images went from one week to the next. Of the first week nothing is told."""
    if before is None:
        return (), ()
    keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    pairs = [(before.get(key, (0, 0)), now.get(key, (0, 0))) for key in keys]
    return tuple(abs(b[0] - a[0]) for a, b in pairs), tuple(abs(b[1] - a[1]) for a, b in pairs)


def earliest(engine: sa.Engine) -> str | None:
    """The day of the first event."""
    with failures(engine), engine.connect() as connection:
        at = connection.execute(sa.select(sa.func.min(events.c.at))).scalar()
    return None if at is None else str(at)[:10]


def _archives(engine: sa.Engine) -> tuple[dict[int, Archive], dict[int, int]]:
    """The archives by their first door, and for each exposure which that is."""
    columns = ("id", "door_of", "country", "product", "operator")
    with failures(engine), engine.connect() as connection:
        rows = connection.execute(sa.select(*(exposures.c[name] for name in columns)).order_by(exposures.c.id)).all()
    archive_of = {row.id: row.door_of or row.id for row in rows}
    archives = {
        row.id: Archive(
            row.country if _COUNTRY.fullmatch(row.country or "") else UNKNOWN,
            row.product if row.product in _known() else OTHER_SOFTWARE if row.product else UNKNOWN,
            kind_of(row.operator),
            {},
        )
        for row in rows
        if row.door_of is None
    }
    return archives, archive_of


Happened = tuple[int, str, str, int | None, int | None, bool | None, int | None]


def _happened(engine: sa.Engine, end: str) -> Iterator[Happened]:
    """Exposure, time, kind, studies, images, whether they are complete, and of a move where it was before; in order of
    time. The kind ``counted`` is an exposure's count in a scan, as far as that is folded; only of that it is known
    whether it is complete."""
    names = ("exposure_id", "at", "kind", "studies", "images")
    unknown = sa.cast(sa.null(), sightings.c.complete.type)
    happened = sa.select(
        *(events.c[name] for name in names), unknown, events.c.other_id, sa.literal(0).label("then"), events.c.id
    )
    there = sa.and_(exposures.c.address == sightings.c.address, exposures.c.port == sightings.c.port)
    seen = (exposures.c.id, sightings.c.observed_at, sa.literal("counted"), sightings.c.studies, sightings.c.images)
    counted = (
        sa.select(*seen, sightings.c.complete, sa.null(), sa.literal(1), sightings.c.id)
        .join_from(sightings, scans, sightings.c.scan_id == scans.c.id)
        .join(exposures, there)
        .where(sightings.c.studies.is_not(None), sightings.c.observed_at <= end)
        .where(sightings.c.verdict.in_(OPEN_VERDICTS), sightings.c.id <= scans.c.folded_sighting)
    )
    query = sa.union_all(happened.where(events.c.at <= end), counted).order_by("at", "then", "id")
    with failures(engine), engine.connect() as connection:
        for row in connection.execution_options(yield_per=5000).execute(query):
            yield tuple(row[:-2])


def _sundays(first: str, last: str) -> Iterator[str]:
    """The last day of each week (ISO 8601: Sunday) from ``first`` on; the last one is ``last`` itself."""
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    day += timedelta(days=6 - day.weekday())
    while day < end:
        yield day.isoformat()
        day += timedelta(days=7)
    yield last


def _days(begun: str, ended: str) -> int:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).days
