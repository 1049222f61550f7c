"""A STIX 2.1 bundle, made by the ``stix2`` library, which refuses what the specification does not allow.

The shape, and why. An exposure is a system that stands there with a weakness; nobody attacked it, so there is no
indicator and no sighting of anything malicious (an indicator would make a firewall block a hospital). STIX has:

- ``infrastructure`` for the system itself ("database servers targeted by an attack" are the specification's example),
  which *consists of* its observables: the address, the service on its port (``network-traffic`` with the endpoint as
  destination), the software; and is *located at* its country (§4.8);
- ``vulnerability`` for each kind of finding, said once for all: infrastructure *has* vulnerability, with the time at
  which that began and, once it is proved closed, ended (``start_time``, ``stop_time``, §5.1). A closed server is told
  by that end and never by ``revoked``, which would say that it had not been so;
- ``observed-data`` for what was really seen and when, apart from what is concluded of it (§4.14);
- ``identity`` for who says so, a TLP marking, and ``note`` with the counts, for which STIX has no property.

Identifiers are UUIDv5: the observables' as the specification makes them (§2.9), all others from the endpoint. A second
bundle names the same things by the same names, ``modified`` tells which is newer. STIX 2.1 defines the markings of
TLP 1.0 only, so ``clear`` is its ``white``. The bundle's own identifier is a digest of what is in it, so it stands at
the end, and nothing need be kept in memory but which shared objects were written already.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

from stix2 import v21  # type: ignore[import-untyped]

from leadapron.watch.measure.record import FindingRef
from leadapron.watch.reach.feeds.about import NAMESPACE, About, exposure_id, identifier
from leadapron.watch.reach.feeds.entries import Entry
from leadapron.watch.reach.feeds.weakness import Weakness, weaknesses

Object = Any  # stix2 has no types
_TLP: Final = {
    "clear": v21.TLP_WHITE,
    "green": v21.TLP_GREEN,
    "amber": v21.TLP_AMBER,
    "red": v21.TLP_RED,
}
_BEGINNING: Final = "2016-01-01T00:00:00Z"  # of objects that never change: kinds of weakness, countries, the sender


def lines(entries: Iterable[Entry], about: About) -> Iterator[str]:
    """The bundle in pieces, an object a line."""
    digest = hashlib.sha256()
    yield '{"type":"bundle","objects":['
    separator = "\n"
    for one in objects(entries, about):
        text = one.serialize(ensure_ascii=True)
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


class _Bundle:
    def __init__(self, about: About) -> None:
        marking = _TLP[about.tlp] if about.tlp else None
        self._marking = marking
        marks = {"object_marking_refs": [marking.id]} if marking is not None else {}
        self._sender = v21.Identity(
            id=f"identity--{identifier('identity', about.sender)}",
            created=_BEGINNING,
            modified=_BEGINNING,
            name=about.sender,
            identity_class="organization",
            **marks,
        )
        self._common: dict[str, Any] = {"created_by_ref": self._sender.id, **marks}
        self._marks = marks
        self._written: set[str] = set()  # identifiers of objects that several exposures share
        self._made: dict[str, Object] = {}  # kinds of weakness and countries: they come again and again

    def head(self) -> Iterator[Object]:
        if self._marking is not None:
            yield self._marking
        yield self._sender

    def exposure(self, entry: Entry) -> Iterator[Object]:
        seen = list(self._observables(entry))
        for one in seen:
            if one.id not in self._written:
                self._written.add(one.id)
                yield one
        exposure, key = entry.exposure, exposure_id(entry)
        changed = max(filter(None, (exposure.last_answer, exposure.last_open, exposure.closed_at)))
        times = {"created": exposure.first_seen, "modified": max(changed, exposure.first_seen), **self._common}
        yield v21.ObservedData(
            id=f"observed-data--{key}",
            first_observed=exposure.first_seen,
            last_observed=max(exposure.last_open, exposure.first_seen),
            number_observed=len({exposure.first_seen, exposure.last_open}),  # that are known one by one
            object_refs=[one.id for one in seen],
            **times,
        )
        system = v21.Infrastructure(
            id=f"infrastructure--{key}",
            name=f"DICOM server at {entry.address}, port {exposure.port}",
            infrastructure_types=["unknown"],
            first_seen=exposure.first_seen,
            last_seen=max(exposure.last_open, exposure.first_seen),
            labels=["open-dicom", exposure.verdict, exposure.state],
            **times,
        )
        yield system
        for one in seen:
            yield self._relationship(system.id, "consists-of", one.id, times)
        if entry.country:
            where = self._made.get(entry.country)
            if where is None:
                where = self._made[entry.country] = self._country(entry.country)
                yield where
            yield self._relationship(system.id, "located-at", where.id, times)
        for finding, weakness in weaknesses(entry.findings, None):
            what = self._made.get(weakness.id)
            if what is None:
                what = self._made[weakness.id] = self._vulnerability(weakness)
                yield what
            yield self._has(system.id, what.id, entry, finding, times)
        if counts := _counts(entry):
            yield v21.Note(id=f"note--{key}", abstract="Counts", content=counts, object_refs=[system.id], **times)

    def _observables(self, entry: Entry) -> Iterator[Object]:
        """The address, the service, the software."""
        kind = v21.IPv6Address if ":" in entry.address else v21.IPv4Address
        address = kind(value=entry.address, **self._marks)
        yield address
        protocols = ["ipv6" if ":" in entry.address else "ipv4", "tcp"]
        yield v21.NetworkTraffic(
            dst_ref=address.id,
            dst_port=entry.exposure.port,
            protocols=[*protocols, *(["tls"] if entry.exposure.transport == "tls" else []), "dicom"],
            **self._marks,
        )
        if entry.product:
            version = {"version": entry.version} if entry.version else {}
            yield v21.Software(name=entry.product, **version, **self._marks)

    def _vulnerability(self, weakness: Weakness) -> Object:
        return v21.Vulnerability(
            id=f"vulnerability--{identifier('finding', weakness.id)}",
            created=_BEGINNING,
            modified=_BEGINNING,
            name=weakness.id,
            description=f"{weakness.title}. {weakness.why}",
            external_references=[
                {
                    "source_name": "cwe",
                    "external_id": f"CWE-{weakness.cwe}",
                    "url": f"https://cwe.mitre.org/data/definitions/{weakness.cwe}.html",
                },
                *({"source_name": cite, "description": cite} for cite in weakness.cites),
            ],
            **self._common,
        )

    def _country(self, code: str) -> Object:
        return v21.Location(
            id=f"location--{identifier('country', code)}",
            created=_BEGINNING,
            modified=_BEGINNING,
            country=code,
            **self._common,
        )

    def _has(self, system: str, what: str, entry: Entry, finding: FindingRef, times: dict[str, Any]) -> Object:
        exposure = entry.exposure
        span: dict[str, Any] = {"start_time": exposure.opened_at, "labels": [f"severity-{finding.severity}"]}
        if exposure.state == "closed" and exposure.closed_at and exposure.closed_at > exposure.opened_at:
            span["stop_time"] = exposure.closed_at
        return self._relationship(system, "has", what, {**times, **span})

    def _relationship(self, source: str, kind: str, target: str, times: dict[str, Any]) -> Object:
        key = identifier("relationship", source, kind, target)
        return v21.Relationship(
            id=f"relationship--{key}", source_ref=source, relationship_type=kind, target_ref=target, **times
        )


def _counts(entry: Entry) -> str:
    exposure = entry.exposure
    told = ((exposure.patients, "patients"), (exposure.studies, "studies"), (exposure.images, "images"))
    counts = ", ".join(f"{count} {what}" for count, what in told if count is not None)
    if not counts:
        return ""
    return f"{'' if exposure.complete else 'not all counted: '}{counts}"
