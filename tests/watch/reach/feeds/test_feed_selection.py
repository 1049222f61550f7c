"""Which exposures a feed has, and how the command writes it."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from leadapron.cli.feed import FORMATS, command
from leadapron.cli.schema import schema
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.files import write_pieces
from leadapron.lab import EndpointSpec, LabProcess, Population
from leadapron.watch.reach.feeds import entries, marks
from leadapron.watch.reach.feeds.entries import Selection, read
from planted import OPENED, Planting
from scan.commanding import command as command_line
from sightings import archive, exact
from watch_folding import round_of, with_certificate


class Noon:
    def monotonic(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def planting(engine: sa.Engine, location: str, monkeypatch: pytest.MonkeyPatch) -> Planting:
    monkeypatch.setenv("LEADAPRON_DATABASE_URL", location)
    monkeypatch.delenv("LEADAPRON_CONFIG", raising=False)
    return Planting(engine)


def numbers(engine: sa.Engine, **selection: Any) -> list[int]:
    return [entry.exposure.id for entry in read(engine, Selection(**selection))]


def run(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(command, ["--format", "jsonl", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- selection ------------------------------------------------------------------------------------------------------


def test_each_condition_by_itself_and_all_together(planting: Planting) -> None:
    engine = planting.engine
    a = planting.put()
    b = planting.put(country="FR", asn=3215, campaign="weekly", address="203.0.113.9")
    c = planting.put(story=[(OPENED, "opened"), ("2026-11-20T00:00:00Z", "closed")], address="2001:db8::9")
    d = planting.put(story=[(OPENED, "opened"), ("2026-11-21T09:00:00Z", "grew")], country=None, asn=None)
    assert numbers(engine) == [a, b, d]
    assert numbers(engine, state="all") == [a, b, c, d]
    assert numbers(engine, state="closed") == [c]
    assert numbers(engine, countries=("FR", "US")) == [b]
    assert numbers(engine, asns=(3320, 3215)) == [a, b]
    assert numbers(engine, campaign="weekly") == [b]
    assert numbers(engine, networks=(entries.network("203.0.113.0/24"),)) == [b]
    assert numbers(engine, networks=(entries.network("2001:db8::/32"),), state="all") == [c]
    assert numbers(engine, since="2026-11-15T00:00:00Z", state="all") == [c, d]
    assert numbers(engine, countries=("FR",), asns=(3320,)) == []


def test_more_than_a_page_comes_in_order(planting: Planting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_CHUNK", 3)
    ids = [planting.put(country="DE" if number % 2 else "AT") for number in range(13)]
    assert numbers(planting.engine) == ids
    assert numbers(planting.engine, countries=("AT",)) == ids[::2]
    assert numbers(planting.engine, networks=(entries.network("198.51.0.13"),)) == [ids[12]]


def test_a_confirmed_hint_wins_and_a_rejected_one_is_left_out(planting: Planting) -> None:
    number = planting.put(told={"reverse-dns": "dsl-1.example.net"})
    with planting.engine.begin() as connection:
        for value, state in (("pacs.example.org", "confirmed"), ("other.example.org", "hint")):
            connection.exec_driver_sql(
                "INSERT INTO hints (exposure_id, kind, value, source, at, state) "
                f"VALUES ({number}, 'reverse-dns', '{value}', 'test', '{OPENED}', '{state}')"
            )
    (entry,) = read(planting.engine, Selection())
    assert entry.hostname == "pacs.example.org"
    with planting.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE hints SET state = 'rejected'")
    (entry,) = read(planting.engine, Selection())
    assert entry.hostname is None


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21", "2026-11-21T00:00:00Z"),
        ("2026-11-21T20:00:00Z", "2026-11-21T20:00:00Z"),
        ("36h", "2026-11-21T00:00:00Z"),
        ("7d", "2026-11-15T12:00:00Z"),
        ("1w", "2026-11-15T12:00:00Z"),
    ],
)
def test_times(text: str, time: str) -> None:
    assert entries.moment(text, Noon()) == time


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-02-30", "7", "", "-3d", "2026-11-21T25:00:00Z"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError):
        entries.moment(text, Noon())


@pytest.mark.parametrize(
    ("option", "value"),
    [("--country", "Germany"), ("--country", ","), ("--asn", "0"), ("--asn", "AS-X"), ("--network", "198.51.0/33")],
)
def test_wrong_values_are_wrong_usage(option: str, value: str) -> None:
    done = CliRunner().invoke(command, ["--format", "csv", option, value])
    assert isinstance(done.exception, UsageError) and option in str(done.exception)


def test_a_damaged_row_says_what_to_do(planting: Planting) -> None:
    planting.put(marks="{")
    with pytest.raises(Failure, match="backup"):
        list(read(planting.engine, Selection()))


# ---- what is new ----------------------------------------------------------------------------------------------------


def test_new_gives_what_happened_since_and_nothing_twice(planting: Planting, tmp_path: Path) -> None:
    first = planting.put()
    assert len(run("--new")) == 1
    assert run("--new") == []
    second = planting.put(country="FR")
    with planting.engine.begin() as connection:
        planting.happened(connection, first, "2026-11-01T00:00:00Z", "grew", 2000, 60000)
    assert len(run("--new", "--country", "FR")) == 1, "another selection has a mark of its own"
    assert [one["country"] for one in run("--new")] == ["DE", "FR"] and second
    assert run("--new") == []


def test_new_tells_of_both_ends_of_a_move(planting: Planting) -> None:
    engine = planting.engine
    round_of(engine, 0, [with_certificate(archive(1, exact(500)), "ab")])
    assert len(run("--new", "--state", "all")) == 1 and run("--new", "--state", "closed") == []
    round_of(engine, 1, [with_certificate(archive(2, exact(500)), "ab")], {("127.0.0.1", 11112): "ETIMEDOUT"})
    assert [one["state"] for one in run("--new", "--state", "all")] == ["moved", "open"]
    (left,) = run("--new", "--state", "closed")
    assert (left["state"], left["moved_to"]) == ("moved", "127.0.0.2:11112")


def test_a_feed_that_is_not_written_is_not_told(planting: Planting, tmp_path: Path) -> None:
    planting.put()
    done = CliRunner().invoke(command, ["--format", "jsonl", "--new", "--output", str(tmp_path / "no" / "feed")])
    assert isinstance(done.exception, UsageError)
    assert len(run("--new")) == 1


def test_a_mark_never_goes_back(engine: sa.Engine) -> None:
    key = marks.key(Selection(countries=("DE", "AT")), "csv")
    assert key == marks.key(Selection(countries=("AT", "DE", "AT")), "csv") != marks.key(Selection(), "csv")
    assert marks.mark(engine, key) == 0 == marks.newest(engine)
    marks.move(engine, key, 7, Noon())
    marks.move(engine, key, 5, Noon())
    assert marks.mark(engine, key) == 7
    marks.move(engine, key, 9, Noon())
    assert marks.mark(engine, key) == 9


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_is_whole_private_and_what_stdout_would_have(planting: Planting, tmp_path: Path, format_: str) -> None:
    planting.put()
    path = tmp_path / "feed"
    options = ["--format", format_, "--sender", "CERT Example"]
    shown = CliRunner().invoke(command, options, catch_exceptions=False)
    done = CliRunner().invoke(command, [*options, "--output", str(path)], catch_exceptions=False)
    assert done.exit_code == 0 and done.stdout == "" and done.stderr == "1 exposure\n"
    moments = {"time.observation", "logged_time"}
    assert path.read_text("utf-8") == shown.stdout or any(word in shown.stdout for word in moments)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".feed*")) == []


def test_a_feed_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_text("before")

    def pieces() -> Any:
        yield b"half"
        raise OSError(errno.EIO, "no")

    with pytest.raises(OSError, match="no"):
        write_pieces(path, pieces())
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["feed"]


def test_the_sender_is_the_organisation_of_the_notices(planting: Planting, monkeypatch: pytest.MonkeyPatch) -> None:
    planting.put()
    monkeypatch.setenv("LEADAPRON_NOTICES__ORGANISATION", "CERT \u001b[2J Example")
    done = CliRunner().invoke(command, ["--format", "intelmq"], catch_exceptions=False)
    assert json.loads(done.stdout)["feed.provider"] == "CERT \ufffd[2J Example"


def test_jsonl_is_what_its_schema_says(planting: Planting) -> None:
    planting.put(story=[(OPENED, "opened"), ("2026-11-20T00:00:00Z", "closed")])
    (line,) = run("--state", "all")
    described = schema("exposure")
    assert set(line) == set(described["properties"]) == set(described["required"])
    assert line["type"] == "exposure" and line["schema"] == 1
    assert [event["kind"] for event in line["events"]] == ["opened", "closed"]
    assert set(line["events"][0]) == set(described["$defs"]["Happened"]["properties"])


def test_a_place_without_scans_is_wrong_usage_and_no_place_is_made(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leadapron", "feed", "--format", "csv", "--data", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("LEADAPRON_")},
    )
    assert done.returncode == 2 and "leadapron scan" in done.stderr and not (tmp_path / "none").exists()


@pytest.mark.parametrize("format_", ["intelmq", "stix", "ocsf"])
def test_a_single_scan_as_a_report(format_: str, tmp_path: Path) -> None:
    """``report --format`` takes what that scan saw open, whatever became of it since."""
    with LabProcess(Population("one", [EndpointSpec(address="127.9.74.1", port=0, persona="dcmtk")])) as lab:
        (one,) = lab.truth()
        for _ in range(2):
            arguments = ("127.9.74.1", "--port", str(one.port), "--data", "data", "--quiet")
            assert command_line(tmp_path, "scan", *arguments).code == 0
    command_line(tmp_path, "scan", "127.9.74.1", "--port", str(one.port), "--data", "data", "--quiet")
    shown = command_line(tmp_path, "report", "2", "--format", format_, "--data", "data")
    assert shown.code == 0 and "127.9.74.1" in shown.out
    last = command_line(tmp_path, "report", "3", "--format", format_, "--data", "data")
    assert last.code == 0 and "127.9.74.1" not in last.out
