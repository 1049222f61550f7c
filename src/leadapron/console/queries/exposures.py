"""The list of exposures is `watch.track.exposures`' own; here is what stands around it, and one exposure in full."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.measure.judge import finding_text, judge, record
from leadapron.watch.measure.model import Measurement
from leadapron.watch.report.model import Endpoint
from leadapron.watch.track.exposures.model import Event, Exposure
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.owner.model import Hint
from leadapron.watch.track.owner.suggestion import Suggestion, suggestion
from leadapron.watch.track.owner.upsert import upsert
from leadapron.watch.track.tables import cases, exposures, hints, sightings, views

SIGHTINGS: Final = 25
EVENTS: Final = 100
MOST_VIEWS: Final = 40


class Choices(Struct, frozen=True):
    """What can be chosen in the filter, with how many exposures each has."""

    countries: tuple[tuple[str, int], ...]
    products: tuple[tuple[str, int], ...]
    campaigns: tuple[tuple[str, int], ...]


class Seen(Struct, frozen=True, kw_only=True):
    """A sighting in one line."""

    id: int
    scan_id: int
    verdict: str
    studies: int | None
    images: int | None
    complete: bool | None
    observed_at: str


class View(Struct, frozen=True):
    id: int
    name: str
    query: str


class Detail(Struct, frozen=True, kw_only=True):
    """``endpoint``: the last measurement that showed it open, judged as it would be today; None: its row is gone."""

    exposure: Exposure
    endpoint: Endpoint | None
    events: tuple[Event, ...]
    seen: tuple[Seen, ...]
    hints: tuple[Hint, ...]
    advice: Suggestion
    case: tuple[int, str] | None
    doors: tuple[tuple[int, str], ...]
    other: tuple[int, str] | None
    moved_from: tuple[int, str] | None


def choices(connection: sa.Connection) -> Choices:
    def of(column: sa.ColumnElement[Any]) -> tuple[tuple[str, int], ...]:
        query = sa.select(column, sa.func.count()).where(column.is_not(None)).group_by(column)
        return tuple((name, count) for name, count in connection.execute(query.order_by(sa.func.count().desc())))

    return Choices(of(exposures.c.country), of(exposures.c.product)[:60], of(exposures.c.campaign)[:60])


def saved(connection: sa.Connection, person: str, page: str) -> tuple[View, ...]:
    query = sa.select(views.c.id, views.c.name, views.c.query).where(views.c.person == person, views.c.page == page)
    return tuple(View(*row) for row in connection.execute(query.order_by(views.c.name).limit(MOST_VIEWS)))


def save(connection: sa.Connection, person: str, page: str, name: str, query: str) -> bool:
    """Keep a view; one of the same name is changed. False where there are too many."""
    row = {"person": person, "page": page, "name": name, "query": query}
    upsert(connection, views, [row], ("person", "page", "name"), ("query",))  # first: SQLite refuses readers that write
    own = (views.c.person == person, views.c.page == page)
    if connection.execute(sa.select(sa.func.count()).select_from(views).where(*own)).scalar_one() <= MOST_VIEWS:
        return True
    connection.execute(views.delete().where(*own, views.c.name == name))
    return False


def forget(connection: sa.Connection, person: str, number: int) -> None:
    connection.execute(views.delete().where(views.c.id == number, views.c.person == person))


def detail(engine: sa.Engine, number: int) -> Detail:
    """Raises `UsageError` where there is no such exposure."""
    store = Exposures(engine)
    exposure = store.get(number)
    history = store.events(number)[-EVENTS:]
    with engine.connect() as connection:
        found = connection.execute(sa.select(sightings.c.measurement).where(sightings.c.id == exposure.sighting_id))
        text = found.scalar()
        case = connection.execute(sa.select(cases.c.id, cases.c.state).where(cases.c.exposure_id == number)).first()
        of_doors = exposures.c.door_of == (exposure.door_of or number)
        owners = _hints(connection, number)
        siblings = _named(connection, sa.and_(of_doors, exposures.c.id != number))
        return Detail(
            exposure=exposure,
            endpoint=None if text is None else _judged(text),
            events=tuple(reversed(history)),
            seen=_seen(connection, exposure),
            hints=owners,
            advice=suggestion(owners),
            case=None if case is None else (int(case[0]), str(case[1])),
            doors=(*(() if exposure.door_of is None else _of(connection, exposure.door_of)), *siblings),
            other=next(iter(_of(connection, exposure.moved_to)), None),
            moved_from=next(iter(_named(connection, exposures.c.moved_to == number)), None),
        )


def _judged(text: str) -> Endpoint | None:
    try:
        measurement = msgspec.json.decode(text, type=Measurement)
    except msgspec.DecodeError:
        return None
    judged = judge(measurement)
    return Endpoint(record(measurement, judged), measurement, tuple(finding_text(one) for one in judged.findings))


def _of(connection: sa.Connection, number: int | None) -> tuple[tuple[int, str], ...]:
    return () if number is None else _named(connection, exposures.c.id == number)


def _named(connection: sa.Connection, where: sa.ColumnElement[bool]) -> tuple[tuple[int, str], ...]:
    query = sa.select(exposures.c.id, exposures.c.address, exposures.c.port).where(where).limit(8)
    return tuple((row.id, f"{row.address}:{row.port}") for row in connection.execute(query))


def _seen(connection: sa.Connection, exposure: Exposure) -> tuple[Seen, ...]:
    names = Seen.__struct_fields__
    query = sa.select(*(sightings.c[name] for name in names))
    query = query.where(sightings.c.address == exposure.address, sightings.c.port == exposure.port)
    rows = connection.execute(query.order_by(sightings.c.id.desc()).limit(SIGHTINGS)).mappings()
    return tuple(Seen(**row) for row in rows)


def _hints(connection: sa.Connection, number: int) -> tuple[Hint, ...]:
    query = sa.select(hints).where(hints.c.exposure_id == number).order_by(hints.c.kind, hints.c.id).limit(200)
    return tuple(Hint(**row) for row in connection.execute(query).mappings())
