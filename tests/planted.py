"""Exposures put into the tables by hand, as folding scans would leave them: for tests of what is made of them."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from leadapron.watch.measure.record import FindingRef
from leadapron.watch.track.rows import sighting_row
from leadapron.watch.track.tables import events, exposures, hints, scans, sightings
from sightings import exposed

FINDINGS = (FindingRef("query-without-credentials", "critical"), FindingRef("plain-transport", "medium"))
OPENED = "2026-09-01T10:00:00Z"


class Planting:
    """``put`` adds an exposure with its sighting and its events; gives its number."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        with engine.begin() as connection:
            row = {"started_at": OPENED, "state": "done", "targets": "[]", "options": "{}", "seed": 1, "position": 0}
            key = connection.execute(
                scans.insert().values(**row, tally="{}", folded_at=row["started_at"])
            ).inserted_primary_key
        assert key is not None
        self.scan: int = key[0]
        self.number = 0

    def put(
        self,
        *,
        story: list[tuple[str, str]] | None = None,
        findings: tuple[FindingRef, ...] = FINDINGS,
        told: dict[str, str] | None = None,
        **columns: Any,
    ) -> int:
        """``story``: (time, kind) of its events; ``told``: hints, kind → value; ``columns`` over what stands here."""
        self.number += 1
        story = story or [(OPENED, "opened")]
        measurement, record = exposed(self.number)
        record = msgspec.structs.replace(record, findings=findings)
        last = story[-1]
        begun = [at for at, kind in story if kind in ("opened", "reopened", "moved")]
        closed = last[1] == "closed"
        values: dict[str, Any] = {
            "address": f"198.51.{self.number >> 8}.{self.number & 255}",
            "port": 104,
            "transport": "tcp",
            "service": "dicom",
            "state": "closed" if closed else "open",
            "verdict": "exposed",
            "severity": "critical",
            "first_seen": story[0][0],
            "opened_at": begun[-1],
            "last_open": [at for at, kind in story if kind != "closed"][-1],
            "last_answer": last[0],
            "closed_at": last[0] if closed else None,
            "proofs": 2 if closed else 0,
            "episodes": len(begun),
            "studies": 1500,
            "images": 48000,
            "patients": 1200,
            "complete": True,
            "product": "Orthanc",
            "version": "1.12.1",
            "marks": "{}",
            "country": "DE",
            "asn": 3320,
            "operator": "Example Telecom",
            **columns,
        }
        with self.engine.begin() as connection:
            row = {"scan_id": self.scan, **sighting_row(measurement, record)}
            sighting = connection.execute(sightings.insert().values(row)).inserted_primary_key
            assert sighting is not None
            key = connection.execute(exposures.insert().values(**values, sighting_id=sighting[0])).inserted_primary_key
            assert key is not None
            for at, kind in story:
                self.happened(connection, key[0], at, kind, values["studies"], values["images"])
            for kind, value in (told or {}).items():
                hint = {"exposure_id": key[0], "kind": kind, "value": value, "source": "test", "at": OPENED}
                connection.execute(hints.insert().values(**hint, state="hint"))
        return int(key[0])

    def happened(
        self, connection: sa.Connection, id: int, at: str, kind: str, studies: int | None, images: int | None
    ) -> None:
        connection.execute(
            events.insert().values(
                exposure_id=id,
                scan_id=self.scan,
                at=at,
                kind=kind,
                studies_before=None,
                studies=studies,
                images=images,
            )
        )
