"""docs/scope.md: the example parses, the commands run, the program runs, and what it says about addresses is true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from leadapron.cli.scope import command as app
from leadapron.watch.scope import Allowed, Rates, Refused, Scope, parse_scope

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "scope.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


class Early:
    """A moment at which the example holds."""

    def now(self):  # type: ignore[no-untyped-def]
        from datetime import UTC, datetime

        return datetime(2026, 12, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


def test_the_full_example() -> None:
    (text,) = blocks("toml")
    file = parse_scope(text, "docs/scope.md")
    assert len(file.include) == 5 and len(file.exclude) == 2 and file.rates == Rates(500, 10)
    assert all(entry.line is not None for entry in (*file.include, *file.exclude))
    scope = Scope(file, Early()).resolved({"pacs.hospital.example": ["8.8.4.4", "10.9.9.9"]})
    for address in ("10.1.2.3", "10.2.0.50", "198.51.100.7", "2001:db8:42::ff", "8.8.4.4", "127.0.0.1"):
        assert isinstance(scope.allows(address), Allowed), address
    for address in ("10.1.7.9", "::ffff:10.1.7.9", "10.1.0.50", "10.2.0.51", "2001:db8:42::100", "10.9.9.9", "8.8.8.8"):
        assert isinstance(scope.allows(address), Refused), address


def test_every_key_is_in_the_example() -> None:
    from leadapron.watch.scope.file import _KEYS, _RATES

    (text,) = blocks("toml")
    for key in (*_KEYS, *_RATES):
        assert re.search(rf"^(\[{key}\]|{key} =)", text, re.M), key


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        program, command, *arguments = shlex.split(line)
        assert (program, command) == ("leadapron", "scope")
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}\n{result.output}"
    assert "10.1.7.9  refused" in result.stdout and "10.1.2.3  allowed" in result.stdout


def test_the_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python")
    exec(compile(program, "docs/scope.md", "exec"), {})
    assert capsys.readouterr().out.startswith("no-scope ")


@pytest.mark.parametrize("page", ["scope.md", "ethics.md"])
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)", (DOCS / page).read_text("utf-8")):
        assert link.startswith("https://") or (DOCS / link).exists(), link
