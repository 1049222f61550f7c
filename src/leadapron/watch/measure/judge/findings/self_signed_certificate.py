"""A certificate that vouches for itself."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import SPOKE_DICOM, Facts, FindingKind, always


def _applies(facts: Facts) -> str | None:
    certificate = facts.tls.certificate if facts.tls is not None else None
    return (
        "the server's certificate is signed by itself" if certificate is not None and certificate.self_signed else None
    )


FINDING = FindingKind(
    id="self-signed-certificate",
    title="The server's certificate is signed by itself",
    applies=_applies,
    severity=always("low"),
    severity_rule="always low",
    why="No device can tell this server from an impostor unless the certificate was carried to it by hand. Where that "
    "was done it is in order; where devices simply accept any certificate, TLS protects from nobody on the way.",
    references=(refs.HIPAA_AUTHENTICATION, refs.PS315_TLS),
    remedy="certificate",
    verdicts=SPOKE_DICOM,
)
