"""No TLS."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import SPOKE_DICOM, Facts, FindingKind
from leadapron.watch.measure.record import Severity


def _applies(facts: Facts) -> str | None:
    return "DICOM is spoken here without TLS" if facts.attempt.transport == "tcp" else None


def _severity(facts: Facts) -> Severity:
    return "high" if facts.verdict == "exposed" else "medium"


FINDING = FindingKind(
    id="plain-transport",
    title="Patient data travels unencrypted",
    applies=_applies,
    severity=_severity,
    severity_rule="high where patient records were answered; else medium",
    why="Whoever sits on the way, in a shared network, at a provider or in a hacked device, reads and changes images "
    "and names. Without TLS no certificate proves who is asking either.",
    references=(refs.HIPAA_TRANSMISSION, refs.HIPAA_ENCRYPTION, refs.PS315_TLS, refs.PS315_TLS_MODIFIED),
    remedy="transport",
    verdicts=SPOKE_DICOM,
)
