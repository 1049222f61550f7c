"""Ways in which no real archive behaves, as probe and counter name them.

One alone is not enough: ``storescp --promiscuous`` takes an abstract syntax that exists nowhere, and careless software
leaves out item 52H. Two that have different causes make a decoy. What follows from one cause counts once (``cause``).

A known weakness: Dicompot is built on go-netdicom, and a true server built on that library shows both of the first two
tells. The verdict then says so in its reason, for a person to look at.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

NEEDED: Final = 2


class Tell(Struct, frozen=True):
    cause: str
    says: str


TELLS: Final[dict[str, Tell]] = {
    "no-implementation-class-uid": Tell("identification", "no Implementation Class UID (52H), which is mandatory"),
    "invented-abstract-syntax-accepted": Tell("negotiation", "an abstract syntax accepted that exists nowhere"),
    "context-never-proposed": Tell("context-id", "an answer to a presentation context that was never proposed"),
    "rows-per-file": Tell("answers", "one answer for each file where studies were asked for"),
}


def causes(tells: tuple[str, ...]) -> frozenset[str]:
    """The independent causes behind these tells. One that this version does not know stands for itself."""
    return frozenset(TELLS[tell].cause if tell in TELLS else tell for tell in tells)


def sentence(tells: tuple[str, ...]) -> str:
    """The tells in words; unknown ones are left out, for their names may come from elsewhere."""
    known = [TELLS[tell].says for tell in tells if tell in TELLS]
    others = len(tells) - len(known)
    if others:
        known.append(f"{others} more")
    return "; ".join(known)
