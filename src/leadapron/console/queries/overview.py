"""The first page: sums over time, what opened and closed, how long a fix takes, where, whose, and on what software.

Sums over time come from ``days``, where each row is what stood open in one country of one campaign at the end of a day
on which that campaign was folded; between two such days the last one holds. All else is summed over the exposures that
are open now, of which there are some tens of thousands at most. Second doors to the same archive are not counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.reach.statistics import survival
from leadapron.watch.track.tables import cases, days, exposures, notices, scans

TOP: Final = 10
WEEKS: Final = 53
_OPEN: Final = sa.and_(exposures.c.state == "open", exposures.c.door_of.is_(None))


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
    waiting: dict[str, int]
    drafts: int


def version(connection: sa.Connection) -> tuple[Any, ...]:
    """Changes whenever the overview does, and costs a few rows."""
    folded = connection.execute(sa.select(sa.func.max(scans.c.folded_at), sa.func.max(scans.c.id))).one()
    acted = connection.execute(sa.select(sa.func.count(), sa.func.max(cases.c.changed_at))).one()
    told = connection.execute(sa.select(sa.func.count()).where(notices.c.state == "draft")).scalar_one()
    shown = connection.execute(sa.select(sa.func.max(exposures.c.id), sa.func.max(exposures.c.last_answer))).one()
    return (*folded, *acted, told, *shown)


def overview(connection: sa.Connection) -> Overview:
    totals = _totals(connection)
    points, weeks = _over_time(connection)
    states = connection.execute(sa.select(cases.c.state, sa.func.count()).group_by(cases.c.state)).all()
    drafts = sa.select(sa.func.count()).where(notices.c.state == "draft")
    return Overview(
        as_of=connection.execute(sa.select(sa.func.max(scans.c.folded_at))).scalar(),
        totals=totals,
        days=points,
        weeks=weeks,
        fix=survival.curve(_spans(connection)),
        countries=_shares(connection, exposures.c.country, totals.studies, None),
        owners=_owners(connection, totals.studies),
        archives=_archives(connection, totals.studies),
        software=_shares(connection, exposures.c.product, totals.studies, TOP),
        waiting={state: count for state, count in states},
        drafts=int(connection.execute(drafts).scalar_one()),
    )


def _totals(connection: sa.Connection) -> Totals:
    doors = sa.select(sa.func.count()).where(exposures.c.state == "open")
    summed = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(exposures.c.studies), 0),
        sa.func.coalesce(sa.func.sum(exposures.c.images), 0),
        sa.func.count(exposures.c.country.distinct()),
    ).where(_OPEN)
    archives, studies, images, countries = connection.execute(summed).one()
    servers = connection.execute(doors).scalar_one()
    return Totals(int(servers), int(archives), int(studies), int(images), int(countries))


def _over_time(connection: sa.Connection) -> tuple[tuple[Day, ...], tuple[Week, ...]]:
    """One pass over ``days``: the last row of each country and campaign holds until its next."""
    columns = (days.c.day, days.c.country, days.c.campaign, days.c.open, days.c.studies, days.c.images)
    query = sa.select(*columns, days.c.opened + days.c.reopened, days.c.closed).order_by(days.c.day)
    held: dict[tuple[str, str], tuple[int, int, int]] = {}
    servers = studies = images = 0
    points: list[Day] = []
    weeks: dict[str, list[int]] = {}
    began: dict[str, str] = {}
    last = ""
    for day, country, campaign, count, exams, pictures, opened, closed in connection.execute(query):
        if day != last and last:
            points.append(Day(last, servers, studies, images))
        last = day
        first = began.setdefault(campaign, day) == day
        before = held.get((country, campaign), (0, 0, 0))
        held[country, campaign] = (count, exams, pictures)
        servers += count - before[0]
        studies += exams - before[1]
        images += pictures - before[2]
        week = weeks.setdefault(day, [0, 0])
        week[0] += 0 if first else opened
        week[1] += closed
    if last:
        points.append(Day(last, servers, studies, images))
    return tuple(points), _weeks(weeks)


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
    """Days between opened and closed, or last seen open, with how many servers have the same."""
    began = sa.func.substr(exposures.c.opened_at, 1, 10)
    ended = sa.func.substr(sa.func.coalesce(exposures.c.closed_at, exposures.c.last_open), 1, 10)
    query = sa.select(began, ended, exposures.c.state, sa.func.count()).where(exposures.c.door_of.is_(None))
    for first, last, state, count in connection.execute(query.group_by(began, ended, exposures.c.state)):
        yield (date.fromisoformat(last) - date.fromisoformat(first)).days, state == "closed", count


def _shares(
    connection: sa.Connection, column: sa.ColumnElement[Any], studies: int, most: int | None
) -> tuple[Share, ...]:
    """Open exposures by a column, the most studies first; '' where it is not known."""
    name = sa.func.coalesce(column, "")
    summed = sa.func.coalesce(sa.func.sum(exposures.c.studies), 0)
    query = sa.select(name, sa.func.count(), summed, sa.func.coalesce(sa.func.sum(exposures.c.images), 0))
    query = query.where(_OPEN).group_by(name).order_by(summed.desc(), sa.func.count().desc(), name)
    rows = connection.execute(query if most is None else query.limit(most)).all()
    return tuple(_share(one, servers, exams, pictures, studies) for one, servers, exams, pictures in rows)


def _share(name: str, servers: int, exams: int, images: int, of: int, owner: bool = False) -> Share:
    return Share(name, int(servers), int(exams), int(images), exams / of if of else 0.0, owner)


class _Owner(Struct, frozen=True):
    organisation: str | None = None


_owner = msgspec.json.Decoder(_Owner)


def _owners(connection: sa.Connection, studies: int) -> tuple[Share, ...]:
    """Organisations that a person confirmed; else the network's operator, which is who could be asked."""
    told: dict[int, str] = {}
    for exposure, text in connection.execute(sa.select(cases.c.exposure_id, cases.c.owner).where(cases.c.owner != "")):
        try:
            organisation = _owner.decode(text).organisation
        except msgspec.DecodeError:
            continue
        if organisation:
            told[exposure] = organisation
    by_operator = sa.func.coalesce(exposures.c.operator, "")
    sums = (sa.func.count(), sa.func.coalesce(sa.func.sum(exposures.c.studies), 0))
    images = sa.func.coalesce(sa.func.sum(exposures.c.images), 0)
    query = sa.select(by_operator, *sums, images).where(_OPEN).group_by(by_operator)
    found = {name: [int(n), int(s), int(i)] for name, n, s, i in connection.execute(query)}
    if told:
        single = sa.select(exposures.c.id, by_operator, exposures.c.studies, exposures.c.images).where(_OPEN)
        for number, operator, exams, pictures in connection.execute(single):
            if (owner := told.get(number)) is not None and owner != operator:
                for name, sign in ((operator, -1), (owner, 1)):
                    kept = found.setdefault(name, [0, 0, 0])
                    kept[0] += sign
                    kept[1] += sign * (exams or 0)
                    kept[2] += sign * (pictures or 0)
    named = sorted(((n, *kept) for n, kept in found.items() if n and kept[0]), key=lambda row: (-row[2], row[0]))
    owners = set(told.values())
    return tuple(_share(name, n, s, i, studies, name in owners) for name, n, s, i in named[:TOP])


def _archives(connection: sa.Connection, studies: int) -> tuple[Share, ...]:
    """The largest single archives."""
    columns = (exposures.c.id, exposures.c.studies, exposures.c.images)
    query = sa.select(*columns).where(_OPEN, exposures.c.studies.is_not(None))
    rows = connection.execute(query.order_by(exposures.c.studies.desc()).limit(TOP)).all()
    return tuple(_share(str(number), 1, exams, images or 0, studies) for number, exams, images in rows)
