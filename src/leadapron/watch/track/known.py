"""What a scan has to know before it begins: which endpoints stood open, so that their absence is written down.

A scan starts in half a second, and importing SQLAlchemy takes longer. So an SQLite file whose tables are the newest is
read by itself; anything else (another database, an older version, scans that wait to be folded) takes the long way.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from leadapron.kernel.paths import DATABASE

_PATIENCE_S = 5.0


def open_endpoints(location: str, closed_after: int) -> frozenset[tuple[str, int]]:
    """Address and port of each exposure that is open. ``location``: data directory or database URL. What an earlier
    scan left to be folded is folded first. Raises ``Failure`` where the database fails."""
    if "://" not in location:
        file = Path(location).expanduser() / DATABASE
        if not file.exists():
            return frozenset()
        known = _read(file)
        if known is not None:
            return known
    from leadapron.watch.track.exposures.fold import fold_all
    from leadapron.watch.track.exposures.store import open_endpoints as stored

    fold_all(location, closed_after=closed_after)
    return stored(location)


def _read(file: Path) -> frozenset[tuple[str, int]] | None:
    """None where it is not that simple."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=_PATIENCE_S)) as database:
            unfolded = "SELECT 1 FROM scans WHERE folded_at IS NULL AND state <> 'running' LIMIT 1"
            if database.execute(unfolded).fetchone() is not None:
                return None
            return frozenset(database.execute("SELECT address, port FROM exposures WHERE state = 'open'"))
    except sqlite3.Error:
        return None
