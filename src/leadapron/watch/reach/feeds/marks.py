"""How far a feed has come: ``--new`` gives what happened since it was last written.

The mark is the number of an event, kept for each selection and format, and moved only when the feed is written to its
end: whoever is killed before gets the same again, never less. Two readers with the same selection share a mark; they
use ``--since`` instead.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
import sqlalchemy as sa

from leadapron.kernel.clock import Clock, iso
from leadapron.watch.reach.feeds.entries import Selection
from leadapron.watch.track.database import failures
from leadapron.watch.track.tables import events, feeds

_LENGTH: Final = 32


def key(selection: Selection, format_: str) -> str:
    """Of a selection and format, the same whatever the order in which they were given."""
    told = [
        format_,
        sorted(set(selection.countries)),
        sorted(set(selection.asns)),
        sorted({str(block) for block in selection.networks}),
        selection.campaign,
        selection.state,
    ]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:_LENGTH]


def mark(engine: sa.Engine, key: str) -> int:
    """The last event that was told; 0 where nothing was yet."""
    with failures(engine), engine.connect() as connection:
        return connection.execute(sa.select(feeds.c.event_id).where(feeds.c.what == key)).scalar() or 0


def newest(engine: sa.Engine) -> int:
    """The number of the newest event; 0 where there is none."""
    with failures(engine), engine.connect() as connection:
        return connection.execute(sa.select(sa.func.max(events.c.id))).scalar() or 0


def move(engine: sa.Engine, key: str, event_id: int, clock: Clock) -> None:
    """Everything up to that event was told. Never goes back."""
    values = {"event_id": event_id, "at": iso(clock.now())}
    with failures(engine), engine.begin() as connection:
        changed = connection.execute(feeds.update().where(feeds.c.what == key, feeds.c.event_id <= event_id), values)
        if not changed.rowcount and connection.execute(sa.select(feeds).where(feeds.c.what == key)).first() is None:
            connection.execute(feeds.insert(), {"what": key, **values})
