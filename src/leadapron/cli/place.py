"""Where a command finds its configuration and its database, and the database opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leadapron.kernel.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from leadapron.kernel.config import Settings
    from leadapron.watch.track.exposures.model import Exposure


@dataclass(frozen=True)
class Place:
    """What ``--config`` and ``--data`` say; None where they were not given."""

    config: Path | None = None
    data: str | None = None

    def settings(self) -> Settings:
        """The configuration, sections of the wings unread."""
        from leadapron.kernel.config import Settings, load

        return load(Settings, path=self.config)

    def location(self) -> str | Path:
        """The database's URL or the data directory: ``--data`` wins over the configuration. What scans have found and
        is not folded yet is folded. Raises ``UsageError`` for a directory without a database: a place is not made one
        by looking."""
        from leadapron.watch.campaign.settings import load_watch
        from leadapron.watch.track.exposures.fold import fold_all

        place = self._there()
        fold_all(place, closed_after=load_watch(self.config).closed_after)
        return place

    def made(self) -> str:
        """The same for a command that may be the first one there: the directory is made where it is missing."""
        from leadapron.kernel.paths import data_dir

        settings = self.settings()
        if self.data is None and settings.database_url is not None:
            return _url(settings.database_url)
        return str(data_dir(self.data if self.data is not None else settings.data))

    @contextlib.contextmanager
    def opened(self) -> Iterator[sa.Engine]:
        """The database, closed again in the end."""
        from leadapron.watch.track.database import open_engine

        engine = open_engine(self.location())
        try:
            yield engine
        finally:
            engine.dispose()

    def _there(self) -> str | Path:
        from leadapron.kernel.paths import DATABASE, place

        settings = self.settings()
        if self.data is None and settings.database_url is not None:
            return _url(settings.database_url)
        directory = place(self.data if self.data is not None else settings.data)
        if not (directory / DATABASE).exists():
            raise UsageError(
                f"there is no scan in {directory} yet. `leadapron scan TARGET` makes one; scans that are kept "
                "elsewhere are found by --data DIR"
            )
        return directory


def _url(text: str) -> str:
    """The text where it is a URL; it may hold a password, so it is never shown."""
    if "://" not in text:
        raise UsageError(
            "database_url (LEADAPRON_DATABASE_URL) is no URL; one looks like postgresql+psycopg://user@host/name. A "
            "directory is named by data, or --data DIR"
        )
    return text


def campaign_of(engine: sa.Engine, place: Place, name: str) -> str:
    """The name, if a campaign of the configuration, or of a scan that was kept, is called that. Raises ``UsageError``
    with those that there are."""
    import sqlalchemy as sa

    from leadapron.cli.options import known
    from leadapron.watch.campaign.settings import load_watch
    from leadapron.watch.track.database import failures
    from leadapron.watch.track.tables import scans

    with failures(engine), engine.connect() as connection:
        kept = connection.execute(sa.select(scans.c.campaign).where(scans.c.campaign.is_not(None)).distinct()).scalars()
        names = {*kept, *(campaign.name for campaign in load_watch(place.config).campaign)}
    if not names:
        raise UsageError(f"--campaign {name[:80]!a}: there is no campaign yet. 'leadapron init watch' writes one")
    return known(name, sorted(names), "--campaign")


def exposure_of(engine: sa.Engine, text: str) -> Exposure:
    """The exposure of a number, or at ADDRESS:PORT. Raises ``UsageError`` where there is none."""
    from leadapron.kernel.hostport import parse_host_port
    from leadapron.watch.track.exposures.store import Exposures

    store = Exposures(engine)
    if text.isascii() and text.isdigit() and len(text) < 19:
        return store.get(int(text))
    try:
        place = parse_host_port(text, "exposure")
    except UsageError:
        raise UsageError(
            f"{text[:80]!a} is neither ADDRESS:PORT, as in 192.0.2.7:104, nor the number of an exposure. 'leadapron "
            "owner list' has both"
        ) from None
    found = store.at(place.host, place.port)
    if found is None:
        raise UsageError(f"{place} was never seen open. 'leadapron owner list' shows what is")
    return found
