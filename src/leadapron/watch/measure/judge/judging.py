"""From a finished measurement to its judgement and to the endpoint's record: pure, and the same each time.

It is run on each endpoint of a scan and again on stored measurements, so that it must be quick (some tens of
microseconds) and must take whatever was stored, an empty visit too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from leadapron.watch.measure.judge.capabilities import capabilities
from leadapron.watch.measure.judge.findings import kinds
from leadapron.watch.measure.judge.model import Facts, Finding, FindingKind, Judgement
from leadapron.watch.measure.judge.remedies import suitable
from leadapron.watch.measure.judge.verdict import decide, most_telling
from leadapron.watch.measure.model import (
    Aborted,
    Accepted,
    Attempt,
    Count,
    Depth,
    Echo,
    Failed,
    Measurement,
    NotDicom,
    Rejected,
    TlsFailed,
)
from leadapron.watch.measure.other import PROTOCOLS, UNKNOWN
from leadapron.watch.measure.record import (
    SEVERITIES,
    VERDICTS,
    EndpointRecord,
    Exposed,
    FindingRef,
    Severity,
    ShapesFound,
    Verdict,
)
from leadapron.watch.measure.software import recognise

_ORDER: Final[dict[Severity, int]] = {severity: number for number, severity in enumerate(SEVERITIES)}
_KINDS: Final[dict[Verdict, tuple[FindingKind, ...]]] = {
    verdict: tuple(kind for kind in kinds() if verdict in kind.verdicts) for verdict in VERDICTS
}
_NO_ATTEMPT: Final = Attempt("tcp", "", "", Failed("the visit holds no attempt to associate"))


def judge(measurement: Measurement) -> Judgement:
    """Verdict, reason, software, capabilities and findings, the gravest first."""
    attempt = most_telling(measurement.attempts) if measurement.attempts else _NO_ATTEMPT
    outcome = attempt.outcome
    if type(outcome) is Accepted:
        software = recognise(outcome.implementation_class_uid, outcome.implementation_version_name)
        offered = capabilities(measurement, attempt, outcome)
        facts = Facts(measurement, attempt, software, offered, outcome.tells)
        if facts.count is not None and facts.count.tells:
            facts.tells = (*outcome.tells, *facts.count.tells)
    else:
        software = offered = None
        facts = Facts(measurement, attempt, None, None, ())
    decision = decide(facts)
    facts.verdict = decision.verdict
    return Judgement(
        decision.verdict,
        decision.reason,
        _service(facts),
        software,
        offered,
        _findings(facts),
        attempt.transport,
        decision.conclusive,
    )


@lru_cache(maxsize=512)
def _uncounted(port: int, depth: Depth, attempts: tuple[Attempt, ...], echo: Echo | None) -> Judgement:
    """Thousands of servers answer alike: what was not counted is judged once for each way of answering. Not over TLS,
    where the time tells whether a certificate has expired."""
    return judge(Measurement("", port, depth, attempts, "", 0.0, echo=echo))


def record(measurement: Measurement, judgement: Judgement | None = None) -> EndpointRecord:
    """The endpoint's line of the output contract; ``judgement`` spares judging again where it is at hand."""
    if judgement is not None:
        judged = judgement
    elif measurement.count is None and measurement.shapes is None and not any(a.tls for a in measurement.attempts):
        judged = _uncounted(measurement.port, measurement.depth, measurement.attempts, measurement.echo)
    else:
        judged = judge(measurement)
    exposed = shapes = None
    if judged.verdict == "exposed":
        count, seen = measurement.count, measurement.shapes
        if isinstance(count, Count):
            exposed = Exposed(
                count.patients,
                count.studies,
                count.images,
                count.complete,
                count.method,
                count.interval,
                count.note,
            )
        if seen is not None:
            shapes = ShapesFound(seen.names, seen.birth_dates, seen.national_ids)
    return EndpointRecord(
        measurement.address,
        measurement.port,
        judged.transport,
        judged.service,
        judged.verdict,
        judged.reason,
        judged.software,
        judged.capabilities,
        exposed,
        shapes,
        tuple([FindingRef(finding.id, finding.severity) for finding in judged.findings]),
        measurement.load,
        measurement.observed_at,
        measurement.elapsed_s,
    )


def _findings(facts: Facts) -> tuple[Finding, ...]:
    found = []
    for kind in _KINDS[facts.verdict]:
        evidence = kind.applies(facts)
        if evidence is not None:
            found.append((kind, kind.severity(facts), evidence))
    if not found:
        return ()
    found.sort(key=_gravity)
    files = suitable(facts)
    return tuple([Finding(kind.id, severity, evidence, files) for kind, severity, evidence in found])


def _gravity(found: tuple[FindingKind, Severity, str]) -> int:
    return _ORDER[found[1]]


def _service(facts: Facts) -> str:
    outcome = facts.attempt.outcome
    kind = type(outcome)
    if kind is Accepted or kind is Rejected or kind is Aborted:
        return "dicom"
    if type(outcome) is NotDicom:
        return outcome.protocol if outcome.protocol in PROTOCOLS else UNKNOWN
    return "tls" if kind is TlsFailed else UNKNOWN
