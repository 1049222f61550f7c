"""OCSF events as JSON lines: Vulnerability Finding (class 2002) of schema 1.8.0.

Why that class and not Detection Finding (2004): a detection tells of something that somebody did, with the attempts as
its evidence. Here nobody did anything yet; a scanner found a weakness in a machine's configuration, which is what 2002
is for ("findings about a weakness in an information system"), and products that read OCSF from vulnerability scanners
look there. A weakness has exactly one of ``cve``, ``cwe`` and ``advisory``: ours have a CWE each.

A finding keeps its ``finding_info.uid`` for ever: Create when the server was first seen open, Update when something
changed, Close (status Resolved) when it was proved closed. One that left for another endpoint is closed with the status
Other, called Moved, and names the finding there: it is not resolved. ``time`` is when that happened. What has no place
in the schema, such as how many studies stand open, is in ``unmapped``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from leadapron import __version__
from leadapron.kernel.hostport import HostPort
from leadapron.watch.reach.feeds.about import About, endpoint_id, exposure_id, identifier, milliseconds
from leadapron.watch.reach.feeds.entries import Entry
from leadapron.watch.reach.feeds.lines import line
from leadapron.watch.reach.feeds.weakness import weaknesses

VERSION: Final = "1.8.0"
CATEGORY: Final = 2
CLASS: Final = 2002
_ACTIVITIES: Final = {1: "Create", 2: "Update", 3: "Close"}
_SEVERITIES: Final = {
    "info": (1, "Informational"),
    "low": (2, "Low"),
    "medium": (3, "Medium"),
    "high": (4, "High"),
    "critical": (5, "Critical"),
}
_UNKNOWN: Final = (0, "Unknown")
_HOSTNAME, _ADDRESS, _PORT = 1, 2, 11  # types of observables
_SERVER: Final = 1  # type of a device


def lines(entries: Iterable[Entry], about: About) -> Iterator[str]:
    """A line an exposure, line ends included."""
    for entry in entries:
        yield line(finding(entry, about))


def finding(entry: Entry, about: About) -> dict[str, Any]:
    exposure = entry.exposure
    uid = str(exposure_id(entry))
    closed = exposure.state == "closed"
    activity = 3 if closed else 1 if len(entry.events) < 2 else 2
    changed = entry.events[-1].at if entry.events else exposure.opened_at
    if closed and exposure.closed_at:  # a move closes one exposure by an event of the other
        changed = exposure.closed_at
    now_at = entry.moved_to
    status, said = (1, "New") if not closed else (4, "Resolved") if now_at is None else (99, "Moved")
    number, caption = _SEVERITIES.get(exposure.severity or "", _UNKNOWN)
    seen = {
        "first_seen_time": milliseconds(exposure.first_seen),
        "last_seen_time": milliseconds(exposure.last_open),
    }
    place = str(HostPort(entry.address, exposure.port))
    labels = [f"TLP:{about.tlp.upper()}"] if about.tlp else None
    return _filled(
        {
            "activity_id": activity,
            "activity_name": _ACTIVITIES[activity],
            "category_uid": CATEGORY,
            "category_name": "Findings",
            "class_uid": CLASS,
            "class_name": "Vulnerability Finding",
            "type_uid": CLASS * 100 + activity,
            "type_name": f"Vulnerability Finding: {_ACTIVITIES[activity]}",
            "time": milliseconds(changed),
            "severity_id": number,
            "severity": caption,
            "status_id": status,
            "status": said,
            "status_detail": None if now_at is None else _moved(now_at, exposure.moved_sure),
            "message": f"A DICOM server at {place} {'served' if closed else 'serves'} any stranger.",
            "metadata": {
                "version": VERSION,
                "uid": str(identifier("ocsf", uid, changed, activity)),
                "product": {"name": "Lead Apron", "vendor_name": "Lead Apron", "version": __version__},
                "log_provider": about.sender,
                "logged_time": milliseconds(about.made_at),
                "original_time": changed,
                "labels": labels,
            },
            "finding_info": {
                "uid": uid,
                "title": "DICOM server open to strangers",
                "types": ["open-dicom"],
                "data_sources": ["leadapron"],
                "created_time": milliseconds(exposure.first_seen),
                "modified_time": milliseconds(changed),
                "related_events": None if now_at is None else [{"uid": str(endpoint_id(*now_at))}],
                **seen,
            },
            "vulnerabilities": [
                {
                    "title": weakness.title,
                    "desc": weakness.why,
                    "severity": _SEVERITIES[ref.severity][1],
                    "cwe": {
                        "uid": f"CWE-{weakness.cwe}",
                        "caption": weakness.cwe_title,
                        "src_url": f"https://cwe.mitre.org/data/definitions/{weakness.cwe}.html",
                    },
                    "references": list(weakness.cites),
                    "remediation": {"desc": weakness.remedy},
                    **seen,
                }
                for ref, weakness in weaknesses(entry.findings, entry.product)
            ],
            "device": {
                "type_id": _SERVER,
                "type": "Server",
                "uid": uid,
                "ip": entry.address,
                "hostname": entry.hostname,
                "subnet": entry.network,
                "location": {"country": entry.country} if entry.country else None,
                **seen,
            },
            "resources": [
                {
                    "uid": uid,
                    "name": place,
                    "type": "DICOM service",
                    "ip": entry.address,
                    "hostname": entry.hostname,
                    "version": " ".join(part for part in (entry.product, entry.version) if part) or None,
                }
            ],
            "observables": [
                {"name": "device.ip", "type_id": _ADDRESS, "type": "IP Address", "value": entry.address},
                {"name": "unmapped.port", "type_id": _PORT, "type": "Port", "value": str(exposure.port)},
                *(
                    [{"name": "device.hostname", "type_id": _HOSTNAME, "type": "Hostname", "value": entry.hostname}]
                    if entry.hostname
                    else []
                ),
            ],
            "unmapped": {
                "port": exposure.port,
                "transport": exposure.transport,
                "verdict": exposure.verdict,
                "findings": [one.id for one in entry.findings],
                "patients": exposure.patients,
                "studies": exposure.studies,
                "images": exposure.images,
                "count_complete": exposure.complete,
                "asn": entry.asn,
                "as_name": entry.operator,
                "episodes": exposure.episodes,
                "second_door": exposure.door_of is not None,
            },
        }
    )


def _moved(now_at: tuple[str, int], sure: bool | None) -> str:
    return f"{'Moved' if sure else 'Moved, as it seems,'} to {HostPort(*now_at)}."


def _filled(value: dict[str, Any]) -> dict[str, Any]:
    """Without what has no value: OCSF has no null."""
    kept = {key: _filled(inner) if isinstance(inner, dict) else inner for key, inner in value.items()}
    return {
        key: [_filled(one) if isinstance(one, dict) else one for one in inner] if isinstance(inner, list) else inner
        for key, inner in kept.items()
        if inner is not None
    }
