"""The database that a command reads, opened: a place without one is not made one by looking."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from leadapron.kernel.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from leadapron.kernel.config import Settings
    from leadapron.watch.track.exposures.model import Exposure


def location(data: str | None, settings: Settings) -> str | Path:
    """The database's URL or the data directory: ``--data`` wins over the configuration. What scans have found and is
    not folded yet is folded. Raises ``UsageError`` for a directory without a database."""
    from leadapron.watch.campaign.settings import load_watch
    from leadapron.watch.track.exposures.fold import fold_all

    place = _place(data, settings)
    fold_all(place, closed_after=load_watch().closed_after)
    return place


def _place(data: str | None, settings: Settings) -> str | Path:
    from leadapron.kernel.paths import DATABASE, place

    if data is None and settings.database_url is not None:
        return settings.database_url
    directory = place(data if data is not None else settings.data)
    if not (directory / DATABASE).exists():
        raise UsageError(f"there is no scan in {directory} yet. `leadapron scan TARGET` makes one")
    return directory


@contextlib.contextmanager
def opened(data: str | None, settings: Settings) -> Iterator[sa.Engine]:
    """The database, closed again in the end."""
    from leadapron.watch.track.database import open_engine

    engine = open_engine(location(data, settings))
    try:
        yield engine
    finally:
        engine.dispose()


def exposure_of(engine: sa.Engine, text: str) -> Exposure:
    """The exposure of a number, or at ADDRESS:PORT. Raises ``UsageError`` where there is none."""
    from leadapron.kernel.hostport import parse_host_port
    from leadapron.watch.track.exposures.store import Exposures

    store = Exposures(engine)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return store.get(int(text))
    place = parse_host_port(text, "exposure")
    found = store.at(place.host, place.port)
    if found is None:
        raise UsageError(f"{place} was never seen open. The number or ADDRESS:PORT of an exposure is wanted")
    return found
