"""Who was here: each peer with its addresses, and whoever tried without being known.

Strangers decide what stands in the second list, so it is bounded, in memory and on disk: `PER_ADDRESS` titles for one
address, `STRANGERS` rows in all, the ones longest unseen go first. One stranger can push out his own rows only, as long
as there are no more than a few dozen of him. Noting costs no disk access; `flush` writes what has gathered, at once.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from msgspec import Struct
from sqlalchemy.dialects.sqlite import insert

from leadapron.guard.identity.database import Database
from leadapron.guard.identity.rows import Certificate, certificate_of, moment
from leadapron.guard.identity.tables import certificates, sightings, strangers
from leadapron.kernel.clock import iso

STRANGERS: Final = 1000
PER_ADDRESS: Final = 16
ADDRESSES: Final = 64
"""Addresses that are remembered of one peer."""


class PeerRecord(Struct, frozen=True):
    """A peer: ``addresses`` latest first; ``certificate`` is the newest; seen None: never came yet."""

    name: str
    ae: str
    certificate: Certificate
    addresses: tuple[str, ...]
    first_seen: datetime | None
    last_seen: datetime | None


class Stranger(Struct, frozen=True):
    """Somebody who was refused. ``ae`` is what was claimed, made printable; empty if nothing was."""

    ae: str
    address: str
    first_seen: datetime
    last_seen: datetime
    times: int
    reason: str


class _Tries(Struct):
    first: str
    last: str
    times: int
    reason: str


class Inventory:
    """Part of `Registry`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[str, str]] = {}
        self._unknown: dict[tuple[str, str], _Tries] = {}

    def seen(self, name: str, address: str, when: datetime) -> None:
        key, now = (name, address[:64]), iso(when)
        with self._lock:
            first, _ = self._seen.pop(key, (now, now))
            self._seen[key] = (first, now)
            if len(self._seen) > STRANGERS:
                del self._seen[next(iter(self._seen))]

    def unknown(self, ae: str, address: str, reason: str, when: datetime) -> None:
        key, now = (_printable(ae), address[:64]), iso(when)
        with self._lock:
            tries = self._unknown.pop(key, None) or _Tries(now, now, 0, reason)
            tries.last, tries.times, tries.reason = now, tries.times + 1, reason
            self._unknown[key] = tries
            if len(self._unknown) > STRANGERS:
                del self._unknown[next(iter(self._unknown))]

    def flush(self) -> None:
        """Write what has gathered. Raises `Failure`; it is kept for the next time then."""
        with self._lock:
            seen, self._seen = self._seen, {}
            unknown, self._unknown = self._unknown, {}
        if not seen and not unknown:
            return
        try:
            with self._database.writing() as connection:
                for (name, address), (first, last) in seen.items():
                    _write_sighting(connection, name, address, first, last)
                for (ae, address), tries in unknown.items():
                    _write_stranger(connection, ae, address, tries)
                _bound(connection)
        except BaseException:
            with self._lock:
                self._seen = seen | self._seen
                self._unknown = unknown | self._unknown
            raise

    def peers(self) -> list[PeerRecord]:
        self.flush()
        with self._database.reading() as connection:
            newest: dict[str, Certificate] = {}
            query = sa.select(certificates).order_by(certificates.c.issued_at, certificates.c.ends_at)
            for row in connection.execute(query).mappings():
                newest[row["name"]] = certificate_of(row)
            places: dict[str, list[sa.Row[tuple[str, str, str, str]]]] = {}
            for place in connection.execute(sa.select(sightings).order_by(sightings.c.last_seen.desc())):
                places.setdefault(place.name, []).append(place)
        return [_record(certificate, places.get(name, [])) for name, certificate in sorted(newest.items())]

    def strangers(self) -> list[Stranger]:
        self.flush()
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(strangers).order_by(strangers.c.last_seen.desc(), strangers.c.ae))
            return [
                Stranger(row.ae, row.address, moment(row.first_seen), moment(row.last_seen), row.times, row.reason)
                for row in rows
            ]


def _record(certificate: Certificate, places: list[sa.Row[tuple[str, str, str, str]]]) -> PeerRecord:
    return PeerRecord(
        name=certificate.name,
        ae=certificate.ae,
        certificate=certificate,
        addresses=tuple(place.address for place in places),
        first_seen=moment(min(place.first_seen for place in places)) if places else None,
        last_seen=moment(max(place.last_seen for place in places)) if places else None,
    )


def _write_sighting(connection: sa.Connection, name: str, address: str, first: str, last: str) -> None:
    row = insert(sightings).values(name=name, address=address, first_seen=first, last_seen=last)
    connection.execute(row.on_conflict_do_update(set_={"last_seen": row.excluded.last_seen}))


def _write_stranger(connection: sa.Connection, ae: str, address: str, tries: _Tries) -> None:
    row = insert(strangers).values(
        ae=ae, address=address, first_seen=tries.first, last_seen=tries.last, times=tries.times, reason=tries.reason
    )
    new = {"last_seen": row.excluded.last_seen, "times": strangers.c.times + tries.times, "reason": tries.reason}
    connection.execute(row.on_conflict_do_update(set_=new))


def _bound(connection: sa.Connection) -> None:
    """Let go of what is beyond the bounds: rank by who came last, for each address, for each peer, in all."""
    for table, part, most in (
        (strangers, strangers.c.address, PER_ADDRESS),
        (strangers, None, STRANGERS),
        (sightings, sightings.c.name, ADDRESSES),
    ):
        order = (table.c.last_seen.desc(), *table.primary_key.columns)
        rank = sa.func.row_number().over(partition_by=part, order_by=order).label("rank")
        ranked = sa.select(*table.primary_key.columns, rank).subquery()
        beyond = sa.select(*(ranked.c[column.name] for column in table.primary_key.columns)).where(ranked.c.rank > most)
        connection.execute(sa.delete(table).where(sa.tuple_(*table.primary_key.columns).in_(beyond)))


def _printable(ae: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in ae.strip(" ")[:16])
