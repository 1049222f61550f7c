"""The images themselves could be fetched. Read off the accepted contexts: nothing was fetched."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind
from leadapron.watch.measure.record import Severity

_HOW = {
    ("get",): "C-GET is accepted",
    ("move",): "C-MOVE is accepted",
    ("get", "move"): "C-GET and C-MOVE are accepted",
}


def _applies(facts: Facts) -> str | None:
    if facts.capabilities is None or not facts.capabilities.retrieve:
        return None
    how = _HOW[facts.capabilities.retrieve]
    if facts.refusal is not None:
        return f"{how}; C-FIND was refused, so that retrieval may be refused too"
    return f"{how}; nothing was retrieved"


def _severity(facts: Facts) -> Severity:
    if facts.verdict == "exposed":
        return "critical"
    return "medium" if facts.refusal is not None else "high"


FINDING = FindingKind(
    id="retrieve-possible",
    title="Anybody can fetch the images",
    applies=_applies,
    severity=_severity,
    severity_rule="critical where patient records were answered; medium where the query was refused; else high",
    why="The archive takes requests for images from strangers. With C-GET they arrive on the same connection; with "
    "C-MOVE they are sent to an address that the archive knows, or, in some products, to any.",
    references=(refs.HIPAA_ACCESS, refs.HIPAA_AUTHENTICATION, refs.NIST_PACS, refs.CVE_PREAMBLE),
    remedy="access",
)
