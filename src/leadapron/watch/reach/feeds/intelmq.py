"""IntelMQ events as JSON lines: ready for its JSON parser, in the names of its data format.

Type ``vulnerable-system`` of the taxonomy ``vulnerable`` (Reference Security Incident Taxonomy), identifier
``open-dicom``. ``time.source`` is when the server was last seen open, ``time.observation`` when the feed was made. The
severity is ``extra.severity``, where Shadowserver's reports have it too, because the field ``severity`` is young and an
older IntelMQ refuses a name that it does not know. ``raw``, the field for a source's own line, is left out: no answer
of a server goes into an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from leadapron.kernel.hostport import HostPort
from leadapron.watch.reach.feeds.about import FEED, About, endpoint_id, exposure_id
from leadapron.watch.reach.feeds.entries import Entry
from leadapron.watch.reach.feeds.lines import line

_TLP: Final = {"clear": "WHITE", "green": "GREEN", "amber": "AMBER", "red": "RED"}  # its names are those of TLP 1.0


def lines(entries: Iterable[Entry], about: About) -> Iterator[str]:
    """A line an event, line ends included."""
    for entry in entries:
        yield line(event(entry, about))


def event(entry: Entry, about: About) -> dict[str, Any]:
    """The event; a field without a value is left out, as IntelMQ does."""
    exposure, now_at = entry.exposure, entry.moved_to
    full = " ".join(part for part in (entry.product, entry.version) if part)
    fields: dict[str, Any] = {
        "time.source": _time(exposure.last_open),
        "time.observation": _time(about.made_at),
        "feed.name": FEED,
        "feed.provider": about.sender,
        "classification.taxonomy": "vulnerable",
        "classification.type": "vulnerable-system",
        "classification.identifier": "open-dicom",
        "source.ip": entry.address,
        "source.port": exposure.port,
        "source.reverse_dns": entry.hostname,
        "source.network": entry.network,
        "source.asn": entry.asn,
        "source.as_name": entry.operator,
        "source.geolocation.cc": entry.country,
        "source.abuse_contact": entry.abuse,
        "protocol.transport": "tcp",
        "protocol.application": "dicom",
        "product.full_name": full or None,
        "product.name": entry.product.lower() if entry.product else None,
        "product.version": entry.version.lower() if entry.version else None,
        "status": entry.state,
        "tlp": _TLP[about.tlp] if about.tlp else None,
        "extra.id": str(exposure_id(entry)),
        "extra.severity": exposure.severity,
        "extra.verdict": exposure.verdict,
        "extra.tls": exposure.transport == "tls",
        "extra.findings": [finding.id for finding in entry.findings] or None,
        "extra.studies": exposure.studies,
        "extra.images": exposure.images,
        "extra.patients": exposure.patients,
        "extra.count_complete": exposure.complete,
        "extra.first_seen": exposure.first_seen,
        "extra.opened_at": exposure.opened_at,
        "extra.closed_at": exposure.closed_at if exposure.state == "closed" else None,
        "extra.moved_to": str(HostPort(*now_at)) if now_at else None,
        "extra.moved_to_id": str(endpoint_id(*now_at)) if now_at else None,
        "extra.moved_sure": bool(exposure.moved_sure) if now_at else None,
        "extra.episodes": exposure.episodes,
        "extra.second_door": True if exposure.door_of is not None else None,
    }
    return {key: value for key, value in fields.items() if value is not None and value not in ("-", "N/A")}


def _time(iso: str) -> str:
    """``+00:00`` for the ``Z``: the only zone that IntelMQ's type DateTime takes."""
    return iso.removesuffix("Z") + "+00:00"
