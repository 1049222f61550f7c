"""Events on their way to the audit trail.

The trail has one writer. The process that is it gets events by a call; others (the command line) leave them in the
database, and the writer fetches them. One that was fetched and not recorded before a crash is fetched again.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from leadapron.guard.identity.people.model import LONGEST_TEXT, Event, Kind, OnEvent, shown
from leadapron.guard.identity.people.store import Store
from leadapron.guard.identity.people.tables import outbox

_BATCH = 100
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


class Outbox:
    def __init__(self, store: Store, on_event: OnEvent | None) -> None:
        self._store = store
        self._on_event = on_event

    def tell(
        self,
        kind: Kind,
        person: str,
        source: str,
        success: bool,
        how: str,
        reason: str = "",
        *,
        alert: bool = False,
        by: str = "",
    ) -> None:
        event = Event(
            kind=kind,
            person=shown(person),
            source=shown(source),
            success=success,
            how=how,
            when=self._store.clock.now(),
            reason=shown(reason, LONGEST_TEXT),
            alert=alert,
            by=shown(by),
        )
        if self._on_event is not None:
            self._on_event(event)
            return
        sealed = self._store.sealer.seal(_encoder.encode(event), b"outbox")
        with self._store.write() as connection:
            connection.execute(outbox.insert().values(event=sealed))

    def deliver(self) -> None:
        """Hand on what other processes left. Nothing without somebody to hand it to."""
        if self._on_event is None:
            return
        while True:
            with self._store.read() as connection:
                rows = connection.execute(sa.select(outbox).order_by(outbox.c.id).limit(_BATCH)).all()
            if not rows:
                return
            for row in rows:
                self._on_event(_decoder.decode(self._store.sealer.open(row.event, b"outbox")))
            with self._store.write() as connection:
                connection.execute(outbox.delete().where(outbox.c.id.in_([row.id for row in rows])))
