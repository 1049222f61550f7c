"""What goes into the tables, made without SQLAlchemy: a scan makes rows before the database is open."""

from __future__ import annotations

from typing import Any, TypedDict

import msgspec
from msgspec import Struct

from leadapron.kernel.hostport import HostPort
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord, encoded


class ScanStart(Struct, frozen=True):
    """How a scan was asked for.

    ``targets`` as the user gave them, which is also how ``--resume`` finds it again; ``options`` whatever it takes to
    run it again (JSON types only); ``scope`` the scope file in brief, None on loopback; ``authorised_by`` from it;
    ``campaign`` whose round it is.
    """

    targets: tuple[str, ...]
    options: dict[str, Any]
    seed: int
    authorised_by: str | None = None
    scope: dict[str, Any] | None = None
    campaign: str | None = None


class SightingRow(TypedDict):
    """A row of ``sightings`` but for its scan."""

    address: str
    port: int
    transport: str
    service: str
    verdict: str
    studies: int | None
    images: int | None
    patients: int | None
    complete: bool | None
    observed_at: str
    measurement: str
    record: str
    archive: str | None


class AbsenceRow(TypedDict):
    """A row of ``absences`` but for its scan."""

    address: str
    port: int
    error: str
    observed_at: str


_encode = msgspec.json.Encoder().encode


def sighting_row(measurement: Measurement, record: EndpointRecord, door: tuple[str, int] | None = None) -> SightingRow:
    """``door``: the first endpoint of the scan that led to the same archive."""
    exposed = record.exposed
    return {
        "address": record.address,
        "port": record.port,
        "transport": record.transport,
        "service": record.service,
        "verdict": record.verdict,
        "studies": exposed.studies if exposed else None,
        "images": exposed.images if exposed else None,
        "patients": exposed.patients if exposed else None,
        "complete": exposed.complete if exposed else None,
        "observed_at": record.observed_at,
        "measurement": _encode(measurement).decode(),
        "record": encoded(record),
        "archive": None if door is None else str(HostPort(*door)),
    }
