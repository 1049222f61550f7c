"""A STIX 2.1 bundle. Objects are written as plain dictionaries: the ``stix2`` library checks every property of every
object once more, which takes minutes for a census. The tests have it read all that is written here.

The shape, and why. An exposure is a system that stands there with a weakness; nobody attacked it, so there is no
indicator and no sighting of anything malicious (an indicator would make a firewall block a hospital). STIX has:

- ``infrastructure`` for the system itself ("database servers targeted by an attack" are the specification's example),
  which *consists of* its observables: the address, the service on its port (``network-traffic`` with the endpoint as
  destination), the software; and is *located at* its country (§4.8);
- ``vulnerability`` for each kind of finding, said once for all: infrastructure *has* vulnerability, with the time at
  which that began and, once it is proved closed, ended (``start_time``, ``stop_time``, §5.1). A closed server is told
  by that end and never by ``revoked``, which would say that it had not been so; one that left for another endpoint is
  *related to* the system there and has the label ``moved``;
- ``observed-data`` for what was really seen and when, apart from what is concluded of it (§4.14);
- ``identity`` for who says so, a TLP marking, and ``note`` with the counts, for which STIX has no property.

Identifiers are UUIDv5: the observables' as the specification makes them (§2.9), all others from the endpoint. A second
bundle names the same things by the same names, ``modified`` tells which is newer. STIX 2.1 defines the markings of
TLP 1.0 only, so ``clear`` is its ``white``. The bundle's own identifier is a digest of what is in it, so it stands at
the end, and nothing need be kept in memory but which objects were written already, and the moves: those stand at the
end, where both systems are in the bundle.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

from leadapron.watch.measure.record import FindingRef
from leadapron.watch.reach.feeds.about import NAMESPACE, About, endpoint_id, exposure_id, identifier
from leadapron.watch.reach.feeds.entries import Entry
from leadapron.watch.reach.feeds.lines import line
from leadapron.watch.reach.feeds.weakness import Weakness, weaknesses

Object = dict[str, Any]
# §7.2.1.4: the markings of TLP, with these identifiers and this date for everybody.
_TLP: Final = {
    "clear": ("white", "613f2e26-407d-48c7-9eca-b8e91df99dc9"),
    "green": ("green", "34098fce-860f-48ae-8e50-ebd3cc5e41da"),
    "amber": ("amber", "f88d31f6-486f-44da-b317-01333bde0b82"),
    "red": ("red", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
}
_TLP_CREATED: Final = "2017-01-20T00:00:00.000Z"
_OBSERVABLES: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # §2.9
_BEGINNING: Final = "2016-01-01T00:00:00.000Z"  # of objects that never change: kinds of weakness, countries, the sender


def lines(entries: Iterable[Entry], about: About) -> Iterator[str]:
    """The bundle in pieces, an object a line."""
    digest = hashlib.sha256()
    yield '{"type":"bundle","objects":['
    separator = "\n"
    for one in objects(entries, about):
        text = line(one).removesuffix("\n")
        digest.update(text.encode())
        yield separator + text
        separator = ",\n"
    yield f'\n],"id":"bundle--{uuid.uuid5(NAMESPACE, digest.hexdigest())}"}}\n'


def objects(entries: Iterable[Entry], about: About) -> Iterator[Object]:
    """Each object once, what is referred to before what refers to it."""
    bundle = _Bundle(about)
    yield from bundle.head()
    for entry in entries:
        yield from bundle.exposure(entry)
    yield from bundle.moves()


class _Bundle:
    def __init__(self, about: About) -> None:
        self._marking = _marking(*_TLP[about.tlp]) if about.tlp else None
        marks: Object = {} if self._marking is None else {"object_marking_refs": [self._marking["id"]]}
        self._sender: Object = {
            **_object("identity", identifier("identity", about.sender)),
            "created": _BEGINNING,
            "modified": _BEGINNING,
            "name": about.sender,
            "identity_class": "organization",
            **marks,
        }
        self._author = {"created_by_ref": self._sender["id"]}
        self._marks = marks
        self._written: set[str] = set()  # identifiers of objects that several exposures share, and of systems
        self._made: dict[str, str] = {}  # identifiers of kinds of weakness and countries: they come again and again
        self._moved: list[Object] = []

    def head(self) -> Iterator[Object]:
        if self._marking is not None:
            yield self._marking
        yield self._sender

    def exposure(self, entry: Entry) -> Iterator[Object]:
        seen = list(self._observables(entry))
        for one in seen:
            if one["id"] not in self._written:
                self._written.add(one["id"])
                yield one
        exposure, key = entry.exposure, exposure_id(entry)
        changed = max(filter(None, (exposure.last_answer, exposure.last_open, exposure.closed_at, exposure.first_seen)))
        times = {"created": _precise(exposure.first_seen), "modified": _precise(changed)}
        last_open = max(exposure.last_open, exposure.first_seen)
        yield {
            **_object("observed-data", key),
            **self._author,
            **times,
            "first_observed": exposure.first_seen,
            "last_observed": last_open,
            "number_observed": len({exposure.first_seen, exposure.last_open}),  # that are known one by one
            "object_refs": [one["id"] for one in seen],
            **self._marks,
        }
        system = {
            **_object("infrastructure", key),
            **self._author,
            **times,
            "name": f"DICOM server at {entry.address}, port {exposure.port}",
            "infrastructure_types": ["unknown"],
            "first_seen": exposure.first_seen,
            "last_seen": last_open,
            "labels": ["open-dicom", exposure.verdict, entry.state],
            **self._marks,
        }
        if entry.moved_to is not None:
            address, port = entry.moved_to
            seems = "" if exposure.moved_sure else ", as it seems"
            system["description"] = f"It moved to {address}, port {port}{seems}."
            label = {"labels": ["moved" if exposure.moved_sure else "moved-guess"]}
            there = f"infrastructure--{endpoint_id(address, port)}"
            self._moved.append(self._relationship(system["id"], "related-to", there, times, label))
        self._written.add(system["id"])
        yield system
        for one in seen:
            yield self._relationship(system["id"], "consists-of", one["id"], times)
        if entry.country:
            where = self._made.get(entry.country)
            if where is None:
                place = self._country(entry.country)
                where = self._made[entry.country] = place["id"]
                yield place
            yield self._relationship(system["id"], "located-at", where, times)
        for finding, weakness in weaknesses(entry.findings, None):
            what = self._made.get(weakness.id)
            if what is None:
                kind = self._vulnerability(weakness)
                what = self._made[weakness.id] = kind["id"]
                yield kind
            yield self._relationship(system["id"], "has", what, times, _span(entry, finding))
        if counts := _counts(entry):
            yield {
                **_object("note", key),
                **self._author,
                **times,
                "abstract": "Counts",
                "content": counts,
                "object_refs": [system["id"]],
                **self._marks,
            }

    def moves(self) -> Iterator[Object]:
        """From system to system, where both were written."""
        return (move for move in self._moved if move["target_ref"] in self._written)

    def _observables(self, entry: Entry) -> Iterator[Object]:
        """The address, the service, the software."""
        version = 6 if ":" in entry.address else 4
        address = self._observable(f"ipv{version}-addr", {"value": entry.address})
        yield address
        tls = ["tls"] if entry.exposure.transport == "tls" else []
        service: Object = {"dst_ref": address["id"], "dst_port": entry.exposure.port}
        yield self._observable("network-traffic", {**service, "protocols": [f"ipv{version}", "tcp", *tls, "dicom"]})
        if entry.product:
            software = {"name": entry.product, **({"version": entry.version} if entry.version else {})}
            yield self._observable("software", software)

    def _observable(self, kind: str, properties: Object) -> Object:
        """Its identifier is made from all of ``properties``, as canonical JSON (RFC 8785; theirs is sorted by names in
        ASCII and has no number beside small ones)."""
        text = json.dumps(properties, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return {**_object(kind, uuid.uuid5(_OBSERVABLES, text)), **properties, **self._marks}

    def _vulnerability(self, weakness: Weakness) -> Object:
        cwe = {
            "source_name": "cwe",
            "url": f"https://cwe.mitre.org/data/definitions/{weakness.cwe}.html",
            "external_id": f"CWE-{weakness.cwe}",
        }
        return {
            **self._constant("vulnerability", identifier("finding", weakness.id)),
            "name": weakness.id,
            "description": f"{weakness.title}. {weakness.why}",
            "external_references": [cwe, *({"source_name": cite, "description": cite} for cite in weakness.cites)],
            **self._marks,
        }

    def _country(self, code: str) -> Object:
        return {**self._constant("location", identifier("country", code)), "country": code, **self._marks}

    def _constant(self, kind: str, key: uuid.UUID) -> Object:
        return {**_object(kind, key), **self._author, "created": _BEGINNING, "modified": _BEGINNING}

    def _relationship(
        self, source: str, kind: str, target: str, times: dict[str, str], more: Object | None = None
    ) -> Object:
        return {
            **_object("relationship", identifier("relationship", source, kind, target)),
            **self._author,
            **times,
            "relationship_type": kind,
            "source_ref": source,
            "target_ref": target,
            **(more or {}),
            **self._marks,
        }


def _object(kind: str, key: uuid.UUID | str) -> Object:
    return {"type": kind, "spec_version": "2.1", "id": f"{kind}--{key}"}


def _marking(level: str, key: str) -> Object:
    return {
        **_object("marking-definition", key),
        "created": _TLP_CREATED,
        "definition_type": "tlp",
        "name": f"TLP:{level.upper()}",
        "definition": {"tlp": level},
    }


def _precise(iso: str) -> str:
    """With three digits of a second, as ``created`` and ``modified`` have (§3.2)."""
    return iso.removesuffix("Z") + ".000Z"


def _span(entry: Entry, finding: FindingRef) -> Object:
    exposure = entry.exposure
    span: Object = {"start_time": exposure.opened_at}
    if exposure.state == "closed" and exposure.closed_at and exposure.closed_at > exposure.opened_at:
        span["stop_time"] = exposure.closed_at
    return {**span, "labels": [f"severity-{finding.severity}"]}


def _counts(entry: Entry) -> str:
    exposure = entry.exposure
    told = ((exposure.patients, "patients"), (exposure.studies, "studies"), (exposure.images, "images"))
    counts = ", ".join(f"{count} {what}" for count, what in told if count is not None)
    if not counts:
        return ""
    return f"{'' if exposure.complete else 'not all counted: '}{counts}"
