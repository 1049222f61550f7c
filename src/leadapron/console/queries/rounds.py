"""Scans, campaigns, and what was authorised."""

from __future__ import annotations

import json
from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.track.tables import campaigns, scans, sightings

PAGE: Final = 30
MOST_SCOPES: Final = 100


class Scan(Struct, frozen=True, kw_only=True):
    id: int
    campaign: str | None
    state: str
    started_at: str
    finished_at: str | None
    authorised_by: str | None
    targets: tuple[str, ...]
    verdicts: dict[str, int]
    folded_at: str | None


class Campaign(Struct, frozen=True, kw_only=True):
    """``blocked``: why no round of it can begin."""

    name: str
    paused: bool = False
    wanted: bool = False
    next_at: str | None = None
    last_scan: int | None = None
    changed_by: str | None = None
    blocked: str | None = None


class Authorised(Struct, frozen=True, kw_only=True):
    """Who allowed scans, as it stood with them; ``scans`` did so, the last one at ``last``."""

    authorised_by: str
    contact: str | None
    reason: str | None
    file: str | None
    scans: int
    last: str


def listed(connection: sa.Connection, offset: int) -> tuple[tuple[Scan, ...], int]:
    """Scans, the newest first, and how many there are. Verdicts are counted for those of the page only."""
    total = int(connection.execute(sa.select(sa.func.count()).select_from(scans)).scalar_one())
    rows = connection.execute(sa.select(scans).order_by(scans.c.id.desc()).limit(PAGE).offset(offset)).mappings().all()
    numbers = [row["id"] for row in rows if row["summary"] is None]
    verdicts: dict[int, dict[str, int]] = {row["id"]: _summed(row["summary"]) for row in rows}
    counting = sa.select(sightings.c.scan_id, sightings.c.verdict, sa.func.count())
    counting = counting.where(sightings.c.scan_id.in_(numbers)).group_by(sightings.c.scan_id, sightings.c.verdict)
    for number, verdict, count in connection.execute(counting) if numbers else ():
        verdicts[number][verdict] = count
    return tuple(_scan(row, verdicts[row["id"]]) for row in rows), total


def _summed(summary: str | None) -> dict[str, int]:
    found = _object(summary).get("endpoints")
    return {str(k): v for k, v in found.items() if isinstance(v, int)} if isinstance(found, dict) else {}


def _scan(row: sa.RowMapping, verdicts: dict[str, int]) -> Scan:
    return Scan(
        id=row["id"],
        campaign=row["campaign"],
        state=row["state"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        authorised_by=row["authorised_by"],
        targets=_texts(json.loads(row["targets"])),
        verdicts=verdicts,
        folded_at=row["folded_at"],
    )


def known(connection: sa.Connection) -> tuple[Campaign, ...]:
    rows = connection.execute(sa.select(campaigns).order_by(campaigns.c.name).limit(500)).mappings()
    return tuple(Campaign(**row) for row in rows)


def authorised(connection: sa.Connection) -> tuple[Authorised, ...]:
    """What scans were allowed, the last used first."""
    last = sa.func.max(scans.c.started_at)
    query = sa.select(scans.c.authorised_by, scans.c.scope, sa.func.count(), last).where(scans.c.scope.is_not(None))
    query = query.group_by(scans.c.authorised_by, scans.c.scope).order_by(last.desc()).limit(MOST_SCOPES)
    found = []
    for by, scope, count, when in connection.execute(query):
        said = {key: value for key, value in _object(scope).items() if isinstance(value, str)}
        found.append(
            Authorised(
                authorised_by=by or "nobody named",
                contact=said.get("contact"),
                reason=said.get("reason"),
                file=said.get("file"),
                scans=int(count),
                last=when,
            )
        )
    return tuple(found)


def _object(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list | tuple) else ()
