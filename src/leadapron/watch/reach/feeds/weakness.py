"""Findings as others name them: an entry of the Common Weakness Enumeration (cwe.mitre.org, 4.x) for each.

A finding of ours is a weakness of configuration, not a flaw with a CVE number; CWE is the list that has names for such.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct

from leadapron.watch.measure.judge import known_findings, record_text
from leadapron.watch.measure.record import FindingRef

_MISSING_AUTHENTICATION: Final = (306, "Missing Authentication for Critical Function")
CWES: Final[dict[str, tuple[int, str]]] = {
    "accepts-unknown-sop-classes": (20, "Improper Input Validation"),
    "any-ae-title": (287, "Improper Authentication"),
    "commitment-open": _MISSING_AUTHENTICATION,
    "default-ae-title": (1188, "Initialization of a Resource with an Insecure Default"),
    "echo-without-credentials": _MISSING_AUTHENTICATION,
    "expired-certificate": (324, "Use of a Key Past its Expiration Date"),
    "national-ids-exposed": (359, "Exposure of Private Personal Information to an Unauthorized Actor"),
    "outdated-software": (1395, "Dependency on Vulnerable Third-Party Component"),
    "plain-transport": (319, "Cleartext Transmission of Sensitive Information"),
    "query-without-credentials": _MISSING_AUTHENTICATION,
    "retrieve-possible": _MISSING_AUTHENTICATION,
    "self-signed-certificate": (295, "Improper Certificate Validation"),
    "store-without-credentials": _MISSING_AUTHENTICATION,
    "weak-tls": (326, "Inadequate Encryption Strength"),
    "worklist-open": _MISSING_AUTHENTICATION,
}
# What an exposure is even where none of its findings is known any more: it served a stranger.
SERVED: Final = FindingRef("echo-without-credentials", "medium")


class Weakness(Struct, frozen=True):
    """A finding in words that others know. ``remedy``: the title of what to do; ``cites``: rules that it breaks."""

    id: str
    title: str
    why: str
    cwe: int
    cwe_title: str
    cites: tuple[str, ...]
    remedy: str


def weaknesses(findings: tuple[FindingRef, ...], product: str | None) -> list[tuple[FindingRef, Weakness]]:
    """Those among ``findings`` that are known and have a name elsewhere; never empty."""
    known = [finding for finding in findings if finding.id in CWES and finding.id in known_findings()]
    return [(finding, weakness(finding.id, product)) for finding in known or [SERVED]]


@lru_cache(maxsize=1024)
def weakness(finding: str, product: str | None = None) -> Weakness:
    text = record_text(FindingRef(finding, "info"), product)
    number, title = CWES[finding]
    return Weakness(
        finding,
        text.title,
        text.why,
        number,
        title,
        tuple(reference.cite for reference in text.references),
        text.remedies[min(1, len(text.remedies) - 1)].title,  # the first of several is only to close the port
    )
