"""A certificate out of its time, as of the visit."""

from __future__ import annotations

from datetime import UTC, datetime

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import SPOKE_DICOM, Facts, FindingKind, always


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _applies(facts: Facts) -> str | None:
    certificate = facts.tls.certificate if facts.tls is not None else None
    if certificate is None:
        return None
    seen = _moment(facts.measurement.observed_at)
    begins, ends = _moment(certificate.not_before), _moment(certificate.not_after)
    if seen is None:
        return None
    if ends is not None and ends < seen:
        return f"the server's certificate expired {(seen - ends).days} days before the visit"
    if begins is not None and begins > seen:
        return f"the server's certificate begins {(begins - seen).days} days after the visit"
    return None


FINDING = FindingKind(
    id="expired-certificate",
    title="The server's certificate is out of date",
    applies=_applies,
    severity=always("medium"),
    severity_rule="always medium",
    why="Devices that check certificates refuse this server; that images still arrive means that they do not check.",
    references=(refs.HIPAA_AUTHENTICATION, refs.PS315_TLS),
    remedy="certificate",
    verdicts=SPOKE_DICOM,
)
