"""Patient IDs that are national identifiers."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind, always
from leadapron.watch.measure.record import Verdict

_EXPOSED: frozenset[Verdict] = frozenset({"exposed"})


def _applies(facts: Facts) -> str | None:
    shapes = facts.measurement.shapes
    if shapes is None or not shapes.national_ids:
        return None
    return "patient IDs among the answers have the form and check digits of a national identifier; none was kept"


FINDING = FindingKind(
    id="national-ids-exposed",
    title="National identification numbers can be read",
    applies=_applies,
    severity=always("critical"),
    severity_rule="always critical",
    why="A social security or national identity number does not change after it has been stolen. Where it serves as "
    "patient ID, every answer to a query is enough for identity theft.",
    references=(refs.HIPAA_ACCESS, refs.HIPAA_UNIQUE),
    remedy="access",
    verdicts=_EXPOSED,
)
