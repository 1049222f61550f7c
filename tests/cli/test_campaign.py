"""``leadapron campaign`` and what names a campaign elsewhere: when it is next, what keeps it from beginning."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from leadapron.cli.main import root
from leadapron.kernel.clock import iso
from leadapron.kernel.errors import UsageError
from leadapron.watch.campaign.board import Board
from leadapron.watch.measure.judge import record as judged
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.rows import ScanStart
from leadapron.watch.track.writer import Writer
from sightings import archive, exact

SCOPE = """
authorised_by = "A. Person"
contact = "a@example.org"
valid_until = {until}
include = ["192.0.2.0/24"]
"""
CAMPAIGN = """
[[watch.campaign]]
name = "{name}"
every = "7d"
{more}
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory to work in, with the data beside the configuration."""
    for name in ("LEADAPRON_CONFIG", "LEADAPRON_DATA", "LEADAPRON_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEADAPRON_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(**campaigns: str) -> None:
    Path("leadapron.toml").write_text(
        "".join(CAMPAIGN.format(name=name, more=more) for name, more in campaigns.items())
    )


def scope(name: str, until: datetime) -> None:
    Path(name).write_text(SCOPE.format(until=iso(until)))


def round_of(data: Path, campaign: str | None) -> None:
    """A round that ended long ago."""
    with Writer(data, ScanStart(("127.0.0.0/24",), {"options": {"depth": "count"}}, 1, campaign=campaign)) as writer:
        measured = archive(1, exact(3, 90, 2))
        writer.put(measured, judged(measured))
        writer.finish("done")


def run(*words: str) -> Result:
    return CliRunner().invoke(root, words)


def listed() -> tuple[dict[str, dict[str, object]], Result]:
    table, document = run("campaign", "list"), run("campaign", "list", "--format", "json")
    assert table.exit_code == document.exit_code == 0, (table.output, table.exception)
    return {one["name"]: one for one in json.loads(document.stdout)}, table


def refused(*words: str) -> str:
    error = run(*words).exception
    assert isinstance(error, UsageError), error
    return str(error)


def test_what_keeps_a_campaign_from_beginning_stands_where_its_time_would(home: Path) -> None:
    now = datetime.now(UTC)
    scope("ended.toml", now - timedelta(days=40))
    scope("holds.toml", now + timedelta(days=40))
    configure(
        ended='scope = "ended.toml"',
        gone='scope = "gone.toml"',
        listless='from = ["list.txt"]',
        outside='scope = "holds.toml"\ntargets = ["198.51.100.0/28"]',
        lawless='targets = ["192.0.2.1"]',
        odd='targets = ["192.0.2.9-192.0.2.1"]',
        fine='scope = "holds.toml"',
        partly='scope = "holds.toml"\ntargets = ["198.51.100.1", "192.0.2.1:104", "name.example"]',
        here='targets = ["127.0.0.1"]',
    )
    for name in ("ended", "fine"):
        round_of(home / "data", name)
    with_board = open_engine(home / "data")
    with with_board.begin() as connection:
        connection.exec_driver_sql("UPDATE scans SET started_at = '2026-01-01T00:00:00Z'")
    with_board.dispose()
    facts, table = listed()
    assert {name for name, one in facts.items() if one["next"] == "blocked"} == {
        *("ended", "gone", "listless", "outside", "lawless", "odd")
    }
    for name, why in (
        ("ended", f"its scope ended {now - timedelta(days=40):%Y-%m-%d}"),
        ("gone", "gone.toml: cannot read the scope file: No such file or directory"),
        ("listless", "there is no file"),
        ("outside", "nothing that it names may be scanned"),
        ("lawless", "nothing that it names may be scanned; it has no scope"),
        ("odd", "192.0.2.9-192.0.2.1"),
    ):
        assert why in str(facts[name]["blocked"])
        assert f"{name} is blocked: {facts[name]['blocked']}" in table.stderr
        assert f"blocked: {facts[name]['blocked']}" in run("campaign", "show", name).stdout
    assert "blocked: its scope ended" in table.stdout and str(now.year - 1) not in table.stdout
    assert facts["fine"]["next"] == "due" and facts["fine"]["blocked"] is None
    assert "'leadapron up' runs what is due" in table.stderr


def test_a_round_that_was_put_off_is_next_when_it_is_tried_again(home: Path) -> None:
    configure(here='targets = ["127.0.0.1"]')
    again = iso(datetime.now(UTC) + timedelta(minutes=50))
    engine = open_engine(home / "data")
    round_of(home / "data", "here")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE scans SET started_at = '2026-01-01T00:00:00Z'")
    Board(engine).put("here", next_at=again)
    engine.dispose()
    assert listed()[0]["here"]["next"] == again


def test_without_a_campaign_one_is_told_how_to_make_one_and_nothing_is_made(home: Path) -> None:
    for words in (("list",), ("show", "city"), ("run", "city"), ("pause", "city")):
        assert "'leadapron init watch' writes one" in refused("campaign", *words)
    assert not (home / "data").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("campaign", "show", "citi"),
        ("campaign", "pause", "citi"),
        ("scan", "--campaign", "citi"),
        ("report", "--campaign", "citi"),
        ("feed", "--format", "csv", "--campaign", "citi"),
    ],
    ids=" ".join,
)
def test_a_name_that_was_misspelt_is_told_the_near_one(words: tuple[str, ...], home: Path) -> None:
    configure(city='targets = ["127.0.0.1"]', river='targets = ["127.0.0.2"]')
    round_of(home / "data", None)
    said = refused(*words)
    assert "'citi'" in said and "id you mean city?" in said and "river" in said


def test_a_campaign_that_only_old_scans_know_is_one(home: Path) -> None:
    round_of(home / "data", "bygone")
    assert run("feed", "--format", "csv", "--campaign", "bygone").exit_code == 0
    assert "There is only bygone" in refused("feed", "--format", "csv", "--campaign", "x")


def test_the_list_of_scans_says_whose_rounds_they_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    round_of(home / "data", None)
    assert "campaign" not in run("report", "--list").stdout
    round_of(home / "data", "city")
    for width in ("80", "120"):
        monkeypatch.setenv("COLUMNS", width)
        header, newest, older = run("report", "--list").stdout.splitlines()
        at = header.index("campaign")
        assert newest[at : at + 4] == "city" and not older[at : at + 4].strip()
        assert max(map(len, (header, newest, older))) <= int(width)
        assert "studies" in header
