"""Anybody may write into the archive."""

from __future__ import annotations

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import Facts, FindingKind, always
from leadapron.wire.uids import COMMON_STORAGE


def _applies(facts: Facts) -> str | None:
    if facts.capabilities is None or not facts.capabilities.store:
        return None
    return f"{facts.capabilities.store} of {len(COMMON_STORAGE)} storage classes are accepted; nothing was stored"


FINDING = FindingKind(
    id="store-without-credentials",
    title="Anybody can put images into the archive",
    applies=_applies,
    severity=always("high"),
    severity_rule="always high",
    why="A stranger can add false images to a patient's record, fill the disk, or leave a file that is a program as "
    "well as an image for a colleague to open.",
    references=(refs.HIPAA_INTEGRITY, refs.HIPAA_AUTHENTICATION, refs.PS34_STORE, refs.CVE_PREAMBLE),
    remedy="store",
)
