"""What goes into a feed: exposures that fit a selection, each with its findings, events and the hints of its network.

Read in pages by number, so that no transaction stays open while somebody slow reads the feed, and in the order of their
numbers, which never change. What comes into being while it is read is in this feed or in the next.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, iso
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.measure.record import FindingRef
from leadapron.watch.reach.feeds import plain
from leadapron.watch.track.database import failures, name
from leadapron.watch.track.exposures.model import Event, Exposure, Marks
from leadapron.watch.track.tables import events, exposures, hints, sightings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Wanted = Literal["open", "closed", "all"]
Told = Literal["open", "closed", "moved"]
_CHUNK: Final = 500
_AGO = re.compile(r"(\d{1,5})(h|d|w)")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_HINTS: Final = ("reverse-dns", "abuse-mailbox", "rdap-network")


class Selection(Struct, frozen=True, kw_only=True):
    """Which exposures: all conditions that are given hold; within one, any value does.

    ``since``: shown open, or closed, at that time or later. ``after``/``upto``: something happened to it between
    these event numbers (after the first, up to the second).
    """

    countries: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()
    networks: tuple[Network, ...] = ()
    campaign: str | None = None
    state: Wanted = "open"
    since: str | None = None
    after: int | None = None
    upto: int | None = None
    scan: int | None = None


Endpoint = tuple[str, int]


class Entry(Struct, frozen=True, kw_only=True):
    """One exposure and what a feed says beside it; strings of strangers are ``plain`` already. ``elsewhere``: where
    other exposures stand that a move names, by their numbers."""

    exposure: Exposure
    findings: tuple[FindingRef, ...]
    events: tuple[Event, ...]
    product: str | None
    version: str | None
    operator: str | None
    hostname: str | None
    abuse: str | None
    network: str | None
    elsewhere: dict[int, Endpoint]

    @property
    def state(self) -> Told:
        """``moved`` where the server left this endpoint and was recognised at another: it is not fixed."""
        return self.exposure.state if self.moved_to is None else "moved"

    @property
    def moved_to(self) -> Endpoint | None:
        """Where it stands now."""
        exposure = self.exposure
        return None if exposure.state == "open" else self.elsewhere.get(exposure.moved_to or 0)

    def moved_from(self, event: Event) -> Endpoint | None:
        """Where it stood before this event."""
        return self.elsewhere.get(event.other_id or 0)

    @property
    def address(self) -> str:
        return plain.address(self.exposure.address)

    @property
    def country(self) -> str | None:
        return plain.country(self.exposure.country)

    @property
    def asn(self) -> int | None:
        return plain.asn(self.exposure.asn)


class _Record(Struct, frozen=True):
    """As much of a stored record as a feed needs."""

    findings: tuple[FindingRef, ...]


def countries(text: str) -> tuple[str, ...]:
    """``de,FR`` as ``("DE", "FR")``. Raises UsageError."""
    found = tuple(part.strip().upper() for part in text.split(",") if part.strip())
    if not found or any(plain.country(code) is None for code in found):
        raise UsageError("--country wants two-letter codes of ISO 3166-1 with commas between, as in DE,AT,CH")
    return found


def asns(text: str) -> tuple[int, ...]:
    """``3320,AS3209`` as ``(3320, 3209)``. Raises UsageError."""
    parts = [part.strip().upper().removeprefix("AS") for part in text.split(",") if part.strip()]
    if not parts or not all(p.isascii() and p.isdigit() and len(p) < 11 and plain.asn(int(p)) for p in parts):
        raise UsageError("--asn wants numbers of autonomous systems with commas between, as in 3320,3209")
    return tuple(int(part) for part in parts)


def network(text: str) -> Network:
    """A block, or a single address. Raises UsageError."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise UsageError(f"--network: {text!a} is no block of addresses; one looks like 192.0.2.0/24") from None


def moment(text: str, clock: Clock, option: str = "--since") -> str:
    """``2026-11-21``, ``2026-11-21T20:00:00Z``, or that long ago: ``36h``, ``7d``, ``4w``. Raises UsageError."""
    if ago := _AGO.fullmatch(text):
        hours = int(ago[1]) * {"h": 1, "d": 24, "w": 168}[ago[2]]
        return iso(clock.now() - timedelta(hours=min(hours, 876_000)))
    for pattern, rest in ((_DAY, "T00:00:00Z"), (_MOMENT, "")):
        if pattern.fullmatch(text):
            try:
                msgspec.convert(text + rest, type=_datetime())
            except msgspec.ValidationError:
                break
            return text + rest
    raise UsageError(f"{option}: {text!a} is no time; 2026-11-21, 2026-11-21T20:00:00Z, 36h or 7d is")


def _datetime() -> Any:
    from datetime import datetime

    return datetime


def matching(selection: Selection) -> sa.ColumnElement[bool]:
    """The conditions that the database can judge: all but the networks."""
    wheres: list[sa.ColumnElement[bool]] = [sa.true()]
    if selection.state != "all":
        wheres.append(exposures.c.state == selection.state)
    if selection.countries:
        wheres.append(exposures.c.country.in_(selection.countries))
    if selection.asns:
        wheres.append(exposures.c.asn.in_(selection.asns))
    if selection.campaign is not None:
        wheres.append(exposures.c.campaign == selection.campaign)
    if selection.since is not None:
        wheres.append(sa.or_(exposures.c.last_open >= selection.since, exposures.c.closed_at >= selection.since))
    if selection.after is not None:
        between = events.c.id > selection.after
        if selection.upto is not None:
            between = sa.and_(between, events.c.id <= selection.upto)
        left = sa.select(events.c.other_id).where(between, events.c.other_id.is_not(None))  # a move ends one, too
        happened = sa.select(events.c.exposure_id).where(between)
        wheres.append(sa.or_(exposures.c.id.in_(happened), exposures.c.id.in_(left)))
    if selection.scan is not None:
        there = sa.and_(sightings.c.address == exposures.c.address, sightings.c.port == exposures.c.port)
        of_scan = sa.and_(sightings.c.scan_id == selection.scan, sightings.c.verdict.in_(("exposed", "open")))
        wheres.append(sa.select(sightings.c.id).where(there, of_scan).correlate(exposures).exists())
    return sa.and_(*wheres)


def read(engine: sa.Engine, selection: Selection) -> Iterator[Entry]:
    """The entries, a few hundred in memory at a time. Raises ``Failure`` where the database fails."""
    last = 0
    where = matching(selection)
    while True:
        query = (
            sa.select(exposures, sightings.c.record)
            .join(sightings, exposures.c.sighting_id == sightings.c.id)
            .where(where, exposures.c.id > last)
            .order_by(exposures.c.id)
            .limit(_CHUNK)
        )
        with failures(engine), engine.connect() as connection:
            page = connection.execute(query).mappings().all()
            if not page:
                return
            last = page[-1]["id"]
            rows = [row for row in page if _inside(row["address"], selection.networks)]
            ids = [row["id"] for row in rows]
            happened = _events(connection, ids)
            told = _told(connection, ids)
            elsewhere = _elsewhere(connection, rows, happened)
        for row in rows:
            yield _entry(engine, row, happened.get(row["id"], ()), told.get(row["id"], {}), elsewhere)
        if len(page) < _CHUNK:
            return


def _inside(address: str, networks: Sequence[Network]) -> bool:
    if not networks:
        return True
    try:
        parsed = ipaddress.ip_address(plain.address(address))
    except ValueError:
        return False
    return any(parsed in block for block in networks)


def _events(connection: sa.Connection, ids: Sequence[int]) -> dict[int, tuple[Event, ...]]:
    found: dict[int, list[Event]] = {}
    query = sa.select(events).where(events.c.exposure_id.in_(ids)).order_by(events.c.id)
    for row in connection.execute(query).mappings():
        found.setdefault(row["exposure_id"], []).append(Event(**row))
    return {key: tuple(several) for key, several in found.items()}


def _told(connection: sa.Connection, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """For each exposure the hint of each kind: a confirmed one first, then the oldest."""
    query = (
        sa.select(hints.c.exposure_id, hints.c.kind, hints.c.value)
        .where(hints.c.exposure_id.in_(ids), hints.c.kind.in_(_HINTS), hints.c.state != "rejected")
        .order_by(sa.case((hints.c.state == "confirmed", 0), else_=1), hints.c.id)
    )
    found: dict[int, dict[str, str]] = {}
    for exposure_id, kind, value in connection.execute(query):
        found.setdefault(exposure_id, {}).setdefault(kind, value)
    return found


def _elsewhere(
    connection: sa.Connection, rows: Sequence[sa.RowMapping], happened: Mapping[int, Sequence[Event]]
) -> dict[int, Endpoint]:
    """The endpoints that moves lead to and from, by the numbers of their exposures."""
    ids = {row["moved_to"] for row in rows} | {one.other_id for some in happened.values() for one in some}
    ids.discard(None)
    if not ids:
        return {}
    query = sa.select(exposures.c.id, exposures.c.address, exposures.c.port).where(exposures.c.id.in_(sorted(ids)))
    return {id: (plain.address(address), port) for id, address, port in connection.execute(query)}


def _entry(
    engine: sa.Engine,
    row: sa.RowMapping,
    happened: tuple[Event, ...],
    told: dict[str, str],
    elsewhere: dict[int, Endpoint],
) -> Entry:
    values = dict(row)
    try:
        record = msgspec.json.decode(values.pop("record"), type=_Record)
        values["marks"] = msgspec.json.decode(values["marks"], type=Marks)
    except msgspec.DecodeError as error:
        raise Failure(
            f"{name(engine)} holds a row that cannot be read: it was damaged, or changed by hand. Restore it from a "
            "backup"
        ) from error
    return Entry(
        exposure=Exposure(**values),
        findings=record.findings,
        events=happened,
        product=plain.plain(values["product"], 80),
        version=plain.plain(values["version"], 40),
        operator=plain.plain(values["operator"]),
        hostname=plain.host_name(told.get("reverse-dns")),
        abuse=plain.mailbox(told.get("abuse-mailbox")),
        network=plain.network(told.get("rdap-network"), plain.address(values["address"])),
        elsewhere=elsewhere,
    )
