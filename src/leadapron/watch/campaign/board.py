"""The table ``campaigns``: what people and other processes say about campaigns, and when each is due.

What a campaign is stands in the configuration; whether it is paused, and that somebody wants a round now, stands here,
so that the command line, the console and the process that runs the rounds need not know of each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from leadapron.watch.track.database import failures
from leadapron.watch.track.tables import campaigns


class Post(Struct, frozen=True):
    """What the board says of one campaign. Times are ISO 8601 UTC."""

    name: str
    paused: bool = False
    wanted: bool = False
    next_at: str | None = None
    last_scan: int | None = None
    changed_by: str | None = None


class Board:
    """Reads and writes the table; every method is one short transaction."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def posts(self, names: Iterable[str]) -> dict[str, Post]:
        """What it says of these campaigns; of one that it does not know, nothing special."""
        with failures(self._engine), self._engine.connect() as connection:
            rows = connection.execute(sa.select(campaigns)).mappings().all()
        known = {row["name"]: Post(**row) for row in rows}
        return {name: known.get(name, Post(name)) for name in names}

    def pause(self, name: str, by: str) -> None:
        """No round begins; one that runs is stopped, and goes on from there later."""
        self.put(name, paused=True, changed_by=by)

    def resume(self, name: str, by: str) -> None:
        self.put(name, paused=False, changed_by=by)

    def now(self, name: str, by: str) -> None:
        """A round as soon as possible, whatever the schedule says."""
        self.put(name, wanted=True, changed_by=by)

    def put(self, name: str, **values: Any) -> None:
        update = campaigns.update().where(campaigns.c.name == name).values(**values)
        with failures(self._engine):
            with self._engine.begin() as connection:
                if connection.execute(update).rowcount:
                    return
            try:
                with self._engine.begin() as connection:
                    connection.execute(
                        campaigns.insert().values(**{"name": name, "paused": False, "wanted": False, **values})
                    )
            except sa.exc.IntegrityError:  # somebody else was faster
                with self._engine.begin() as connection:
                    connection.execute(update)
