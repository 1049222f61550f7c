"""Where a configuration is wrong: file, line and key, or the variable."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from leadapron.kernel.config import Settings, load
from leadapron.kernel.errors import UsageError


class Round(Struct, frozen=True, kw_only=True):
    name: str
    depth: Literal["touch", "count"] = "count"
    ports: tuple[int, ...] = ()
    rate: float | None = None


class Rounds(Struct, frozen=True, kw_only=True):
    after: int = 2
    quiet: bool = False
    round: tuple[Round, ...] = ()


class File(Settings, frozen=True, kw_only=True):
    watch: Rounds = Rounds()  # type: ignore[assignment]


HEAD = "# what a file begins with\n\n[watch]\nafter = 2\n\n[[watch.round]]\nname = 'a'\n\n[[ watch.round ]]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data = 3\n", "line 1: data is of the wrong type: expected text, got a whole number"),
        ("[watch]\n\nafter = 'two'\n", "line 3: watch.after is of the wrong type: expected a whole number, got text"),
        ("watch.after = 'two'\n", "line 1: watch.after is of the wrong type: expected a whole number, got text"),
        ("[watch]\nquiet = 'x'\n", "line 2: watch.quiet is of the wrong type: expected true or false, got text"),
        ("watch = 3\n", "line 1: watch is of the wrong type: expected a section, got a whole number"),
        (
            HEAD + "name = 'b'\nports = 'x'\n",
            "line 11: watch.round.ports is of the wrong type: expected a list, got text",
        ),
        (HEAD + "name = 'b'\nports = [1, 'x']\n", "line 11: watch.round.ports is of the wrong type"),
        (
            HEAD + "name = 'b'\nrate = []\n",
            "line 11: watch.round.rate is of the wrong type: expected a number, got",
        ),
        (
            HEAD + "depth = 'deep'\n",
            "line 10: watch.round.depth is of the wrong type: it should be one of touch",
        ),
        (HEAD + "depth = 'count'\n", "line 9: watch.round.name lacks a value"),
        (HEAD + "name = 'b'\nprots = []\n", "line 11 has the key watch.round.prots, which does not exist"),
        ("watch = { after = 'two' }\n", "line 1: watch.after is of the wrong type"),
        ("\"watch\" = { after = 'two' }\n", "toml: watch.after is of the wrong type"),
    ],
)
def test_file_line_and_key_are_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(File, path=file, environment={})
    assert str(caught.value).startswith(str(file)) and says in str(caught.value)


def test_a_variable_is_named_where_it_is_to_blame(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[watch]\nafter = 2\n")
    with pytest.raises(
        UsageError, match=r"^the variable LEADAPRON_WATCH__AFTER is of the wrong type: expected a whole"
    ):
        load(File, path=file, environment={"LEADAPRON_WATCH__AFTER": "two"})


@given(between=st.lists(st.sampled_from(["", "# after = 1", "quiet = true", "#[watch]", "  "]), max_size=8))
def test_a_line_that_is_named_is_the_right_one(between: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    once = [line for at, line in enumerate(between) if line != "quiet = true" or line not in between[:at]]
    text = ["data = 'x'", "[watch]", *once, "after = 'two'", "[lookups]", "after = 2"]
    file = tmp_path_factory.mktemp("line") / "x.toml"
    file.write_text("\n".join(text))
    with pytest.raises(UsageError, match=f"line {len(text) - 2}: watch.after"):
        load(File, path=file, environment={})
