"""``leadapron cases`` as a newcomer uses it: on a real database, through the command line."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from casework import SETTINGS, Desk
from leadapron.cli.main import root
from leadapron.kernel.errors import UsageError
from leadapron.watch.track.database import open_engine
from watch_folding import FIRST_DAY

CONFIGURATION = f"""
[notices]
organisation = "{SETTINGS.organisation}"
from = "{SETTINGS.from_}"
reply_to = "{SETTINGS.reply_to}"
page = "{SETTINGS.page}"
opt_out = "{SETTINGS.opt_out}"
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory in which three archives were seen open today, and the configuration of somebody who writes."""
    (tmp_path / "leadapron.toml").write_text(CONFIGURATION)
    monkeypatch.setenv("LEADAPRON_CONFIG", str(tmp_path / "leadapron.toml"))
    place = tmp_path / "data"
    engine = open_engine(place)
    desk = Desk(engine)
    desk.calendar.day = (datetime.now(UTC) - FIRST_DAY).total_seconds() / 86400 - 0.1
    desk.scan(1, 2, 3)
    engine.dispose()
    return place


def run(data: Path, *words: str) -> Result:
    return CliRunner().invoke(root, ["cases", *words, "--data", str(data)])


def confirmed(data: Path, *numbers: int) -> Result:
    owner = ("--organisation", "Example Clinic", "--mailbox", "it@clinic.example", "--country", "DE", "--by", "Ada")
    return run(data, "confirm", *map(str, numbers), *owner)


def test_from_an_empty_list_to_a_draft(data: Path) -> None:
    assert "There is no case yet. 'leadapron cases follow' opens them" in run(data).stderr
    assert run(data, "follow").stdout == "3 cases opened: 1, 2, 3\n"
    listed = run(data)
    assert listed.stdout.count("confirm the owner, or escalate") == 3
    assert listed.stderr == "3 cases need a person; of all 3: 3 new. 'leadapron cases show 1' tells more.\n"
    assert confirmed(data, 2).stdout == "Case 2: Example Clinic is the owner.\n"
    assert "1 notice drafted" in run(data, "follow").stdout
    assert "approve notice 1" in run(data).stdout
    shown = run(data, "show", "2").stdout
    assert "Case 2: confirmed. 127.0.0.2:11112, DCMTK, 500 studies, open" in shown
    assert "Owner: Example Clinic, it@clinic.example." in shown and "Next: approve notice 1." in shown
    assert [line.split()[3:5] for line in shown.splitlines() if " UTC " in line] == [
        ["rule", "opened"],
        ["Ada", "confirmed"],
        ["rule", "drafted"],
    ]


def test_each_case_says_by_which_commands_it_goes_on(data: Path) -> None:
    assert run(data, "follow").stderr == "Next: leadapron cases lists what needs you\n"
    new = run(data, "show", "2").stdout
    assert "\n  leadapron owner show 2\n  leadapron cases confirm 2 --organisation NAME --mailbox MAILBOX\n" in new
    assert "\n  leadapron cases escalate 2 --level cert\n" in new
    confirmed(data, 2)
    run(data, "follow")
    assert "\n  leadapron notices show 1\n  leadapron notices approve 1\n" in run(data, "show", "2").stdout
    run(data, "hold", "2", "--why", "the minister calls")
    assert "\n  leadapron cases release 2 --why TEXT\n" in run(data, "show", "2").stdout
    run(data, "refuse", "clinic.example", "--why", "their lawyer")
    assert "\n  leadapron cases close 2 --why TEXT\n" in run(data, "show", "2").stdout, "nothing takes that back"


def test_programs_read_the_same(data: Path, tmp_path: Path) -> None:
    run(data, "follow")
    confirmed(data, 3)
    lines = [json.loads(line) for line in run(data, "--all", "--order", "id", "--format", "jsonl").stdout.splitlines()]
    assert [line["case"] for line in lines] == [1, 2, 3]
    assert (lines[2]["state"], lines[2]["organisation"], lines[2]["next"]) == (
        "confirmed",
        "Example Clinic",
        "first notice to the owner is due",
    )
    document = json.loads(run(data, "--all", "--order", "id", "--format", "json").stdout)
    assert document == {"cases": lines}
    target = tmp_path / "cases.csv"
    assert run(data, "--all", "--order", "id", "--format", "csv", "--output", str(target)).stdout == ""
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [row["case"] for row in rows] == ["1", "2", "3"] and rows[2]["mailbox"] == "it@clinic.example"
    assert list(rows[0]) == list(lines[0])
    whole = json.loads(run(data, "show", "3", "--format", "json").stdout)
    assert [step["kind"] for step in whole["steps"]] == ["opened", "confirmed"]
    assert json.loads(run(data, "follow", "--format", "json").stdout)["drafted"] == [1]


def test_what_people_decide(data: Path) -> None:
    run(data, "follow")
    confirmed(data, 1, 2)
    assert run(data, "hold", "1", "2", "--why", "the minister calls").stdout == (
        "Case 1 is on hold.\nCase 2 is on hold.\n"
    )
    assert len(run(data, "--held", "--format", "jsonl").stdout.splitlines()) == 2
    assert run(data, "release", "1").stdout == "Case 1 goes on; first notice to the owner is due.\n"
    assert run(data, "acknowledge", "1", "--why", "on the telephone").stdout.startswith("Case 1 is acknowledged; ")
    assert run(data, "escalate", "3", "--level", "cert", "--why", "nobody knows").stdout == "Case 3 goes to the CERT.\n"
    assert run(data, "note", "3", "they have a new number").stdout == "Noted in case 3.\n"
    assert run(data, "close", "3", "--why", "a test server of ours").stdout == "Case 3 is closed.\n"
    history = json.loads(run(data, "show", "3", "--format", "json").stdout)["steps"]
    assert [step["kind"] for step in history] == ["opened", "escalated", "note", "closed"]
    assert history[1]["by"].startswith("local:") and history[1]["text"] == "to the CERT: nobody knows"


def test_a_refusal(data: Path) -> None:
    run(data, "follow")
    confirmed(data, 1)
    said = run(data, "refuse", "Clinic.example", "--why", "their lawyer", "--by", "Ada").stdout
    assert said == "The domain clinic.example is never written to again.\nOn hold by it: case 1.\n"
    assert run(data, "follow").stdout == "Nothing was to be done.\n"
    with pytest.raises(UsageError, match="stays on hold for ever"):
        _raise(run(data, "release", "1"))
    assert "Nothing is written to them: domain clinic.example" in confirmed(data, 2).stdout


def _raise(result: Result) -> None:
    assert result.exception is not None
    raise result.exception


def test_all_or_none(data: Path) -> None:
    run(data, "follow")
    with pytest.raises(UsageError, match="there is no case 9"):
        _raise(run(data, "hold", "1", "9", "--why", "slip"))
    assert run(data, "--held", "--format", "jsonl").stdout == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("confirm", "1"), "say who the owner is, --organisation NAME"),
        (("confirm", "1", "--organisation", "X"), "say where to write to, --mailbox MAILBOX or --postal TEXT"),
        (("confirm", "1", "--organisation", "X", "--mailbox", "no"), "should be a plain one"),
        (
            ("confirm", "1", "--organisation", "X", "--mailbox", "it@c.example", "--country", "UK"),
            "no country has the code UK in ISO 3166-1; the United Kingdom's is GB",
        ),
        (("acknowledge", "1"), "a case that is new can't become acknowledged by a person; it can become"),
        (("note", "1", "hello", "--by", "rule"), "that is not a person's name"),
        (("refuse", "everybody", "--why", "x"), "is no mailbox"),
        (("open", "127.0.0.9:104"), "was never seen open"),
        (("--state", "opne"), "--state: there is no 'opne'. Did you mean reopened"),
        (("--order", "colour"), "cannot be put in that order"),
        (("show", "9"), "there is no case 9"),
    ],
)
def test_what_cannot_be_done_says_what_can(words: tuple[str, ...], says: str, data: Path) -> None:
    run(data, "follow")
    with pytest.raises(UsageError, match=says):
        _raise(run(data, *words))


def test_a_domain_in_any_script_is_written_as_mail_servers_know_it(data: Path) -> None:
    run(data, "follow")
    owner = ("--organisation", "Klinik", "--mailbox")
    assert run(data, "confirm", "1", *owner, "Post@Bücher.example").exit_code == 0
    shown = json.loads(run(data, "show", "1", "--format", "json").stdout)["case"]
    assert shown["owner"]["mailbox"] == "Post@xn--bcher-kva.example"
    for mailbox, says in (
        ("müller@bücher.example", "what stands before the @ can't be written in ASCII"),
        ("post@straße.example", "can mean two domains; write the one that is meant encoded, as xn--"),
        ("post@bü cher.example", "is no mailbox"),
        ("bücher.example", "should be a plain one"),
    ):
        with pytest.raises(UsageError, match=says):
            _raise(run(data, "confirm", "2", *owner, mailbox))


def test_opening_by_hand(data: Path) -> None:
    assert run(data, "open", "127.0.0.2:11112").stdout == "Case 1 is about exposure 2.\n"
    assert run(data, "open", "2", "1").stdout == (
        "Case 1 is about exposure 2: it was there already.\nCase 2 is about exposure 1.\n"
    )


def test_a_round_that_could_not_do_its_part_says_so(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(data, "follow")
    confirmed(data, 1)
    monkeypatch.setenv("LEADAPRON_CONFIG", "/dev/null")
    failed = run(data, "follow")
    assert failed.exit_code == 1 and failed.stdout == ""
    assert failed.stderr.startswith("case 1: [notices] lacks organisation")


def test_what_strangers_wrote_moves_no_cursor(data: Path) -> None:
    run(data, "follow")
    engine = open_engine(data)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE exposures SET product = ?", ("=x\u202e\x9b2J\x1b[2J\n",))
    engine.dispose()
    for words in (["--all"], ["show", "1"]):
        for format_ in ("table", "json"):
            said = run(data, *words, "--format", format_).stdout
            assert all(line.isprintable() for line in said.splitlines())
    assert json.loads(run(data, "show", "1", "--format", "json").stdout)["case"]["product"].startswith("=x\u202e")
    said = run(data, "--all", "--format", "csv").stdout
    assert "'=x" in said and all(line.isprintable() for line in said.splitlines())


def test_servers_that_were_not_seen_lately_are_named(data: Path) -> None:
    run(data, "follow")
    engine = open_engine(data)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE exposures SET last_open = '2026-01-01T00:00:00Z'")
    engine.dispose()
    confirmed(data, 1)
    assert run(data, "follow").stdout == (
        "1 server to be looked at before anything is written about them:\n  leadapron scan 127.0.0.1:11112\n"
    )


@pytest.mark.parametrize("words", [("hold", "1"), ("close", "1"), ("refuse", "clinic.example")])
def test_what_wants_a_reason_does_nothing_without(words: tuple[str, ...], data: Path) -> None:
    run(data, "follow")
    refused = run(data, *words)
    assert refused.exit_code == 2 and "Missing option '--why'" in refused.stderr
    assert run(data).stdout.count("confirm the owner, or escalate") == 3
