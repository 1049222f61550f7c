"""Our own JSON lines: an exposure with all that happened to it. ``leadapron schema exposure`` prints their schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from leadapron.kernel.hostport import HostPort
from leadapron.watch.measure.record import FindingRef, Severity, Verdict
from leadapron.watch.reach.feeds.about import About, endpoint_id, exposure_id
from leadapron.watch.reach.feeds.entries import Entry, Told
from leadapron.watch.reach.feeds.lines import line
from leadapron.watch.track.exposures.model import Event, Kind


class Happened(Struct, frozen=True):
    """An event. Counts are those of before and after. Of a move: ``moved_from``, the endpoint (``address:port``) where
    it stood before, and ``sure``, False for a guess."""

    at: str
    kind: Kind
    studies_before: int | None
    studies: int | None
    images_before: int | None
    images: int | None
    sure: bool | None
    moved_from: str | None


class ExposureRecord(Struct, frozen=True, kw_only=True, tag_field="type", tag="exposure"):
    """One line of ``leadapron feed --format jsonl``. Times are ISO 8601 UTC; counts are those of the last time that it
    was seen open. ``second_door``: the same archive stands open at another endpoint too and is counted there.
    ``state`` ``moved``: the server left this endpoint and stands at ``moved_to`` now, whose ``id`` is
    ``moved_to_id``; ``moved_sure`` is false where that is a guess."""

    id: str
    address: str
    port: int
    transport: str
    service: str
    state: Told
    verdict: Verdict
    severity: Severity | None
    findings: tuple[FindingRef, ...]
    first_seen: str
    opened_at: str
    last_open: str
    last_answer: str
    closed_at: str | None
    moved_to: str | None
    moved_to_id: str | None
    moved_sure: bool | None
    episodes: int
    patients: int | None
    studies: int | None
    images: int | None
    complete: bool | None
    product: str | None
    version: str | None
    second_door: bool
    campaign: str | None
    country: str | None
    asn: int | None
    operator: str | None
    hostname: str | None
    network: str | None
    abuse_mailbox: str | None
    events: tuple[Happened, ...]
    schema: int = 1


def lines(entries: Iterable[Entry], about: About) -> Iterator[str]:
    """A line an exposure, line ends included."""
    for entry in entries:
        yield line(record(entry))


def record(entry: Entry) -> ExposureRecord:
    exposure, now_at = entry.exposure, entry.moved_to
    return ExposureRecord(
        id=str(exposure_id(entry)),
        address=entry.address,
        port=exposure.port,
        transport=exposure.transport,
        service=exposure.service,
        state=entry.state,
        verdict=exposure.verdict,
        severity=exposure.severity,
        findings=entry.findings,
        first_seen=exposure.first_seen,
        opened_at=exposure.opened_at,
        last_open=exposure.last_open,
        last_answer=exposure.last_answer,
        closed_at=exposure.closed_at,
        moved_to=None if now_at is None else str(HostPort(*now_at)),
        moved_to_id=None if now_at is None else str(endpoint_id(*now_at)),
        moved_sure=None if now_at is None else bool(exposure.moved_sure),
        episodes=exposure.episodes,
        patients=exposure.patients,
        studies=exposure.studies,
        images=exposure.images,
        complete=exposure.complete,
        product=entry.product,
        version=entry.version,
        second_door=exposure.door_of is not None,
        campaign=exposure.campaign,
        country=entry.country,
        asn=entry.asn,
        operator=entry.operator,
        hostname=entry.hostname,
        network=entry.network,
        abuse_mailbox=entry.abuse,
        events=tuple(_happened(entry, event) for event in entry.events),
    )


def _happened(entry: Entry, event: Event) -> Happened:
    before = entry.moved_from(event)
    return Happened(
        event.at,
        event.kind,
        event.studies_before,
        event.studies,
        event.images_before,
        event.images,
        event.sure,
        None if before is None else str(HostPort(*before)),
    )
