"""``leadapron up`` that is killed in the middle of a round: it goes on from there, and nothing is concluded twice."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.track.tables import cases, days, events, exposures, scans, sightings, steps
from scan.commanding import Command
from scan.scanning import reserve

PORT = 11112
HOSTS = (1, 3, 5, 7, 9, 11)


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_killed_in_a_round_it_goes_on(engine: sa.Engine, location: str, tmp_path: Path) -> None:
    net = f"127.{reserve(1)}.8"
    lab = Population(
        "six", [EndpointSpec(f"{net}.{n}", PORT, "dcmtk", archive=ArchiveSpec(studies=20 + n, seed=n)) for n in HOSTS]
    )
    file = tmp_path / "leadapron.toml"
    file.write_text(
        f'database_url = "{location}"\ndata = "{tmp_path / "data"}"\n[lookups]\ndns = false\nrdap = false\n[watch]\n'
        f'[[watch.campaign]]\nname = "own"\ntargets = ["{net}.0/28"]\nports = [{PORT}]\nevery = "7d"\nrate = 4.0\n'
    )
    before: list[tuple[Any, ...]] = []
    with LabProcess(lab):
        for run in range(2):
            with Command(tmp_path / f"up{run}", "up", "--config", file) as up:
                up.until("it has found more", partial(found_more, engine, len(before)))
                up.signal(signal.SIGKILL)
                up.end()
            before = rows(engine, SEEN)
        with Command(tmp_path / "last", "up", "--config", file) as up:
            up.until("the round is done", lambda: rows(engine, sa.select(scans.c.state)) == [("done",)])
            up.until("it is followed up", lambda: len(rows(engine, sa.select(cases.c.id))) == len(HOSTS))
            up.signal(signal.SIGTERM)
            assert up.end(30).code == 0
    assert rows(engine, SEEN)[: len(before)] == before, "what was seen was not asked again"
    assert sorted(address for address, _ in rows(engine, SEEN)) == sorted(f"{net}.{n}" for n in HOSTS)
    assert Counter(kind for (kind,) in rows(engine, sa.select(events.c.kind))) == {"opened": len(HOSTS)}
    assert Counter(kind for (kind,) in rows(engine, sa.select(steps.c.kind))) == {"opened": len(HOSTS)}
    assert len(rows(engine, sa.select(exposures.c.id))) == len(rows(engine, sa.select(cases.c.id))) == len(HOSTS)
    assert len(rows(engine, sa.select(days))) <= 2  # one, unless midnight came between


def found_more(engine: sa.Engine, than: int) -> bool:
    return len(rows(engine, SEEN)) > than


SEEN = sa.select(sightings.c.address, sightings.c.observed_at).order_by(sightings.c.id)


def rows(engine: sa.Engine, query: sa.Select[Any]) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]
