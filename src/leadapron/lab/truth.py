"""What is true about an endpoint of the lab: the key that measurements are marked against."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from leadapron.lab.persona import Verdict
from leadapron.lab.server.station import Seen


class EndpointTruth(Struct, frozen=True):
    """One endpoint. ``studies``, ``images``, ``patients``, ``series`` are what stands behind it, None without archive.

    ``verdicts``: what may rightly be concluded. ``completable``: an honest count can be complete, and must then equal
    ``studies`` (``images`` too where ``images_told``, ``patients`` where ``patients_told``). ``undated`` of the studies
    lie outside of every range of dates. ``archive`` names the archive: two doors to one have the same. ``product``: how
    the software names itself, "" where it does in no way that is known. ``crashed``: why a fragile device died, if it
    did. ``seen``: what visitors did until now.
    """

    address: str
    port: int
    persona: str
    family: str
    transport: Literal["tcp", "tls"]
    verdicts: tuple[Verdict, ...]
    completable: bool
    images_told: bool
    patients_told: bool
    product: str | None
    studies: int | None
    images: int | None
    patients: int | None
    series: int | None
    undated: int
    archive: str | None
    note: str
    crashed: str | None
    seen: Seen
