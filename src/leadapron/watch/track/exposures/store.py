"""Reading exposures and their events. What is written to them is written by ``fold``.

Reads are short and ask for no more than they show: a page of fifty exposures, one endpoint's history by its index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord
from leadapron.watch.track.database import failures, name, open_engine
from leadapron.watch.track.exposures.model import Event, Exposure, Marks
from leadapron.watch.track.tables import events, exposures, sightings

MOST: Final = 10_000  # rows that one question gives
ORDERS: Final = {
    column: exposures.c[column]
    for column in (
        "id",
        "address",
        "port",
        "state",
        "country",
        "product",
        "campaign",
        "studies",
        "images",
        "patients",
        "first_seen",
        "opened_at",
        "last_open",
        "closed_at",
        "episodes",
    )
}
# Severities sort by how bad they are, not by their letters.
RANKS: Final = {"critical": 5, "high": 4, "medium": 3, "low": 2, "info": 1}
T = TypeVar("T")


class Exposures:
    """The exposures of one database. Every method raises ``Failure`` with what to do next where the database fails."""

    def __init__(self, engine: sa.Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def get(self, id: int) -> Exposure:
        """The exposure of that number. Raises ``UsageError`` where there is none."""
        found = self._one(exposures.c.id == id)
        if found is None:
            raise UsageError(f"there is no exposure {id} in {name(self._engine)}; 'leadapron owner list' has them")
        return found

    def at(self, address: str, port: int) -> Exposure | None:
        """The exposure of that endpoint."""
        return self._one(sa.and_(exposures.c.address == address, exposures.c.port == port))

    def some(self, ids: tuple[int, ...] | list[int] | frozenset[int]) -> list[Exposure]:
        """The exposures of those numbers, as far as they exist, in the order of their numbers."""
        found: list[Exposure] = []
        wanted = sorted(set(ids))
        with failures(self._engine), self._engine.connect() as connection:
            for start in range(0, len(wanted), 500):
                query = sa.select(exposures).where(exposures.c.id.in_(wanted[start : start + 500]))
                rows = connection.execute(query.order_by(exposures.c.id)).mappings().all()
                found += [self._exposure(row) for row in rows]
        return found

    def find(
        self,
        *,
        state: str | None = None,
        country: str | None = None,
        product: str | None = None,
        severity: str | None = None,
        campaign: str | None = None,
        text: str | None = None,
        order: str = "-studies",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[Exposure], int]:
        """Exposures that fit, and how many there are in all.

        ``severity``: at least that. ``country`` and ``campaign`` may be '' for those without one. ``text``: part of
        the address, the product or the network's operator, or ``address:port``. ``order``: a column, ``-`` before it
        for the largest first; what has no value comes last. Raises ``UsageError`` for an order or severity that
        doesn't exist.
        """
        wheres: list[sa.ColumnElement[bool]] = []
        if state is not None:
            wheres.append(exposures.c.state == state)
        for column, value in ((exposures.c.country, country), (exposures.c.campaign, campaign)):
            if value is not None:
                wheres.append(column == value if value else column.is_(None))
        if product is not None:
            wheres.append(exposures.c.product == product)
        if severity is not None:
            if severity not in RANKS:
                raise UsageError(f"there is no such severity; there are {', '.join(RANKS)}")
            wheres.append(exposures.c.severity.in_([s for s, rank in RANKS.items() if rank >= RANKS[severity]]))
        if text:
            wheres.append(_matches(text))
        matching = sa.and_(sa.true(), *wheres)
        query = sa.select(exposures).where(matching).order_by(*_order(order))
        query = query.limit(max(1, min(limit, MOST))).offset(max(0, offset))
        with failures(self._engine), self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
            total = connection.execute(sa.select(sa.func.count()).select_from(exposures).where(matching)).scalar_one()
        return [self._exposure(row) for row in rows], int(total)

    def events(self, id: int) -> list[Event]:
        """What happened to an exposure, the oldest first."""
        return self._events(events.c.exposure_id == id)

    def since(self, event_id: int) -> list[Event]:
        """Events with a greater number, in order; at most ``MOST`` at a time: ask again behind the last."""
        return self._events(events.c.id > event_id)

    def sightings(self, id: int, limit: int = 50) -> list[tuple[int, EndpointRecord]]:
        """The exposure's endpoint in scan after scan, the newest first: number of the scan, record as judged then."""
        exposure = self.get(id)
        query = (
            sa.select(sightings.c.scan_id, sightings.c.record)
            .where(sightings.c.address == exposure.address, sightings.c.port == exposure.port)
            .order_by(sightings.c.id.desc())
            .limit(max(1, min(limit, MOST)))
        )
        with failures(self._engine), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [(scan_id, self._read(record, EndpointRecord)) for scan_id, record in rows]

    def measurement(self, id: int) -> Measurement:
        """The measurement that showed it open last: findings and remedies are judged from it."""
        query = sa.select(sightings.c.measurement).join(exposures, exposures.c.sighting_id == sightings.c.id)
        with failures(self._engine), self._engine.connect() as connection:
            text = connection.execute(query.where(exposures.c.id == id)).scalar()
        if text is None:
            raise UsageError(f"there is no exposure {id} in {name(self._engine)}; 'leadapron owner list' has them")
        return self._read(text, Measurement)

    def open_endpoints(self, campaign: str | None = None) -> frozenset[tuple[str, int]]:
        """Address and port of all that is open; ``campaign``: whose scan saw it last."""
        query = sa.select(exposures.c.address, exposures.c.port).where(exposures.c.state == "open")
        if campaign is not None:
            query = query.where(exposures.c.campaign == campaign)
        with failures(self._engine), self._engine.connect() as connection:
            return frozenset((address, port) for address, port in connection.execute(query))

    def _one(self, where: sa.ColumnElement[bool]) -> Exposure | None:
        with failures(self._engine), self._engine.connect() as connection:
            row = connection.execute(sa.select(exposures).where(where)).mappings().first()
        return None if row is None else self._exposure(row)

    def _events(self, where: sa.ColumnElement[bool]) -> list[Event]:
        query = sa.select(events).where(where).order_by(events.c.id).limit(MOST)
        with failures(self._engine), self._engine.connect() as connection:
            return [Event(**row) for row in connection.execute(query).mappings()]

    def _exposure(self, row: sa.RowMapping) -> Exposure:
        return Exposure(**{**row, "marks": self._read(row["marks"], Marks)})

    def _read(self, text: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError as error:
            raise Failure(
                f"{name(self._engine)} holds a row that cannot be read: it was damaged, or changed by hand. "
                "Restore it from a backup"
            ) from error


def open_endpoints(location: str | Path) -> frozenset[tuple[str, int]]:
    """``Exposures.open_endpoints`` of a database that is opened for this question."""
    engine = open_engine(location)
    try:
        return Exposures(engine).open_endpoints()
    finally:
        engine.dispose()


def _order(order: str) -> list[sa.ColumnElement[Any]]:
    column: sa.ColumnElement[Any] | None = ORDERS.get(order.removeprefix("-"))
    if order.removeprefix("-") == "severity":
        column = sa.case(RANKS, value=exposures.c.severity, else_=None)
    if column is None:
        raise UsageError(f"exposures cannot be put in that order; there are {', '.join(ORDERS)}, severity")
    directed = column.desc() if order.startswith("-") else column.asc()
    return [directed.nulls_last(), exposures.c.id.asc()]


def _matches(text: str) -> sa.ColumnElement[bool]:
    fits = [
        sa.func.lower(column).contains(text.lower(), autoescape=True)
        for column in (exposures.c.address, exposures.c.product, exposures.c.operator)
    ]
    host, _, port = text.rpartition(":")
    if host and port.isdigit() and len(port) <= 5:
        fits.append(sa.and_(exposures.c.address == host.strip("[]"), exposures.c.port == int(port)))
    return sa.or_(*fits)
