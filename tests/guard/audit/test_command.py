"""``leadapron audit show|verify|export``: what people see, what programs get, and that looking leaves a record."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from lxml import etree
from msgspec.structs import replace

from guard.audit.happenings import ALERT, QUERY
from leadapron.cli import audit
from leadapron.guard.audit.codes import WORDS, Outcome
from leadapron.guard.audit.events import (
    ApplicationActivity,
    BulkAlarm,
    InstancesTransferred,
    Participant,
    Patient,
    SopClass,
    Study,
    UserAuthentication,
)
from leadapron.guard.audit.message import Source
from leadapron.guard.audit.trail import Trail
from leadapron.guard.audit.verify import verify
from leadapron.guard.policy.services import FINDS, GETS, MOVES, WORKLIST_FIND
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.kernel.seal import key_file

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit-message.rng")))
NOW = datetime.now(UTC)
CT1 = Participant("CT1", "CT1", "127.0.0.50")
PACS = Participant("PACS", "OLDPACS", "127.0.0.9")
STUDY = Study("1.2.826.0.1.77", (SopClass("1.2.840.10008.5.1.4.1.1.2", 120),))
EVENTS = (
    ApplicationActivity(started=True, when=NOW - timedelta(days=3)),
    QUERY,
    InstancesTransferred(
        sender=CT1,
        receiver=PACS,
        requestor=CT1,
        studies=(STUDY,),
        patient=Patient("CANARY-7", "CANARY^ANNA"),
        action="C",
    ),
    UserAuthentication(
        person=Participant("anna@practice", None, "127.0.0.20"),
        login=True,
        how="password",
        reason="=cmd|' /C calc'!A0",
        outcome=Outcome.MINOR,
    ),
    ALERT,
    BulkAlarm(peer=Participant("WS\x1b[2J", "WS1", "127.0.0.70"), studies=101, limit=100, window_s=3600),
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a trail."""
    home = tmp_path / "data" / "guard"
    with Trail(home, key_file(home / "guard.key"), source=Source("guard", "GUARD")) as trail:
        for event in EVENTS:
            trail.record(event)
    return tmp_path / "data"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(audit.command, [str(argument) for argument in arguments])


def words(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def error(*arguments: str | Path) -> LeadApronError:
    result = run(*arguments)
    assert isinstance(result.exception, LeadApronError), result.output
    return result.exception


def lines(text: str) -> list[str]:
    """The rows of a table."""
    return text.splitlines()[3:]


# ---- show -----------------------------------------------------------------------------------------------------------


def test_a_table_says_who_did_what(data: Path) -> None:
    told = words("show", "--data", data)
    rows = lines(told)
    assert "7 records" in told.splitlines()[0] and len(rows) == 7
    assert "CT1 → PACS; 1 study, 120 images" in rows[2] and " Transfer " in rows[2] and " ok " in rows[2]
    assert "asked PACS; studies" in rows[1]
    assert " failed " in rows[3]
    assert "ALERT" in rows[4] and "Node Authentication: no certificate was shown" in rows[4] and " minor " in rows[4]
    assert "101 studies retrieved" in rows[5] and "\x1b" not in told
    assert "Audit log read" in rows[6]
    assert "CANARY" not in told


def test_what_was_asked_has_the_standards_names(tmp_path: Path) -> None:
    """Each class that the guard lets anybody ask for; one that nobody knows stays as it is."""
    home = tmp_path / "guard"
    home.mkdir(parents=True)
    classes = sorted(FINDS | MOVES | GETS | {WORKLIST_FIND})
    with Trail(home, key_file(home / "guard.key"), source=Source("guard", "GUARD")) as trail:
        for uid in [*classes, "1.2.3.4"]:
            trail.record(replace(QUERY, sop_class=uid))
    rows = lines(words("show", "--data", tmp_path))
    assert not any("1.2.840" in row for row in rows) and rows[len(classes)].endswith("1.2.3.4")
    told = "\n".join(rows)
    for name in ("Study Root {} - GET", "Patient Root {} - MOVE", "Patient/Study Only {} - FIND"):
        assert name.format("Query/Retrieve Information Model") in told


def test_looking_leaves_a_record(data: Path) -> None:
    for count in range(1, 4):
        found = [json.loads(line) for line in words("show", "--data", data, "--format", "jsonl").splitlines()]
        read = [entry for entry in found if entry["event"] == "log-used"]
        assert len(read) == count
    words("export", "--data", data)
    (last,) = [json.loads(words("show", "--data", data, "--format", "jsonl", "--last", "2").splitlines()[0])]
    assert last["parties"][1]["user"].startswith("leadapron audit export")
    assert last["things"][0]["kind"] == "resource" and last["things"][0]["id"].endswith("/data/guard/audit")
    assert words("verify", "--data", data).startswith("The audit trail is whole: 11 records in 1 file")


def test_looking_beside_the_guard_leaves_a_record_too(data: Path) -> None:
    home = data / "guard"
    with Trail(home, key_file(home / "guard.key")) as trail:
        assert len(lines(words("show", "--data", data))) == 6  # it is not taken up yet
        assert trail.wait_durable(6, 20)
    assert "Audit log read" in words("show", "--data", data, "--type", "log-used")
    assert verify(home, key_file(home / "guard.key")).whole


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--type", "alert"], [5, 6]),
        (["--type", "alert", "--type", "query"], [2, 5, 6]),
        (["--peer", "ct1"], [2, 3]),
        (["--peer", "OLDPACS"], [3]),
        (["--peer", "127.0.0.66"], [5]),
        (["--until", "24h"], [1]),
        (["--since", "24h", "--type", "query"], [2]),
        (["--since", "30d", "--until", "2d"], [1]),
        (["--since", "2099-01-01"], []),
        (["--last", "1", "--type", "query"], [2]),
        (["--until", (NOW - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")], [1]),
    ],
)
def test_filters(data: Path, options: list[str], numbers: list[int]) -> None:
    found = json.loads(words("show", "--data", data, "--format", "json", *options))
    assert [entry["sequence"] for entry in found] == numbers


def test_nothing_found_is_said(data: Path) -> None:
    assert "Nothing of that kind was recorded." in words("show", "--data", data, "--peer", "nobody")


def test_the_newest_fifty(data: Path) -> None:
    home = data / "guard"
    with Trail(home, key_file(home / "guard.key")) as trail:
        for _ in range(60):
            trail.record(QUERY)
    told = words("show", "--data", data)
    assert "67 records, the newest 50" in told and len(lines(told)) == 50
    assert len(words("show", "--data", data, "--format", "jsonl").splitlines()) == 68


def test_following_shows_what_comes(data: Path) -> None:
    home = data / "guard"
    command = [sys.executable, "-m", "leadapron", "audit", "show", "--data", data, "--follow", "--type", "alert"]
    with subprocess.Popen([*command, "--format", "jsonl"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline())["sequence"] for _ in range(2)]
        with Trail(home, key_file(home / "guard.key")) as trail:
            trail.record(QUERY)
            number = trail.record(ALERT)
            assert json.loads(process.stdout.readline())["sequence"] == number
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert before == [5, 6]


def test_a_document_has_an_end(data: Path) -> None:
    result = run("show", "--data", data, "--follow", "--format", "json")
    assert result.exit_code == 2 and "jsonl" in result.output


@pytest.mark.parametrize("time", ["yesterday", "24", "5y", "2026-13-01", "999999w9"])
def test_odd_times_are_told(data: Path, time: str) -> None:
    result = run("show", "--data", data, "--since", time)
    assert result.exit_code == 2 and "is no time" in result.output


def test_the_types_are_those_of_the_messages() -> None:
    assert sorted(audit._TYPES) == sorted(WORDS)


# ---- verify ---------------------------------------------------------------------------------------------------------


def test_damage_is_told_and_shows_in_the_exit_code(data: Path) -> None:
    path = data / "guard" / "audit" / "00000001.audit"
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)
    result = run("verify", "--data", data)
    assert result.exit_code == 3
    assert "THE AUDIT TRAIL IS DAMAGED. 5 records in 1 file can be read" in result.stdout
    assert "changed    record " in result.stdout
    result = run("verify", "--data", data, "--format", "json")
    told = json.loads(result.stdout)
    assert result.exit_code == 3 and told["whole"] is False and told["problems"][0]["kind"] == "changed"
    shown = run("show", "--data", data)
    assert shown.exit_code == 0 and "damaged in 1 place" in shown.stderr and len(lines(shown.stdout)) == 6


def test_a_whole_trail_as_json(data: Path) -> None:
    told = json.loads(words("verify", "--data", data, "--format", "json"))
    assert told["whole"] is True and told["records"] == 6 and told["problems"] == []


def test_a_place_without_a_trail_is_not_made_one(tmp_path: Path) -> None:
    for command in ("show", "verify", "export"):
        found = error(command, "--data", tmp_path)
        assert isinstance(found, UsageError) and "leadapron up" in str(found)
    assert not list(tmp_path.iterdir())
    key_file(tmp_path / "guard" / "guard.key")  # as 'init guard' leaves it
    for command in ("show", "verify", "export"):
        assert "leadapron up" in str(error(command, "--data", tmp_path))


def test_a_trail_whose_key_is_gone(data: Path) -> None:
    (data / "guard" / "guard.key").unlink()
    assert "guard.key is missing" in str(error("verify", "--data", data))
    assert not (data / "guard" / "guard.key").exists()


# ---- export ---------------------------------------------------------------------------------------------------------


def test_xml_is_valid_line_by_line(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "trail.xml"
    result = run("export", "--data", data, "--output", output)
    assert result.exit_code == 0 and result.stdout == "" and "7 records written" in result.stderr
    found = output.read_bytes().splitlines()
    assert len(found) == 7
    for line in found:
        SCHEMA.assertValid(etree.fromstring(line))
    assert b"CANARY^ANNA" in found[2]
    assert output.stat().st_mode & 0o777 == 0o600
    bare = words("export", "--data", data, "--without-identifiers")
    for line in bare.splitlines():
        SCHEMA.assertValid(etree.fromstring(line.encode()))
    assert "CANARY" not in bare and "Q0FOQVJZ" not in bare and "1.2.826.0.1.77" in bare


def test_json_with_and_without(data: Path) -> None:
    full = words("export", "--data", data, "--format", "jsonl")
    assert "CANARY^ANNA" in full and len([json.loads(line) for line in full.splitlines()]) == 7
    bare = words("export", "--data", data, "--format", "jsonl", "--without-identifiers")
    assert "CANARY" not in bare


def test_csv_has_no_patient_and_no_formula(data: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(words("export", "--data", data, "--format", "csv"))))
    assert len(rows) == 7 and rows[2]["studies"] == "1.2.826.0.1.77" and rows[2]["instances"] == "120"
    text = words("export", "--data", data, "--format", "csv")
    assert "CANARY" not in text
    assert not any(value.lstrip().startswith(tuple("=+-@")) for row in rows for value in row.values())
    assert rows[3]["reason"].startswith("password: =cmd")


def test_a_pipe_is_written_to_and_stays_one(data: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert run("export", "--data", data, "--output", pipe).exit_code == 0
        assert reader.stdout is not None and len(reader.stdout.read().splitlines()) == 7
    assert pipe.is_fifo()


def test_where_nothing_can_be_written_nothing_is_left(data: Path, tmp_path: Path) -> None:
    found = error("export", "--data", data, "--output", tmp_path / "missing" / "x.xml")
    assert "cannot write" in str(found)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
