"""Two scans side by side: what opened, closed, grew, shrank and moved from one to the other.

What stood open is read from the sightings of both. Why something is not among them any more, the newer scan says, and
the events in between: a proof is one thing, silence another, and what was not looked at says nothing at all. They are
kept apart, because a drop that is only silence is no success.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Final, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.errors import UsageError
from leadapron.kernel.hostport import HostPort
from leadapron.watch.track.database import failures
from leadapron.watch.track.exposures.episode import change
from leadapron.watch.track.exposures.seen import Endpoint, Found, Seen, seen_in
from leadapron.watch.track.store import Scan, Store
from leadapron.watch.track.tables import events, exposures

What = Literal["opened", "reopened", "moved", "grew", "closed", "shrank", "silent", "unseen", "again"]
KINDS: Final[tuple[What, ...]] = (
    "opened",
    "reopened",
    "moved",
    "grew",
    "closed",
    "shrank",
    "silent",
    "unseen",
    "again",
)


class Change(Struct, frozen=True, tag_field="type", tag="change"):
    """One endpoint that is not as it was. ``what``: as events are called, and

    ``silent``: it did not answer, which proves nothing; ``unseen``: the newer scan did not look at it; ``again``: it
    was open before the older scan, which only got no answer. ``moved_from``, ``sure``: of a move.
    """

    what: What
    address: str
    port: int
    product: str | None
    country: str | None
    studies_before: int | None
    studies: int | None
    images_before: int | None
    images: int | None
    moved_from: str | None = None
    sure: bool | None = None


class Side(Struct, frozen=True):
    """One of the two scans. ``open``: endpoints; the rest as in its summary, second doors counted once."""

    scan: int
    started_at: str
    state: str
    campaign: str | None
    open: int
    archives: int
    studies: int
    images: int
    patients: int
    complete: bool


class Comparison(Struct, frozen=True, tag_field="type", tag="comparison"):
    """``unchanged``: endpoints that are open in both, and as large as before as far as that is certain. ``alike``:
    whether both asked the same of the same targets; if not, differences may be those of the question."""

    before: Side
    after: Side
    unchanged: int
    alike: bool
    counts: dict[str, int]
    schema: int = 1


class _Between(Struct):
    """What happened behind the older scan, up to the newer one: exposures, by kind of event."""

    opened: set[int] = msgspec.field(default_factory=set)
    reopened: set[int] = msgspec.field(default_factory=set)
    closed: set[int] = msgspec.field(default_factory=set)
    moved: dict[int, tuple[int, bool]] = msgspec.field(default_factory=dict)  # where it is now: where it was, sure


def compare(engine: sa.Engine, old: int, new: int) -> tuple[list[Change], Comparison]:
    """The changes from the older scan to the newer one, the gravest first, and both in sum. Raises ``UsageError`` for
    scans that do not exist, or are the same."""
    store = Store(engine)
    first, second = store.scan(min(old, new)), store.scan(max(old, new))
    if old == new:
        raise UsageError(f"scan {old} would be compared with itself; `leadapron report --list` shows which there are")
    with failures(engine), engine.connect() as connection:
        before = _open(seen_in(connection, first.id, (0, 0))[0])
        seen = {one.endpoint: one for one in seen_in(connection, second.id, (0, 0))[0]}
        known = _known(connection)
        between = _between(connection, first.id, second.id)
    after = _open(seen.values())
    places = {row.id: row for row in known.values()}
    moved = _Moved(between, places, after)
    changes: list[Change] = []
    unchanged = 0
    for endpoint in sorted({*before, *after}):
        was, now, row = before.get(endpoint), after.get(endpoint), known.get(endpoint)
        moved_from: HostPort | None = None
        sure: bool | None = None
        what: What | None
        if was is None:
            origin = moved.origin(row)
            if origin is None:
                what = _came(row, between, first)
            else:
                what, moved_from, sure = "moved", HostPort(*origin[0]), origin[1]
                was = before.get(origin[0])
        elif now is None:
            last = moved.last(row)
            if last is not None and last.endpoint in after:
                continue  # it stands where it went to
            what = _went(last, between, seen.get(endpoint if last is None else last.endpoint))
        else:
            what = change(was.size, now.size)
        if what is None:
            unchanged += 1
            continue
        shown = now or was
        changes.append(
            Change(
                what,
                *endpoint,
                shown.product if shown is not None else None,
                row.country if row is not None else None,
                was.studies if was is not None else None,
                now.studies if now is not None else None,
                was.images if was is not None else None,
                now.images if now is not None else None,
                None if moved_from is None else str(moved_from),
                sure,
            )
        )
    changes.sort(key=lambda one: (KINDS.index(one.what), -abs((one.studies or 0) - (one.studies_before or 0))))
    counts: dict[str, int] = {kind: sum(one.what == kind for one in changes) for kind in KINDS}
    sides = _side(first, len(before)), _side(second, len(after))
    return changes, Comparison(*sides, unchanged, _asked(first) == _asked(second), counts)


def _open(seen: Iterable[Seen]) -> dict[Endpoint, Found]:
    return {one.endpoint: one.found for one in seen if one.found is not None}


class _Known(Struct, frozen=True):
    id: int
    address: str
    port: int
    country: str | None
    first_seen: str

    @property
    def endpoint(self) -> Endpoint:
        return self.address, self.port


class _Moved:
    """Where servers went between the two scans, and came from: over several places, too. ``after``: what stands open
    in the newer one."""

    def __init__(self, between: _Between, places: Mapping[int, _Known], after: Container[Endpoint]) -> None:
        self._from, self._places, self._after = between.moved, places, after
        self._to = {was: now for now, (was, _) in between.moved.items()}
        self._new = between.opened - between.moved.keys()

    def origin(self, row: _Known | None) -> tuple[Endpoint, bool] | None:
        """Where the server there stood first, and whether that is sure; None where it came anew, or where something
        stands open at that place again: then it is one more."""
        if row is None or row.id not in self._from:
            return None
        here, sure, met = row.id, True, {row.id}
        while here in self._from and self._from[here][0] not in met:
            here, known = self._from[here]
            sure = sure and known
            met.add(here)
        endpoint = self._places[here].endpoint
        return None if here in self._new or endpoint in self._after else (endpoint, sure)

    def last(self, row: _Known | None) -> _Known | None:
        """Where the server there stood last."""
        if row is None:
            return None
        here, met = row.id, {row.id}
        while here in self._to and self._to[here] not in met:
            here = self._to[here]
            met.add(here)
        return self._places[here]


def _known(connection: sa.Connection) -> dict[Endpoint, _Known]:
    query = sa.select(*(exposures.c[name] for name in _Known.__struct_fields__))
    return {(row.address, row.port): row for row in (_Known(*values) for values in connection.execute(query))}


def _between(connection: sa.Connection, old: int, new: int) -> _Between:
    query = (
        sa.select(events.c.kind, events.c.exposure_id, events.c.other_id, events.c.sure)
        .where(events.c.scan_id > old, events.c.scan_id <= new)
        .order_by(events.c.id)
    )
    found = _Between()
    for kind, number, other, sure in connection.execute(query):
        if kind == "moved":
            found.moved[number] = other, bool(sure)
        elif kind in ("opened", "reopened", "closed"):
            getattr(found, kind).add(number)
    return found


def _came(row: _Known | None, between: _Between, first: Scan) -> What:
    """Why an endpoint stands open that did not in the older scan."""
    if row is None or row.id in between.moved:
        return "opened"
    if row.id in between.reopened:
        return "reopened"
    return "again" if row.first_seen < first.started_at and row.id not in between.opened else "opened"


def _went(row: _Known | None, between: _Between, seen: Seen | None) -> What:
    """Why an endpoint is not among the open ones any more."""
    if (seen is not None and seen.answer == "proof") or (row is not None and row.id in between.closed):
        return "closed"
    return "unseen" if seen is None else "silent"


def _side(scan: Scan, open_: int) -> Side:
    total = scan.summary.exposed if scan.summary is not None else None
    return Side(
        scan.id,
        scan.started_at,
        scan.state,
        scan.start.campaign,
        open_,
        scan.summary.archives if scan.summary is not None else 0,
        total.studies if total is not None else 0,
        total.images if total is not None else 0,
        total.patients if total is not None else 0,
        total is not None and total.complete,
    )


def _asked(scan: Scan) -> tuple[object, ...]:
    """What a scan asked: targets, ports, depth."""
    options = scan.start.options
    return options.get("fingerprint", scan.start.targets), msgspec.json.encode(options.get("options"), order="sorted")
