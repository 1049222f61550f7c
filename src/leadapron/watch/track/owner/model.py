"""A hint at who owns a server, and what a round of asking gave."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

State = Literal["hint", "confirmed", "rejected"]

KINDS: Final = (
    "reverse-dns",
    "certificate-name",
    "rdap-organisation",
    "rdap-network",
    "abuse-mailbox",
    "asn",
    "operator",
    "country",
    "security-txt",
    "cert",
    "regulator",
)
"""What is looked up."""
ENTERED: Final = ("organisation", "mailbox")
"""What only a person enters: the institution's own name, and an address that somebody found by other means."""

LONGEST: Final = 320  # of a value and of a source, characters: the longest mailbox (RFC 5321 §4.5.3.1)


class Found(Struct, frozen=True):
    """Something that a source said, cleaned; ``source`` says in our words where it was read."""

    kind: str
    value: str
    source: str


class Missing(Struct, frozen=True):
    """What could not be looked up: by which means, and why, in our words. Nothing that a stranger sent is in it."""

    means: str
    reason: str


class Hint(Struct, frozen=True, kw_only=True):
    """A row of ``hints``. Times are ISO 8601 UTC."""

    id: int
    exposure_id: int
    kind: str
    value: str
    source: str
    at: str
    state: State
    decided_by: str | None = None
    decided_at: str | None = None


class Gathered(Struct, frozen=True):
    """``hints``: all that stand now for the exposures asked about. ``missing``: what could not be looked up, and why,
    each reason once with how often it was met."""

    hints: tuple[Hint, ...]
    missing: tuple[str, ...]
