"""Invariant 2: no patient datum outlives its reading. Planted canaries prove it.

Everything that names a patient is a canary (`canaries`). After scans that talk as much as they can, that fail, that are
killed and that have bugs, all that is left is searched: streams, reports, data directory, temporary files; for the text
as it is and in the forms in which it could have been written.
"""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from canaries import LAB_ROOT, forms, leaks, told
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from peers.loading import load
from peers.samples import ROOT, make_studies
from peers.servers import start_orthanc
from scan.commanding import Command, Done, command
from scan.scanning import moved

CANARY = "ZAUNKOENIG"
PORT = 11112
PERSONAS = (
    *("dcmtk", "dicompot", "dicomhawk", "duplicates", "row-per-file", "undated", "no-counts-at-all", "no-image-counts"),
    *("malformed-dates", "silent-limit-100", "refuses-c001", "find-fails", "not-authorized", "patient-root-only"),
    *("identifier-truncated", "identifier-garbage", "identifier-overruns", "identifier-nested", "no-study-uids"),
    *(
        "endless-answers",
        "endless-identifier",
        "stalls-mid-find",
        "reset-mid-find",
        "abort-mid-find",
        "command-garbage",
    ),
    *("rejects-calling", "tls-open", "wrong-message-ids", "pdv-overruns", "ge-pacs"),
)
BOUNDS = ("--timeout", "2", "--patience", "5", "--port", f"{PORT},2762")


@dataclass(frozen=True)
class Street:
    targets: tuple[str, ...]
    ports: str
    secrets: tuple[str, ...]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    archive = ArchiveSpec(studies=130, seed=11, images=3.0, ids="ssn", script="german")
    specs = [
        EndpointSpec(f"127.2.0.{number + 1}", 2762 if name.startswith("tls") else PORT, name, archive=archive)
        for number, name in enumerate(PERSONAS)
    ]
    with (
        LabProcess(moved(Population("canaries", specs)), canary=CANARY) as lab,
        start_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc,
    ):
        load(orthanc, make_studies(tmp_path_factory.mktemp("images"), 5, instances=2, canary=CANARY))
        truth = lab.truth()
        secrets = {CANARY, LAB_ROOT, ROOT, *told(truth[0].address, PORT, CANARY)}
        targets = (*sorted({one.address for one in truth}), f"{orthanc.host}:{orthanc.port}")
        yield Street(targets, f"{PORT},2762", tuple(sorted(secrets)))


# ---- the search ------------------------------------------------------------------------------------------------------


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for form, octets in forms(CANARY).items():
        (tmp_path / "file").write_bytes(b"some text " + octets + b" and more")
        assert any(form in found for found in leaks([tmp_path], [CANARY])), form
    for before in range(4):
        (tmp_path / "file").write_bytes(base64.b64encode(b"x" * before + CANARY.encode() + b"yyyy"))
        assert leaks([tmp_path], [CANARY]), before
    with sqlite3.connect(tmp_path / "file.sqlite") as database:
        database.execute("CREATE TABLE t (c)")
        database.execute("INSERT INTO t VALUES (?)", (f"a {CANARY} b",))
    (tmp_path / "file").unlink()
    assert leaks([tmp_path], [CANARY])


# ---- scans -----------------------------------------------------------------------------------------------------------


def asked(done: Done) -> None:
    """It did read what it must not keep: else nothing is proved."""
    *records, summary = done.lines
    assert summary["endpoints"]["exposed"] >= 12, summary
    assert sum((record["exposed"] or {}).get("studies", 0) for record in records) > 1000


def test_nothing_stays_of_a_scan_that_tells_all_it_knows(tmp_path: Path, street: Street) -> None:
    """Verbose, with the report, with tracebacks on, then shown again in every format."""
    debug = {"LEADAPRON_DEBUG": "1"}
    done = command(
        tmp_path,
        *("scan", *street.targets, *BOUNDS, "--verbose", "--format", "jsonl"),
        *("--report", "report.html", "--data", "data"),
        environment=debug,
    )
    assert done.code == 0, done.err[-2000:]
    asked(done)
    for format_ in ("table", "json", "csv", "jsonl"):
        again = command(
            tmp_path / format_,
            *("report", "--format", format_, "--output", "results", "--report", "page.html"),
            *("--data", tmp_path / "data"),
            environment=debug,
        )
        assert again.code == 0, again.err[-2000:]
        assert (tmp_path / format_ / "results").stat().st_size > 1000
    for format_ in ("intelmq", "csv", "stix", "ocsf", "jsonl"):
        fed = command(
            tmp_path / f"feed-{format_}",
            *("feed", "--format", format_, "--output", "feed", "--data", tmp_path / "data"),
            environment=debug,
        )
        assert fed.code == 0, fed.err[-2000:]
        assert (tmp_path / f"feed-{format_}" / "feed").stat().st_size > 5000
    published = command(
        tmp_path / "figures",
        *("statistics", "--output", "pack", "--minimum", "2", "--data", tmp_path / "data"),
        environment=debug,
    )
    assert published.code == 0, published.err[-2000:]
    assert (tmp_path / "figures" / "pack" / "statistics.html").stat().st_size > 5000
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert len(done.err.splitlines()) > len(PERSONAS), "the verbose log"
    assert leaks([tmp_path], street.secrets) == []
    assert not any((tmp_path / "tmp").iterdir())


def test_nothing_stays_of_a_scan_that_is_killed(tmp_path: Path, street: Street) -> None:
    """In the middle of counting, with what the database has not yet taken in, and a temporary one if it is not kept."""
    for option in (("--data", "data"), ("--no-save",)):
        home = tmp_path / option[0].strip("-")
        with Command(home, "scan", *street.targets, *BOUNDS, "--verbose", "--format", "jsonl", *option) as running:
            running.until("some archives are counted", lambda running=running: running.out.count('"exact"') >= 3)
            running.signal(signal.SIGKILL)
            running.end()
        assert leaks([home], street.secrets) == []


BUGS = {
    "a reader of answers": """
from leadapron.watch.measure.count.tally import Tally
def add(self, uid=b"", date=b"", images=b"", patient=b"", **more):
    raise ValueError(f"cannot read {uid!r} {patient!r} {more!r}")
Tally.add = add
""",
    "the arithmetic of counting": """
from leadapron.watch.measure.count.tally import Tally
finish = Tally.finish
def finish_and_fail(self, *arguments, **named):
    raise KeyError(repr(seen[-3:]))
seen = []
add = Tally.add
def add_and_keep(self, *values, **named):
    seen.append((values, named))
    add(self, *values, **named)
Tally.add, Tally.finish = add_and_keep, finish_and_fail
""",
    "the release of an association": """
from leadapron.wire.aio.requestor import RequestorAssociation
from leadapron.watch.measure.dicom import answers
last = []
elements = answers._elements
def _elements(data, syntax):
    last.append(bytes(data))
    return elements(data, syntax)
answers._elements = _elements
async def close(self):
    await self.abort()
    raise RuntimeError(repr(last[-1:]))
RequestorAssociation.close = close
""",
}


@pytest.mark.parametrize(("bug", "debug"), [*((bug, True) for bug in BUGS), ("a reader of answers", False)])
def test_nothing_stays_where_we_have_a_bug(tmp_path: Path, street: Street, bug: str, debug: bool) -> None:
    """The exception quotes what a server sent, as exceptions do; it goes nowhere, not even with tracebacks on."""
    program = f"{BUGS[bug]}\nimport sys\nsys.argv[0] = 'leadapron'\nfrom leadapron.cli.main import main\nmain()"
    done = command(
        tmp_path,
        *("scan", *street.targets, *BOUNDS, "--patience", "3", "--verbose", "--format", "jsonl", "--data", "data"),
        environment={"LEADAPRON_DEBUG": "1"} if debug else {},
        program=("-c", program),
    )
    assert done.code == 0, done.err[-2000:]
    assert leaks([tmp_path], street.secrets) == []
    assert sum(done.lines[-1]["endpoints"].values()) == 2 * len(PERSONAS) + 1
    assert done.out.count("a bug of ours") > 5


def test_the_database_holds_shapes_and_numbers_only(tmp_path: Path, street: Street) -> None:
    """What a measurement has room for: no text of a server's but its product's own names."""
    command(tmp_path, "scan", *street.targets[:3], *BOUNDS, "--data", "data")
    with sqlite3.connect(tmp_path / "data" / "leadapron.sqlite") as database:
        rows = [json.loads(row) for (row,) in database.execute("SELECT measurement FROM sightings")]
    assert rows
    for row in rows:
        assert row["shapes"] is None or set(row["shapes"].values()) <= {True, False, None}
        assert row["shapes"] is None or row["shapes"]["names"] is True, "and names there were"
