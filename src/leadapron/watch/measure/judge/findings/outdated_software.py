"""A release with published weaknesses. The table names its sources (``advisories.toml``)."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib import resources

from msgspec import Struct, convert

from leadapron.watch.measure.judge import references as refs
from leadapron.watch.measure.judge.model import SPOKE_DICOM, Facts, FindingKind, always
from leadapron.watch.measure.record import Software


class Advisory(Struct, frozen=True, forbid_unknown_fields=True):
    """``fixed_in`` is the first release without the weaknesses."""

    product: str
    fixed_in: str
    cves: tuple[str, ...]
    what: str
    source: str


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    advisory: tuple[Advisory, ...]


@lru_cache(maxsize=1)
def advisories() -> tuple[Advisory, ...]:
    text = resources.files("leadapron.watch.measure.judge").joinpath("advisories.toml").read_text(encoding="utf-8")
    return convert(tomllib.loads(text), _File).advisory


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d{1,6}", version)[:4])


@lru_cache(maxsize=512)
def _evidence(software: Software) -> str | None:
    if software.version is None or not (version := _number(software.version)):
        return None
    open_ones = [a for a in advisories() if a.product == software.product and version < _number(a.fixed_in)]
    if not open_ones:
        return None
    cves = [cve for advisory in open_ones for cve in advisory.cves]
    newest = max(open_ones, key=lambda advisory: _number(advisory.fixed_in)).fixed_in
    named = ", ".join(cves[:3]) + (f" and {len(cves) - 3} more" if len(cves) > 3 else "")
    return f"{software.product} {software.version} answers; published: {named}; all are fixed by {newest}"


def _applies(facts: Facts) -> str | None:
    return None if facts.software is None else _evidence(facts.software)


FINDING = FindingKind(
    id="outdated-software",
    title="The software has published weaknesses",
    applies=_applies,
    severity=always("low"),
    severity_rule="always low: distributions mend old releases without changing the number that is sent",
    why="Weaknesses of this release are published. Whether they were mended without a new version number, as "
    "Debian does for DCMTK, only the site can tell.",
    references=(refs.HIPAA_RISK, refs.CVE_PREAMBLE),
    remedy="update",
    verdicts=SPOKE_DICOM,
)
