"""Scans of one's own making for tests of folding: what stood where in each round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from msgspec import structs

from leadapron.kernel.clock import iso
from leadapron.watch.measure.judge import record
from leadapron.watch.measure.model import Attempt, Certificate, Measurement, Rejected, Silent, Tls
from leadapron.watch.track.exposures.fold import Folded, fold
from leadapron.watch.track.rows import AbsenceRow, ScanStart, SightingRow, sighting_row
from leadapron.watch.track.store import Store

FIRST_DAY = datetime(2026, 11, 1, 2, 30, tzinfo=UTC)
Endpoint = tuple[str, int]


class Day:
    """A clock that stands still on the n-th day."""

    def __init__(self, number: int) -> None:
        self.number = number

    def monotonic(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return FIRST_DAY + timedelta(days=self.number)


def silent(where: str, port: int = 11112) -> Measurement:
    return Measurement(where, port, "count", (Attempt("tcp", "ANY-SCP", "LEADAPRON", Silent(5.0)),), "", 5.0)


def rejecting(where: str, port: int = 11112, result: int = 1) -> Measurement:
    """A server that knows strangers (1), or is only busy (2)."""
    outcome = Rejected(result, 1 if result == 1 else 3, 7 if result == 1 else 2)
    return Measurement(where, port, "count", (Attempt("tcp", "ANY-SCP", "LEADAPRON", outcome),), "", 0.2)


def with_certificate(measurement: Measurement, sha256: str) -> Measurement:
    """The same over TLS."""
    shown = Certificate(
        sha256 * 32, "CN=pacs", "CN=pacs", ("pacs",), "2026-01-01T00:00:00Z", "2030-01-01T00:00:00Z", True
    )
    (attempt,) = measurement.attempts
    attempt = structs.replace(attempt, transport="tls", tls=Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", shown))
    return structs.replace(measurement, attempts=(attempt,))


def save(
    engine: sa.Engine,
    day: int,
    seen: Sequence[Measurement],
    absent: Mapping[Endpoint, str] | None = None,
    *,
    doors: Mapping[Endpoint, Endpoint] | None = None,
    campaign: str | None = None,
    scan_id: int | None = None,
) -> int:
    """A scan on the n-th day, or more of one; its number."""
    store, at = Store(engine, Day(day)), iso(Day(day).now())
    number = store.begin_scan(ScanStart(("127.0.0.0/8",), {}, 1, campaign=campaign)) if scan_id is None else scan_id
    rows: list[SightingRow] = []
    for measurement in seen:
        dated = structs.replace(measurement, observed_at=at)
        judged = record(dated)
        where = dated.address, dated.port
        door = (doors or {}).get(where, where) if judged.verdict == "exposed" else None
        rows.append(sighting_row(dated, judged, door))
    gone: list[AbsenceRow] = [
        {"address": address, "port": port, "error": error, "observed_at": at}
        for (address, port), error in (absent or {}).items()
    ]
    store.append(number, rows, len(rows), {"closed": len(gone)}, gone)
    store.finish(number, "done")
    if engine.url.database:  # a database in memory would be gone with its connection
        store.close()
    return number


def round_of(engine: sa.Engine, day: int, *arguments: object, closed_after: int = 2, **options: object) -> Folded:
    """``save`` and fold."""
    number = save(engine, day, *arguments, **options)  # type: ignore[arg-type]
    return fold(engine, number, closed_after=closed_after, clock=Day(day))
