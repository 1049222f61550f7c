"""What a scan saw of endpoints that are, or are about to be, exposures, in the few fields that folding wants.

Web servers and the like that were never open are of no interest here, and a census has many of them: the database
leaves them out, by the index on an exposure's endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.measure.judge import judge
from leadapron.watch.measure.model import Count, CountFailed, Depth, Measurement
from leadapron.watch.measure.record import (
    SEVERITIES,
    Capabilities,
    Exposed,
    FindingRef,
    Severity,
    Software,
    Verdict,
)
from leadapron.watch.measure.software import printable
from leadapron.watch.track.exposures.episode import NOTHING, Answer, Size, size_of
from leadapron.watch.track.exposures.model import OPEN_VERDICTS, Marks
from leadapron.watch.track.tables import absences, exposures, sightings

_PAGE: Final = 1000
_PROVING: Final = ("guarded", "other", "decoy")
_REFUSALS: Final = frozenset({0x0122, 0x0124})  # PS3.7 §C: SOP class not supported, not authorized
_CLOSED_PORT: Final = "ECONNREFUSED"
Endpoint = tuple[str, int]


class Found(Struct, frozen=True, kw_only=True, gc=False):
    """What stood open, in the columns of ``exposures``. ``size`` None: its studies were not counted this time.
    ``archive``: the first door of this scan to the same archive."""

    sighting_id: int
    transport: str
    service: str
    verdict: Verdict
    severity: Severity | None
    studies: int | None
    images: int | None
    patients: int | None
    complete: bool | None
    product: str | None
    version: str | None
    certificate: str | None
    marks: Marks
    size: Size | None
    archive: str | None


class Seen(Struct, frozen=True, gc=False):
    """One endpoint in one scan. ``gone``: nothing of the kind was there, so it may have gone elsewhere."""

    endpoint: Endpoint
    at: str
    answer: Answer
    gone: bool
    sighting_id: int | None = None
    found: Found | None = None


def seen_in(connection: sa.Connection, scan_id: int, after: tuple[int, int]) -> tuple[list[Seen], tuple[int, int]]:
    """What the scan saw behind these numbers of its sightings and absences, and the last numbers there are."""
    last_sighting, last_absence = after
    rows: list[Seen] = []
    for number, seen in _sightings(connection, scan_id, last_sighting):
        last_sighting = number
        if seen is not None:
            rows.append(seen)
    query = (
        sa.select(absences.c.id, absences.c.address, absences.c.port, absences.c.error, absences.c.observed_at)
        .where(absences.c.scan_id == scan_id, absences.c.id > last_absence)
        .order_by(absences.c.id)
    )
    for number, address, port, error, at in connection.execute(query):
        last_absence = number
        rows.append(Seen((address, port), at, "proof" if error == _CLOSED_PORT else "nothing", gone=True))
    return rows, (last_sighting, last_absence)


class _Looked(Struct, gc=False):
    """Of a measurement what every sighting needs. Decoding no more than that takes a third of the time."""

    depth: Depth
    count: Count | CountFailed | None = None


class _Judged(Struct, gc=False):
    """Of a record the same."""

    findings: tuple[FindingRef, ...]
    software: Software | None = None
    capabilities: Capabilities | None = None
    exposed: Exposed | None = None


_looked: Final = msgspec.json.Decoder(_Looked).decode
_judged: Final = msgspec.json.Decoder(_Judged).decode
_whole: Final = msgspec.json.Decoder(Measurement).decode
_COLUMNS: Final = (
    "id",
    "address",
    "port",
    "transport",
    "service",
    "verdict",
    "observed_at",
    "measurement",
    "record",
    "archive",
)


def _sightings(connection: sa.Connection, scan_id: int, after: int) -> Iterator[tuple[int, Seen | None]]:
    known = sa.and_(exposures.c.address == sightings.c.address, exposures.c.port == sightings.c.port)
    last = connection.execute(sa.select(sa.func.max(sightings.c.id)).where(sightings.c.scan_id == scan_id)).scalar()
    query = (
        sa.select(*(sightings.c[name] for name in _COLUMNS))
        .outerjoin(exposures, known)
        .where(sightings.c.scan_id == scan_id, sightings.c.id > after)
        .where(sa.or_(sightings.c.verdict.in_(OPEN_VERDICTS), exposures.c.id.is_not(None)))
        .order_by(sightings.c.id)
    )
    for row in connection.execute(query, execution_options={"yield_per": _PAGE}):
        after = row[0]
        yield after, _seen(*row)
    if last is not None and last > after:
        yield last, None


def _seen(
    number: int,
    address: str,
    port: int,
    transport: str,
    service: str,
    verdict: Verdict,
    at: str,
    measurement: str,
    record: str,
    archive: str | None,
) -> Seen:
    endpoint = address, port
    if verdict not in OPEN_VERDICTS:
        # A server that was only busy is "guarded" too; it proves nothing (see measure.judge.verdict).
        proves = verdict in _PROVING and judge(_whole(measurement)).conclusive
        return Seen(endpoint, at, "proof" if proves else "nothing", gone=proves, sighting_id=number)
    looked, judged = _looked(measurement), _judged(record)
    exposed, software, offered = judged.exposed, judged.software, judged.capabilities
    size = size_of(exposed) if exposed is not None else (NOTHING if _lists_nothing(looked) else None)
    found = Found(
        sighting_id=number,
        transport=transport,
        service=service,
        verdict=verdict,
        severity=min((f.severity for f in judged.findings), key=SEVERITIES.index, default=None),
        studies=exposed.studies if exposed is not None else None,
        images=exposed.images if exposed is not None else None,
        patients=exposed.patients if exposed is not None else None,
        complete=exposed.complete if exposed is not None else None,
        product=_short(software.product if software is not None else None, 80),
        version=_short(software.version if software is not None else None, 40),
        certificate=_certificate(_whole(measurement)) if transport == "tls" else None,
        marks=Marks(
            implementation_uid=_short(software.implementation_class_uid if software is not None else None, 64),
            implementation_version=_short(software.implementation_version_name if software is not None else None, 16),
            any_calling_ae=offered.any_calling_ae if offered is not None else None,
            any_called_ae=offered.any_called_ae if offered is not None else None,
            size=size,
        ),
        size=size,
        archive=archive,
    )
    return Seen(endpoint, at, "open", gone=False, sighting_id=number, found=found)


def _lists_nothing(looked: _Looked) -> bool:
    """Whether the server itself showed that no study can be listed: none is there, or it takes no query."""
    if looked.depth not in ("count", "estimate"):
        return False
    count = looked.count
    if isinstance(count, Count):
        return count.complete and not count.studies
    return count is None or count.status in _REFUSALS


def _certificate(measurement: Measurement) -> str | None:
    shown = measurement.last.tls
    return shown.certificate.sha256 if shown is not None and shown.certificate is not None else None


def _short(text: str | None, longest: int) -> str | None:
    return None if text is None else printable(text, longest)
