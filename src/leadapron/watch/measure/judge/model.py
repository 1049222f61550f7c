"""What judging makes, and what a finding is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from leadapron.watch.measure.judge.references import Reference
from leadapron.watch.measure.model import Accepted, Attempt, Count, CountFailed, Measurement, Tls, Transport
from leadapron.watch.measure.record import Capabilities, Severity, Software, Verdict


class Finding(Struct, frozen=True):
    """One thing that is wrong with one endpoint. ``evidence`` holds numbers and our own words, no value of a patient.

    ``remedies`` name the files of ``judge/remedies`` that suit the software, likeliest first; the generic one is
    always there in the end.
    """

    id: str
    severity: Severity
    evidence: str
    remedies: tuple[str, ...]


class Judgement(Struct, frozen=True):
    """The verdict on a measurement and what follows from it.

    ``reason`` is None for a plain verdict. ``service`` names what answered: ``dicom``, ``http``, ``unknown`` …
    ``conclusive`` is False where the server was not really seen this time (our failure, silence, a transient
    rejection): such a visit proves neither that it is open nor that it was closed, and must not end an exposure.
    """

    verdict: Verdict
    reason: str | None
    service: str
    software: Software | None
    capabilities: Capabilities | None
    findings: tuple[Finding, ...]
    transport: Transport
    conclusive: bool


class Facts:
    """A measurement, opened up once for all rules that look at it. Internal to judging; findings only read it."""

    __slots__ = (
        "accepted",
        "attempt",
        "capabilities",
        "count",
        "measurement",
        "refusal",
        "software",
        "tells",
        "tls",
        "verdict",
    )

    def __init__(
        self,
        measurement: Measurement,
        attempt: Attempt,
        software: Software | None,
        capabilities: Capabilities | None,
        tells: tuple[str, ...],
    ) -> None:
        outcome, count = attempt.outcome, measurement.count
        self.measurement = measurement
        self.attempt = attempt  # the one that tells most
        self.accepted = outcome if type(outcome) is Accepted else None
        self.software = software
        self.capabilities = capabilities
        self.tells = tells
        self.tls: Tls | None = attempt.tls
        self.count = count if type(count) is Count else None
        self.refusal = count if type(count) is CountFailed else None
        self.verdict: Verdict = "failed"


SERVED: Final[frozenset[Verdict]] = frozenset({"exposed", "open"})
SPOKE_DICOM: Final[frozenset[Verdict]] = frozenset({"exposed", "open", "guarded"})


class FindingKind(Struct, frozen=True):
    """A finding as the catalogue knows it; one module of ``judge/findings`` each.

    ``applies`` gives the evidence, or None where the finding does not apply; it is asked only for ``verdicts``.
    ``severity_rule`` says in words what ``severity`` computes. ``remedy`` names the section of the remedy files.
    """

    id: str
    title: str
    applies: Callable[[Facts], str | None]
    severity: Callable[[Facts], Severity]
    severity_rule: str
    why: str
    references: tuple[Reference, ...]
    remedy: str
    verdicts: frozenset[Verdict] = SERVED


def always(severity: Severity) -> Callable[[Facts], Severity]:
    """A severity that does not depend on the measurement."""
    return lambda _: severity
