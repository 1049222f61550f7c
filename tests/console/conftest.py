"""A small watch behind the console."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from console.held import SMALL
from console.lifelike import fill
from leadapron.watch.track.database import open_engine


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'watch.db'}")
    fill(engine, SMALL)
    yield engine
    engine.dispose()
