"""The pages hold together: links lead somewhere, options exist, tests that are named are there, help fits a terminal.

Run as a program, this draws docs/association.md anew.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from leadapron.cli.main import COMMANDS, root
from leadapron.wire.association.table import markdown

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
WIDTH = 100
OTHERS = {"--move-aetitle", "--dry-run"}  # options of other programs


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---- links -----------------------------------------------------------------------------------------------------------


def prose(page: Path) -> str:
    """A page without its fenced blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "", without_blocks(page))


def without_blocks(page: Path) -> str:
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text("utf-8"), flags=re.S | re.M)


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub and GitLab name them."""
    titles = re.findall(r"^#+ (.+)$", without_blocks(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT) and target.exists(), f"{name(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)} links to {link}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    linked = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in re.findall(r"\]\(([^)]+)\)", index)}
    pages = {page for page in PAGES if page.name != "README.md"}
    assert pages <= linked


# ---- the command line ------------------------------------------------------------------------------------------------


def every_command(command: click.Command = root, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from every_command(found, *path, sub)


COMMAND = dict(every_command())
OPTIONS = {path: {o for p in command.params for o in p.opts} | {"--help", "-h"} for path, command in COMMAND.items()}


def spans() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        yield from ((page, " ".join(span.split())) for span in re.findall(r"`([^`]+)`", without_blocks(page)))


def test_every_option_in_the_prose_exists() -> None:
    known = set().union(*OPTIONS.values())
    for page, span in spans():
        if page.name == "findings.md" or not span.startswith("--"):
            continue  # findings.md tells of other programs
        for word in span.split():
            if word.startswith("-") and word not in OTHERS:
                assert word in known, f"{name(page)}: {span}"


def test_every_command_in_the_prose_exists() -> None:
    seen = 0
    for page, span in spans():
        if not span.startswith("leadapron "):
            continue
        seen += 1
        words = shlex.split(span.replace("|", " "))[1:]
        path: tuple[str, ...] = ()
        while words and (*path, words[0]) in COMMAND:
            path += (words.pop(0),)
        assert path or words[0].startswith("-"), f"{name(page)}: {span}"
        for word in words:
            if word.startswith("-"):
                assert word in OPTIONS[path] | OPTIONS[()], f"{name(page)}: {span}"
    assert seen > 10


@pytest.mark.parametrize("path", COMMAND, ids=lambda path: " ".join(path) or "leadapron")
def test_help_fits_the_terminal_and_says_something_of_everything(path: tuple[str, ...]) -> None:
    said = CliRunner(env={"COLUMNS": "200"}).invoke(root, [*path, "--help"], terminal_width=WIDTH).output
    assert max(map(len, said.splitlines())) <= WIDTH
    assert "..." not in said.replace("[ARGS]...", ""), "a summary is cut off"
    command = COMMAND[path]
    assert command.help
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or (isinstance(parameter, click.Option) and parameter.help), (
            parameter
        )


def test_the_help_lists_every_command() -> None:
    said = CliRunner().invoke(root, ["--help"]).output
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", said, re.M)


def test_every_command_is_explained_somewhere() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for path in COMMAND:
        assert not path or f"leadapron {' '.join(path)}" in text, path


def test_every_option_is_explained_somewhere() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for path, command in COMMAND.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert any(re.search(rf"{option}(?![\w-])", text) for option in parameter.opts), (path, parameter.opts)


# ---- what pages say of the tree --------------------------------------------------------------------------------------


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", "".join(page.read_text("utf-8") for page in PAGES))
    assert named
    for path, function in named:
        text = (ROOT / path).read_text("utf-8")
        assert not function or f"def {function}(" in text, f"{path}::{function}"


def test_every_invariant_is_held_by_a_test() -> None:
    rows = re.findall(r"^\| (\d) \|.*\|(.*)\|$", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.M)
    assert [number for number, _ in rows] == list("12345678")
    assert all("`tests/" in held for _, held in rows)


def test_every_library_is_explained_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[<>=; ]", line)[0].lower() for line in project["dependencies"]}
    page = (ROOT / "docs" / "libraries.md").read_text("utf-8")
    assert {row.lower() for row in re.findall(r"^\| ([\w-]+) \|", page, re.M)} - {"library"} == needed


def test_the_rooms_are_those_of_the_tree() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawing = page[page.index("```text") : page.index("## Arrows")]
    source = ROOT / "src" / "leadapron"
    for room in (path for path in [*source.iterdir(), *(source / "wire").iterdir(), *(source / "watch").iterdir()]):
        if room.is_dir() and room.name != "__pycache__":
            assert f"{room.name}/" in drawing, room


# ---- docs/association.md ---------------------------------------------------------------------------------------------

ASSOCIATION = ROOT / "docs" / "association.md"


def drawn(page: str) -> str:
    page, count = re.subn(
        r"(<!-- table: [^\n]*-->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{markdown()}{found[2]}",
        page,
        flags=re.S,
    )
    assert count == 1
    return page


def test_the_association_is_drawn_from_the_table() -> None:
    page = ASSOCIATION.read_text("utf-8")
    assert page == drawn(page), "run: make docs"


if __name__ == "__main__":
    ASSOCIATION.write_text(drawn(ASSOCIATION.read_text("utf-8")), "utf-8")
