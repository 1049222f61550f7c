"""When a scan is folded: at once, or, where it found very many open servers, by whoever asks for exposures next."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.scan import run as scanning
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.exposures.fold import unfolded
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.tables import absences
from scan.commanding import command

THREE = EndpointSpec(address="127.9.73.0/29", count=3, port=0, persona="dcmtk", archive=ArchiveSpec(studies=5))


FEWER = """
import sys
from leadapron.cli.main import main
from leadapron.watch.scan import run
run.FOLDED_AT_ONCE = 2
sys.argv[0] = "leadapron"
main()
"""


def _scan(home: Path) -> str:
    """Scan three open servers where two are many; the ports they were at."""
    with LabProcess(Population("three", [THREE])) as lab:
        ports = ",".join(sorted({str(one.port) for one in lab.truth()}))
        arguments = ("scan", "127.9.73.0/29", "--port", ports, "--data", "data", "--depth", "capabilities")
        assert command(home, *arguments, program=("-c", FEWER)).code == 0
    return ports


def test_many_are_folded_by_who_asks_next(tmp_path: Path) -> None:
    assert scanning.FOLDED_AT_ONCE == 2_000
    _scan(tmp_path)
    engine = open_engine(tmp_path / "data")
    assert unfolded(engine) == [1]
    asked = command(tmp_path, "feed", "--format", "jsonl", "--data", "data")
    assert asked.code == 0 and len(asked.lines) == 3
    assert unfolded(engine) == [] and Exposures(engine).find()[1] == 3
    engine.dispose()


def test_the_next_scan_knows_what_stood_open(tmp_path: Path) -> None:
    """What closed between two scans is an absence, though the first of them was not folded when it ended."""
    ports = _scan(tmp_path)
    command(tmp_path, "scan", "127.9.73.0/29", "--port", ports, "--data", "data")
    engine = open_engine(tmp_path / "data")
    with engine.connect() as connection:
        gone = connection.execute(sa.select(absences.c.error)).scalars().all()
    assert gone == ["ECONNREFUSED"] * 3 and unfolded(engine) == []
    engine.dispose()


def test_a_scan_begins_without_the_database_library(tmp_path: Path) -> None:
    """The quick way says what the long way says, and does not import SQLAlchemy, which takes longer than to begin."""
    _scan(tmp_path)
    assert command(tmp_path, "feed", "--format", "jsonl", "--data", "data").code == 0
    script = (
        "import sys; from leadapron.watch.track.known import open_endpoints as quick; found = quick('data', 2); "
        "assert 'sqlalchemy' not in sys.modules; from leadapron.watch.track.exposures.store import open_endpoints; "
        "assert found == open_endpoints('data') and len(found) == 3"
    )
    done = command(tmp_path, program=("-c", script))
    assert done.code == 0, done.err
