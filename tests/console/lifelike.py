"""Rows as a watch of some years has them: for tests of the console, its screenshots, and the bench.

Everything follows from a seed. Volumes have the heavy tail that was published, countries their share, and servers are
opened, grow, are closed and opened again. It writes straight into the tables, as what folds and follows does, so that a
million sightings take a minute.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from leadapron.kernel.clock import iso
from leadapron.watch.measure.judge import judge, record
from leadapron.watch.measure.model import Accepted, Attempt, Count, Echo, Load, Measurement, Shapes
from leadapron.watch.track.tables import (
    campaigns,
    cases,
    days,
    events,
    exposures,
    hints,
    notices,
    scans,
    sightings,
    steps,
)
from leadapron.wire import uids

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
COUNTRIES = {
    "US": 30,
    "CN": 9,
    "IN": 9,
    "IR": 7,
    "BR": 6,
    "TR": 6,
    "KR": 3,
    "TH": 2,
    "AR": 2,
    "FR": 2,
    "ZA": 2,
    "CA": 2,
}
COUNTRIES |= {"MX": 2, "DE": 2, "GB": 1, "SG": 1, "ES": 1, "IT": 1, "HK": 1, "": 6}
SOFTWARE = (
    ("OFFIS_DCMTK_367", "1.2.276.0.7230010.3.0.3.6.7", 44),
    ("dcm4che-2.0", "1.2.40.0.13.1.1", 12),
    ("OSIRIX_100", "1.2.276.0.7230010.3.0.3.5.4", 14),
    ("CONQUEST150C", "1.2.826.0.1.3680043.2.135.1066.101", 6),
    ("EXAMPLE_1", "1.2.3.4.5.6", 24),
)
OPERATORS = ("Example Telecom", "Beispielnetz GmbH", "Ejemplo Nube", "Exemple Câble", "Nuvem Exemplo", "Örnek Telekom")
CLINICS = (
    "Radiology Example",
    "Röntgenpraxis Beispiel",
    "Clínica Ejemplo",
    "Centre d'imagerie Exemple",
    "Örnek Hastanesi",
)
STATES = ("new", "confirmed", "notified", "notified", "acknowledged", "fixed", "closed", "reopened", "escalated")
NOTICES = ("draft", "draft", "draft", "approved", "sent", "sent", "sent", "unsure", "failed", "bounced", "dropped")
HOSTILE = (
    "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\x1b[2J\x00\u202ereversed\u2066\u200f\ud7ff" + "x" * 40
)
CHUNK = 5_000


class Size(Struct, frozen=True):
    """How much: ``rounds`` scans, each of which sees every exposure."""

    exposures: int = 120
    rounds: int = 10
    days_between: int = 7
    seed: int = 1
    hostile: bool = False


def address(number: int) -> str:
    return f"127.{1 + (number >> 16 & 127)}.{number >> 8 & 255}.{number & 255}"


def fill(engine: sa.Engine, size: Size = Size(), now: datetime = NOW) -> None:  # noqa: B008 (frozen)
    """Write all of it; the tables should be empty."""
    with engine.begin() as connection:
        _Life(connection, size, now).write()


class _Server:
    """One endpoint through all rounds."""

    def __init__(self, number: int, dice: random.Random, rounds: int, hostile: bool) -> None:
        self.number = number
        self.country = dice.choices(tuple(COUNTRIES), tuple(COUNTRIES.values()))[0]
        self.name, self.uid, _ = dice.choices(SOFTWARE, [weight for *_, weight in SOFTWARE])[0]
        if hostile:
            self.name = HOSTILE[:60]
        self.port = dice.choice((104, 11112, 4242))
        self.studies = max(1, int(dice.lognormvariate(8.2, 2.1)))
        self.exposed = dice.random() < 0.85
        self.complete = dice.random() < 0.8
        self.from_round = 0 if dice.random() < 0.6 else dice.randrange(rounds)
        left = rounds - self.from_round
        self.to_round = self.from_round + dice.randrange(1, left + 1) if left > 1 and dice.random() < 0.35 else None
        self.again = (
            self.to_round + 2 if self.to_round and self.to_round + 2 < rounds and dice.random() < 0.15 else None
        )
        self.images = dice.choice((4, 20, 30, 90, 200))
        self.growth = dice.choice((0, 0, 0, 0.02, 0.05))

    def open_in(self, turn: int) -> bool:
        if turn < self.from_round:
            return False
        if self.again is not None and turn >= self.again:
            return True
        return self.to_round is None or turn < self.to_round

    def count(self, turn: int) -> int:
        return int(self.studies * (1 + self.growth * (turn - self.from_round)))

    def measurement(self, turn: int, at: str) -> Measurement:
        contexts = (uids.VERIFICATION, uids.STUDY_ROOT_FIND, *uids.COMMON_STORAGE)
        accept = Accepted(contexts, 16384, self.uid, self.name)
        studies = self.count(turn)
        count = Count(
            studies * 2 // 3, studies, studies * self.images, self.complete, "exact" if self.complete else "lower-bound"
        )
        return Measurement(
            address(self.number),
            self.port,
            "count",
            (Attempt("tcp", "ANY-SCP", "LEADAPRON", accept),),
            at,
            1.8,
            Load(2, 2, 5),
            Echo(0),
            count if self.exposed else None,
            Shapes(True, True, False) if self.exposed else None,
        )


class _Life:
    def __init__(self, connection: sa.Connection, size: Size, now: datetime) -> None:
        self.connection, self.size, self.now = connection, size, now
        self.dice = random.Random(size.seed)
        self.hostile = HOSTILE if size.hostile else None
        self.servers = [
            _Server(number, self.dice, size.rounds, size.hostile and number % 3 == 0)
            for number in range(1, size.exposures + 1)
        ]
        self.rounds = [
            now - timedelta(days=size.days_between * (size.rounds - 1 - turn)) for turn in range(size.rounds)
        ]

    def write(self) -> None:
        self._scans()
        shown = self._sightings()
        self._exposures(shown)
        self._events()
        self._days()
        self._cases()
        self.connection.execute(
            campaigns.insert(),
            [
                {
                    "name": self._text(name)[:64],
                    "paused": paused,
                    "wanted": False,
                    "next_at": iso(self.now + timedelta(days=1)),
                    "last_scan": self.size.rounds,
                    "changed_by": "anna" if paused else None,
                }
                for name, paused in (
                    (("national", False), ("hospitals", True)) if not self.hostile else (("x", False),)
                )
            ],
        )
        if self.connection.dialect.name == "postgresql":
            for table in (scans, sightings, exposures, events, cases, notices, hints, steps):
                self.connection.execute(
                    sa.text(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) FROM {table.name}")
                )

    def _insert(self, table: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
        chunk: list[dict[str, Any]] = []
        for row in rows:
            chunk.append(row)
            if len(chunk) >= CHUNK:
                self.connection.execute(table.insert(), chunk)
                chunk = []
        if chunk:
            self.connection.execute(table.insert(), chunk)

    def _text(self, plain: str) -> str:
        """For PostgreSQL no U+0000: what writes such texts takes it out."""
        return plain if self.hostile is None else f"{plain} {self.hostile}".replace("\x00", "")

    def _scans(self) -> None:
        scope = json.dumps(
            {"file": "/nowhere/scope.toml", "contact": self._text("cert@example.org"), "reason": "census"}
        )
        self._insert(
            scans,
            (
                {
                    "id": turn + 1,
                    "started_at": iso(at),
                    "finished_at": iso(at + timedelta(hours=2)),
                    "state": "done",
                    "targets": json.dumps([self._text("127.0.0.0/8")]),
                    "authorised_by": self._text("Dr. Example, national CERT"),
                    "scope": scope,
                    "options": "{}",
                    "seed": 1,
                    "process": None,
                    "position": 100,
                    "tally": "{}",
                    "summary": json.dumps({"endpoints": {"exposed": self._open(turn), "guarded": 400, "other": 900}}),
                    "campaign": self._text("national")[:64],
                    "folded_at": iso(at + timedelta(hours=2)),
                }
                for turn, at in enumerate(self.rounds)
            ),
        )

    def _open(self, turn: int) -> int:
        return sum(server.open_in(turn) for server in self.servers)

    def _sightings(self) -> dict[int, int]:
        """By server the number of the last sighting that showed it open."""
        shown: dict[int, int] = {}
        self._insert(sightings, self._sighting_rows(shown))
        return shown

    def _sighting_rows(self, shown: dict[int, int]) -> Iterator[dict[str, Any]]:
        number = 0
        kept: dict[tuple[str, str, bool, bool], tuple[str, str]] = {}
        for turn, at in enumerate(self.rounds):
            for server in self.servers:
                number += 1
                is_open = server.open_in(turn)
                if is_open:
                    shown[server.number] = number
                when = iso(at)
                measurement = server.measurement(turn, when)
                key = (server.name, server.uid, server.exposed, server.complete)
                if server.number < 1000 or key not in kept:  # in bulk the texts are alike
                    texts = (
                        msgspec.json.encode(measurement).decode(),
                        msgspec.json.encode(record(measurement)).decode(),
                    )
                    kept[key] = texts
                texts = kept[key]
                verdict = ("exposed" if server.exposed else "open") if is_open else "guarded"
                counted = server.count(turn) if is_open and server.exposed else None
                yield {
                    "id": number,
                    "scan_id": turn + 1,
                    "address": address(server.number),
                    "port": server.port,
                    "transport": "tcp",
                    "service": "dicom",
                    "verdict": verdict,
                    "studies": counted,
                    "images": None if counted is None else counted * server.images,
                    "patients": None if counted is None else counted * 2 // 3,
                    "complete": None if counted is None else server.complete,
                    "observed_at": when,
                    "measurement": texts[0],
                    "record": texts[1],
                    "archive": None,
                }

    def _exposures(self, shown: dict[int, int]) -> None:
        self._insert(exposures, self._exposure_rows(shown))

    def _exposure_rows(self, shown: dict[int, int]) -> Iterator[dict[str, Any]]:
        last = self.size.rounds - 1
        for server in self.servers:
            is_open = server.open_in(last)
            turns = [turn for turn in range(self.size.rounds) if server.open_in(turn)]
            turn = turns[-1]
            measurement = server.measurement(turn, iso(self.rounds[turn]))
            judged = judge(measurement)
            software = judged.software
            counted = server.count(turn) if server.exposed else None
            closed_at = None if is_open else iso(self.rounds[min(turn + 1, last)])
            began = server.again if server.again is not None and is_open else server.from_round
            yield {
                "id": server.number,
                "address": address(server.number),
                "port": server.port,
                "transport": "tcp",
                "service": "dicom",
                "campaign": self._text("national")[:64],
                "state": "open" if is_open else "closed",
                "verdict": "exposed" if server.exposed else "open",
                "severity": judged.findings[0].severity if judged.findings else None,
                "first_seen": iso(self.rounds[server.from_round]),
                "opened_at": iso(self.rounds[began]),
                "last_open": iso(self.rounds[turn]),
                "last_answer": iso(self.rounds[last]),
                "closed_at": closed_at,
                "proofs": 0 if is_open else 2,
                "episodes": 2 if server.again is not None and is_open else 1,
                "sighting_id": shown[server.number],
                "studies": counted,
                "images": None if counted is None else counted * server.images,
                "patients": None if counted is None else counted * 2 // 3,
                "complete": server.complete if counted is not None else None,
                "product": self._text(software.product)[:80] if software and software.product else None,
                "version": software.version if software else None,
                "certificate": None,
                "marks": "{}",
                "door_of": server.number - 1 if server.number % 37 == 0 else None,
                "moved_to": None,
                "moved_sure": None,
                "country": server.country or None,
                "asn": 64500 + server.number % 20,
                "operator": self._text(OPERATORS[server.number % len(OPERATORS)] + f" {server.number % 23}"),
            }

    def _events(self) -> None:
        self._insert(events, self._event_rows())

    def _event_rows(self) -> Iterator[dict[str, Any]]:
        number = 0
        for server in self.servers:
            for kind, turn in (("opened", server.from_round), ("closed", server.to_round), ("reopened", server.again)):
                if turn is None or turn >= self.size.rounds:
                    continue
                number += 1
                counted = server.count(turn) if server.exposed else None
                yield {
                    "id": number,
                    "exposure_id": server.number,
                    "scan_id": turn + 1,
                    "sighting_id": None,
                    "at": iso(self.rounds[turn]),
                    "kind": kind,
                    "studies_before": None,
                    "studies": counted,
                    "images_before": None,
                    "images": None if counted is None else counted * server.images,
                    "other_id": None,
                    "sure": None,
                }

    def _days(self) -> None:
        self._insert(days, self._day_rows())

    def _day_rows(self) -> Iterator[dict[str, Any]]:
        for turn, at in enumerate(self.rounds):
            sums: dict[str, list[int]] = defaultdict(lambda: [0] * 7)
            for server in self.servers:
                kept = sums[server.country]
                if server.open_in(turn):
                    counted = server.count(turn) if server.exposed else 0
                    for place, value in enumerate((1, 1, counted, counted * server.images, counted * 2 // 3)):
                        kept[place] += value
                    kept[5] += turn == server.from_round or turn == server.again
                elif turn == server.to_round:
                    kept[6] += 1
            for country, (count, archives, studies, images, patients, opened, closed) in sums.items():
                yield {
                    "day": iso(at)[:10],
                    "country": country,
                    "campaign": "national",
                    "open": count,
                    "archives": archives,
                    "studies": studies,
                    "images": images,
                    "patients": patients,
                    "opened": opened,
                    "closed": closed,
                    "reopened": 0,
                }

    def _cases(self) -> None:
        chosen = [server.number for server in self.servers if server.number % 2 == 0]
        self._insert(cases, (self._case(n + 1, exposure) for n, exposure in enumerate(chosen)))
        self._insert(steps, self._step_rows(len(chosen)))
        self._insert(notices, (self._notice(n + 1) for n in range(len(chosen)) if n % 3 != 2))
        self._insert(hints, self._hint_rows())

    def _case(self, number: int, exposure: int) -> dict[str, Any]:
        state = STATES[number % len(STATES)]
        owner = {
            "organisation": self._text(f"{CLINICS[number % len(CLINICS)]} {number}"),
            "mailbox": f"it@clinic{number}.example",
            "postal": self._text("1 Example Street\n12345 Example"),
            "person": None,
            "language": "en",
            "country": "US",
        }
        return {
            "id": number,
            "exposure_id": exposure,
            "state": state,
            "opened_at": iso(self.now - timedelta(days=60 - number % 50)),
            "changed_at": iso(self.now - timedelta(days=number % 40)),
            "due_at": None if state in ("fixed", "closed") else iso(self.now + timedelta(days=number % 21 - 6)),
            "level": 1 + number % 3 if state == "escalated" else 0,
            "event_id": 0,
            "reminders": number % 3,
            "owner": None if state == "new" else json.dumps(owner),
            "language": "en",
            "arms": json.dumps({"sender": "cert", "framing": "duty"}),
            "hold": self._text("They asked to be left alone until March.") if number % 17 == 0 else None,
        }

    def _step_rows(self, count: int) -> Iterator[dict[str, Any]]:
        number = 0
        for case in range(1, count + 1):
            for before, after, kind, by in (
                (None, "new", "opened", "rule"),
                ("new", "confirmed", "confirmed", "anna"),
                ("confirmed", "notified", "sent", "mail"),
            )[: 1 if STATES[case % len(STATES)] == "new" else 3]:
                number += 1
                yield {
                    "id": number,
                    "case_id": case,
                    "at": iso(self.now - timedelta(days=50 - number % 3)),
                    "by": self._text(by),
                    "kind": kind,
                    "before": before,
                    "after": after,
                    "text": self._text("The practice answers the telephone.") if kind == "confirmed" else "",
                }

    def _notice(self, case: int) -> dict[str, Any]:
        state = NOTICES[case % len(NOTICES)]
        at = iso(self.now - timedelta(days=case % 30))
        letter = case % 9 == 4
        return {
            "id": case,
            "case_id": case,
            "purpose": ("first", "reminder", "escalation")[case % 3],
            "channel": "letter" if letter else "email",
            "level": 0,
            "language": "en",
            "arms": json.dumps({"sender": "cert"}),
            "recipient": self._text("Clinic\n1 Example Street" if letter else f"it@clinic{case}.example"),
            "domain": "" if letter else f"clinic{case}.example",
            "sender": "watch@cert.example",
            "subject": self._text("Your imaging server stands open to anyone on the internet"),
            "body": self._text(
                "Good day,\n\na server of yours gives patient records to any stranger who asks.\n\n"
                "How to close it:\n  1. Close the port in your router.\n  2. Let in only machines that you know.\n\n"
                "How to see it for yourself:\n  leadapron check 127.0.0.1:104\n\nYours faithfully"
            ),
            "state": state,
            "created_at": at,
            "created_by": "rule",
            "approved_at": None if state == "draft" else at,
            "approved_by": None if state == "draft" else "anna",
            "not_before": None,
            "claimed_at": at if state in ("sent", "unsure") else None,
            "claimed_by": None,
            "sent_at": at if state == "sent" else None,
            "message_id": f"<{case}@cert.example>" if state == "sent" else None,
            "tries": 1 if state in ("sent", "failed", "unsure") else 0,
            "answer": "550: no such mailbox" if state in ("failed", "bounced") else None,
        }

    def _hint_rows(self) -> Iterator[dict[str, Any]]:
        number = 0
        for server in self.servers:
            for kind, value, source in (
                ("reverse-dns", f"pacs{server.number}.clinic.example", "DNS"),
                ("rdap-network", "EXAMPLE-NET", "RDAP of the registry"),
                ("operator", OPERATORS[server.number % len(OPERATORS)], "MMDB"),
            ):
                number += 1
                state = ("hint", "confirmed", "rejected")[number % 3]
                yield {
                    "id": number,
                    "exposure_id": server.number,
                    "kind": kind,
                    "value": self._text(value),
                    "source": self._text(source),
                    "at": iso(self.now),
                    "state": state,
                    "decided_by": None if state == "hint" else "anna",
                    "decided_at": None if state == "hint" else iso(self.now),
                }
