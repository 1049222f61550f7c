"""Judging: from a finished measurement to a verdict, findings and the record. Pure, apart from measuring.

``verdict`` holds the table of verdicts, ``findings`` one module for each thing that can be wrong, ``remedies`` what to
do about it on each product. ``docs/findings.md`` is made from them (``catalogue``).
"""

from leadapron.watch.measure.judge.judging import judge, record
from leadapron.watch.measure.judge.model import Finding, Judgement
from leadapron.watch.measure.judge.text import FindingText, finding_text, known_findings, record_text

__all__ = [
    "Finding",
    "FindingText",
    "Judgement",
    "finding_text",
    "judge",
    "known_findings",
    "record",
    "record_text",
]
