"""What the answer to a delivery means: done, again, or never.

One table (`TRIES`) says how often each kind of failure is tried before an item is set aside, so that one bad item
cannot hold up all that follow for ever, and a dead line sets nothing aside at all. Between tries the wait doubles from
about one second up to a minute.

| kind | what happened | tries |
|---|---|---|
| LINE | no connection, TLS refused, association rejected (for now or for good), nothing accepted at all | for ever |
| BUSY | A7xxH out of resources, 0213H resource limitation | 480: about eight hours |
| BROKEN | the association was aborted, lost or silent while this very item was sent | 20: about a quarter of an hour |
| DOUBT | 0110H processing failure, 0210H, FE00H, any code that nobody has defined | 5 |
| UNSUPPORTED | an association stands, but not for its SOP class in its transfer syntax | 3 |
| REFUSED | A8xxH to AFxxH, Cxxx, and 01xxH and 02xxH that speak of this item: 0111H, 0122H, 0124H … | 1 |

A rejection "for good" concerns the device, never one item: somebody must open the guard for it, and until then all of
it waits. 0111H (duplicate SOP instance) after a line that broke is our own repetition coming back: delivered.
"""

from __future__ import annotations

import enum
from typing import Final

from leadapron.kernel.errors import NotAccepted, WireError
from leadapron.wire.dimse.status import StatusClass, classify

DUPLICATE_SOP_INSTANCE: Final = 0x0111
_BUSY: Final = {0x0213}
_DOUBT: Final = {0x0110, 0x0210}
_REFUSED: Final = {
    0x0105,
    0x0106,
    0x0111,
    0x0112,
    0x0114,
    0x0115,
    0x0117,
    0x0118,
    0x0119,
    0x0120,
    0x0121,
    0x0122,
    0x0124,
    0x0211,
    0x0212,
}


class Kind(enum.Enum):
    """See the module's table."""

    DELIVERED = "delivered"
    LINE = "line"
    BUSY = "busy"
    BROKEN = "broken"
    DOUBT = "doubt"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"


TRIES: Final[dict[Kind, int | None]] = {
    Kind.LINE: None,
    Kind.BUSY: 480,
    Kind.BROKEN: 20,
    Kind.DOUBT: 5,
    Kind.UNSUPPORTED: 3,
    Kind.REFUSED: 1,
}


def of_status(status: int, *, uncertain: bool = False) -> Kind:
    """What a C-STORE status means. ``uncertain``: the item may have arrived by an earlier try."""
    if classify(status) in (StatusClass.SUCCESS, StatusClass.WARNING):
        return Kind.DELIVERED
    if status == DUPLICATE_SOP_INSTANCE and uncertain:
        return Kind.DELIVERED
    if status >> 8 == 0xA7 or status in _BUSY:
        return Kind.BUSY
    if status in _DOUBT:
        return Kind.DOUBT
    if status >> 12 in (0xA, 0xC) or status in _REFUSED:
        return Kind.REFUSED
    return Kind.DOUBT


def of_error(error: WireError, *, sending: bool) -> Kind:
    """What a failed association means. ``sending``: it stood, and an item was under way on it."""
    if isinstance(error, NotAccepted):
        return Kind.UNSUPPORTED
    return Kind.BROKEN if sending else Kind.LINE


def exhausted(kind: Kind, tries: int) -> bool:
    """Whether an item that failed so often in this way is to be set aside."""
    most = TRIES[kind]
    return most is not None and tries >= most
