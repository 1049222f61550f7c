"""Folding a scan: its sightings become what stands open, and events that say what changed.

One transaction takes in all that the scan saw and has not been taken in yet, so that it can be repeated at will: after
a crash, or when a scan that was stopped and folded has been resumed. Rows go in and out in bulk, and only exposures
that the scan met are read: 20,000 take a few seconds, three take no time.

What is older than what is known of an endpoint changes nothing, so scans may be folded in any order; unless what is
known is dated in the future, by a clock that has been put right since. Folds wait for one another: SQLite has one
writer anyway, PostgreSQL is asked for a lock of that name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.track.database import failures, name, open_engine
from leadapron.watch.track.exposures import bulk, days, doors
from leadapron.watch.track.exposures.episode import CLOSED_AFTER, Episode, change, step
from leadapron.watch.track.exposures.model import Event, Kind, Marks
from leadapron.watch.track.exposures.moves import Trace, moves
from leadapron.watch.track.exposures.seen import Endpoint, Found, Seen, seen_in
from leadapron.watch.track.process import still_runs, this_process
from leadapron.watch.track.tables import absences, events, exposures, scans, sightings

_MANY: Final = 500  # values in one IN (…)


class Folded(Struct, frozen=True):
    """What a scan changed: its events, those of an earlier fold of the same scan not among them; what stands now."""

    scan_id: int
    events: tuple[Event, ...]
    standing: days.Standing

    def number(self, kind: Kind) -> int:
        return sum(event.kind == kind for event in self.events)


def fold(engine: sa.Engine, scan_id: int, *, closed_after: int = CLOSED_AFTER, clock: Clock | None = None) -> Folded:
    """Take in what the scan saw. ``closed_after``: so many proofs in a row close an exposure. Raises ``UsageError``
    where there is no such scan."""
    at = iso((clock or SystemClock()).now())
    with failures(engine), engine.begin() as connection:
        bulk.take_turn(connection)
        marked = connection.execute(scans.update().where(scans.c.id == scan_id).values(folded_at=at))
        if not marked.rowcount:
            raise UsageError(f"there is no scan {scan_id} in {name(engine)}; `leadapron report --list` shows them")
        try:
            return _Fold(connection, scan_id, closed_after, at).run()
        except msgspec.DecodeError as error:
            raise Failure(
                f"{name(engine)} holds a row of scan {scan_id} that cannot be read: it was damaged, or changed by "
                "hand. Restore it from a backup, or scan again"
            ) from error


def fold_all(
    location: str | Path, scan_id: int | None = None, *, closed_after: int = CLOSED_AFTER, clock: Clock | None = None
) -> Folded | None:
    """Fold what was left unfolded, by a crash or by an earlier version, the oldest scan first; then this one."""
    engine = open_engine(location)
    try:
        folded = None
        for number in unfolded(engine):
            if number != scan_id:
                with contextlib.suppress(Failure):  # a damaged old scan must not keep new ones from being folded
                    folded = fold(engine, number, closed_after=closed_after, clock=clock)
        return folded if scan_id is None else fold(engine, scan_id, closed_after=closed_after, clock=clock)
    finally:
        engine.dispose()


def unfolded(engine: sa.Engine) -> list[int]:
    """Scans that have ended, be it by being killed, and wait to be folded."""
    query = (
        sa.select(scans.c.id, scans.c.state, scans.c.process).where(scans.c.folded_at.is_(None)).order_by(scans.c.id)
    )
    with failures(engine), engine.connect() as connection:
        waiting = connection.execute(query).all()
    here = this_process()
    return [
        number
        for number, state, process in waiting
        if state != "running" or (process != here and still_runs(process) is None)
    ]


class _Fold:
    """One fold, inside of its transaction."""

    def __init__(self, connection: sa.Connection, scan_id: int, closed_after: int, now: str) -> None:
        self._connection = connection
        self._now = now
        self._scan = scan_id
        self._closed_after = closed_after
        self._known: dict[Endpoint, dict[str, Any]] = {}  # rows of exposures, as they stand by now
        self._changed: dict[int, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []

    def run(self) -> Folded:
        row = self._connection.execute(sa.select(scans).where(scans.c.id == self._scan)).mappings().one()
        after = row["folded_sighting"] or 0, row["folded_absence"] or 0
        seen, last = seen_in(self._connection, self._scan, after)
        self._load(seen)
        latest = {one.endpoint: one for one in seen}
        was_open = {endpoint for endpoint, exposure in self._known.items() if exposure["state"] == "open"}
        new = self._insert([one for one in latest.values() if one.endpoint not in self._known], row["campaign"])
        for one in latest.values():
            if one.endpoint in self._known and one.endpoint not in new:
                self._answered(self._known[one.endpoint], one, row["campaign"])
        self._move(was_open, latest, new, after)
        bulk.change(self._connection, exposures, self._changed)
        self._doors(latest)
        written = self._write_events()
        self._connection.execute(
            scans.update().where(scans.c.id == self._scan).values(folded_sighting=last[0], folded_absence=last[1])
        )
        if seen or not after[0]:
            day = max((one.at for one in seen), default=self._now)[:10]
            days.write(self._connection, day, {event.at[:10] for event in written}, self._now[:10])
        return Folded(self._scan, tuple(written), days.standing(self._connection))

    # ---- the states --------------------------------------------------------------------------------------------------

    def _load(self, seen: list[Seen]) -> None:
        """The exposures that the scan met."""
        for table in (sightings, absences):
            met = sa.and_(exposures.c.address == table.c.address, exposures.c.port == table.c.port)
            query = sa.select(exposures).join(table, met).where(table.c.scan_id == self._scan)
            for row in self._connection.execute(query).mappings():
                self._known[row["address"], row["port"]] = dict(row)

    def _insert(self, seen: list[Seen], campaign: str | None) -> set[Endpoint]:
        """Exposures that there were none of before."""
        rows = []
        for one in seen:
            episode, _ = step(None, one.answer, self._closed_after)
            if episode is None or one.found is None:
                continue
            rows.append(
                {
                    "address": one.endpoint[0],
                    "port": one.endpoint[1],
                    "campaign": campaign,
                    "state": "open",
                    "first_seen": one.at,
                    "opened_at": one.at,
                    "last_open": one.at,
                    "last_answer": one.at,
                    "closed_at": None,
                    "proofs": episode.proofs,
                    "episodes": episode.episodes,
                    **_columns(one.found),
                }
            )
        if not rows:
            return set()
        for row, number in zip(rows, bulk.add(self._connection, exposures, rows), strict=True):
            row["id"] = number
            self._known[row["address"], row["port"]] = row
            self._event(row, "opened", row["opened_at"], None, row["sighting_id"])
        return {(row["address"], row["port"]) for row in rows}

    def _answered(self, row: dict[str, Any], one: Seen, campaign: str | None) -> None:
        # An answer from times to come is one of a clock that was wrong: it must not stand until then.
        if one.at < row["last_answer"] <= self._now or one.answer == "nothing":
            return
        before = Episode(row["state"] == "open", row["proofs"], row["episodes"])
        after, turn = step(before, one.answer, self._closed_after)
        assert after is not None
        values: dict[str, Any] = {"last_answer": one.at, "proofs": after.proofs, "episodes": after.episodes}
        if campaign is not None:
            values["campaign"] = campaign
        kind: Kind | None = turn
        numbers = row["studies"], row["images"]
        if one.found is not None:
            values["last_open"] = one.at
            found = one.found
            # A look that did not count says nothing about what was counted: that stays.
            if found.size is not None or row["verdict"] != "exposed":
                kind = kind or change(_marks(row).size, found.size)
                values |= _columns(found)
        if turn == "reopened":
            values |= {"state": "open", "opened_at": one.at, "closed_at": None, "moved_to": None, "moved_sure": None}
        elif turn == "closed":
            values |= {"state": "closed", "closed_at": one.at}
        self._change(row, values)
        if kind is not None:
            self._event(row, kind, one.at, numbers, one.sighting_id)

    def _change(self, row: dict[str, Any], values: dict[str, Any]) -> None:
        row |= values
        self._changed.setdefault(row["id"], {}).update(values)

    # ---- moves -------------------------------------------------------------------------------------------------------

    def _move(
        self, was_open: set[Endpoint], latest: dict[Endpoint, Seen], new: set[Endpoint], after: tuple[int, int]
    ) -> None:
        left = [one for one in latest.values() if one.gone and one.endpoint in was_open]
        gone = {one.endpoint: one.at for one in left if one.at >= self._known[one.endpoint]["last_open"]}
        appeared = set(new)
        if any(after):  # the scan was folded in part: what went or came then belongs to it too
            for one in seen_in(self._connection, self._scan, (0, 0))[0]:
                row = self._known.get(one.endpoint)
                if row is None or not one.gone or one.endpoint in latest:
                    continue
                if row["state"] == "open" and one.at >= row["last_open"]:
                    gone[one.endpoint] = one.at
            opened = sa.select(events.c.exposure_id).where(events.c.scan_id == self._scan, events.c.kind == "opened")
            earlier = set(self._connection.execute(opened).scalars())
            appeared |= {e for e, row in self._known.items() if row["id"] in earlier and row["state"] == "open"}
        if not gone or not appeared:
            return
        rows = {row["id"]: row for row in self._known.values()}
        old = [self._trace(self._known[endpoint], None) for endpoint in gone]
        now = [self._trace(self._known[e], _archive(latest.get(e))) for e in appeared]
        now.sort(key=lambda trace: trace.key)
        certificates = {t.certificate for t in old if t.certificate} & {t.certificate for t in now if t.certificate}
        for move in moves(old, now, self._elsewhere(certificates, {t.key for t in (*old, *now)})):
            was, is_now = rows[move.old], rows[move.new]
            at = is_now["opened_at"]
            self._events = [
                event
                for event in self._events
                if not (event["exposure_id"] == was["id"] and event["kind"] == "closed")
                and not (event["exposure_id"] == is_now["id"] and event["kind"] == "opened")
            ]
            closed = {"state": "closed", "closed_at": gone[was["address"], was["port"]]}
            self._change(was, {**closed, "moved_to": is_now["id"], "moved_sure": move.sure})
            numbers = was["studies"], was["images"]
            self._event(is_now, "moved", at, numbers, is_now["sighting_id"], was["id"], move.sure)

    def _trace(self, row: dict[str, Any], archive: str | None) -> Trace:
        return Trace(
            key=row["id"],
            address=row["address"],
            port=row["port"],
            archive=archive or row.get("door_of") or row["id"],
            certificate=row["certificate"],
            product=row["product"],
            version=row["version"],
            marks=_marks(row),
        )

    def _elsewhere(self, certificates: Iterable[str], but: set[int]) -> set[str]:
        """Which of the certificates other open exposures show too."""
        wanted = sorted(certificates)
        found: set[str] = set()
        for start in range(0, len(wanted), _MANY):
            query = sa.select(exposures.c.id, exposures.c.certificate).where(
                exposures.c.certificate.in_(wanted[start : start + _MANY]), exposures.c.state == "open"
            )
            found |= {certificate for number, certificate in self._connection.execute(query) if number not in but}
        return found

    # ---- doors and events --------------------------------------------------------------------------------------------

    def _doors(self, latest: dict[Endpoint, Seen]) -> None:
        groups: dict[str, list[int]] = {}
        state = {row["id"]: row["state"] == "open" for row in self._known.values()}
        for one in latest.values():
            archive = _archive(one)
            if archive is not None and state.get(self._known[one.endpoint]["id"]):
                groups.setdefault(archive, []).append(self._known[one.endpoint]["id"])
        first = exposures.alias()
        query = sa.select(exposures.c.id, exposures.c.state, first.c.id, first.c.state).join(
            first, exposures.c.door_of == first.c.id
        )
        door_of: dict[int, int] = {}
        for number, stands, other, other_stands in self._connection.execute(query):
            door_of[number] = other
            state.setdefault(number, stands == "open")
            state.setdefault(other, other_stands == "open")
        changes = doors.regroup(door_of, groups.values(), state)
        bulk.change(self._connection, exposures, {member: {"door_of": door} for member, door in changes.items()})

    def _event(
        self,
        row: dict[str, Any],
        kind: Kind,
        at: str,
        before: tuple[int | None, int | None] | None,
        sighting_id: int | None,
        other_id: int | None = None,
        sure: bool | None = None,
    ) -> None:
        studies, images = (row["studies"], row["images"]) if kind != "closed" else (None, None)
        if kind == "shrank" and studies is None:
            studies, images = 0, 0
        self._events.append(
            {
                "exposure_id": row["id"],
                "scan_id": self._scan,
                "sighting_id": sighting_id,
                "at": at,
                "kind": kind,
                "studies_before": before[0] if before is not None else None,
                "studies": studies,
                "images_before": before[1] if before is not None else None,
                "images": images,
                "other_id": other_id,
                "sure": sure,
            }
        )

    def _write_events(self) -> list[Event]:
        if not self._events:
            return []
        numbers = bulk.add(self._connection, events, self._events)
        return [Event(id=number, **event) for number, event in zip(numbers, self._events, strict=True)]


def _columns(found: Found) -> dict[str, Any]:
    """What an exposure takes from the sighting that shows it."""
    values = {
        name: getattr(found, name) for name in Found.__struct_fields__ if name not in ("marks", "size", "archive")
    }
    return values | {"marks": msgspec.json.encode(found.marks).decode()}


def _marks(row: dict[str, Any]) -> Marks:
    return msgspec.json.decode(row["marks"], type=Marks)


def _archive(one: Seen | None) -> str | None:
    return one.found.archive if one is not None and one.found is not None else None
