"""The report as one HTML file that needs nothing else and asks for nothing.

Whoever opens it may be offline, or may look at evidence against themselves: so there is no request to anywhere, and the
Content-Security-Policy in it starts from ``default-src 'none'`` and allows the one style sheet and the one script that
are in the file, by hash. Everything else passes Jinja's escaping, and before it ``text.clean``, so that what a peer
calls itself is text whatever it holds. Without the script all is there, only unsorted and unfiltered.

A census would make a file that no browser opens. So at most ``model.KEEP`` endpoints are in the table and ``DETAILED``
of them are told about in full; what is left out is said, with its number and where it can be read.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from leadapron import __version__
from leadapron.watch.measure.judge.remedies.data import GENERIC, product_of
from leadapron.watch.measure.record import SEVERITIES, VERDICTS, EndpointRecord, Verdict
from leadapron.watch.report import chart, markdown, table, text, visit, words
from leadapron.watch.report.model import After, Endpoint, Report

DETAILED = 300
TOLD: frozenset[Verdict] = frozenset({"exposed", "open", "guarded", "decoy"})  # those that spoke DICOM
SERVING: frozenset[Verdict] = frozenset({"exposed", "open"})
FIRST = 3  # servers to be closed first, named at the head
TARGETS_SHOWN = 4

MEANINGS: dict[Verdict, str] = {
    "exposed": "gave patient records to a stranger",
    "open": "serves a stranger; no patient record was seen",
    "guarded": "speaks DICOM and turns strangers away",
    "decoy": "behaves as no real archive does",
    "other": "answers, and is no imaging service",
    "silent": "connects, and says nothing in time",
    "closed": "refused or unreachable",
    "failed": "not measured, for a fault of ours",
}


def render(report: Report, *, detailed: int = DETAILED, after: After | None = None) -> str:
    """The whole file as text, to be written as UTF-8."""
    style, script = _asset("report.css"), _asset("report.js")
    worth = [point for point in report.endpoints if point.record.findings or point.record.verdict in TOLD]
    told = worth[:detailed]
    numbers = {id(point): index for index, point in enumerate(told, start=1)}
    template = _environment().get_template("report.html")
    return template.render(
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        report=report,
        after=after,
        facts=report.facts,
        summary=report.summary,
        counts={verdict: report.summary.endpoints.get(verdict, 0) for verdict in VERDICTS},
        targets=_targets(report.facts.targets),
        sentences=words.sentences(report.summary, report.estimated),
        kept=words.KEPT,
        first=[
            (point, numbers.get(id(point))) for point in report.endpoints[:FIRST] if point.record.verdict in SERVING
        ],
        next_step=words.next_step(report.summary, None, report.facts.number),
        strip=_strip(report),
        chart=chart.studies_chart([point.record for point in report.endpoints]),
        rows=[(point, numbers.get(id(point)), _sort_keys(point.record)) for point in report.endpoints],
        told=told,
        untold=len(worth) - len(told),
        meanings=MEANINGS,
        generic=product_of(GENERIC),
    )


def _targets(targets: tuple[str, ...]) -> str:
    shown = ", ".join(targets[:TARGETS_SHOWN])
    more = len(targets) - TARGETS_SHOWN
    return f"{shown} and {text.number(more)} more" if more > 0 else shown


def _strip(report: Report) -> list[tuple[Verdict, int, float, float]]:
    """Verdict, number, and where its part of the strip starts and how wide it is, in per cent. Closed ones are no
    sightings, so they are not in it; they would leave room for nothing else."""
    total = report.total or 1
    parts: list[tuple[Verdict, int, float, float]] = []
    start = 0.0
    for verdict, count in report.verdicts.items():
        parts.append((verdict, count, round(100 * start / total, 3), round(100 * count / total, 3)))
        start += count
    return parts


def _sort_keys(record: EndpointRecord) -> dict[str, str | int]:
    """What each cell sorts by, where that is not its text."""
    exposed = record.exposed
    severities = [SEVERITIES.index(finding.severity) for finding in record.findings]
    return {
        "endpoint": f"{_address_key(record.address)}{record.port:05}",
        "verdict": VERDICTS.index(record.verdict),
        "patients": -1 if exposed is None or exposed.patients is None else exposed.patients,
        "studies": -1 if exposed is None else exposed.studies,
        "images": -1 if exposed is None or exposed.images is None else exposed.images,
        "findings": sum(100 ** (len(SEVERITIES) - 1 - rank) for rank in severities),
    }


def _address_key(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return f"{parsed.version}{parsed.packed.hex()}"


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


@lru_cache(maxsize=4)
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8").strip()


def _finalize(value: Any) -> Any:
    """Everything that is printed into the page comes through here before it is escaped."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return text.clean(value)
    return value


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "number": text.number,
        "quantity": text.quantity,
        "moment": text.moment,
        "seconds": text.seconds,
        "counted": text.counted,
        "software": text.software,
        "severities": table.severities,
        "what": table.what,
        "why": table.why,
        "attempts": visit.attempts,
        "asked": visit.load,
        "counting": visit.counting,
        "abilities": visit.abilities,
        "titles_checked": visit.titles_checked,
        "where": _where,
        "listing": text.listing,
        "inline": markdown.inline,
        "step": markdown.step,
        "shapes": visit.shapes,
    }
    environment.filters.update(filters)
    return environment


def _where(point: Endpoint) -> str:
    return text.endpoint(point.record.address, point.record.port)
