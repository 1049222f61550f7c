from __future__ import annotations

import tomllib
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.policies import Table, Writer, tables
from leadapron.guard.policy.decide import parse_policy
from leadapron.guard.policy.places import Places


@given(tables(), st.randoms(use_true_random=False))
def test_every_value_is_found_on_the_line_where_it_was_written(written: list[Table], random: Random) -> None:
    writer = Writer(written, random)
    assert tomllib.loads(writer.text).get("guard", {}).get("peer", []) == written
    places = Places(writer.text)
    for path, line in writer.lines.items():
        assert places.line(path)[0] == line, (path, writer.text)


@given(tables(), st.randoms(use_true_random=False))
def test_the_policy_names_these_lines(written: list[Table], random: Random) -> None:
    writer = Writer(written, random)
    policy = parse_policy(writer.text, "leadapron.toml")
    for index, (peer, table) in enumerate(zip(policy.peers, written, strict=True)):
        here = ("guard", "peer", index)
        assert peer.header.number == writer.lines[here]
        for key in table:
            assert peer.line(key).number == writer.lines[(*here, key)]
        for number, word in enumerate(table.get("may", ())):
            earlier = [one.removeprefix("dicom:") for one in table["may"][:number]]
            if word.removeprefix("dicom:") not in earlier:
                granted = next(line for one, line in peer.grants.items() if word in (one.value, one.word))
                assert granted.number == writer.lines[(*here, "may", number)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("guard", "peer", 0), (7, "[[guard.peer]]")),
        (("guard", "peer", 0, "may"), (9, 'may = [ "store", "#1 \' ]", ]')),
        (("guard", "peer", 0, "may", 0), (10, '"store",  # ["find"')),
        (("guard", "peer", 0, "from"), (13, 'from = ["10.1.0.0/16"]')),
        (("guard", "peer", 0, "from", 0), (13, 'from = ["10.1.0.0/16"]')),
        (("guard", "peer", 0, "hours"), (7, "[[guard.peer]]")),  # not there: the table that it would be in
        (("guard", "archive", "host"), (3, "archive.host = 'a'")),
        (("guard", "archive"), (3, "archive.host = 'a'")),
        (("guard", "peer", 0, "deep", "x", 1, "y"), (15, "y = 2020-01-01 00:00:00")),
        (("guard", "peer", 1), (16, "[[guard.peer]]")),
        (("elsewhere",), (1, "# top")),
    ],
)
def test_lines_of_a_file_that_a_person_wrote(path: tuple[str | int, ...], expected: tuple[int, str]) -> None:
    text = """# top
[guard]
archive.host = 'a'
note = '''
[[guard.peer]]
'''
[[guard.peer]]  # first
name = "CT1"
may = [
  "store",  # ["find"
  "#1 ' ]",
]
from = ["10.1.0.0/16"]  # here
[guard.peer.deep]
x = [{ y = 1.5 }, { y = 2020-01-01 00:00:00 }]
[[guard.peer]]
"""
    assert tomllib.loads(text)
    assert Places(text).line(path) == expected


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
LEAVES = (
    st.integers(-9, 9) | st.booleans() | st.dates() | st.text(st.characters(exclude_categories=("Cs",)), max_size=9)
)
TREES = st.recursive(LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3))


@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_every_leaf_of_any_file_has_a_line(values: dict[str, Any]) -> None:
    text = tomlkit.dumps(values)
    read = tomllib.loads(text)  # tomlkit loses things in deep mixtures; what it wrote is what counts
    lines = text.split("\n")
    places = Places(text)
    for path, leaf in leaves(read):
        number, _ = places.line(path)
        if isinstance(leaf, int) and not isinstance(leaf, bool):
            assert str(leaf) in lines[number - 1]
        elif isinstance(leaf, bool):
            assert str(leaf).lower() in lines[number - 1]


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(below, (*path, key))
    else:
        yield path, value


def test_a_long_line_is_cut() -> None:
    _, said = Places(f'a = "{"x" * 5000}"').line(("a",))
    assert len(said) == 200
    assert said.endswith("…")


@pytest.mark.parametrize(
    "text",
    [
        'a = """x""""\nb = 1\n',
        'a = """x"""""\nb = 1\n',
        "a = '''x''''\nb = 1\n",
        'a = """\\""" \\\\"""\nb = 1\n',
        'a = "\\"" # "\nb = 1\n',
        "a = 'c:\\'\nb = 1\n",
        'a = ""\nb = 1\n',
        "a = ''\nb = 1\n",
        "a = { c = [ 1, { d = '}' } ] , e . f = ']' }\nb = 1\n",
        "a = [[1, 2], [ '#', \"]\" ], []]\nb = 1\n",
        "a.'b.c'.\"d\" = 1\nb = 1\n",
        "a = 1979-05-27T07:32:00Z # x\nb = 1",
        "a = {}\nb = 1",
        "[a]\n[[x.y]]\n[x.y.z]\n[[x.y]]\n[[x.y.v]]\n",
    ],
)
def test_odd_values_do_not_shift_what_follows(text: str) -> None:
    values = tomllib.loads(text)
    places = Places(text)
    if "b" in values and not isinstance(values["b"], dict):
        assert places.line(("b",)) == (2, "b = 1")
    else:
        assert places.line(("x", "y", 1))[0] == 4
        assert places.line(("x", "y", 0, "z"))[0] == 3
        assert places.line(("x", "y", 1, "v", 0))[0] == 5
