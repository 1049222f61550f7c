"""Findings in words: for the report, for notices, for docs/findings.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from leadapron.watch.measure.judge.findings import kind, kinds
from leadapron.watch.measure.judge.model import Finding
from leadapron.watch.measure.judge.references import Reference
from leadapron.watch.measure.judge.remedies.data import FIRST, GENERIC, Remedy, has, remedy
from leadapron.watch.measure.judge.remedies.suitable import suiting
from leadapron.watch.measure.record import FindingRef

# Sections before which the port is to be closed: they are about strangers getting in.
_URGENT: Final = frozenset({"access", "store", "worklist"})


class FindingText(Struct, frozen=True):
    """A finding as people read it. ``remedies``: the likeliest product's first, each with its own title and steps.

    Steps are Markdown. ``evidence`` is empty where only a record is at hand.
    """

    id: str
    severity: str
    title: str
    evidence: str
    why: str
    references: tuple[Reference, ...]
    remedies: tuple[Remedy, ...]


def finding_text(finding: Finding) -> FindingText:
    """The finding with its evidence and the remedies for that very software."""
    return _text(finding.id, finding.severity, finding.evidence, finding.remedies)


def record_text(finding: FindingRef, product: str | None = None) -> FindingText:
    """The same from an endpoint's record, which holds no evidence. ``product`` as in the record's ``software``."""
    return _text(finding.id, finding.severity, "", suiting(product))


def known_findings() -> tuple[str, ...]:
    """The ids of all findings."""
    return tuple(one.id for one in kinds())


def _text(finding_id: str, severity: str, evidence: str, files: Iterable[str]) -> FindingText:
    one = kind(finding_id)
    return FindingText(
        id=one.id,
        severity=severity,
        title=one.title,
        evidence=evidence,
        why=one.why,
        references=one.references,
        remedies=remedies_for(one.remedy, files),
    )


def remedies_for(section: str, files: Iterable[str]) -> tuple[Remedy, ...]:
    """The remedies of a section from these files; what is urgent begins with closing the port."""
    own = [remedy(file, section) for file in files if has(file, section) and file != GENERIC]
    first = [remedy(GENERIC, FIRST)] if section in _URGENT else []
    return (*first, *own) if own else (*first, remedy(GENERIC, section))
