"""What a scan writes beside its sightings: which door was first, and which known endpoints gave no connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from scan.commanding import command
from scan.scanning import reserve

PORTS = "11112,2762"


@pytest.fixture(scope="module")
def net() -> Iterator[str]:
    yield f"127.{reserve(1)}.9"


def archive(net: str, host: int, seed: int, port: int = 11112, persona: str = "dcmtk") -> EndpointSpec:
    return EndpointSpec(f"{net}.{host}", port, persona, archive=ArchiveSpec(studies=150, seed=seed))


def rows(data: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(data / "leadapron.sqlite") as database:
        return database.execute(query).fetchall()


@pytest.mark.parametrize("processes", ["1", "3"])
def test_doors_and_absences_are_written_however_many_processes_scan(tmp_path: Path, net: str, processes: str) -> None:
    data = tmp_path / "data"

    def scanned(*specs: EndpointSpec) -> None:
        with LabProcess(Population("doors", list(specs))):
            done = command(
                tmp_path, "scan", f"{net}.0/28", "--port", PORTS, "--timeout", "2", "--data", str(data), "--processes",
                processes,
            )  # fmt: skip
        assert done.code == 0, done.err

    scanned(
        *(archive(net, host, 5) for host in (1, 2, 3)),
        archive(net, 4, 6),
        EndpointSpec(f"{net}.5", 11112, "ssh"),
        archive(net, 6, 7, 2762, "tls-open"),
    )
    found = dict(rows(data, "SELECT address || ':' || port, archive FROM sightings"))
    one_archive = {found[f"{net}.{host}:11112"] for host in (1, 2, 3)}
    assert len(one_archive) == 1 and one_archive < {f"{net}.{host}:11112" for host in (1, 2, 3)}
    assert found[f"{net}.4:11112"] == f"{net}.4:11112", "alone it is its own first door"
    assert found[f"{net}.5:11112"] is None
    assert rows(data, "SELECT count(*) FROM exposures WHERE door_of IS NOT NULL") == [(2,)]
    assert rows(data, "SELECT count(*) FROM absences") == [(0,)], "nothing was known yet"
    before = rows(data, "SELECT summary FROM scans")
    scanned(archive(net, 1, 5))
    gone = rows(data, "SELECT scan_id, address || ':' || port, error FROM absences ORDER BY 2")
    assert gone == [
        *((2, f"{net}.{host}:11112", "ECONNREFUSED") for host in (2, 3, 4)),
        (2, f"{net}.6:2762", "ECONNREFUSED"),
    ]
    assert rows(data, "SELECT sum(proofs) FROM exposures") == [(4,)]
    assert rows(data, "SELECT summary FROM scans WHERE id = 1") == before
