"""The day's patients, before they arrive."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind
from leadapron.watch.measure.record import Severity


def _applies(facts: Facts) -> str | None:
    if facts.capabilities is None or not facts.capabilities.worklist:
        return None
    return "C-FIND of the modality worklist is accepted; it was not asked for"


def _severity(facts: Facts) -> Severity:
    return "medium" if facts.refusal is not None else "high"


FINDING = FindingKind(
    id="worklist-open",
    title="Anybody can read the modality worklist",
    applies=_applies,
    severity=_severity,
    severity_rule="high; medium where another query was refused",
    why="The worklist holds who is expected when, for which examination, asked for by whom: names, birth dates, "
    "often pregnancy, allergies and weight.",
    references=(refs.HIPAA_ACCESS, refs.HIPAA_AUTHENTICATION),
    remedy="worklist",
)
