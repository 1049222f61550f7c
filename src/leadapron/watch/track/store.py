"""Scans and sightings: begin, append, finish, read back.

Why a synchronous engine under an asynchronous scanner: there is one writer, it writes in batches, and SQLite has no
asynchronous interface (the drivers that offer one run it in a thread). So ``Writer`` runs this in a thread of its own,
where a slow disk holds up nothing but itself, and the same code serves reports, which have nothing else to do.

Sightings are only ever added. The one row that changes is a scan's own: position, state, summary.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.measure.model import Measurement
from leadapron.watch.measure.record import EndpointRecord, Summary
from leadapron.watch.track.database import failures, name, open_engine
from leadapron.watch.track.exposures.bulk import take_turn
from leadapron.watch.track.process import still_runs, this_process
from leadapron.watch.track.rows import AbsenceRow, ScanStart, SightingRow
from leadapron.watch.track.tables import absences, scans, sightings

State = Literal["running", "stopped", "done", "failed"]

_CHUNK = 500  # rows that an iterator holds at a time
_INSERT = sightings.insert()
_SCANNING = 0x4C42  # the first half of PostgreSQL's lock; the second is the scan's number
_WAITS_S = (0.05, 0.1, 0.2, 0.4)  # for one that was killed: its server sees that some time later
T = TypeVar("T")


class Scan(Struct, frozen=True):
    """A scan as stored. Times are ISO 8601 UTC. ``position``: how much of the permuted order is done; ``tally``: what
    was only counted up to there (closed endpoints); ``summary`` is there once the scan was finished; ``process``: who
    runs it, or did last (see ``process``)."""

    id: int
    state: State
    started_at: str
    finished_at: str | None
    start: ScanStart
    position: int
    tally: dict[str, int]
    summary: Summary | None
    process: str | None = None


class Resume(Struct, frozen=True):
    """What it takes to go on with a scan. ``recorded`` are the endpoints (address, port) that have a sighting or an
    absence already, some of them behind ``position``. Options and seed are the stored ones: under others a position
    means nothing."""

    scan: Scan
    recorded: frozenset[tuple[str, int]]


class Sighting(Struct, frozen=True):
    """A stored sighting: the measurement, and the record as it was judged at the time."""

    measurement: Measurement
    record: EndpointRecord


class Store:
    """The database of one watch. Use ``Store.open``; a context manager closes it.

    Every method raises ``kernel.errors.Failure`` with what to do next where the database fails.
    """

    def __init__(self, engine: sa.Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()
        self._session: sa.Connection | None = None

    @classmethod
    def open(cls, location: str | Path, clock: Clock | None = None) -> Store:
        """Open a data directory or an SQLAlchemy URL; missing directories, files and tables are made."""
        return cls(open_engine(location), clock)

    def close(self) -> None:
        if self._session is not None:
            with contextlib.suppress(sa.exc.DBAPIError):  # at once: a server sees some time later that nobody is there
                self._session.execute(sa.select(sa.func.pg_advisory_unlock_all()))
            self._session.close()
        self._session = None
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The database as messages call it: its file, or its URL without the password."""
        return name(self._engine)

    # ---- writing -----------------------------------------------------------------------------------------------------

    def begin_scan(self, start: ScanStart) -> int:
        """A new scan in state ``running``; its number. Raises ``UsageError`` where another process has begun a round of
        the same campaign by now."""
        row = {
            "started_at": iso(self._clock.now()),
            "state": "running",
            "targets": _json(start.targets),
            "authorised_by": start.authorised_by,
            "scope": None if start.scope is None else _json(start.scope),
            "options": _json(start.options),
            "seed": start.seed,
            "process": this_process(),
            "position": 0,
            "tally": "{}",
            "campaign": start.campaign,
        }
        with failures(self._engine), self._engine.begin() as connection:
            if start.campaign is not None:
                take_turn(connection)
                running = sa.and_(scans.c.campaign == start.campaign, scans.c.state == "running")
                for number, process in connection.execute(sa.select(scans.c.id, scans.c.process).where(running)).all():
                    _alone(number, process)
                    self._hold(number, process)
                    self._leave(number)
            key = connection.execute(scans.insert().values(row)).inserted_primary_key
            assert key is not None
            self._hold(int(key[0]), None)
        return int(key[0])

    def take_up(self, scan_id: int) -> None:
        """A stopped or killed scan runs again, in this process. Raises ``UsageError`` where another has taken it up by
        now."""
        values = {"state": "running", "finished_at": None, "folded_at": None, "process": this_process()}
        mine = scans.update().where(scans.c.id == scan_id)
        with failures(self._engine), self._engine.begin() as connection:
            take_turn(connection)
            stands = sa.select(scans.c.state, scans.c.process).where(scans.c.id == scan_id)
            for state, process in connection.execute(stands).all():
                if state == "done":
                    raise UsageError(f"another process has ended scan {scan_id} meanwhile; start without --resume")
                if state == "running":
                    _alone(scan_id, process)
                self._hold(scan_id, process)
            connection.execute(mine.values(values))

    def append(
        self,
        scan_id: int,
        rows: Sequence[SightingRow],
        position: int | None,
        tally: Mapping[str, int] | None,
        absent: Sequence[AbsenceRow] = (),
    ) -> None:
        """Add sightings and absences and, in the same transaction, move the position: it never runs ahead of what is
        stored."""
        with failures(self._engine), self._engine.begin() as connection:
            if rows:
                connection.execute(_INSERT, [{"scan_id": scan_id, **row} for row in rows])
            if absent:
                connection.execute(absences.insert(), [{"scan_id": scan_id, **row} for row in absent])
            values: dict[str, Any] = {}
            if position is not None:
                values["position"] = position
            if tally is not None:
                values["tally"] = _json(dict(tally))
            if values:
                connection.execute(scans.update().where(scans.c.id == scan_id).values(values))

    def finish(self, scan_id: int, state: Literal["stopped", "done", "failed"], summary: Summary | None = None) -> None:
        """The scan ended. A scan that was stopped or failed can be resumed; its summary says how far it came."""
        self._update(
            scan_id,
            {
                "state": state,
                "finished_at": iso(self._clock.now()),
                "summary": None if summary is None else _json(summary),
            },
        )

    def _update(self, scan_id: int, values: dict[str, Any]) -> None:
        with failures(self._engine), self._engine.begin() as connection:
            connection.execute(scans.update().where(scans.c.id == scan_id).values(values))

    def _hold(self, scan_id: int, process: str | None) -> None:
        """Hold a lock for as long as this store is open: PostgreSQL serves several machines, and whether a process runs
        on another one cannot be looked at. Raises ``UsageError`` where another store holds it."""
        if self._engine.dialect.name == "postgresql":
            if self._session is None:
                self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            mine = sa.select(sa.func.pg_try_advisory_lock(_SCANNING, scan_id))
            for wait in (*_WAITS_S, None):
                if self._session.execute(mine).scalar():
                    return
                if wait is not None:
                    time.sleep(wait)
            host = (process or "").partition(" ")[0]
            raise UsageError(f"scan {scan_id} of these targets still runs, on {host!a}. Stop that one first")

    def _leave(self, scan_id: int) -> None:
        if self._session is not None:
            self._session.execute(sa.select(sa.func.pg_advisory_unlock(_SCANNING, scan_id)))

    # ---- reading -----------------------------------------------------------------------------------------------------

    def scans(self) -> list[Scan]:
        """All scans, the newest first."""
        with failures(self._engine), self._engine.connect() as connection:
            found = connection.execute(sa.select(scans).order_by(scans.c.id.desc())).mappings().all()
        return [self._scan(row) for row in found]

    def latest(self) -> Scan | None:
        """The scan that was begun last."""
        with failures(self._engine), self._engine.connect() as connection:
            row = connection.execute(sa.select(scans).order_by(scans.c.id.desc()).limit(1)).mappings().first()
        return None if row is None else self._scan(row)

    def scan(self, scan_id: int) -> Scan:
        """The scan of that number. Raises ``UsageError`` where there is none."""
        with failures(self._engine), self._engine.connect() as connection:
            row = connection.execute(sa.select(scans).where(scans.c.id == scan_id)).mappings().first()
        if row is None:
            raise UsageError(f"there is no scan {scan_id} in {self.name}; `leadapron report --list` shows them")
        return self._scan(row)

    def verdicts(self) -> dict[int, dict[str, int]]:
        """For each scan how many sightings have which verdict."""
        query = sa.select(sightings.c.scan_id, sightings.c.verdict, sa.func.count()).group_by(
            sightings.c.scan_id, sightings.c.verdict
        )
        counts: dict[int, dict[str, int]] = {}
        with failures(self._engine), self._engine.connect() as connection:
            for scan_id, verdict, number in connection.execute(query):
                counts.setdefault(scan_id, {})[verdict] = number
        return counts

    def records(self, scan_id: int) -> Iterator[EndpointRecord]:
        """The records as they were judged at the time, in the order of observation."""
        decoder = msgspec.json.Decoder(EndpointRecord)
        for (record,) in self._rows(scan_id, sightings.c.record):
            yield self._decode(decoder, record)

    def sightings(self, scan_id: int) -> Iterator[Sighting]:
        """Measurements and records, in the order of observation, a few hundred in memory at a time."""
        measured, judged = msgspec.json.Decoder(Measurement), msgspec.json.Decoder(EndpointRecord)
        for measurement, record in self._rows(scan_id, sightings.c.measurement, sightings.c.record):
            yield Sighting(self._decode(measured, measurement), self._decode(judged, record))

    def rounds(self, campaign: str, limit: int = 2) -> list[Scan]:
        """The scans of a campaign, the newest first."""
        query = sa.select(scans).where(scans.c.campaign == campaign).order_by(scans.c.id.desc()).limit(limit)
        with failures(self._engine), self._engine.connect() as connection:
            found = connection.execute(query).mappings().all()
        return [self._scan(row) for row in found]

    def resumable(self, targets: Sequence[str], campaign: str | None = None) -> Resume | None:
        """The newest scan of these very targets, for this campaign or for none, that did not come to its end, or None.

        Raises ``UsageError`` where it still runs in another process: one device is never asked by two scans at once.
        """
        query = (
            sa.select(scans)
            .where(
                scans.c.targets == _json(tuple(targets)),
                scans.c.state != "done",
                scans.c.campaign.is_(None) if campaign is None else scans.c.campaign == campaign,
            )
            .order_by(scans.c.id.desc())
            .limit(1)
        )
        with failures(self._engine), self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        if row["state"] == "running":
            _alone(row["id"], row["process"])
        scan = self._scan(row)
        recorded = {(a, p) for a, p in self._rows(scan.id, sightings.c.address, sightings.c.port)}
        absent = sa.select(absences.c.address, absences.c.port).where(absences.c.scan_id == scan.id)
        with failures(self._engine), self._engine.connect() as connection:
            recorded.update((a, p) for a, p in connection.execute(absent))
        return Resume(scan, frozenset(recorded))

    def _rows(self, scan_id: int, *columns: sa.ColumnElement[Any]) -> Iterator[tuple[Any, ...]]:
        """Columns of a scan's sightings in order. Pages by key, so that no transaction stays open between two items:
        one that did would keep SQLite from ever shortening its write-ahead log."""
        last = 0
        while True:
            query = (
                sa.select(sightings.c.id, *columns)
                .where(sightings.c.scan_id == scan_id, sightings.c.id > last)
                .order_by(sightings.c.id)
                .limit(_CHUNK)
            )
            with failures(self._engine), self._engine.connect() as connection:
                page = connection.execute(query).all()
            for key, *values in page:
                last = key
                yield tuple(values)
            if len(page) < _CHUNK:
                return

    def _scan(self, row: sa.RowMapping) -> Scan:
        return Scan(
            id=row["id"],
            state=row["state"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            start=ScanStart(
                targets=self._read(row["targets"], tuple[str, ...]),
                options=self._read(row["options"], dict[str, Any]),
                seed=row["seed"],
                authorised_by=row["authorised_by"],
                scope=None if row["scope"] is None else self._read(row["scope"], dict[str, Any]),
                campaign=row["campaign"],
            ),
            position=row["position"],
            tally=self._read(row["tally"], dict[str, int]),
            summary=None if row["summary"] is None else self._read(row["summary"], Summary),
            process=row["process"],
        )

    def _read(self, text: str, kind: type[T]) -> T:
        return self._decode(msgspec.json.Decoder(kind), text)

    def _decode(self, decoder: msgspec.json.Decoder[T], text: str) -> T:
        try:
            return decoder.decode(text)
        except msgspec.DecodeError as error:
            raise Failure(
                f"{self.name} holds a row that cannot be read: it was damaged, or changed by hand. "
                "Restore it from a backup, or move it away and scan again"
            ) from error


def _alone(scan_id: int, process: str | None) -> None:
    if (pid := still_runs(process)) is not None:
        raise UsageError(f"scan {scan_id} of these targets still runs, as process {pid}. Stop that one first")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
