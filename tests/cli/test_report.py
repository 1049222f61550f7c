"""``leadapron report``, as it is typed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from leadapron.cli.report import command
from leadapron.cli.writing import write_file
from leadapron.kernel.errors import Failure, UsageError
from leadapron.watch.measure.judge import record as judged
from leadapron.watch.measure.record import EndpointRecord, ExposedTotal, Summary
from leadapron.watch.track.rows import ScanStart
from leadapron.watch.track.tables import sightings
from leadapron.watch.track.writer import Writer
from sightings import archive, exact, refusing, web

DOCS = Path(__file__).parents[2] / "docs"
MEASURED = [archive(1, exact(3, 90, 2)), archive(2, exact(400, 9000, 300)), refusing(3), web(4)]
SUMMARY = Summary(4, {"exposed": 2, "guarded": 1, "other": 1, "closed": 16}, 2, ExposedTotal(302, 403, 9090, True), 1.5)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the machine's user, and a place of our own to write in."""
    for name in ("LEADAPRON_DATA", "LEADAPRON_DATABASE_URL", "LEADAPRON_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two scans: a finished one, and after it one that was stopped and has no summary."""
    place = tmp_path / "data"
    options = {"options": {"depth": "count"}}
    with Writer(place, ScanStart(("127.1.0.0/24",), options, 1, "A. Person", {"contact": "x@y.example"})) as writer:
        for measurement in MEASURED:
            writer.put(measurement, judged(measurement))
        writer.finish("done", SUMMARY)
    with Writer(place, ScanStart(("127.2.0.0/24",), options, 1)) as writer:
        writer.put(MEASURED[2], judged(MEASURED[2]))
        writer.checkpoint(7, {"closed": 6})
        writer.finish("stopped")
    return place


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=True)


def done(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_the_latest_scan_is_the_one_meant(data: Path) -> None:
    said = done("--data", data).stdout
    assert "127.0.0.3:11112" in said and "127.0.0.2" not in said
    assert "1 imaging server was found, and it turns strangers away." in said
    assert "Of the other endpoints, 6 are closed" in said, "of what was counted before it was stopped"


def test_a_scan_by_its_number(data: Path) -> None:
    said = done(1, "--data", data).stdout
    lines = said.splitlines()
    assert lines[1].startswith("127.0.0.2:11112") and lines[2].startswith("127.0.0.1:11112"), "most images first"
    assert "302 patients, 403 studies and 9,090 images stand open, in 2 archives." in said
    assert "`leadapron report 1 --report report.html`" in said
    assert all(line == line.rstrip() for line in lines)


def test_the_formats_hold_the_records_and_nothing_else(data: Path) -> None:
    records = [judged(measurement) for measurement in MEASURED]
    *lines, last = done(1, "--data", data, "--format", "jsonl").stdout.splitlines()
    assert [msgspec.json.decode(line, type=EndpointRecord) for line in lines] == records
    assert msgspec.json.decode(last, type=Summary) == SUMMARY
    document = json.loads(done(1, "--data", data, "--format", "json").stdout)
    assert msgspec.convert(document["records"], list[EndpointRecord]) == records
    rows = list(csv.DictReader(io.StringIO(done(1, "--data", data, "--format", "csv").stdout)))
    assert [(row["address"], row["images"]) for row in rows] == [
        ("127.0.0.1", "90"),
        ("127.0.0.2", "9000"),
        ("127.0.0.3", ""),
        ("127.0.0.4", ""),
    ]


def test_the_list(data: Path) -> None:
    lines = done("--list", "--data", data).stdout.splitlines()
    assert lines[0].split() == ["scan", "started", "state", "exposed", "open", "studies", "targets"]
    assert re.match(r" +2 +\d{4}-\d\d-\d\d \d\d:\d\d UTC +stopped +0 +0 +\? +127\.2\.0\.0/24$", lines[1])
    assert re.match(r" +1 +\d{4}-\d\d-\d\d \d\d:\d\d UTC +done +2 +0 +403 +127\.1\.0\.0/24$", lines[2])
    assert len(lines) == 3


def test_results_go_where_they_are_told_to(data: Path, tmp_path: Path) -> None:
    result = done(1, "--data", data, "--format", "csv", "--output", "out.csv", "--report", "page.html")
    assert result.stdout == ""
    assert (tmp_path / "out.csv").read_text().startswith("address,port,")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "2 endpoints give patient records" in page and "authorised by A. Person" in page and "depth count" in page
    assert done(1, "--data", data, "--report", "page.html").stdout == "", "the page alone"
    done("--data", data, "--output", "table.txt")
    assert "127.0.0.3:11112  guarded" in (tmp_path / "table.txt").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["out.csv", "page.html", "table.txt"]


def test_old_measurements_are_judged_by_the_rules_of_today(data: Path) -> None:
    # As if the rules of that day had taken the second server for a decoy.
    engine = sa.create_engine(f"sqlite:///{data}/leadapron.sqlite")
    old = msgspec.structs.replace(judged(MEASURED[1]), verdict="decoy", exposed=None)
    with engine.begin() as connection:
        text = msgspec.json.encode(old).decode()
        connection.execute(sightings.update().where(sightings.c.address == "127.0.0.2").values(record=text))
    result = done(1, "--data", data, "--format", "jsonl")
    *lines, last = result.stdout.splitlines()
    assert json.loads(lines[1])["verdict"] == "exposed"
    assert "1 of the verdicts or counts are other than when this was scanned" in result.stderr
    summary = msgspec.json.decode(last, type=Summary)
    assert summary.endpoints["closed"] == 16 and summary.exposed.studies == 403 and summary.targets == 4
    assert done(1, "--data", data, "--format", "jsonl", "--report", "p.html").stderr.count("rules have changed") == 1


@pytest.mark.parametrize(
    "arguments", [("--list", "1"), ("--list", "--format", "csv"), ("--list", "--report", "x.html"), ("0",), ("x",)]
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_where_nothing_is_nothing_is_made(tmp_path: Path) -> None:
    for arguments in ((), ("--list",), ("1",)):
        result = run(*arguments, "--data", tmp_path / "none")
        assert isinstance(result.exception, UsageError)
        assert "leadapron scan TARGET" in str(result.exception)
    assert isinstance(run().exception, UsageError)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scan(data: Path) -> None:
    result = run(99, "--data", data)
    assert isinstance(result.exception, UsageError) and "there is no scan 99" in str(result.exception)


def test_the_data_directory_may_stand_in_the_environment_or_the_configuration(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leadapron.toml").write_text(f'data = "{data}"\n')
    assert "127.2.0.0/24" in done("--list").stdout
    (tmp_path / "leadapron.toml").unlink()
    monkeypatch.setenv("LEADAPRON_DATA", str(data))
    assert "127.2.0.0/24" in done("--list").stdout
    monkeypatch.setenv("LEADAPRON_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("LEADAPRON_DATABASE_URL", f"sqlite:///{data}/leadapron.sqlite")
    assert "127.2.0.0/24" in done("--list").stdout
    assert isinstance(run("--list", "--data", tmp_path / "none").exception, UsageError), "--data wins"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("before")

    def breaks() -> object:
        yield "half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_file(target, breaks())  # type: ignore[arg-type]
    assert target.read_text() == "before"
    write_file(target, ["after"])
    assert target.read_text() == "after"
    assert stat.S_IMODE(target.stat().st_mode) & 0o400
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_written_is_said(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="cannot write"):
        write_file(tmp_path / "none" / "x.csv", ["x"])
    with pytest.raises(Failure, match="No space left on device"):
        write_file(Path("/dev/full"), ["x"])
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "leadapron.cli.main", "report", "--data", str(data), "--format", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == "leadapron: cannot write to standard output: No space left on device\n"


def test_every_command_of_the_page_runs(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADAPRON_DATA", str(data))
    commands = re.findall(r"^\$ leadapron (.+)$", (DOCS / "records.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 6
    from leadapron.cli.main import root

    for line in commands:
        ended = CliRunner().invoke(root, shlex.split(line))
        assert ended.exit_code == 0, (line, ended.output, ended.exception)


def test_a_scan_that_is_not_there_is_not_compared(data: Path) -> None:
    refused = run("--compare", 9, 9, "--data", data).exception
    assert isinstance(refused, UsageError) and "there is no scan 9" in str(refused)
