"""What one more answer makes of an exposure: a small machine of states, and what counts as growth.

An endpoint that was shown open is an exposure. It is closed by proofs only, so many in a row as the configuration says:
the port refuses connections, or what answers there turns strangers away or is no imaging server any more. One proof
can be a server that is being restarted. Silence, a time-out, an unreachable network, a fault of ours prove nothing: a
cut line looks the same from outside. They do not speak against a proof either, so they leave the count of proofs where
it is. An open answer begins again: of the same episode, or of a new one if the exposure was closed.

Growth is judged on what is certain. A count that is exact is one number; a lower bound is that or more; an estimate is
its interval. An archive grew if the least it can hold now is more than the most it can have held before.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from leadapron.watch.measure.record import Exposed

CLOSED_AFTER: Final = 2
Answer = Literal["open", "proof", "nothing"]
Turn = Literal["opened", "closed", "reopened"]


class Episode(Struct, frozen=True):
    """Where an exposure stands. ``proofs``: how many in a row show it closed; ``episodes``: times that it was open."""

    open: bool
    proofs: int
    episodes: int


def step(
    before: Episode | None, answer: Answer, closed_after: int = CLOSED_AFTER
) -> tuple[Episode | None, Turn | None]:
    """What ``answer`` makes of an endpoint (None: it was never open), and the event that this is."""
    if answer == "nothing":
        return before, None
    if answer == "open":
        if before is None:
            return Episode(True, 0, 1), "opened"
        if before.open:
            return Episode(True, 0, before.episodes), None
        return Episode(True, 0, before.episodes + 1), "reopened"
    if before is None or not before.open:
        return before, None
    proofs = before.proofs + 1
    if proofs >= closed_after:
        return Episode(False, proofs, before.episodes), "closed"
    return Episode(True, proofs, before.episodes), None


class Size(Struct, frozen=True, gc=False):
    """How many studies there can be: from ``least`` to ``most`` (None: no bound). ``images`` only where each was
    counted."""

    least: int
    most: int | None
    images: int | None = None


NOTHING: Final = Size(0, 0, 0)
"""The server lists nothing (any more)."""


def size_of(exposed: Exposed) -> Size:
    if exposed.method == "exact":
        return Size(exposed.studies, exposed.studies, exposed.images if exposed.complete else None)
    if exposed.method == "estimate" and exposed.interval is not None:
        return Size(*exposed.interval.studies)
    return Size(exposed.studies, None)


def change(before: Size | None, now: Size | None) -> Literal["grew", "shrank"] | None:
    """Whether the difference of two counts means something. None where one of them is not known."""
    if before is None or now is None:
        return None
    if before.most is not None and now.least > before.most:
        return "grew"
    if now.most is not None and now.most < before.least:
        return "shrank"
    exact = before.least == before.most == now.least == now.most
    if exact and before.images is not None and now.images is not None and before.images != now.images:
        return "grew" if now.images > before.images else "shrank"
    return None
