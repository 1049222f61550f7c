"""``leadapron scan`` as a user has it: exit codes, streams, files, stopping and going on."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.watch.report.csv import COLUMNS
from scan.commanding import Command, Done, command
from scan.scanning import moved

AUDITED = (str(Path(__file__).with_name("audited.py")),)
PORT = 11112
FORMATS = ("jsonl", "json", "csv")


@dataclass(frozen=True)
class Town:
    """A few servers: ``network`` holds them and many addresses where nobody lives; ``open`` gives patients away."""

    network: str
    open: str
    guarded: str
    other: str
    servers: int


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    archive = ArchiveSpec(studies=40, seed=1)
    specs = [
        EndpointSpec("127.2.0.5", PORT, "dcmtk", archive=archive),
        EndpointSpec("127.2.0.6", PORT, "rejects-calling", archive=archive),
        EndpointSpec("127.2.0.7", PORT, "http"),
        EndpointSpec("127.2.0.77", [PORT, 4242], "dcm4chee", archive=ArchiveSpec(studies=25, seed=2)),
        EndpointSpec("127.2.0.128/25", PORT, "ssh", count=40),
    ]
    with LabProcess(moved(Population("town", specs))) as lab:
        truth = lab.truth()
        places = {one.persona: one.address for one in truth}
        yield Town(
            truth[0].address.rpartition(".")[0] + ".0/24",
            places["dcmtk"],
            places["rejects-calling"],
            places["http"],
            len(truth),
        )


def scanned(home: Path, *arguments: str | Path, **options: Any) -> Done:
    return command(home, "scan", "--port", str(PORT), *arguments, **options)


def files_below(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


# ---- exit codes ------------------------------------------------------------------------------------------------------


def test_done(tmp_path: Path, town: Town) -> None:
    done = scanned(tmp_path, town.open, town.guarded)
    assert done.code == 0
    assert "exposed" in done.out and "guarded" in done.out and "40" in done.out
    assert "\x1b[" not in done.out, "colours go to terminals only"


@pytest.mark.parametrize(
    ("severity", "place", "code"),
    [("critical", "open", 3), ("critical", "guarded", 0), ("info", "other", 0)],
)
def test_fail_on(tmp_path: Path, town: Town, severity: str, place: str, code: int) -> None:
    done = scanned(tmp_path, getattr(town, place), "--fail-on", severity, "--format", "jsonl", "--no-save")
    assert done.code == code
    *records, summary = done.lines
    assert len(records) == 1 and summary["type"] == "summary"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name a target"),
        (("300.1.1.1",), "300.1.1.1"),
        (("http://127.0.0.1",), "is a URL"),
        (("127.0.0.1", "--port", "0"), "ports go from 1 to 65535"),
        (("127.0.0.1", "--port", "dicom"), "is no port"),
        (("127.0.0.1", "--depth", "deep"), "capabilities"),
        (("127.0.0.1", "--rate", "0"), "--rate"),
        (("127.0.0.1", "--timeout", "soon"), "--timeout"),
        (("127.0.0.1", "--timeout", "nan"), "'nan' is no number"),
        (("127.0.0.1", "--patience", "inf"), "'inf' is no number"),
        (("127.0.0.1", "--port", "104-"), "'104-' is no port"),
        (("127.0.0.1", "--port", "1²"), "is no port"),
        (("127.0.0.1", "--max-requests", "0"), "--max-requests"),
        (("127.0.0.1", "--called-ae", "SEVENTEEN_LETTERS"), "AE title"),
        (("127.0.0.1", *("--called-ae", "A", "--called-ae", "B", "--called-ae", "C", "--called-ae", "D")), "At most 3"),
        (("127.0.0.1", "--no-save", "--resume"), "--no-save"),
        (("127.0.0.1", "--resume"), "no stopped scan"),
        (("--from", "nowhere.txt"), "nowhere.txt"),
        (("127.0.0.1", "--scope", "nowhere.toml"), "nowhere.toml"),
        (("127.0.0.1", "--output", "no/such/directory.json"), "no such directory"),
        (("127.0.0.1", "--report", "no/such/directory.html"), "no such directory"),
        (("127.0.0.1", "--formt", "csv"), "--format"),
        (("192.0.2.1",), "--scope FILE"),
    ],
)
def test_wrong_usage_is_told_with_what_helps(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = command(tmp_path, "scan", *arguments)
    assert done.code == 2
    assert said in " ".join(done.err.split()), done.err
    assert done.out == "" and "Traceback" not in done.err


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    done = command(tmp_path, "scna", "127.0.0.1")
    assert (done.code, done.out) == (2, "")
    assert "Did you mean 'scan'?" in done.err


def test_a_data_directory_that_cannot_be(tmp_path: Path, town: Town) -> None:
    (tmp_path / "file").write_text("no directory")
    done = scanned(tmp_path, town.open, "--data", tmp_path / "file" / "data")
    assert (done.code, done.out) == (1, "")
    assert "cannot make the data directory" in done.err and "--data DIR" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_a_full_disk_under_the_output(tmp_path: Path, town: Town, format_: str) -> None:
    done = scanned(tmp_path, town.open, "--format", format_, "--output", "/dev/full")
    assert (done.code, done.out) == (1, "")
    assert "cannot write /dev/full: No space left on device. Free some space" in done.err
    assert "Traceback" not in done.err


def test_a_full_disk_under_stdout(tmp_path: Path, town: Town) -> None:
    for format_ in ("jsonl", "table"):
        done = scanned(tmp_path, town.open, "--format", format_, stdout=Path("/dev/full"))
        assert done.code == 1
        assert "No space left on device" in done.err and "Traceback" not in done.err


def test_a_disk_that_takes_no_more_under_the_data(tmp_path: Path, town: Town) -> None:
    done = command(
        tmp_path, tmp_path / "seen", "RLIMIT_FSIZE=60000", "scan", town.open, "--format", "jsonl", program=AUDITED
    )
    assert done.code == 1
    assert "leadapron.sqlite: the disk" in done.err and "Traceback" not in done.err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, town: Town) -> None:
    """``leadapron scan … | head -1``: the program at the other end has what it wanted."""
    nobody_reads = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1);"
        "os.execv(sys.executable, [sys.executable, '-m', 'leadapron', *sys.argv[1:]])"
    )
    done = scanned_by(nobody_reads, tmp_path, town.open, "--format", "jsonl")
    assert done.code == 0
    assert "Traceback" not in done.err and "bug" not in done.err


def scanned_by(code: str, home: Path, *arguments: str) -> Done:
    return command(home, "scan", "--port", str(PORT), *arguments, program=("-c", code))


# ---- what is printed where -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    home = tmp_path_factory.mktemp("schemas")
    return {name: json.loads(command(home, "schema", name).out) for name in ("endpoint", "summary")}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_format_prints_nothing_else(
    tmp_path: Path, town: Town, schemas: Mapping[str, dict[str, Any]], format_: str
) -> None:
    """With everything on that talks: notes, progress, the verbose log, a report."""
    targets = (town.open, town.guarded, town.other, "192.0.2.1")
    done = scanned(tmp_path, *targets, "--format", format_, "--verbose", "--report", "report.html")
    assert done.code == 0
    assert "Note: left out" in done.err and f"{town.open}:{PORT} tcp dicom exposed" in done.err
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    if format_ == "csv":
        header, *rows = csv.reader(io.StringIO(done.out))
        assert tuple(header) == COLUMNS and len(rows) == 3
        assert {len(row) for row in rows} == {len(COLUMNS)}
        return
    if format_ == "jsonl":
        *records, summary = done.lines
    else:
        document = json.loads(done.out)
        records, summary = document["records"], document["summary"]
    assert {record["address"] for record in records} == {town.open, town.guarded, town.other}
    assert {record["type"] for record in records} == {"endpoint"} and summary["type"] == "summary"
    for record in records:
        check(record, schemas["endpoint"])
    check(summary, schemas["summary"])


def test_the_check_can_fail(schemas: Mapping[str, dict[str, Any]], tmp_path: Path, town: Town) -> None:
    record = scanned(tmp_path, town.open, "--format", "jsonl", "--no-save").lines[0]
    for spoilt in (
        record | {"verdict": "unknown"},
        record | {"port": "104"},
        record | {"schema": 2},
        record | {"capabilities": {**record["capabilities"], "find": ["image"]}},
        {name: value for name, value in record.items() if name != "load"},
        record | {"patient_name": "DOE^JANE"},
    ):
        with pytest.raises(AssertionError):
            check(spoilt, schemas["endpoint"])


def check(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, where: str = "$") -> None:
    """JSON Schema 2020-12, as much of it as ours uses; anything else in a schema is an error here. Members that no
    schema names are refused: a record is to have nothing that the contract doesn't know."""
    root = schema if root is None else root
    known = {"$schema", "$defs", "title", "description", "type", "properties", "required", "const", "enum", "anyOf"}
    known |= {"$ref", "items", "prefixItems", "minItems", "maxItems", "additionalProperties"}
    assert schema.keys() <= known, f"{where}: this check does not know {schema.keys() - known}"
    if "$ref" in schema:
        check(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, where)
    if "const" in schema:
        assert value == schema["const"] and type(value) is type(schema["const"]), where
    if "enum" in schema:
        assert value in schema["enum"], where
    if "anyOf" in schema:
        failures = []
        for option in schema["anyOf"]:
            try:
                check(value, option, root, where)
                break
            except AssertionError as error:
                failures.append(str(error))
        else:
            raise AssertionError(f"{where}: {failures}")
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
        "integer": int,
        "number": (int, float),
    }
    if "type" in schema:
        assert isinstance(value, types[schema["type"]]), where
        assert not (isinstance(value, bool) and schema["type"] in ("integer", "number")), where
    if isinstance(value, dict):
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties", False)
        assert set(schema.get("required", ())) <= value.keys(), where
        if "properties" in schema or "additionalProperties" in schema:
            for name, member in value.items():
                assert name in properties or extra, f"{where}.{name} is not in the schema"
                check(member, properties.get(name) or extra, root, f"{where}.{name}")
    if isinstance(value, list):
        first = schema.get("prefixItems", [])
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        for number, item in enumerate(value):
            rest = schema.get("items")
            one = first[number] if number < len(first) else rest
            assert isinstance(one, dict), f"{where}[{number}] is not in the schema"
            check(item, one, root, f"{where}[{number}]")


@pytest.mark.parametrize("format_", ["table", "jsonl"])
def test_output_goes_to_the_file_and_nothing_to_stdout(tmp_path: Path, town: Town, format_: str) -> None:
    to_file = scanned(tmp_path / "file", town.open, "--format", format_, "--output", "results", "--no-save")
    assert (to_file.code, to_file.out) == (0, "")
    written = (tmp_path / "file" / "results").read_text()
    assert town.open in written
    if format_ == "jsonl":
        assert json.loads(written.splitlines()[-1])["type"] == "summary"


def test_output_dash_is_stdout(tmp_path: Path, town: Town) -> None:
    done = scanned(tmp_path, town.open, "--format", "jsonl", "--output", "-", "--no-save")
    assert done.code == 0 and [line["type"] for line in done.lines] == ["endpoint", "summary"]
    assert files_below(tmp_path) == {"stdout", "stderr"}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_lead_to_nowhere(tmp_path: Path, town: Town, closed: str) -> None:
    """Else a connection is given the number 1, and the table goes to a server."""
    script = f'exec "$@" {closed}'
    program = [sys.executable, "-m", "leadapron", "scan", town.open, "--no-save", "--format", "csv"]
    environment = {**os.environ, "HOME": str(tmp_path), "LC_ALL": "C"}
    done = subprocess.run(
        ["bash", "-c", script, "bash", *program], capture_output=True, text=True, timeout=100, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert ("exposed" in done.stdout) == (" >&-" not in f" {closed}")


def test_a_full_disk_where_nothing_is_saved(tmp_path: Path, town: Town) -> None:
    done = scanned(tmp_path, town.open, "--no-save", "--format", "jsonl", stdout=Path("/dev/full"))
    assert done.code == 1 and "No space left on device" in done.err
    assert "--resume" not in done.err, "there is nothing to resume"


def test_no_save_leaves_nothing(tmp_path: Path, town: Town) -> None:
    done = scanned(tmp_path, town.open, town.other, "--no-save")
    assert done.code == 0 and "exposed" in done.out
    assert files_below(tmp_path) == {"stdout", "stderr"}
    assert "report 1" not in done.out, "a scan that is not there"


def test_a_scan_is_kept_and_shown_again(tmp_path: Path, town: Town) -> None:
    done = scanned(tmp_path, town.open, town.guarded, "--format", "jsonl", "--data", "data")
    assert files_below(tmp_path) == {"stdout", "stderr", "data/leadapron.sqlite"}
    again = command(tmp_path, "report", "--format", "jsonl", "--data", "data")
    assert again.code == 0
    assert sorted(again.out.splitlines()) == sorted(done.out.splitlines())


def test_quiet_is_quiet(tmp_path: Path, town: Town) -> None:
    done = scanned(tmp_path, town.open, "--quiet", "--format", "csv")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("depth", ["touch", "capabilities", "count", "estimate"])
def test_each_depth_asks_for_what_it_says(tmp_path: Path, town: Town, depth: str) -> None:
    record, _ = scanned(tmp_path, town.open, "--format", "jsonl", "--no-save", "--depth", depth).lines
    requests = record["load"]["requests"]
    if depth in ("touch", "capabilities"):
        assert (record["verdict"], record["exposed"]) == ("open", None)
        assert requests == (0 if depth == "touch" else 1) and record["load"]["connections"] == 1
        assert record["capabilities"]["find"] == ["study", "patient"]
    else:
        assert record["verdict"] == "exposed" and requests > 1
        assert record["exposed"]["studies"] == 40


# ---- nothing leaves the scope ----------------------------------------------------------------------------------------


def test_without_a_scope_nothing_but_loopback_is_touched(tmp_path: Path, town: Town) -> None:
    """Refused before any packet: Python is not even asked to open a connection, or to look a name up."""
    done = command(
        tmp_path, tmp_path / "seen.json", "scan", "192.0.2.0/24", "10.0.0.1", "--data", "data", program=AUDITED
    )
    assert done.code == 2 and "leadapron scope new" in done.err
    assert json.loads((tmp_path / "seen.json").read_text()) == []
    assert not (tmp_path / "data" / "leadapron.sqlite").exists(), "a scan that never began"


def test_loopback_goes_on_where_others_are_left_out(tmp_path: Path, town: Town) -> None:
    done = command(
        tmp_path,
        *(
            tmp_path / "seen.json",
            "scan",
            town.open,
            "192.0.2.1",
            "--port",
            str(PORT),
            "--format",
            "jsonl",
            "--no-save",
        ),
        program=AUDITED,
    )
    assert done.code == 0 and "left out 1 of scope" in done.err
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert {address for _, address in seen} == {town.open}


# ---- stopping and going on -------------------------------------------------------------------------------------------

PACED = ("--rate", "150", "--format", "jsonl", "--data", "data", "--port", f"{PORT},4242")


def kept(home: Path) -> int:
    """Endpoints that the database holds."""
    database = home / "data" / "leadapron.sqlite"
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM sightings").fetchone()[0])
    except sqlite3.Error:
        return 0  # its tables are being made


def found(done: Done) -> dict[tuple[str, int], tuple[Any, ...]]:
    """What a scan says of each endpoint, without times; fails for one that it names twice."""
    records = done.lines[:-1]
    keyed = {
        (record["address"], record["port"]): (record["verdict"], record["exposed"], record["findings"])
        for record in records
    }
    assert len(keyed) == len(records)
    return keyed


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, town: Town) -> Done:
    done = command(tmp_path_factory.mktemp("uninterrupted"), "scan", town.network, *PACED)
    assert done.code == 0
    return done


def same_totals(done: Done, uninterrupted: Done, town: Town) -> None:
    assert found(done) == found(uninterrupted)
    summary, wanted = done.lines[-1], uninterrupted.lines[-1]
    for name in ("targets", "endpoints", "archives", "exposed"):
        assert summary[name] == wanted[name], name
    assert summary["endpoints"]["closed"] == 2 * 256 - town.servers


def test_stopped_and_resumed_is_the_same_as_never_stopped(tmp_path: Path, town: Town, uninterrupted: Done) -> None:
    with Command(tmp_path, "scan", town.network, *PACED) as running:
        running.until("some endpoints are found", lambda: running.out.count("\n") >= 3)
        running.signal(signal.SIGINT)
        stopped = running.end()
    assert stopped.code == 130
    assert "Stopping: finishing what is in hand" in stopped.err and "--resume goes on from here" in stopped.err
    so_far = found(stopped)
    assert 3 <= len(so_far) < town.servers and kept(tmp_path) == len(so_far)
    assert stopped.lines[-1]["type"] == "summary"
    with_another_rate = ("--rate", "100000", *PACED[2:])
    resumed = command(tmp_path, "scan", town.network, *with_another_rate, "--resume")
    assert resumed.code == 0 and "Going on with scan 1" in resumed.err
    same_totals(resumed, uninterrupted, town)
    again = command(tmp_path, "scan", town.network, *PACED, "--resume")
    assert again.code == 2 and "no stopped scan" in again.err, "it came to its end, there is nothing to resume"


def test_killed_and_resumed_is_the_same_as_never_killed(tmp_path: Path, town: Town, uninterrupted: Done) -> None:
    with Command(tmp_path, "scan", town.network, *PACED) as running:
        running.until("some endpoints are saved", lambda: kept(tmp_path) >= 3)
        running.signal(signal.SIGKILL)
        killed = running.end()
    assert killed.code == 128 + signal.SIGKILL
    assert 3 <= kept(tmp_path) < town.servers
    assert all("address" in line or line["type"] == "summary" for line in killed.lines), "half a line"
    resumed = command(tmp_path, "scan", town.network, *PACED, "--resume")
    assert resumed.code == 0
    same_totals(resumed, uninterrupted, town)


def test_two_signals_stop_at_once_and_lose_nothing_that_was_saved(
    tmp_path: Path, town: Town, uninterrupted: Done
) -> None:
    with Command(tmp_path, "scan", town.network, *PACED) as running:
        running.until("some endpoints are saved", lambda: kept(tmp_path) >= 3)
        running.signal(signal.SIGTERM)
        running.until("it says so", lambda: "Stopping" in running.err or running.err.count("Stopped"))
        running.signal(signal.SIGINT)
        stopped = running.end()
    assert stopped.code == 130 and "Traceback" not in stopped.err
    same_totals(command(tmp_path, "scan", town.network, *PACED, "--resume"), uninterrupted, town)


def test_a_scan_that_runs_is_not_resumed_by_a_second_one(tmp_path: Path, town: Town) -> None:
    """Two scans at once would open two associations to one device (invariant 4)."""
    with Command(tmp_path, "scan", town.network, *PACED) as running:
        running.until("it is under way", lambda: kept(tmp_path) >= 1)
        second = command(
            tmp_path / "second", "scan", town.network, *PACED[:-4], "--data", tmp_path / "data", "--resume"
        )
        assert second.code == 2
        assert "still runs, as process" in second.err
        running.signal(signal.SIGINT)
        running.end()
