"""TLS that today's profiles forbid."""

from __future__ import annotations

import re

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import SPOKE_DICOM, Facts, FindingKind, always

_GOOD = ("TLSv1.2", "TLSv1.3")
_OLD = {"SSLv2": "SSL 2", "SSLv3": "SSL 3", "TLSv1": "TLS 1.0", "TLSv1.0": "TLS 1.0", "TLSv1.1": "TLS 1.1"}
# BCP 195 (RFC 9325 §4.1): no NULL, export, RC4 or anonymous suites, none below 112 bits; static RSA only to survive.
_WEAK = re.compile(r"NULL|EXP|RC4|RC2|\bDES\b|3DES|IDEA|SEED|MD5|ADH|AECDH|anon|PSK", re.IGNORECASE | re.ASCII)


def _applies(facts: Facts) -> str | None:
    tls = facts.tls
    if tls is None:
        return None
    if tls.version not in _GOOD:
        return f"{_OLD.get(tls.version, 'a version of TLS that is not known')} was negotiated"
    weak = _WEAK.search(tls.cipher)
    return f"a cipher suite with {weak.group().upper()} was negotiated" if weak else None


FINDING = FindingKind(
    id="weak-tls",
    title="The encryption is outdated",
    applies=_applies,
    severity=always("medium"),
    severity_rule="always medium",
    why="TLS before 1.2 and its weak cipher suites can be broken or downgraded by who sits on the way.",
    references=(refs.HIPAA_TRANSMISSION, refs.PS315_TLS, refs.PS315_TLS_MODIFIED),
    remedy="transport",
    verdicts=SPOKE_DICOM,
)
