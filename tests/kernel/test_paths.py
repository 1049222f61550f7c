"""Where data is kept, and who may read it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.paths import data_dir, default_data_dir, private_file


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_is_for_its_owner_alone(tmp_path: Path) -> None:
    made = data_dir(tmp_path / "a" / "b")
    assert made == tmp_path / "a" / "b"
    assert mode(made) == 0o700


def test_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o750)
    assert mode(data_dir(str(tmp_path / "shared"))) == 0o750


def test_without_a_choice_it_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert default_data_dir() == tmp_path / "share" / "leadapron"
    assert not default_data_dir().exists()
    assert data_dir() == default_data_dir()
    assert mode(data_dir()) == 0o700


def test_the_home_sign_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert data_dir("~/one") == tmp_path / "one"
    assert data_dir("two") == tmp_path / "two"


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for chosen in (tmp_path / "x", tmp_path / "x" / "y"):
        with pytest.raises(Failure, match="--data DIR"):
            data_dir(chosen)


def test_a_private_file(tmp_path: Path) -> None:
    private_file(tmp_path / "f")
    assert mode(tmp_path / "f") == 0o600
    (tmp_path / "f").write_text("kept")
    private_file(tmp_path / "f")
    assert (tmp_path / "f").read_text() == "kept"
    with pytest.raises(Failure, match="cannot write"):
        private_file(tmp_path / "none" / "f")


def test_a_url_is_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="database_url") as raised:
        data_dir("postgresql+psycopg://ada:secret@db/watch")
    assert "secret" not in str(raised.value) and not list(tmp_path.iterdir())
