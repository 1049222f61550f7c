"""The database that tests are given is empty, and has the newest tables, whichever it is."""

from __future__ import annotations

import sqlalchemy as sa

from leadapron.watch.track.store import Store
from leadapron.watch.track.tables import metadata


def test_each_has_the_newest_tables(engine: sa.Engine) -> None:
    assert set(metadata.tables) <= set(sa.inspect(engine).get_table_names())


def test_each_is_empty_for_each_test(location: str) -> None:
    with Store.open(location) as store:
        assert store.scans() == []
