"""The scan in a few sentences, and the next step to take.

The same sentences stand under the table on the terminal and at the head of the HTML report. They say no more than the
figures do: a count that is not complete is "at least".
"""

from __future__ import annotations

from leadapron.watch.measure.record import EndpointRecord, ExposedTotal, Summary
from leadapron.watch.report.text import endpoint, listing, quantity


def headline(summary: Summary) -> str:
    """The one sentence that matters."""
    exposed = summary.endpoints.get("exposed", 0)
    opened = summary.endpoints.get("open", 0)
    if exposed:
        gives = "gives" if exposed == 1 else "give"
        return f"{quantity(exposed, 'endpoint')} {gives} patient records to any stranger who asks."
    if opened:
        serves = "serves" if opened == 1 else "serve"
        return f"{quantity(opened, 'endpoint')} {serves} any stranger, though no patient record was seen."
    if guarded := summary.endpoints.get("guarded", 0):
        all_turn = "it turns" if guarded == 1 else "all of them turn"
        found = "was" if guarded == 1 else "were"
        return f"{quantity(guarded, 'imaging server')} {found} found, and {all_turn} strangers away."
    return "No imaging server was found that talks to strangers."


def figures(total: ExposedTotal, estimated: bool = False) -> str:
    """``3,100 patients, 4,203 studies and 120,311 images``, with "at least" where something may be missing, and "about"
    where an estimate is part of it, which may be too high as well."""
    amounts = listing(
        [
            quantity(total.patients, "patient"),
            quantity(total.studies, "study", "studies"),
            quantity(total.images, "image"),
        ]
    )
    return amounts if total.complete else f"{'about' if estimated else 'at least'} {amounts}"


def sentences(summary: Summary, estimated: bool = False) -> list[str]:
    """The scan in words, headline first. ``estimated``: some of what stands open was estimated."""
    said = [headline(summary)]
    counts = summary.endpoints
    if counts.get("exposed", 0):
        sources = quantity(summary.archives, "archive")
        behind = f", in {sources}" if summary.archives else ""
        stood = f"{figures(summary.exposed, estimated)} stand open{behind}."
        said.append(stood[0].upper() + stood[1:])
        if not summary.exposed.complete:
            said.append("Not every count could be finished; the endpoint's own line says why.")
    said.extend(_others(counts))
    rest = [
        part
        for part in (
            _some(counts.get("other", 0), "is no imaging service", "are no imaging services"),
            _some(counts.get("silent", 0), "connects and says nothing", "connect and say nothing"),
            _some(counts.get("closed", 0), "is closed or unreachable", "are closed or unreachable"),
        )
        if part
    ]
    if rest:
        seen = any(counts.get(verdict, 0) for verdict in ("exposed", "open", "guarded", "decoy"))
        said.append(f"Of the {'other ' if seen else ''}endpoints, {listing(rest)}.")
    if failed := counts.get("failed", 0):
        said.append(
            f"{quantity(failed, 'measurement')} failed for reasons of our own: nothing is known of those endpoints."
        )
    return said


def _others(counts: dict[str, int]) -> list[str]:
    said = []
    if counts.get("exposed", 0) and (opened := counts.get("open", 0)):
        serves = "serves" if opened == 1 else "serve"
        said.append(f"{opened:,} more {serves} any stranger, though no patient record was seen.")
    guarded, decoys = counts.get("guarded", 0), counts.get("decoy", 0)
    if guarded and (counts.get("exposed", 0) or counts.get("open", 0)):
        turns = "turns" if guarded == 1 else "turn"
        said.append(f"{quantity(guarded, 'imaging server')} {turns} strangers away.")
    if decoys:
        behaves = (
            "behaves as no real archive does: a decoy" if decoys == 1 else "behave as no real archive does: decoys"
        )
        said.append(f"{quantity(decoys, 'endpoint')} {behaves}, not counted.")
    return said


def _some(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}" if count else ""


KEPT = "No image was asked for, and nothing of any patient was kept: records were counted and forgotten."


def next_step(summary: Summary, first: EndpointRecord | None, scan: int | None, page: str | None = None) -> str:
    """What to do now. ``first`` is the endpoint that matters most; ``scan`` its number, None where it was not saved;
    ``page`` the HTML report, where one was written just now."""
    counts = summary.endpoints
    if first is not None and first.verdict in ("exposed", "open"):
        where = endpoint(first.address, first.port)
        rank = " first" if counts.get("exposed", 0) + counts.get("open", 0) > 1 else ""
        if page is not None:
            return f"Close {where}{rank}; {page} says how, step by step, for each server."
        command = "leadapron scan …" if scan is None else f"leadapron report {scan}"
        return f"Close {where}{rank}; `{command} --report report.html` writes down how, step by step, for each server."
    if counts.get("failed", 0):
        return "Scan again with a lower --rate, so that every endpoint is measured."
    if counts.get("guarded", 0):
        return "Scan again every night: servers get opened by an update or a helping hand, and nobody notices."
    return "If you expected an imaging server here, see that targets and --port name it and no firewall is between."
