"""Options that are the same everywhere: where things are, who decides, what is written."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from casework import Desk
from leadapron.cli.main import COMMANDS, root
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.track.database import open_engine
from watch_folding import FIRST_DAY

REACH = ("scan", "campaign", "report", "owner", "cases", "notices", "feed", "statistics")
CONFIGURATION = """
[notices]
organisation = "CERT of the file"
[[watch.campaign]]
name = "city"
targets = ["127.0.0.1"]
"""


def commands(command: click.Command = root, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Those that do something by themselves."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *path, name)
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command


ALL = dict(commands())


def having(option: str) -> list[tuple[str, ...]]:
    return [path for path, command in ALL.items() if any(option in one.opts for one in command.params)]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's user."""
    for name in [name for name in os.environ if name.startswith("LEADAPRON_")]:
        monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that stands elsewhere, and names a data directory in which one server was seen open."""
    place = tmp_path / "elsewhere"
    engine = open_engine(place)
    desk = Desk(engine)
    desk.calendar.day = (datetime.now(UTC) - FIRST_DAY).total_seconds() / 86400 - 0.1
    desk.scan(1)
    engine.dispose()
    file = place / "leadapron.toml"
    file.write_text(f"data = {json.dumps(str(place))}\n{CONFIGURATION}")
    return file


def run(*words: object) -> Result:
    return CliRunner().invoke(root, [str(word) for word in words])


def said(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout


def refused(*words: object) -> str:
    """What is wrong, in one line; exit code 2."""
    result = run(*words)
    if isinstance(result.exception, LeadApronError):
        assert isinstance(result.exception, UsageError), result.exception
        assert result.stdout == ""
        return str(result.exception)
    assert result.exit_code == 2, (words, result.output, result.exception)
    return result.stderr


# ---- where -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in ALL if path[0] in REACH], ids=" ".join)
def test_each_takes_the_same_options_for_where_things_are(path: tuple[str, ...]) -> None:
    helps = {one.opts[0]: one.help for one in ALL[path].params if isinstance(one, click.Option)}
    assert helps["--config"] == "Configuration. [default: $LEADAPRON_CONFIG, ./leadapron.toml, yours]"
    assert helps["--data"] == "Where scans are kept. [default: the configuration's, yours]"


CALLS: list[tuple[str, ...]] = [
    ("owner", "show", "1"),
    ("owner", "confirm", "1"),
    ("cases",),
    ("cases", "open", "1"),
    ("cases", "follow"),
    ("notices",),
    ("notices", "arms"),
    ("feed", "--format", "intelmq"),
    ("campaign", "list"),
    ("campaign", "pause", "city"),
]


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_the_configuration_that_is_named_is_read(words: tuple[str, ...], config: Path) -> None:
    before = run(*words, "--config", config)
    assert before.exit_code == 0 or "there is no hint 1" in str(before.exception), (before.output, before.exception)
    assert refused(*words), "without it there is nothing here"
    config.write_text(config.read_text() + "\n[notises]\n")
    assert "notises" in refused(*words, "--config", config)


def test_what_stands_in_the_configuration_that_is_named_is_used(config: Path) -> None:
    assert "CERT of the file" in said("feed", "--format", "intelmq", "--config", config)
    assert "city" in said("campaign", "list", "--config", config)


def test_a_place_before_the_subcommand_holds_for_it(config: Path) -> None:
    assert "No hints yet" in said("owner", "show", "1", "--config", config)
    assert "Case 1" in said("cases", "--config", config, "open", "1")
    assert "Case 1" in said("cases", "--data", config.parent, "show", "1")
    assert "there is no scan" in refused("cases", "--config", config, "show", "1", "--data", "nowhere")


@pytest.mark.parametrize("words", [("cases", "--all", "show", "1"), ("notices", "--limit", "3", "show", "1")])
def test_what_chooses_from_a_list_is_not_ignored_before_a_subcommand(words: tuple[str, ...], config: Path) -> None:
    told = refused(*words)
    assert f"{words[1]} is for the list" in told and "it has no meaning before 'show'" in " ".join(told.split())


# ---- who -------------------------------------------------------------------------------------------------------------

DECIDED: list[tuple[tuple[str, ...], Callable[[sa.Connection], object]]] = [
    (
        ("owner", "add", "1", "organisation", "Clinic", "--source", "telephone"),
        lambda inside: inside.exec_driver_sql("SELECT decided_by FROM hints").scalar(),
    ),
    (("cases", "open", "1"), lambda inside: inside.exec_driver_sql("SELECT by FROM steps").scalar()),
    (
        ("campaign", "pause", "city"),
        lambda inside: inside.exec_driver_sql("SELECT changed_by FROM campaigns").scalar(),
    ),
    (("campaign", "run", "city"), lambda inside: inside.exec_driver_sql("SELECT changed_by FROM campaigns").scalar()),
    (
        ("campaign", "resume", "city"),
        lambda inside: inside.exec_driver_sql("SELECT changed_by FROM campaigns").scalar(),
    ),
]


@pytest.mark.parametrize(("words", "recorded"), DECIDED, ids=[" ".join(words[:2]) for words, _ in DECIDED])
@pytest.mark.parametrize("how", ["option", "environment", "login"])
def test_who_decides_is_always_recorded(
    words: tuple[str, ...],
    recorded: Callable[[sa.Connection], object],
    how: str,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    if how != "login":
        monkeypatch.setenv("LEADAPRON_BY", "Ada" if how == "environment" else "Somebody Else")
    expected = f"local:{pwd.getpwuid(os.getuid()).pw_name}" if how == "login" else "Ada"
    assert run(*words, "--config", config, *(("--by", "Ada") if how == "option" else ())).exit_code == 0
    engine = open_engine(config.parent)
    with engine.connect() as inside:
        assert recorded(inside) == expected
    engine.dispose()


@pytest.mark.parametrize("path", having("--by"), ids=" ".join)
def test_who_decides_is_asked_for_the_same_way(path: tuple[str, ...]) -> None:
    (option,) = [one for one in ALL[path].params if one.name == "by" and isinstance(one, click.Option)]
    assert not option.required
    assert option.help == "Who decides; it is kept. [default: $LEADAPRON_BY, else the user of this machine]"


@pytest.mark.parametrize("name", ["rule", "", "  ", "A\x1b[2J", "x" * 121, "two\x00"])
def test_who_is_nobody_decides_nothing(name: str, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--by" in refused("cases", "open", "1", "--config", config, "--by", name)
    if name and "\x00" not in name:
        monkeypatch.setenv("LEADAPRON_BY", name)
        assert "LEADAPRON_BY" in refused("cases", "open", "1", "--config", config)


# ---- help and slips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in ALL if path[0] in REACH], ids=" ".join)
def test_help_shows_how_it_is_typed(path: tuple[str, ...]) -> None:
    told = run(*path, "--help")
    assert told.exit_code == 0 and f"\n  leadapron {' '.join(path)}" in told.stdout, told.stdout
    for option in ALL[path].params:
        assert not isinstance(option, click.Option) or len((option.help or "").split()) > 1, option.name
    assert "RANGE" not in told.stdout and "9223372036854775807" not in told.stdout


NUMBERED = [
    path
    for path, command in ALL.items()
    if path[0] in ("cases", "notices") and any(one.name in ("number", "numbers", "case") for one in command.params)
]


@pytest.mark.parametrize("path", NUMBERED, ids=" ".join)
@pytest.mark.parametrize("number", ["x", "0", "1.5", "9" * 30, "²", ""])
def test_what_is_no_number_is_told_so(path: tuple[str, ...], number: str) -> None:
    assert f"'{number}' is no number; one looks like 12" in " ".join(refused(*path, number).split())


@pytest.mark.parametrize("group", ["cases", "notices"])
def test_a_number_alone_is_told_how_to_see_it(group: str) -> None:
    assert f"{group} show 4'?" in refused(group, "4")


@pytest.mark.parametrize("words", [("cases", "--country"), ("feed", "--format", "csv", "--country")], ids=" ".join)
def test_countries_are_those_that_there_are(words: tuple[str, ...], config: Path) -> None:
    assert run(*words, "de", "--config", config).exit_code == 0
    assert "ISO 3166-1" in refused(*words, "Germany", "--config", config)
    assert "the United Kingdom's is GB" in refused(*words, "UK", "--config", config)


def test_a_country_in_small_letters_is_the_country(config: Path) -> None:
    said("owner", "add", "1", "country", "de", "--source", "telephone", "--config", config)
    said("cases", "open", "1", "--config", config)
    assert len(said("cases", "--country", "de", "--format", "jsonl", "--config", config).splitlines()) == 1


def test_nothing_there_is_explained(config: Path) -> None:
    said("cases", "open", "1", "--config", config)
    for words, told in (
        (("cases", "--find", "zzz"), "No case fits. 'leadapron cases --all' lists 1 case."),
        (("cases", "--all", "--offset", "7"), "--offset 7 leaves out all 1."),
        (("feed", "--format", "csv", "--country", "FR"), "0 exposures: nothing fits. 'leadapron owner list'"),
    ):
        assert told in run(*words, "--config", config).stderr


@pytest.mark.parametrize("words", [("cases",), ("campaign", "list"), ("report", "--list")], ids=" ".join)
def test_a_database_that_is_no_url_becomes_no_directory(
    words: tuple[str, ...], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADAPRON_DATABASE_URL", "pass-word")
    told = refused(*words, "--config", config)
    assert "is no URL; one looks like postgresql" in told and "pass-word" not in told
    assert not Path("pass-word").exists()


def test_a_configuration_that_there_is_not(tmp_path: Path) -> None:
    told = refused("cases", "--config", tmp_path / "none.toml")
    assert "there is no such file; 'leadapron init watch --config FILE' writes one" in told
    assert "'leadapron scope new none.toml' writes one" in refused("init", "watch", "--scope", "none.toml")


# ---- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", having("--output"), ids=" ".join)
def test_a_file_that_cannot_be_written_is_told_before_any_work(path: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = refused(*path, "--output", tmp_path / "file" / "x")
    assert "cannot write" in told and "Name another place" in told
    if path != ("statistics",):  # which makes its directory
        told = refused(*path, "--output", tmp_path / "no such" / "x")
        assert "there is no such directory" in told and f"mkdir -p '{tmp_path / 'no such'}'" in told


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "127.0.0.1", "--report"),
        ("report", "--report"),
        ("lab", "--truth"),
        ("lab", "--targets"),
        ("lab", "autumn-2019", "--countries"),
        (
            *(
                "scope",
                "new",
                "--include",
                "10.0.0.0/8",
                "--authorised-by",
                "A",
                "--contact",
                "B",
                "--until",
                "2099-01-01",
            ),
        ),
    ],
    ids=" ".join,
)
def test_so_is_every_other_file(words: tuple[str, ...], tmp_path: Path) -> None:
    told = refused(*words, tmp_path / "no" / "x")
    assert "cannot write" in told and str(tmp_path / "no") in told and "ame another place" in told


@pytest.mark.parametrize(
    "words", [("scan", "127.0.0.1", "--report"), ("report", "--report"), ("notices", "letter", "1", "--output")]
)
def test_what_has_no_place_on_stdout_wants_a_file(words: tuple[str, ...]) -> None:
    assert "wants the name of a file" in refused(*words, "-")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("path", having("--output"), ids=" ".join)
def test_a_place_that_one_may_not_write_to(path: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "you may not write into" in refused(*path, "--output", tmp_path / "closed" / "x")


def test_every_command_is_looked_at() -> None:
    assert {path[0] for path in ALL} == set(COMMANDS)
    assert len(having("--output")) >= 7 and len(having("--by")) >= 15
