"""Hints as stored. A source's hint stands until the source says otherwise; what a person decided stands for ever.

Writing the hints of a round is idempotent: what is there stays with the time at which it was last seen, what a source
no longer says goes, unless a person confirmed or rejected it. A rejected hint therefore does not come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, get_args

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import Clock, SystemClock, iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.track.database import failures, name
from leadapron.watch.track.exposures.days import recount
from leadapron.watch.track.owner import location, rdap
from leadapron.watch.track.owner.countries import country
from leadapron.watch.track.owner.model import ENTERED, KINDS, LONGEST, Found, Hint, State
from leadapron.watch.track.owner.text import mailbox, one_line
from leadapron.watch.track.owner.upsert import upsert
from leadapron.watch.track.tables import exposures, hints

_BATCH: Final = 500
_KEY: Final = ("exposure_id", "kind", "value")
_UNDECIDED: Final = hints.c.state == "hint"


class Said(Struct, frozen=True):
    """What one source said of one exposure at a time."""

    found: tuple[Found, ...]
    at: str


class Source(Struct, frozen=True):
    """Which hints are a source's: by kind, and by how the source's text begins."""

    kinds: tuple[str, ...]
    begins: str = ""


SOURCES: Final = {
    "certificate": Source(("certificate-name",)),
    "files": Source(("country", "asn", "operator"), location.SOURCE),
    "dns": Source(("reverse-dns",)),
    "rdap": Source(("rdap-organisation", "rdap-network", "abuse-mailbox", "country"), rdap.SOURCE),
    "security-txt": Source(("security-txt",)),
    "country": Source(("cert", "regulator")),
}
"""In the order of preference: where two sources say the same, the first one is named."""


class Hints:
    """The hints of one database. Every method raises ``Failure`` with what to do next where the database fails."""

    def __init__(self, engine: sa.Engine, clock: Clock | None = None) -> None:
        self._engine = engine
        self._clock = clock or SystemClock()

    def of(self, exposure_id: int) -> list[Hint]:
        """All hints of an exposure, those that were decided first."""
        return self.of_all([exposure_id])[exposure_id]

    def of_all(self, exposure_ids: Sequence[int]) -> dict[int, list[Hint]]:
        """The same for many."""
        found: dict[int, list[Hint]] = {one: [] for one in exposure_ids}
        wanted = list(found)
        with failures(self._engine), self._engine.connect() as connection:
            for start in range(0, len(wanted), _BATCH):
                query = sa.select(hints).where(hints.c.exposure_id.in_(wanted[start : start + _BATCH]))
                for row in connection.execute(query.order_by(hints.c.id)).mappings():
                    found[row["exposure_id"]].append(Hint(**row))
        for some in found.values():
            some.sort(key=_rank)
        return found

    def get(self, hint_id: int) -> Hint:
        """The hint of that number. Raises `UsageError` where there is none."""
        with failures(self._engine), self._engine.connect() as connection:
            row = connection.execute(sa.select(hints).where(hints.c.id == hint_id)).mappings().first()
        if row is None:
            raise UsageError(
                f"there is no hint {hint_id} in {name(self._engine)}; 'leadapron owner show EXPOSURE' lists them"
            )
        return Hint(**row)

    def decide(self, hint_id: int, state: str, by: str) -> Hint:
        """A person says that a hint is right (``confirmed``), wrong (``rejected``), or takes that back (``hint``).
        Gives the hint as it is now. Raises `UsageError`."""
        if state not in get_args(State):
            raise UsageError(f"a hint cannot be that; it is one of {', '.join(get_args(State))}")
        hint, person = self.get(hint_id), _person(by)
        decided: dict[str, str | None] = {"decided_by": person, "decided_at": iso(self._clock.now())}
        if state == "hint":
            decided = dict.fromkeys(decided)
        with failures(self._engine), self._engine.begin() as connection:
            connection.execute(hints.update().where(hints.c.id == hint_id).values(state=state, **decided))
        self._apply_one(hint.exposure_id, hint.kind)
        return self.get(hint_id)

    def add(self, exposure_id: int, kind: str, value: str, source: str, by: str) -> Hint:
        """Something that a person knows, and from where: confirmed at once. Raises `UsageError`."""
        if kind not in (*KINDS, *ENTERED):
            raise UsageError(f"there is no such kind of hint; there are {', '.join((*KINDS, *ENTERED))}")
        clean, told = one_line(value), one_line(source)
        if clean is None or told is None:
            raise UsageError("a hint needs a value, and a source that says where it was read")
        if kind in ("mailbox", "abuse-mailbox") and (clean := mailbox(clean)) is None:
            raise UsageError("that is no mailbox; one looks like security@hospital.example")
        if kind == "country":
            clean = clean.upper()
            if country(clean) is None:
                raise UsageError("a country is two letters of ISO 3166-1, as in DE or US")
        now = iso(self._clock.now())
        row = {
            "exposure_id": exposure_id,
            "kind": kind,
            "value": clean,
            "source": told,
            "at": now,
            "state": "confirmed",
            "decided_by": _person(by),
            "decided_at": now,
        }
        one = sa.and_(hints.c.exposure_id == exposure_id, hints.c.kind == kind, hints.c.value == clean)
        with failures(self._engine), self._engine.connect() as connection:
            if connection.execute(sa.select(exposures.c.id).where(exposures.c.id == exposure_id)).first() is None:
                where = name(self._engine)
                raise UsageError(f"there is no exposure {exposure_id} in {where}; 'leadapron owner list' has them")
        with failures(self._engine), self._engine.begin() as connection:
            upsert(connection, hints, [row], _KEY, ("source", "at", "state", "decided_by", "decided_at"))
            key = connection.execute(sa.select(hints.c.id).where(one)).scalar_one()
        self._apply_one(exposure_id, kind)
        return self.get(key)

    def put(self, said: Mapping[int, Mapping[str, Said]]) -> None:
        """Write what sources (`SOURCES`) said of exposures, in one transaction. A source that is not named there was
        not asked, or did not answer: its hints stay as they are."""
        rows = [row for exposure_id, sources in said.items() for row in _rows(exposure_id, sources)]
        standing = {(row["exposure_id"], row["kind"], row["value"]) for row in rows}
        wanted, gone = list(said), []
        # Read before, not in, the transaction that writes: SQLite lets none become a writer after another has written.
        with failures(self._engine), self._engine.connect() as connection:
            for start in range(0, len(wanted), _BATCH):
                query = sa.select(hints).where(hints.c.exposure_id.in_(wanted[start : start + _BATCH]), _UNDECIDED)
                for old in connection.execute(query).mappings():
                    if (old["exposure_id"], old["kind"], old["value"]) in standing:
                        continue
                    if any(_is_of(SOURCES[one], old["kind"], old["source"]) for one in said[old["exposure_id"]]):
                        gone.append(old["id"])
        with failures(self._engine), self._engine.begin() as connection:
            for start in range(0, len(gone), _BATCH):
                connection.execute(hints.delete().where(hints.c.id.in_(gone[start : start + _BATCH]), _UNDECIDED))
            upsert(connection, hints, rows, _KEY, ("source", "at"), where=_UNDECIDED)
        self.apply(wanted)

    def _apply_one(self, exposure_id: int, kind: str) -> None:
        self.apply([exposure_id])
        if kind == "country":
            recount(self._engine)  # sums by country are of what was known before

    def apply(self, exposure_ids: Sequence[int]) -> None:
        """Set country, network and operator of exposures from their hints, as far as those know. What a person
        rejected goes, also where nothing else is known."""
        columns = tuple(exposures.c[name] for name in ("country", "asn", "operator"))
        every, wanted = self.of_all(exposure_ids), list(exposure_ids)
        changes = []
        with failures(self._engine), self._engine.connect() as connection:
            for start in range(0, len(wanted), _BATCH):
                query = sa.select(exposures.c.id, *columns).where(exposures.c.id.in_(wanted[start : start + _BATCH]))
                for key, *now in connection.execute(query):
                    told, wrong = _place(every[key]), _rejected(every[key])
                    meant = [
                        new if new is not None else None if old in wrong else old
                        for old, new in zip(now, told, strict=True)
                    ]
                    if meant != now:
                        changes.append(
                            dict(zip(("key", "to_country", "to_asn", "to_operator"), (key, *meant), strict=True))
                        )
        if not changes:
            return
        statement = (
            exposures.update()
            .where(exposures.c.id == sa.bindparam("key"))
            .values({column: sa.bindparam(f"to_{column.name}") for column in columns})
        )
        with failures(self._engine), self._engine.begin() as connection:
            connection.execute(statement, changes)


def best(some: Sequence[Hint], *kinds: str) -> Hint | None:
    """The hint of these kinds to go by: a confirmed one, else that of the source that knows it best."""
    fit = [hint for hint in some if hint.kind in kinds and hint.state != "rejected"]
    return min(fit, key=_rank, default=None)


def _rank(hint: Hint) -> tuple[int, int, int]:
    order = next((at for at, one in enumerate(SOURCES.values()) if _is_of(one, hint.kind, hint.source)), -1)
    return ("confirmed", "hint", "rejected").index(hint.state), order, hint.id


def _is_of(source: Source, kind: str, text: str) -> bool:
    return kind in source.kinds and text.startswith(source.begins)


def _place(some: Sequence[Hint]) -> tuple[str | None, int | None, str | None]:
    where, asn = best(some, "country"), best(some, "asn")
    operator = best(some, "operator") or best(some, "rdap-organisation")
    number = "" if asn is None else asn.value.upper().removeprefix("AS")
    return (
        where.value if where is not None and len(where.value) == 2 else None,
        int(number) if number.isascii() and number.isdigit() and int(number) < 2**32 else None,
        None if operator is None else operator.value,
    )


def _rejected(some: Sequence[Hint]) -> set[str | int | None]:
    """What a person said to be wrong, as exposures have it."""
    wrong = [hint for hint in some if hint.state == "rejected"]
    return {value for hint in wrong for value in _place([msgspec.structs.replace(hint, state="hint")])} - {None}


def _rows(exposure_id: int, sources: Mapping[str, Said]) -> list[dict[str, object]]:
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for key in SOURCES:
        for found in sources[key].found if key in sources else ():
            value, source = found.value[:LONGEST], found.source[:LONGEST]
            row = {"kind": found.kind, "value": value, "source": source, "at": sources[key].at}
            rows.setdefault((found.kind, value), {"exposure_id": exposure_id, "state": "hint", **row})
    return list(rows.values())


def _person(by: str) -> str:
    clean = one_line(by, 120)
    if clean is None:
        raise UsageError("say who decides: a name that is not empty")
    return clean
