"""What stands open, as stored: an exposure is one endpoint through all its episodes, an event one change of it.

An exposure's numbers are those of the last sighting that showed it open, also after it was closed: what had stood open
is what matters then. Everything in it is the machine's and its network's, nothing a patient's.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from leadapron.kernel.hostport import HostPort
from leadapron.watch.measure.record import Severity, Verdict
from leadapron.watch.track.exposures.episode import Size

State = Literal["open", "closed"]
Kind = Literal["opened", "grew", "shrank", "closed", "reopened", "moved"]
OPEN_VERDICTS: tuple[Verdict, ...] = ("exposed", "open")
"""Verdicts that make an endpoint an exposure: records can be listed, or the service is there for anyone."""


class Marks(Struct, frozen=True, omit_defaults=True, gc=False):
    """What recognises a server at another address: how its software names itself and which titles it takes."""

    implementation_uid: str | None = None
    implementation_version: str | None = None
    any_calling_ae: bool | None = None
    any_called_ae: bool | None = None
    size: Size | None = None  # what the last count says for certain


class Exposure(Struct, frozen=True, kw_only=True):
    """A row of ``exposures``. Times are ISO 8601 UTC; see the table for what each column says."""

    id: int
    address: str
    port: int
    transport: str
    service: str
    campaign: str | None
    state: State
    verdict: Verdict
    severity: Severity | None
    first_seen: str
    opened_at: str
    last_open: str
    last_answer: str
    closed_at: str | None
    proofs: int
    episodes: int
    sighting_id: int
    studies: int | None
    images: int | None
    patients: int | None
    complete: bool | None
    product: str | None
    version: str | None
    certificate: str | None
    marks: Marks
    door_of: int | None
    moved_to: int | None
    moved_sure: bool | None
    country: str | None
    asn: int | None
    operator: str | None

    def __str__(self) -> str:
        return str(HostPort(self.address, self.port))


class Event(Struct, frozen=True, kw_only=True):
    """A row of ``events``. Counts are those of before and after; ``other_id``: of a move, where it was before."""

    id: int
    exposure_id: int
    scan_id: int
    sighting_id: int | None
    at: str
    kind: Kind
    studies_before: int | None
    studies: int | None
    images_before: int | None
    images: int | None
    other_id: int | None
    sure: bool | None
