"""Two rounds over real sockets, with changes in between: the events are what happened, and nothing else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.measure.dicom.visit import Options
from leadapron.watch.scan.run import ScanRequest, prepare, run
from leadapron.watch.track.exposures.compare import compare
from leadapron.watch.track.exposures.fold import Folded
from leadapron.watch.track.exposures.store import Exposures
from leadapron.watch.track.tables import absences
from scan.commanding import command
from scan.scanning import reserve

PORT = 11112
TLS_PORT = 2762


@pytest.fixture(scope="module")
def net() -> Iterator[str]:
    yield f"127.{reserve(1)}.3"


def server(net: str, host: int, studies: int, persona: str = "dcmtk", seed: int | None = None) -> EndpointSpec:
    return EndpointSpec(
        f"{net}.{host}", PORT, persona, archive=ArchiveSpec(studies=studies, seed=seed if seed is not None else host)
    )


def over_tls(net: str, host: int) -> EndpointSpec:
    return EndpointSpec(
        f"{net}.{host}",
        TLS_PORT,
        "tls-open",
        archive=ArchiveSpec(studies=40, seed=host),
        options={"certificate": "pacs.example"},
    )


def before(net: str) -> list[EndpointSpec]:
    return [
        server(net, 1, 60),  # stays as it is
        server(net, 2, 80),  # will be closed
        server(net, 3, 90),  # will grow
        server(net, 4, 70),  # will be guarded
        server(net, 5, 75),  # will be silent
        server(net, 6, 300, "orthanc", seed=77),  # will stand at another address
        server(net, 8, 400, seed=88),  # one archive,
        server(net, 9, 400, seed=88),  # two doors
    ]


def after(net: str) -> list[EndpointSpec]:
    return [
        server(net, 1, 60),
        server(net, 3, 95, seed=3),
        server(net, 4, 70, "rejects-everybody"),
        EndpointSpec(f"{net}.5", PORT, "silent"),
        server(net, 7, 300, "orthanc", seed=77),
        server(net, 8, 400, seed=88),
        server(net, 9, 400, seed=88),
        server(net, 10, 55),  # new
    ]


async def scanned(location: str, net: str) -> tuple[int, Folded]:
    request = ScanRequest(
        targets=(f"{net}.0/27",), ports=(PORT, TLS_PORT), options=Options(timeout=2), location=location, closed_after=1
    )
    prepared = await prepare(request, location)
    await run(prepared)
    assert prepared.folded is not None
    return prepared.writer.scan_id, prepared.folded


def told(net: str, exposures: Exposures, folded: Folded) -> set[tuple[str, str]]:
    found = set()
    for event in folded.events:
        one = exposures.get(event.exposure_id)
        found.add((event.kind, f"{one.address.removeprefix(net + '.')}:{one.port}"))
    return found


async def test_what_happened_between_two_rounds_and_nothing_else(engine: sa.Engine, location: str, net: str) -> None:
    read = Exposures(engine)
    with LabProcess(Population("before", [*before(net), over_tls(net, 20)])):
        first, opened = await scanned(location, net)
    hosts = {1, 2, 3, 4, 5, 6, 8, 9}
    assert told(net, read, opened) == {("opened", f"{n}:{PORT}") for n in hosts} | {("opened", f"20:{TLS_PORT}")}
    assert (opened.standing.open, opened.standing.archives) == (9, 8)
    assert opened.standing.studies == 60 + 80 + 90 + 70 + 75 + 300 + 400 + 40
    with LabProcess(Population("after", [*after(net), over_tls(net, 21)])):
        second, changed = await scanned(location, net)
    assert told(net, read, changed) == {
        ("closed", f"2:{PORT}"),
        ("grew", f"3:{PORT}"),
        ("closed", f"4:{PORT}"),
        ("moved", f"7:{PORT}"),
        ("opened", f"10:{PORT}"),
        ("moved", f"21:{TLS_PORT}"),
    }
    moves = {read.get(e.exposure_id).address: (e.other_id, e.sure) for e in changed.events if e.kind == "moved"}
    guessed, sure = read.at(f"{net}.6", PORT), read.at(f"{net}.20", TLS_PORT)
    assert guessed is not None and sure is not None
    assert moves == {f"{net}.7": (guessed.id, False), f"{net}.21": (sure.id, True)}
    assert (guessed.state, guessed.moved_sure, sure.state, sure.moved_sure) == ("closed", False, "closed", True)
    silent = read.at(f"{net}.5", PORT)
    assert silent is not None and (silent.state, silent.proofs) == ("open", 0), "silence closes nothing"
    with engine.connect() as connection:
        gone = connection.execute(sa.select(absences.c.address, absences.c.port, absences.c.error)).all()
    assert {tuple(row) for row in gone} == {
        (f"{net}.2", PORT, "ECONNREFUSED"),
        (f"{net}.6", PORT, "ECONNREFUSED"),
        (f"{net}.20", TLS_PORT, "ECONNREFUSED"),
    }, "the many others that are closed are only counted"
    changes, both = compare(engine, first, second)
    assert {(one.what, one.address.removeprefix(net + "."), one.moved_from, one.sure) for one in changes} == {
        ("closed", "2", None, None),
        ("grew", "3", None, None),
        ("closed", "4", None, None),
        ("silent", "5", None, None),
        ("moved", "7", f"{net}.6:{PORT}", False),
        ("opened", "10", None, None),
        ("moved", "21", f"{net}.20:{TLS_PORT}", True),
    }
    assert both.alike and both.unchanged == 3
    assert (both.before.studies, both.after.studies) == (1115, 60 + 95 + 300 + 400 + 55 + 40)
    assert (both.before.archives, both.after.archives) == (8, 6)


# ---- the command -----------------------------------------------------------------------------------------------------

CONFIGURATION = """
[watch]
closed_after = 1

[[watch.campaign]]
name = "street"
targets = ["{net}.0/28"]
ports = [11112]
timeout = 2
every = "7d"
"""


def test_a_campaign_from_the_command_line(tmp_path: Path, net: str) -> None:
    def leadapron(*arguments: str, code: int = 0) -> Any:
        done = command(tmp_path, *arguments, "--data", str(tmp_path / "data"))
        assert done.code == code, done.err
        return done

    (tmp_path / "leadapron.toml").write_text(CONFIGURATION.format(net=net))
    assert "never ran" in leadapron("campaign", "list").out
    assert "it takes two to compare" in leadapron("report", "--campaign", "street", code=2).err
    with LabProcess(Population("first", [server(net, 1, 60), server(net, 2, 80)])):
        done = leadapron("scan", "--campaign", "street", "--format", "jsonl", "--processes", "2")
    assert done.lines[-1]["exposed"]["studies"] == 140
    with LabProcess(Population("second", [server(net, 1, 61, seed=1), server(net, 3, 10)])):
        done = leadapron("scan", "--campaign", "street", "--format", "jsonl", "--processes", "2")
    assert "Since earlier scans: 1 opened, 1 grew, 1 closed. 2 stand open in all." in done.err
    *changes, both = leadapron("report", "--campaign", "street", "--format", "jsonl").lines
    assert [(one["what"], one["address"]) for one in changes] == [
        ("opened", f"{net}.3"),
        ("grew", f"{net}.1"),
        ("closed", f"{net}.2"),
    ]
    assert (both["before"]["studies"], both["after"]["studies"]) == (140, 71)
    assert leadapron("report", "--compare", "1", "2", "--format", "csv").out.count("\n") == 4
    assert json.loads(leadapron("report", "--compare", "1", "--format", "json").out)["comparison"] == both
    table = leadapron("report", "--compare", "2", "1").out
    assert "difference" in table and "1 closed: the port refuses connections" in table
    shown = json.loads(leadapron("campaign", "show", "street", "--format", "json").out)
    assert [one["scan"] for one in shown["rounds"]] == [2, 1]
    assert "is the campaign's own" in leadapron("scan", "--campaign", "street", "--port", "104", code=2).err
    assert "does not fit" in leadapron("scan", "--campaign", "street", "--no-save", code=2).err
    assert "there are street" in leadapron("scan", "--campaign", "steet", code=2).err
    leadapron("campaign", "pause", "street")
    assert "paused" in leadapron("campaign", "list").out
    assert "is paused" in leadapron("campaign", "run", "street", code=2).err
    leadapron("campaign", "resume", "street")
    leadapron("campaign", "run", "street")
    assert json.loads(leadapron("campaign", "list", "--format", "json").out)[0]["next"] == "as soon as it can"


def test_a_port_that_nobody_knew_leaves_no_row(tmp_path: Path, net: str) -> None:
    """Else a census of the internet would write a row for each address."""
    with socket.socket() as sock:
        sock.bind((f"{net}.30", 0))
        done = command(tmp_path, "scan", f"{net}.30:{sock.getsockname()[1]}", "--data", str(tmp_path / "data"))
    assert done.code == 0
    engine = sa.create_engine(f"sqlite:///{tmp_path}/data/leadapron.sqlite")
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(absences)).scalar() == 0
