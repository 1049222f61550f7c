"""Adds endpoints up, so that an archive behind several doors counts once.

Doors to one archive are recognised by the sample of keyed hashes that counting kept of each (``same_archive``). An
index over those hashes finds the candidates, so that thousands of archives cost no comparison of all with all. The
hashes die with the process: after a resume, endpoints of the earlier run are recognised by what was stored of them:
the same numbers of patients, studies and images, at the same address, or at any where there are a hundred studies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from leadapron.watch.measure.count.hashes import Fingerprint, same_archive
from leadapron.watch.measure.record import VERDICTS, EndpointRecord, Exposed, ExposedTotal, Summary

TELLING = 100  # studies
INDEXED = 16  # of the 256 smallest hashes: two doors to one archive share nearly all of them


class Archive(Struct):
    """One archive. ``doors``: the endpoints that lead to it; ``exposed``: the fullest of their counts."""

    doors: list[tuple[str, int]]
    exposed: Exposed
    fingerprint: Fingerprint | None


class Totals:
    """Grows by ``add``; ``summary`` gives what stands."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.closed = 0
        self.archives: list[Archive] = []
        self._by_hash: dict[int, list[Archive]] = {}
        self._by_numbers: dict[tuple[str, int, int | None, int | None], Archive] = {}
        self.studies = self.images = self.patients = 0

    @classmethod
    def of(cls, records: Iterable[EndpointRecord], closed: int = 0) -> Totals:
        """The totals of records that were stored."""
        totals = cls()
        totals.closed = closed
        for record in records:
            totals.add(record, None)
        return totals

    @property
    def endpoints(self) -> int:
        """Endpoints that have a record: all but the closed ones."""
        return self.verdicts.total()

    def add(self, record: EndpointRecord, fingerprint: Fingerprint | None) -> Archive | None:
        """Count one endpoint; gives the archive that it leads to, if it has one."""
        self.verdicts[record.verdict] += 1
        if record.exposed is None or record.verdict != "exposed":
            return None
        archive = self._known(record, fingerprint)
        if archive is None:
            archive = Archive([], record.exposed, fingerprint)
            self.archives.append(archive)
            self._sum(record.exposed, 1)
        elif _rank(record.exposed) > _rank(archive.exposed):
            self._sum(archive.exposed, -1)
            self._sum(record.exposed, 1)
            archive.exposed = record.exposed
        archive.doors.append((record.address, record.port))
        self._by_numbers.setdefault(_numbers(record.address, record.exposed), archive)
        for number in fingerprint.smallest[:INDEXED] if fingerprint else ():
            self._by_hash.setdefault(number, []).append(archive)
        return archive

    def summary(self, *, targets: int, closed: int, elapsed_s: float) -> Summary:
        """``targets``: addresses; ``closed``: endpoints that refused or did not answer; ``elapsed_s``: seconds."""
        endpoints: dict[str, int] = {verdict: self.verdicts[verdict] for verdict in VERDICTS}
        endpoints["closed"] += closed
        return Summary(
            targets=targets,
            endpoints=endpoints,
            archives=len(self.archives),
            exposed=ExposedTotal(
                self.patients, self.studies, self.images, all(a.exposed.complete for a in self.archives)
            ),
            elapsed_s=round(elapsed_s, 3),
        )

    def _known(self, record: EndpointRecord, fingerprint: Fingerprint | None) -> Archive | None:
        assert record.exposed is not None
        if fingerprint is not None:
            seen: set[int] = set()
            for number in fingerprint.smallest[:INDEXED]:
                for archive in self._by_hash.get(number, ()):
                    if id(archive) in seen or archive.fingerprint is None:
                        continue
                    seen.add(id(archive))
                    partial = not (record.exposed.complete and archive.exposed.complete)
                    if same_archive(fingerprint, archive.fingerprint, partial=partial):
                        return archive
        by_numbers = self._by_numbers.get(_numbers(record.address, record.exposed))
        if by_numbers is not None and (fingerprint is None or by_numbers.fingerprint is None):
            return by_numbers
        return None

    def _sum(self, exposed: Exposed, sign: int) -> None:
        self.studies += sign * exposed.studies
        self.images += sign * (exposed.images or 0)
        self.patients += sign * (exposed.patients or 0)


def _numbers(address: str, exposed: Exposed) -> tuple[str, int, int | None, int | None]:
    """What recognises an archive without hashes. Three numbers agree by chance only where they are small."""
    telling = exposed.studies >= TELLING and exposed.complete
    return "" if telling else address, exposed.studies, exposed.images, exposed.patients


def _rank(exposed: Exposed) -> tuple[bool, int, int]:
    """Which of two counts of one archive says more."""
    return exposed.complete, exposed.studies, exposed.images or 0
