"""leadapron.toml and LEADAPRON_…: what wins, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct, field

from leadapron.kernel.config import Settings, find_file, load
from leadapron.kernel.errors import UsageError


class Watch(Struct, frozen=True, kw_only=True):
    rate: int = 100
    quiet: bool = False
    ports: tuple[int, ...] = (104,)


class Rule(Struct, frozen=True, kw_only=True):
    from_: tuple[str, ...] = field(default=(), name="from")
    most: int


class Wide(Struct, frozen=True, kw_only=True):
    """A schema with sections, one of them optional; with tables in a list, and a section of which no key is known."""

    data: str | None = None
    watch: Watch = Watch()
    late: Watch | None = None
    rule: tuple[Rule, ...] = ()
    foreign: dict[str, Any] | None = None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "leadapron.toml"


def test_without_anything_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load(Settings, environment={}) == Settings(data=None, database_url=None)


def test_the_file_is_read(file: Path) -> None:
    file.write_text('data = "/srv/leadapron"\n[watch]\nrate = 7\nports = [104, 11112]\n')
    assert load(Wide, path=file, environment={}) == Wide(data="/srv/leadapron", watch=Watch(rate=7, ports=(104, 11112)))


def test_the_environment_wins(file: Path) -> None:
    file.write_text('data = "/srv/leadapron"\n[watch]\nrate = 7\n')
    environment = {
        "LEADAPRON_DATA": "/elsewhere",
        "LEADAPRON_WATCH__RATE": "12",
        "LEADAPRON_LATE__QUIET": "true",
        "LEADAPRON_WATCH__QUIET": "",  # set to nothing: not set
        "OTHER_DATA": "/no",
    }
    assert load(Wide, path=file, environment=environment) == Wide(
        data="/elsewhere", watch=Watch(rate=12), late=Watch(quiet=True)
    )


def test_what_everybody_sets() -> None:
    url = "postgresql+psycopg://u:p@127.0.0.1/x"
    environment = {
        "LEADAPRON_DATA": "/d",
        "LEADAPRON_DATABASE_URL": url,
        "LEADAPRON_CONFIG": "",
        "LEADAPRON_DEBUG": "1",
    }
    assert load(Settings, environment=environment) == Settings(data="/d", database_url=url)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dta = 'x'", "1 has the key dta, which does not exist. The closest one is data"),
        ("[wtch]\nrate = 1", "1 has the key wtch, which does not exist. The closest one is watch"),
        ("[watch]\nrat = 1", "2 has the key watch.rat, which does not exist. The closest one is watch.rate"),
        (
            "[[rule]]\nmost = 1\n[[rule]]\nfrm = []",
            "4 has the key rule.frm, which does not exist. The closest one is rule.from",
        ),
        ("[[rule]]\nfrom_ = []", "2 has the key rule.from_, which does not exist. The closest one is rule.from"),
        ("[late]\nport = [1]", "2 has the key late.port, which does not exist. The closest one is late.ports"),
    ],
)
def test_a_key_that_nobody_knows_is_refused_with_the_closest(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(Wide, path=file, environment={})
    assert str(caught.value) == f"{file}, line {says}"


def test_tables_in_a_list_are_read_by_the_names_they_have_in_the_file(file: Path) -> None:
    file.write_text('[[rule]]\nfrom = ["10.0.0.0/8"]\nmost = 2\n')
    assert load(Wide, path=file, environment={}).rule == (Rule(from_=("10.0.0.0/8",), most=2),)


def test_a_section_that_its_own_wing_reads_stands_as_it_is(file: Path) -> None:
    file.write_text('[foreign]\nanything = [1]\n[[foreign.row]]\nat = "x"\n')
    environment = {"LEADAPRON_FOREIGN__DEEP__KEY": "v", "LEADAPRON_FOREIGN__ANYTHING": "2"}
    found = load(Wide, path=file, environment=environment).foreign
    assert found == {"anything": "2", "row": [{"at": "x"}], "deep": {"key": "v"}}
    file.write_text("[guard]\nlisten = '127.0.0.1:2762'\n")
    assert load(Settings, path=file, environment={}).guard == {"listen": "127.0.0.1:2762"}


def test_a_value_that_is_missing_is_named(file: Path) -> None:
    file.write_text("[[rule]]\n")
    with pytest.raises(UsageError, match=r"x?.toml, line 1: rule.most lacks a value"):
        load(Wide, path=file, environment={})


@pytest.mark.parametrize(
    ("name", "closest"),
    [
        ("LEADAPRON_DTA", "LEADAPRON_DATA"),
        ("LEADAPRON_WATCH_RATE", "LEADAPRON_WATCH__RATE"),
        ("LEADAPRON_WATCH__RAET", "LEADAPRON_WATCH__RATE"),
        ("LEADAPRON_CONFIGURATION", "LEADAPRON_CONFIG"),
        ("LEADAPRON_WATCH", "LEADAPRON_WATCH__RATE"),
        ("LEADAPRON_DATA__X", "LEADAPRON_DATA"),
        ("LEADAPRON_", "LEADAPRON_BY"),
    ],
)
def test_so_is_a_variable(name: str, closest: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(Wide, environment={name: "secret"})
    assert str(caught.value) == f"the environment has {name}, which does not exist. The closest one is {closest}"


def test_an_editors_mark_before_the_text_is_no_part_of_it(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfwatch = 3")
    with pytest.raises(UsageError, match="wrong type"):  # understood, and then found wrong
        load(Wide, path=file, environment={})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[watch]\nrate = 'soon'", "wrong type"),
        ("watch = 3", "wrong type"),
        ("data = [", "is not valid TOML"),
        ("data = '\udcff'", "is not valid TOML"),
    ],
)
def test_a_file_that_makes_no_sense(file: Path, text: str, says: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=says):
        load(Wide, path=file, environment={})


def test_a_section_cannot_stand_on_a_plain_value(file: Path) -> None:
    file.write_text("watch = 3")
    with pytest.raises(UsageError, match="plain value where the section watch is expected"):
        load(Wide, path=file, environment={"LEADAPRON_WATCH__RATE": "3"})
    file.write_text("foreign = 3")
    with pytest.raises(UsageError, match="plain value where the section foreign is expected"):
        load(Wide, path=file, environment={"LEADAPRON_FOREIGN__RATE": "3"})


def test_a_wrong_value_is_not_quoted() -> None:
    with pytest.raises(UsageError) as caught:
        load(Wide, environment={"LEADAPRON_WATCH__RATE": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_which_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "config" / "leadapron" / "leadapron.toml"
    own.parent.mkdir(parents=True)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert find_file({}) is None
    own.touch()
    assert find_file({}) == own
    (here / "leadapron.toml").touch()
    assert find_file({}) == Path("leadapron.toml")
    assert find_file({"LEADAPRON_CONFIG": "/named"}) == Path("/named")


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the configuration file"):
        load(Settings, environment={"LEADAPRON_CONFIG": str(tmp_path / "none.toml")})
