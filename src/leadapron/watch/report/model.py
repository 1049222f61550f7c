"""One scan, gathered for showing: what matters first, bounded whatever the size of the scan.

A census may hold millions of sightings. They are read once: tallies grow by verdict and finding, and only the endpoints
that matter most are kept whole (``KEEP``), so memory stays bounded and a report of anything opens. What is left out is
said, with its number. What matters: exposed first, by images; then open, guarded, decoy, other, silent, failed.

Findings come as names and severities in the record; their words (title, evidence, remedies, references) are judged from
the measurement, for the endpoints that are kept.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from leadapron.watch.measure.judge import FindingText, finding_text, judge, record_text
from leadapron.watch.measure.judge.remedies.data import Remedy
from leadapron.watch.measure.model import Load, Measurement
from leadapron.watch.measure.record import (
    SEVERITIES,
    VERDICTS,
    EndpointRecord,
    FindingRef,
    Severity,
    Summary,
    Verdict,
)

KEEP = 2_000


class Facts(Struct, frozen=True, kw_only=True):
    """The circumstances of a scan. ``number`` None where it was not saved; times ISO 8601 UTC; ``scope`` in brief, as
    it was stored with the scan; None on loopback."""

    number: int | None
    state: str
    targets: tuple[str, ...]
    started_at: str
    finished_at: str | None
    authorised_by: str | None
    scope: dict[str, Any] | None
    depth: str | None = None


class Endpoint(Struct, frozen=True):
    """A record with its measurement and its findings in words, the gravest first."""

    record: EndpointRecord
    measurement: Measurement
    findings: tuple[FindingText, ...]

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """What to do here: the remedies of all findings, each once, those of the gravest finding first."""
        return tuple({(r.product, r.title): r for finding in self.findings for r in finding.remedies}.values())


class FindingTally(Struct, frozen=True):
    """One kind of finding and on how many endpoints it was made; ``severities``: how many at which, gravest first."""

    id: str
    title: str
    severities: tuple[tuple[Severity, int], ...]

    @property
    def endpoints(self) -> int:
        return sum(count for _, count in self.severities)


class Report(Struct, frozen=True):
    """``endpoints`` are the most important ones, in order, at most ``KEEP``; ``total`` is how many there are.
    ``estimated``: an estimate is among the counts, so that their sum is one too."""

    facts: Facts
    summary: Summary
    endpoints: tuple[Endpoint, ...]
    total: int
    verdicts: dict[Verdict, int]
    findings: tuple[FindingTally, ...]
    load: Load
    estimated: bool
    busiest: int  # the most requests that any one endpoint was sent

    @property
    def left_out(self) -> int:
        return self.total - len(self.endpoints)


class Change(Struct, frozen=True):
    """One endpoint at two times. None: nothing answered there."""

    address: str
    port: int
    before: EndpointRecord | None
    after: EndpointRecord | None


class After(Struct, frozen=True):
    """A second look at a few endpoints, when something was done about them. ``done``: what, in a sentence or two."""

    title: str
    done: str
    changes: tuple[Change, ...]


def importance(record: EndpointRecord) -> tuple[int, int, int, str, int]:
    """A key that sorts what matters first; the address breaks ties, so that two reports of one scan are the same.

    A study has one image at least, which stands in where the server would not say how many.
    """
    exposed = record.exposed
    images = 0 if exposed is None else exposed.studies if exposed.images is None else exposed.images
    return (
        VERDICTS.index(record.verdict),
        -images,
        -exposed.studies if exposed else 0,
        record.address,
        record.port,
    )


def collect(
    facts: Facts,
    sightings: Iterable[tuple[Measurement, EndpointRecord]],
    summarise: Callable[[], Summary],
    *,
    keep: int = KEEP,
) -> Report:
    """Read the sightings once, keep the ``keep`` most important endpoints, then ask for the summary."""
    verdicts: Counter[Verdict] = Counter()
    found: Counter[FindingRef] = Counter()
    load = [0, 0, 0]
    busiest = 0
    estimated = False

    def tallied() -> Iterator[tuple[Measurement, EndpointRecord]]:
        nonlocal busiest, estimated
        for measurement, record in sightings:
            verdicts[record.verdict] += 1
            found.update(set(record.findings))
            for index, value in enumerate((record.load.connections, record.load.associations, record.load.requests)):
                load[index] += value
            busiest = max(busiest, record.load.requests)
            estimated = estimated or (record.exposed is not None and record.exposed.method == "estimate")
            yield measurement, record

    kept = heapq.nsmallest(keep, tallied(), key=lambda pair: importance(pair[1]))
    return Report(
        facts=facts,
        summary=summarise(),
        endpoints=tuple(Endpoint(record, measurement, _in_words(measurement, record)) for measurement, record in kept),
        total=verdicts.total(),
        verdicts={verdict: verdicts[verdict] for verdict in VERDICTS if verdicts[verdict]},
        findings=_tallies(found),
        load=Load(*load),
        estimated=estimated,
        busiest=busiest,
    )


def _tallies(found: Mapping[FindingRef, int]) -> tuple[FindingTally, ...]:
    """By finding; the gravest first, of those the most frequent."""
    tallies = []
    for name in {one.id for one in found}:
        counts = tuple((s, found[ref]) for s in SEVERITIES if (ref := FindingRef(name, s)) in found)
        tallies.append(FindingTally(name, record_text(FindingRef(name, counts[0][0])).title, counts))
    tallies.sort(key=lambda tally: (SEVERITIES.index(tally.severities[0][0]), -tally.severities[0][1], tally.id))
    return tuple(tallies)


def _in_words(measurement: Measurement, record: EndpointRecord) -> tuple[FindingText, ...]:
    return tuple(finding_text(finding) for finding in judge(measurement).findings) if record.findings else ()
