"""What a joining machine and the enrolment service say to each other: JSON, PEM inside of it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

AUTHORITY: Final = "/authority"
ENROL: Final = "/enrol"
RENEW: Final = "/renew"
MAX_ANSWER: Final = 64 * 1024


class Enrol(Struct, frozen=True, forbid_unknown_fields=True):
    """``secret`` of the code, hexadecimal; ``request``: PKCS #10."""

    secret: str
    request: str

    def __repr__(self) -> str:
        return "Enrol(…)"


class Renew(Struct, frozen=True, forbid_unknown_fields=True):
    request: str


class Chain(Struct, frozen=True):
    """The peer's certificate and its authority's."""

    chain: str
