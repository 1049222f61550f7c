"""Anybody may ask the archive for its patients."""

from __future__ import annotations

from leadapron.watch.measure.count.words import plural
from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind
from leadapron.watch.measure.record import Severity


def _applies(facts: Facts) -> str | None:
    if facts.refusal is not None or facts.capabilities is None:
        return None
    count = facts.count
    if count is None:
        models = len(facts.capabilities.find)
        return f"C-FIND is accepted in {plural(models, 'query model')}; it was not tried" if models else None
    amount = plural(count.studies, "study", "studies")
    if count.patients is not None:
        amount += f" of {plural(count.patients, 'patient')}"
    if count.images is not None:
        amount += f" with {plural(count.images, 'image')}"
    sure = "" if count.complete else "an estimate of " if count.method == "estimate" else "at least "
    return f"C-FIND without credentials listed {sure}{amount}"


def _severity(facts: Facts) -> Severity:
    return "critical" if facts.verdict == "exposed" else "high"


FINDING = FindingKind(
    id="query-without-credentials",
    title="Anybody can list the patients and their studies",
    applies=_applies,
    severity=_severity,
    severity_rule="critical where patient records were answered; high where the query is accepted and none was seen",
    why="Names, birth dates, examinations and their dates of all patients can be read by whoever finds the address. "
    "This is a disclosure of health information that most laws oblige to report.",
    references=(refs.HIPAA_ACCESS, refs.HIPAA_AUTHENTICATION, refs.PS315_TLS, refs.NIST_PACS),
    remedy="access",
)
