"""Storage commitment for strangers."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind
from leadapron.watch.measure.record import Severity


def _applies(facts: Facts) -> str | None:
    if facts.capabilities is None or not facts.capabilities.commitment:
        return None
    return "storage commitment is accepted; none was asked for"


def _severity(facts: Facts) -> Severity:
    return "medium" if facts.verdict == "exposed" else "low"


FINDING = FindingKind(
    id="commitment-open",
    title="Anybody can ask whether given images are stored here",
    applies=_applies,
    severity=_severity,
    severity_rule="medium where patient records were answered; else low",
    why="Storage commitment tells whether the archive holds an instance. Devices delete their own copy on that word, "
    "so that only devices that store here should be able to ask for it.",
    references=(refs.HIPAA_ACCESS, refs.HIPAA_INTEGRITY),
    remedy="access",
)
