"""AE titles are not looked at."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind
from leadapron.watch.measure.record import Severity


def _applies(facts: Facts) -> str | None:
    offered = facts.capabilities
    if offered is None:
        return None
    if offered.any_called_ae and offered.any_calling_ae:
        return "an association with a called and a calling AE title that nobody registered was accepted"
    if offered.any_calling_ae:
        return "an association with a calling AE title that nobody registered was accepted"
    if offered.any_called_ae:
        return "an association with a called AE title that nobody registered was accepted"
    return None


def _severity(facts: Facts) -> Severity:
    offered = facts.capabilities
    return "medium" if offered is not None and offered.any_calling_ae else "low"


FINDING = FindingKind(
    id="any-ae-title",
    title="Any AE title is accepted",
    applies=_applies,
    severity=_severity,
    severity_rule="medium where any calling AE title is accepted; low where only the called one is not checked",
    why="AE titles are names, not proofs: they can be guessed and are sent in clear. But a server that compares them "
    "with a list turns away who only passes by, and its log shows who does not belong.",
    references=(refs.HIPAA_AUTHENTICATION, refs.PS38_AE_TITLE, refs.PS315_IDENTITY, refs.PS315_NODE_ALERT),
    remedy="access",
)
