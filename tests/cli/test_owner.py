"""``leadapron owner``: from a row in the database to what a person reads, with servers on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from leadapron.cli.main import root
from leadapron.kernel.errors import UsageError
from leadapron.watch.track.database import open_engine
from owners import rows, web

ADDRESS = "5.145.140.7"
Say = Callable[..., Result]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def say(tmp_path: Path, place: sa.Engine) -> Iterator[Say]:
    with web.web_server() as rdap:
        hostile = {"roles": ["registrant"], "vcardArray": rows.card("[red]Evil[/red]\x1b[31m\nOrg", "org")}
        network = rows.network("5.145.140.0", "5.145.140.255")
        rdap.pages[f"/ip/{ADDRESS}"] = web.json({**network, "entities": [hostile, *network["entities"]]})
        config = tmp_path / "leadapron.toml"
        config.write_text(f'[lookups]\ndns = false\nrdap_base = "{rdap.base}"\nrdap_rate = 100\n')

        def run(*words: str) -> Result:
            environment = {"LEADAPRON_CONFIG": str(config), "COLUMNS": "160"}
            return CliRunner(env=environment).invoke(root, ["owner", *words, "--data", str(tmp_path)])

        yield run


def test_ask_look_confirm_reject_and_note(say: Say, place: sa.Engine) -> None:
    key = rows.add(place, ADDRESS, shown=rows.certificate("pacs.praxis-muster.de"))
    assert f"No hints yet: leadapron owner look-up {key}" in say("show", str(key)).stdout
    asked = say("look-up", f"{ADDRESS}:104")
    assert asked.exit_code == 0
    assert "abuse@telecom.example.com" in asked.stdout and "CERT-Bund <certbund@bsi.bund.de>" in asked.stdout
    assert "security@praxis-muster.de" in asked.stdout and "none is published" in asked.stdout
    assert "not looked up: reverse DNS: switched off: [lookups] dns" in asked.stderr
    assert "[red]Evil[/red][31m Org" in asked.stdout and "\x1b" not in asked.output
    shown = json.loads(say("show", f"{ADDRESS}:104", "--format", "json").stdout)[0]
    numbers = {one["kind"]: one["id"] for one in shown["hints"]}
    assert shown["suggestion"]["operator_mailbox"] == "abuse@telecom.example.com"
    assert say("confirm", str(numbers["certificate-name"]), "--by", "A. Person").exit_code == 0
    assert say("reject", str(numbers["abuse-mailbox"]), "--by", "A. Person").exit_code == 0
    assert say("add", str(key), "organisation", "Praxis Muster", "--source", "telephone", "--by", "B").exit_code == 0
    after = json.loads(say("show", str(key), "--format", "json").stdout)[0]
    assert after["suggestion"]["organisation"] == "Praxis Muster"
    assert after["suggestion"]["operator_mailbox"] is None
    assert "domain: confirmed by A. Person" in after["suggestion"]["reasons"]


def test_all_that_are_open_in_one_line_each(say: Say, place: sa.Engine) -> None:
    first, second = rows.add(place, ADDRESS), rows.add(place, "10.0.0.7", port=11112)
    asked = say("look-up", "--all")
    lines = asked.stdout.splitlines()
    assert lines[0].split() == ["exposure", "endpoint", "studies", "country", "domain", "operator", "tell"]
    assert lines[1].split()[0] == str(first) and lines[1].endswith("abuse@telecom.example.com")
    assert lines[2].split() == [str(second), "10.0.0.7:11112", "?"]
    assert "2 of 2 looked up" in asked.stderr
    assert "nobody outside is asked about a private address (private use)" in asked.stderr
    document = json.loads(say("look-up", "--all", "--format", "json").stdout)
    assert [one["exposure"] for one in document] == [first, second]


def test_a_list_of_what_stands_open_asks_nobody(say: Say, place: sa.Engine) -> None:
    assert (say("list").stdout, say("list").stderr.count("Nothing stands open")) == ("", 1)
    assert json.loads(say("list", "--format", "json").stdout) == []
    said = say("look-up", "--all")
    assert said.stdout == "" and "Nothing stands open, as far as scans know" in said.stderr
    first, second = rows.add(place, ADDRESS), rows.add(place, "10.0.0.7", port=11112)
    listed = say("list")
    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [
        [str(first), f"{ADDRESS}:104"],
        [str(second), "10.0.0.7:11112"],
    ]
    assert listed.stderr == f"2 servers stand open. 'leadapron owner show {first}' tells more of one.\n"
    assert [one["exposure"] for one in json.loads(say("list", "--format", "json").stdout)] == [first, second]
    assert "abuse@telecom.example.com" not in listed.stdout, "nobody was asked"


@pytest.mark.parametrize("which", ["99", "9.9.9.9:104", "nonsense", "12e", "1:99999"])
def test_what_is_not_there_names_what_shows_it(which: str, say: Say, place: sa.Engine) -> None:
    rows.add(place, ADDRESS)
    for words in (("show", which), ("look-up", which), ("add", which, "country", "DE", "--source", "x")):
        error = say(*words).exception
        assert isinstance(error, UsageError) and "'leadapron owner list'" in str(error), error


def test_a_mailbox_of_a_domain_in_any_script(say: Say, place: sa.Engine) -> None:
    key = rows.add(place, ADDRESS)
    assert say("add", str(key), "mailbox", "it@bücher.example", "--source", "their page").exit_code == 0
    assert "it@xn--bcher-kva.example" in say("show", str(key)).stdout


def test_what_is_not_there_is_said(say: Say, place: sa.Engine) -> None:
    rows.add(place, ADDRESS)
    for words in (["show", "99"], ["show", "9.9.9.9:104"], ["show", "nonsense"], ["confirm", "99", "--by", "A"]):
        assert say(*words).exception is not None, words
    assert say("look-up").exit_code == 2
    assert say("look-up", "1", "--all").exit_code == 2
