"""docs/findings.md, made from the data that judging uses.

    python -m leadapron.watch.measure.judge.catalogue docs/findings.md

writes it anew; a test fails when the file falls behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from leadapron.watch.measure.judge.findings import kinds
from leadapron.watch.measure.judge.findings.outdated_software import advisories
from leadapron.watch.measure.judge.model import FindingKind
from leadapron.watch.measure.judge.remedies.data import (
    FIRST,
    Remedy,
    files,
    has,
    product_of,
    remedy,
    sections,
    sources_of,
)
from leadapron.watch.measure.judge.verdict import TABLE
from leadapron.watch.measure.software import products

_HEAD = """\
# Verdicts, findings and remedies

<!-- Made by `python -m leadapron.watch.measure.judge.catalogue docs/findings.md`. Change the data, not this page. -->

What `leadapron scan` concludes from a visit, why it matters, and what to do about it on each product. Verdict and
findings are computed from the finished measurement alone; evidence holds numbers, never a value of a patient.
"""


def document() -> str:
    """The page."""
    return "\n".join((_HEAD, *_verdicts(), *_findings(), *_remedies(), *_advisories(), *_software()))


def _verdicts() -> Iterator[str]:
    yield "## Verdicts\n"
    yield "The first line that fits decides. *Conclusive* is no where the server was not really seen this time.\n"
    yield "| how the attempt ended | and | verdict | conclusive |"
    yield "|---|---|---|---|"
    for row in TABLE:
        yield f"| {row.outcome.__name__} | {row.when} | `{row.verdict}` | {'yes' if row.conclusive else 'no'} |"
    yield ""


def _findings() -> Iterator[str]:
    yield "## Findings\n"
    for kind in kinds():
        yield from _finding(kind)


def _finding(kind: FindingKind) -> Iterator[str]:
    yield f"### {kind.id}\n"
    yield f"**{kind.title}.** Severity: {kind.severity_rule}.\n"
    yield f"{kind.why}\n"
    yield f"Looked for where the verdict is {', '.join(f'`{verdict}`' for verdict in sorted(kind.verdicts))}.\n"
    for reference in kind.references:
        yield f"- {reference.cite}: {reference.says}"
    yield f"\nRemedy: [{kind.remedy}](#remedy-{kind.remedy})\n"


def _remedies() -> Iterator[str]:
    yield "## Remedies\n"
    yield "How far each was tried:\n"
    for file in files():
        yield f"- *{product_of(file)}*: {remedy(file, 'access').tried}"
    yield ""
    for section in (FIRST, *sorted(sections() - {FIRST})):
        yield f"### Remedy: {section}\n"
        for file in files():
            if has(file, section):
                yield from _remedy(remedy(file, section))
    yield "### Where the remedies were read\n"
    for file in files():
        for source in sources_of(file):
            yield f"- {product_of(file)}: {source}"
    yield ""


def _remedy(one: Remedy) -> Iterator[str]:
    yield f"#### {one.title} ({one.product})\n"
    for number, step in enumerate(one.steps, 1):
        first, *rest = step.splitlines()
        yield "\n".join((f"{number}. {first}", *(f"   {line}" if line else "" for line in rest)))
    yield ""


def _advisories() -> Iterator[str]:
    yield "## Published weaknesses that are known\n"
    yield "| product | before | CVEs | what | source |"
    yield "|---|---|---|---|---|"
    for one in advisories():
        yield f"| {one.product} | {one.fixed_in} | {', '.join(one.cves)} | {one.what} | {one.source} |"
    yield ""


def _software() -> Iterator[str]:
    yield "## Software that is recognised\n"
    yield "| product | Implementation Class UID | version name | source |"
    yield "|---|---|---|---|"
    for product in products():
        names = ", ".join(f"`{pattern.pattern}`".replace("|", "\\|") for pattern in product.names)
        yield f"| {product.name} | {', '.join(product.roots)} | {names} | {product.source.replace('|', '/')} |"
    yield ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
