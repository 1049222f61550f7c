"""Sums by day, country and campaign: what charts are drawn from, so that a page need not add up a million sightings.

Each fold writes the standing of all countries and campaigns for its day, so that a day is whole by itself and adds up
to what stood open at its end; what was opened and closed on a day is counted from the events. An archive behind several
doors is counted once, with the count that says most, where the door stands that stands for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.track.database import failures
from leadapron.watch.track.exposures.bulk import take_turn
from leadapron.watch.track.tables import days, events, exposures

_SUMS = ("open", "archives", "studies", "images", "patients")
_RANK: tuple[tuple[sa.ColumnElement[Any], Any], ...] = (
    (exposures.c.complete, sa.false()),
    (exposures.c.studies, 0),
    (exposures.c.images, 0),
)
_COUNTED = ("opened", "closed", "reopened")
Group = tuple[str, str]


class Standing(Struct, frozen=True):
    """What stands open. ``open``: exposures; ``archives``: without second doors; the rest are sums over archives."""

    open: int = 0
    archives: int = 0
    studies: int = 0
    images: int = 0
    patients: int = 0


def standing(connection: sa.Connection) -> Standing:
    """What stands open now, in all."""
    groups = _standing(connection).values()
    return Standing(**{name: sum(group[name] for group in groups) for name in _SUMS})


def recount(engine: sa.Engine) -> None:
    """Sums of the newest day once more: for whoever has changed the country of exposures."""
    with failures(engine), engine.begin() as connection:
        take_turn(connection)
        newest = connection.execute(sa.select(sa.func.max(days.c.day))).scalar()
        if newest is not None:
            write(connection, newest, (newest,), newest)


def write(connection: sa.Connection, day: str, touched: Iterable[str], today: str) -> None:
    """The rows of ``day`` as things stand now, and what happened on each day of ``touched``. Days behind both ``day``
    and ``today`` come from a clock that was wrong, and go."""
    connection.execute(days.delete().where(days.c.day > max(day, today)))
    newest = connection.execute(sa.select(sa.func.max(days.c.day)).where(days.c.day > day)).scalar()
    # Of an old scan that is folded late: what stood open on its day is not known any more, only what does now.
    for earlier in sorted({*(one for one in touched if one < day), *(() if newest is None else (day,))}):
        _carry_to(connection, earlier)
        _store(connection, earlier, _read(connection, earlier))
    _store(connection, newest or day, _standing(connection))


def standing_archives() -> sa.Subquery:
    """``first`` (the exposure that stands for it), studies, images and patients of each archive that stands open. Of
    several doors the count is that of the one which says most, as in a scan's own totals: one that is complete, then
    the largest."""
    columns = exposures.c
    first = sa.func.coalesce(columns.door_of, columns.id).label("first")
    most = [sa.func.coalesce(column, nothing) for column, nothing in _RANK]
    place = sa.func.row_number().over(partition_by=first, order_by=[*(one.desc() for one in most), columns.id])
    counts = [columns[name] for name in _SUMS[2:]]
    doors = sa.select(first, *counts, place.label("place")).where(columns.state == "open").subquery()
    return sa.select(*(doors.c[name] for name in ("first", *_SUMS[2:]))).where(doors.c.place == 1).subquery()


def _standing(connection: sa.Connection) -> dict[Group, dict[str, int]]:
    fullest = standing_archives()
    country, campaign = sa.func.coalesce(exposures.c.country, ""), sa.func.coalesce(exposures.c.campaign, "")
    archives = (
        sa.select(country, campaign, sa.func.count(), *(_sum(fullest.c[name]) for name in _SUMS[2:]))
        .join(fullest, fullest.c.first == exposures.c.id)
        .group_by(country, campaign)
    )
    doors = sa.select(country, campaign, sa.func.count()).where(exposures.c.state == "open").group_by(country, campaign)
    groups: dict[Group, dict[str, int]] = {}
    for place, name, number in connection.execute(doors):
        groups[place, name] = {**dict.fromkeys(_SUMS, 0), "open": number}
    for place, name, *sums in connection.execute(archives):
        row = groups.setdefault((place, name), dict.fromkeys(_SUMS, 0))
        row.update(zip(_SUMS[1:], map(int, sums), strict=True))
    return groups


def _sum(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(sa.func.sum(column), 0)


def _happened(connection: sa.Connection, day: str) -> dict[Group, dict[str, int]]:
    country, campaign = sa.func.coalesce(exposures.c.country, ""), sa.func.coalesce(exposures.c.campaign, "")
    query = (
        sa.select(country, campaign, events.c.kind, sa.func.count())
        .join(exposures, exposures.c.id == events.c.exposure_id)
        .where(events.c.at >= day, events.c.at < day + "U", events.c.kind.in_(_COUNTED))  # 'U' follows the 'T' of times
        .group_by(country, campaign, events.c.kind)
    )
    groups: dict[Group, dict[str, int]] = {}
    for place, name, kind, number in connection.execute(query):
        groups.setdefault((place, name), dict.fromkeys(_COUNTED, 0))[kind] = number
    return groups


def _read(connection: sa.Connection, day: str) -> dict[Group, dict[str, int]]:
    rows = connection.execute(sa.select(days).where(days.c.day == day)).mappings()
    return {(row["country"], row["campaign"]): {name: row[name] for name in _SUMS} for row in rows}


def _carry_to(connection: sa.Connection, day: str) -> None:
    """A day without rows gets the standing of the last one before it."""
    if connection.execute(sa.select(days.c.day).where(days.c.day == day).limit(1)).scalar() is not None:
        return
    before = connection.execute(sa.select(sa.func.max(days.c.day)).where(days.c.day < day)).scalar()
    if before is not None:
        _store(connection, day, _read(connection, before))


def _store(connection: sa.Connection, day: str, groups: dict[Group, dict[str, int]]) -> None:
    happened = _happened(connection, day)
    connection.execute(days.delete().where(days.c.day == day))
    rows = [
        {
            "day": day,
            "country": group[0],
            "campaign": group[1],
            **groups.get(group, dict.fromkeys(_SUMS, 0)),
            **happened.get(group, dict.fromkeys(_COUNTED, 0)),
        }
        for group in sorted({*groups, *happened})
    ]
    if rows:
        connection.execute(days.insert(), rows)
