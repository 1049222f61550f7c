"""What the lines of a feed share: who sends it, when it was made, identifiers that stay the same.

An exposure's identifier is a UUID made from its endpoint (RFC 9562 §5.5), not from its number in our database: a
second database, or the same one built anew, gives the same.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from leadapron.watch.reach.feeds.entries import Entry

Tlp = Literal["clear", "green", "amber", "red"]
TLPS: Final[tuple[Tlp, ...]] = ("clear", "green", "amber", "red")
NAMESPACE: Final = uuid.UUID("6c1f0d5e-7a0b-5f6e-9c57-0d1c0a9e4242")  # of all our identifiers, for ever
FEED: Final = "lead-apron-open-dicom"


class About(Struct, frozen=True, kw_only=True):
    """``sender``: the organisation that sends; ``made_at``: ISO 8601 UTC; ``tlp``: the marking (FIRST's TLP)."""

    sender: str
    made_at: str
    tlp: Tlp | None = None


def identifier(kind: str, *parts: object) -> uuid.UUID:
    """The same for the same ``kind`` and ``parts``, wherever it is made."""
    return uuid.uuid5(NAMESPACE, "\x1f".join((kind, *map(str, parts))))


def exposure_id(entry: Entry) -> uuid.UUID:
    return endpoint_id(entry.address, entry.exposure.port)


def endpoint_id(address: str, port: int) -> uuid.UUID:
    """Of the exposure there; ``address`` without a zone."""
    return identifier("exposure", address, port)


def milliseconds(iso: str) -> int:
    """Since 1970, of ``2026-11-21T20:00:00Z``."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)
