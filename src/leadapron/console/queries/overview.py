"""The first page: sums over time, what opened and closed, how long a fix takes, where, whose, and on what software.

Sums over time come from ``days``, where a day on which something was folded is whole by itself. All else is summed over
the exposures that are open now, of which there are some tens of thousands at most, in as few passes as can be: rows are
wide, and reading them is what costs. Second doors to the same archive are not counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from heapq import nsmallest
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.reach.statistics import survival
from leadapron.watch.track.exposures.days import standing_archives
from leadapron.watch.track.tables import cases, days, exposures, notices, scans

TOP: Final = 10
WEEKS: Final = 53

Sums = dict[Any, list[int]]
Order = Callable[[tuple[str, list[int]]], tuple[int, int, str]]


class Totals(Struct, frozen=True):
    """What stands open now. ``servers`` counts doors, ``archives`` what is behind them."""

    servers: int
    archives: int
    studies: int
    images: int
    countries: int


class Day(Struct, frozen=True):
    day: str
    servers: int
    studies: int
    images: int


class Week(Struct, frozen=True):
    """``monday`` begins it. ``opened`` counts those that were reopened, too, and leaves out what the first round of a
    campaign found: that had stood open before anyone looked."""

    monday: str
    opened: int
    closed: int


class Share(Struct, frozen=True):
    """One bar: what is open of it, and ``part`` of all studies that are open. ``owner``: confirmed by a person."""

    name: str
    servers: int
    studies: int
    images: int
    part: float
    owner: bool = False


class Overview(Struct, frozen=True):
    as_of: str | None
    totals: Totals
    days: tuple[Day, ...]
    weeks: tuple[Week, ...]
    fix: survival.Curve
    countries: tuple[Share, ...]
    owners: tuple[Share, ...]
    archives: tuple[Share, ...]
    software: tuple[Share, ...]


def version(connection: sa.Connection) -> tuple[Any, ...]:
    """Changes whenever the overview does, and costs a few rows."""
    folded = connection.execute(sa.select(sa.func.max(scans.c.folded_at), sa.func.max(scans.c.id))).one()
    acted = connection.execute(sa.select(sa.func.count(), sa.func.max(cases.c.changed_at))).one()
    shown = connection.execute(sa.select(sa.func.max(exposures.c.id), sa.func.max(exposures.c.last_answer))).one()
    return (*folded, *acted, *shown)


def waiting(connection: sa.Connection) -> tuple[dict[str, int], int]:
    """What waits for a person: cases by state, and drafts."""
    states = connection.execute(sa.select(cases.c.state, sa.func.count()).group_by(cases.c.state)).all()
    drafts = sa.select(sa.func.count()).where(notices.c.state == "draft")
    return {state: int(count) for state, count in states}, int(connection.execute(drafts).scalar_one())


def overview(connection: sa.Connection) -> Overview:
    found = _open(connection)
    totals = _totals(connection, found)
    points, weeks = _over_time(connection)
    return Overview(
        as_of=connection.execute(sa.select(sa.func.max(scans.c.folded_at))).scalar(),
        totals=totals,
        days=points,
        weeks=weeks,
        fix=survival.curve(_spans(connection)),
        countries=_most(found.countries, totals.studies, _by_studies),
        owners=_most(found.owners, totals.studies, _by_studies, TOP, found.confirmed),
        archives=_archives(connection, totals.studies),
        software=_most(found.software, totals.studies, _by_servers, TOP),
    )


class _Open(Struct, frozen=True):
    """Archives that stand open, their studies and images, by name; '' is what is not known. ``confirmed``: the owners
    that a person named."""

    countries: Sums
    software: Sums
    owners: Sums
    confirmed: frozenset[str]


def _open(connection: sa.Connection) -> _Open:
    """All in one pass. The owner: an organisation that a person confirmed, else the network's operator, which is who
    could be asked."""
    told = _confirmed(connection)
    of = (exposures.c.id, exposures.c.country, exposures.c.product, exposures.c.operator)
    full = standing_archives()
    query = sa.select(*of, full.c.studies, full.c.images).join(full, full.c.first == exposures.c.id)
    places: Sums = {}
    owners: Sums = {}
    for number, country, product, operator, studies, images in connection.execute(query):
        for sums, name in ((places, (country, product)), (owners, told.get(number) or operator or "")):
            kept = sums.get(name)
            if kept is None:
                kept = sums[name] = [0, 0, 0]
            kept[0] += 1
            kept[1] += studies or 0
            kept[2] += images or 0
    countries: Sums = {}
    software: Sums = {}
    for (country, product), more in places.items():
        for sums, name in ((countries, country or ""), (software, product or "")):
            sums[name] = [a + b for a, b in zip(sums.get(name, (0, 0, 0)), more, strict=True)]
    owners.pop("", None)
    return _Open(countries, software, owners, frozenset(told.values()))


def _confirmed(connection: sa.Connection) -> dict[int, str]:
    """Owners that a person named, by exposure."""
    query = sa.select(cases.c.exposure_id, cases.c.owner).where(cases.c.owner.is_not(None))
    named = ((number, _organisation(text)) for number, text in connection.execute(query))
    return {number: name for number, name in named if name}


def _totals(connection: sa.Connection, found: _Open) -> Totals:
    doors = sa.select(sa.func.count()).where(exposures.c.state == "open")
    archives, studies, images = (sum(kept[place] for kept in found.countries.values()) for place in range(3))
    countries = sum(bool(name) for name in found.countries)
    return Totals(int(connection.execute(doors).scalar_one()), archives, studies, images, countries)


def _over_time(connection: sa.Connection) -> tuple[tuple[Day, ...], tuple[Week, ...]]:
    sums = (days.c.open, days.c.studies, days.c.images, days.c.opened + days.c.reopened, days.c.closed)
    query = sa.select(days.c.day, days.c.campaign, *(sa.func.sum(one) for one in sums))
    query = query.group_by(days.c.day, days.c.campaign).order_by(days.c.day)
    totals: dict[str, list[int]] = {}
    happened: dict[str, list[int]] = {}
    began: dict[str, str] = {}
    for day, campaign, servers, studies, images, opened, closed in connection.execute(query):
        first = began.setdefault(campaign, day) == day
        for kept, more in (
            (totals.setdefault(day, [0, 0, 0]), (servers, studies, images)),
            (happened.setdefault(day, [0, 0]), (0 if first else opened, closed)),
        ):
            for place, value in enumerate(more):
                kept[place] += int(value)
    return tuple(Day(day, *kept) for day, kept in totals.items()), _weeks(happened)


def _weeks(by_day: dict[str, list[int]]) -> tuple[Week, ...]:
    """The last year's, those in which nothing happened among them."""
    found: dict[date, list[int]] = {}
    for day, (opened, closed) in by_day.items():
        when = date.fromisoformat(day)
        kept = found.setdefault(when - timedelta(days=when.weekday()), [0, 0])
        kept[0] += opened
        kept[1] += closed
    if not found:
        return ()
    last = max(found)
    first = max(min(found), last - timedelta(weeks=WEEKS - 1))
    mondays = (first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1))
    return tuple(Week(monday.isoformat(), *found.get(monday, (0, 0))) for monday in mondays)


def _spans(connection: sa.Connection) -> Iterable[tuple[int, bool, int]]:
    """Days between opened and closed, or last seen open, with how many servers have the same. One that moved is not
    closed by that."""
    began = sa.func.substr(exposures.c.opened_at, 1, 10)
    ended = sa.func.substr(sa.func.coalesce(exposures.c.closed_at, exposures.c.last_open), 1, 10)
    closed = sa.and_(exposures.c.state == "closed", exposures.c.moved_to.is_(None)).label("closed")
    query = sa.select(began, ended, closed, sa.func.count()).where(exposures.c.door_of.is_(None))
    for first, last, fixed, count in connection.execute(query.group_by(began, ended, closed)):
        yield (date.fromisoformat(last) - date.fromisoformat(first)).days, bool(fixed), count


def _by_studies(one: tuple[str, list[int]]) -> tuple[int, int, str]:
    return -one[1][1], -one[1][0], one[0]


def _by_servers(one: tuple[str, list[int]]) -> tuple[int, int, str]:
    return -one[1][0], -one[1][1], one[0]


def _most(
    sums: Sums, of: int, order: Order, most: int | None = None, owners: frozenset[str] = frozenset()
) -> tuple[Share, ...]:
    first = sorted(sums.items(), key=order) if most is None else nsmallest(most, sums.items(), key=order)
    return tuple(_share(name, kept[0], kept[1], kept[2], of, name in owners) for name, kept in first)


def _share(name: str, servers: int, exams: int, images: int, of: int, owner: bool = False) -> Share:
    return Share(name, int(servers), int(exams), int(images), exams / of if of else 0.0, owner)


class _Owner(Struct, frozen=True):
    organisation: str | None = None


_owner = msgspec.json.Decoder(_Owner)


def _organisation(text: str) -> str | None:
    try:
        return _owner.decode(text).organisation
    except msgspec.DecodeError:
        return None


def _archives(connection: sa.Connection, studies: int) -> tuple[Share, ...]:
    """The largest single archives."""
    full = standing_archives()
    query = sa.select(full.c.first, full.c.studies, full.c.images).where(full.c.studies.is_not(None))
    rows = connection.execute(query.order_by(full.c.studies.desc(), full.c.first).limit(TOP)).all()
    return tuple(_share(str(number), 1, exams, images or 0, studies) for number, exams, images in rows)
