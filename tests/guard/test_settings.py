"""Section [guard]: what is read, and what a mistake is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leadapron.guard.settings import Archive, load_guard
from leadapron.kernel.config import Settings, load
from leadapron.kernel.errors import UsageError

TEXT = """
data = "/srv/leadapron"
[guard]
listen = "127.0.0.1:2762"
names = ["guard.example"]
[guard.archive]
host = "127.0.0.1"
[guard.limits]
idle_s = 60
[[guard.peer]]
name = "CT1"
ae = "CT1"
may = ["store"]
from = ["10.0.0.0/8"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "leadapron.toml"
    path.write_text(TEXT)
    return path


def test_it_is_read_whole(file: Path) -> None:
    guard = load_guard(file, {})
    assert guard.archive == Archive(host="127.0.0.1") and guard.names == ("guard.example",)
    assert guard.limits.idle_s == 60 and guard.enrol == "0.0.0.0:2780"
    assert [(rules.name, rules.from_) for rules in guard.peer] == [("CT1", ("10.0.0.0/8",))]


def test_the_environment_wins(file: Path) -> None:
    environment = {"LEADAPRON_GUARD__LISTEN": "127.0.0.1:1", "LEADAPRON_GUARD__ARCHIVE__PORT": "4242"}
    guard = load_guard(file, environment)
    assert guard.listen == "127.0.0.1:1" and guard.archive.port == 4242


def test_other_commands_take_no_offence(file: Path) -> None:
    settings = load(Settings, path=file, environment={"LEADAPRON_GUARD__LISTEN": "127.0.0.1:1"})
    assert settings.data == "/srv/leadapron"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("listen", "lsten", "guard.lsten, which does not exist. The closest one is guard.listen"),
        ("idle_s", "idle", "guard.limits.idle, which does not exist. The closest one is guard.limits.idle_s"),
        ("may =", "my =", "guard.peer.my, which does not exist. The closest one is guard.peer.may"),
        ('host = "127.0.0.1"', "", r"line \d+: guard.archive.host lacks a value"),
        (
            "idle_s = 60",
            'idle_s = "soon"',
            r"line \d+: guard.limits.idle_s is of the wrong type: expected a number, got text",
        ),
        ("[guard.archive]", "[archive]", "the key archive, which does not exist"),
    ],
)
def test_a_mistake_is_told_by_its_key(file: Path, old: str, new: str, says: str) -> None:
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(UsageError, match=says):
        load_guard(file, {})


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('from = ["10.0.0.0/8"]', 'from = "10.0.0.0/8"', 14, "guard.peer.from is of the wrong type: expected a list"),
        ("idle_s = 60", 'idle_s = "soon"', 9, "guard.limits.idle_s is of"),
        ('host = "127.0.0.1"', 'hots = "127.0.0.1"', 7, "guard.archive.hots, which does not exist"),
        ('host = "127.0.0.1"', "", 6, "guard.archive.host lacks a value"),
        ('"127.0.0.1:2762"', "2762", 4, "guard.listen is of the wrong type"),
        ('"127.0.0.1:2762"', '"x:y"', 4, "[guard] listen: 'x:y' should be HOST:PORT"),
        ("[guard.archive]", "[guard.audit]\nkeep_days = 0\n[guard.archive]", 7, "[guard.audit] keep_days"),
        ("names = [", "names = [5, ", 5, "guard.names is of the wrong type"),
    ],
)
def test_a_mistake_is_told_with_its_line(file: Path, old: str, new: str, line: int, says: str) -> None:
    file.write_text(TEXT.replace(old, new))
    with pytest.raises(UsageError) as told:
        load_guard(file, {})
    assert re.match(rf"{re.escape(str(file))}, line {line}(:| has) ", str(told.value)) and says in str(told.value)
    assert str(told.value).count(str(file)) == 1


def test_a_mistake_in_the_environment_is_told_as_that(file: Path) -> None:
    with pytest.raises(UsageError, match=r"variable LEADAPRON_GUARD__LIMITS__IDLE_S is of the wrong type"):
        load_guard(file, {"LEADAPRON_GUARD__LIMITS__IDLE_S": "soon"})


def test_without_the_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.toml").write_text("")
    with pytest.raises(UsageError, match=r"x.toml has no section \[guard\]: 'leadapron init guard'"):
        load_guard(tmp_path / "x.toml", {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="there is no configuration file"):
        load_guard(environment={})


@pytest.mark.parametrize(
    ("public", "read"),
    [
        ("https://images.example.org", "https://images.example.org"),
        ("https://Images.Example.org:443/", "https://images.example.org"),
        ("https://images.example.org:8443", "https://images.example.org:8443"),
        ("https://[2001:db8::5]:444", "https://[2001:db8::5]:444"),
    ],
)
def test_a_public_address_is_the_first_of_the_origins(file: Path, public: str, read: str) -> None:
    file.write_text(f'{TEXT}[guard.web]\nlisten = "0.0.0.0:8443"\npublic = "{public}"\nstudies_per_hour = 20\n')
    guard = load_guard(file, {})
    assert guard.web is not None and (guard.web.public, guard.web.studies_per_hour) == (read, 20)
    assert guard.origins() == (read, "https://guard.example:8443")


def test_without_one_the_names_are_the_origins(file: Path) -> None:
    file.write_text(f"{TEXT}[guard.web]\n")
    guard = load_guard(file, {})
    assert guard.origins() == ("https://guard.example:8443",)
    assert guard.web is not None and guard.web.studies_per_hour == 100


@pytest.mark.parametrize(
    "line",
    [
        *(
            f'public = "{wrong}"'
            for wrong in (
                "images.example.org",
                "http://images.example.org",
                "https://",
                "https:///guard",
                "https://images.example.org/guard",
                "https://images.example.org?x",
                "https://user@images.example.org",
                "https://images.example.org:0",
                "https://images.example.org:port",
                "https://image s.example.org",
            )
        ),
        "studies_per_hour = 0",
        "studies_per_hour = 100001",
    ],
)
def test_a_wrong_value_of_the_web_part_is_told(file: Path, line: str) -> None:
    file.write_text(f"{TEXT}[guard.web]\n{line}\n")
    with pytest.raises(UsageError, match=rf"\[guard.web\] {line.split()[0]}"):
        load_guard(file, {})


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("archive", f'ae = "{"X" * 17}"'),
        ("archive", 'also = ["PACSQR", "a\\\\b"]'),
        ("archive", 'calling = " "'),
        ("archive", "port = 0"),
        ("archive", "port = 104000"),
        ("limits", "connections = 0"),
        ("limits", "response_s = -1"),
        ("limits", "associate_s = nan"),
        ("limits", "handshake_s = inf"),
        ("web", "idle_s = 0"),
        ("web", "max_response = -5"),
    ],
)
def test_values_that_cannot_be_meant(file: Path, section: str, line: str) -> None:
    head = f"[guard.{section}]"
    file.write_text(TEXT.replace(head, f"{head}\n{line}") if head in TEXT else f"{TEXT}{head}\n{line}\n")
    with pytest.raises(UsageError, match=rf"toml, line \d+: \[guard.{section}\] {line.split()[0]}"):
        load_guard(file, {})


def test_how_long_the_trail_is_kept(file: Path) -> None:
    assert load_guard(file, {}).audit.keep_days is None
    file.write_text(f"{TEXT}[guard.audit]\nkeep_days = 2190\n")
    assert load_guard(file, {}).audit.keep_days == 2190
    for wrong in (0, -1, 36501):
        file.write_text(f"{TEXT}[guard.audit]\nkeep_days = {wrong}\n")
        with pytest.raises(UsageError, match=r"\[guard.audit\] keep_days"):
            load_guard(file, {})
