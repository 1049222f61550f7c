"""``leadapron scope new|show``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from leadapron.cli import scope as command
from leadapron.kernel.errors import LeadApronError, UsageError
from leadapron.watch.scope import Scope

FACTS = ["--authorised-by", "Head of IT", "--contact", "it@example.org", "--until", "2899-12-31"]


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(command.command, list(arguments), input=stdin)


def words(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def error(*arguments: str) -> LeadApronError:
    result = run(*arguments)
    assert isinstance(result.exception, LeadApronError), result.output
    return result.exception


def test_a_rate_is_above_zero(tmp_path: Path) -> None:
    result = run("new", str(tmp_path / "scope.toml"), "--include", "8.8.8.8", "--rate", "-1", *FACTS)
    assert (result.exit_code, "not in the range" in result.output) == (2, True)
    assert not (tmp_path / "scope.toml").exists()


def test_new_writes_what_show_reads(tmp_path: Path) -> None:
    path = tmp_path / "house.toml"
    result = run(
        *("new", str(path), "--include", "10.1.0.0/16", "--include", "pacs.example.org", "--exclude", "10.1.7.0/24"),
        *FACTS,
        *("--reason", "nightly", "--rate", "100", "--network-rate", "2.5"),
    )
    assert result.exit_code == 0 and result.stdout == "" and f"scope show {path}" in result.stderr
    told = words("show", str(path), "10.1.2.3", "10.1.7.9", "8.8.8.8", "10.1.0.0/16", "pacs.example.org", "::1")
    for line in (
        "  authorised by  Head of IT",
        "  contact        it@example.org",
        "  reason         nightly",
        "  valid until    2900-01-01T00:00:00Z",
        "  at most        100 connections a second overall",
        "  at most        2.5 connections a second for each /24, IPv6 /56",
        "  included       10.1.0.0/16  65,536 addresses (line 8), less 256 excluded",
        "  included       pacs.example.org  host name (line 9)",
        "  excluded       10.1.7.0/24  256 addresses (line 12)",
        "65,280 addresses may be touched, besides loopback.",
        '10.1.2.3  allowed by include "10.1.0.0/16" (line 8)',
        '10.1.7.9  refused: exclude "10.1.7.0/24" (line 12) keeps it out',
        "8.8.8.8  refused: no include entry of the scope covers it",
        '10.1.0.0-10.1.6.255  allowed by include "10.1.0.0/16" (line 8)',
        '10.1.7.0/24  refused: exclude "10.1.7.0/24" (line 12) keeps it out',
        '10.1.8.0-10.1.255.255  allowed by include "10.1.0.0/16" (line 8)',
        'pacs.example.org  its addresses are judged by include "pacs.example.org" (line 9), once the scan has',
        "::1  loopback is free",
    ):
        assert line in told, line


def test_show_counts_what_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    run("new", str(path), "--include", "0.0.0.0/0", *FACTS)
    told = words("show", str(path), "10.0.0.0/8", "other.example.org", "0.0.0.0/0")
    # the registries without loopback: 0/8, 10/8 and 224/8 to 255/8, then the smaller blocks
    special = 34 * 2**24 + 2**22 + 2 * 2**16 + 2**20 + 2**17 + 8 * 2**8
    assert f"less {special:,} special-purpose and not named" in told
    assert "10.0.0.0/8  refused: 10.0.0.0/8 is special-purpose (private use, RFC 1918)" in told
    assert "other.example.org  no entry names it" in told
    assert "more pieces of 0.0.0.0/0" in told


def test_show_says_that_a_scope_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('authorised_by = "a"\ncontact = "b"\nvalid_until = 2020-01-01\ninclude = ["8.8.8.8"]\n')
    told = words("show", str(path), "8.8.8.8", "127.0.0.1")
    assert "ENDED" in told and "0 addresses may be touched" in told
    assert "8.8.8.8  refused: the scope ended at 2020-01-02T00:00:00Z" in told
    assert "127.0.0.1  loopback is free" in told


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "scope.toml"
    path.write_text("mine")
    said = error("new", str(path), "--include", "8.8.8.8", *FACTS)
    assert isinstance(said, UsageError) and "--force" in str(said)
    assert path.read_text() == "mine"
    assert run("new", str(path), "--include", "8.8.8.8", *FACTS, "--force").exit_code == 0
    assert Scope.load(path).names == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (FACTS, "--include is missing"),
        ([], "--include, --authorised-by, --contact, --until are missing"),
        (["--include", "8.8.8.8", *FACTS[2:]], "--authorised-by is missing"),
        (["--include", "8.8.8.8", *FACTS[:2], *FACTS[4:]], "--contact is missing"),
        (["--include", "8.8.8.8", *FACTS[:4]], "--until is missing"),
        (["--include", "8.8.8.8", *FACTS[:4], "--until", "2020-01-01"], "past"),
        (["--include", "8.8.8.8", *FACTS[:4], "--until", "soon"], "no date"),
        (["--include", "8.8.8.5/24", *FACTS], "bits set"),
        (["--include", "8.8.8.8", "--exclude", "8.8.8", *FACTS], "neither an address"),
        (["--include", "8.8.8.8", *FACTS, "--contact", "  "], "contact is missing"),
    ],
)
def test_what_is_missing_or_wrong_is_an_error_and_writes_nothing(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    path = tmp_path / "scope.toml"
    found = error("new", str(path), *arguments)
    assert isinstance(found, UsageError) and said in str(found)
    assert not path.exists()


def test_a_person_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "interactive", lambda: True)
    path = tmp_path / "scope.toml"
    result = run("new", str(path), stdin="10.1.0.0/16, 10.2.0.0/16\nHead of IT\nit@example.org\n2899-12-31\n")
    assert result.exit_code == 0, result.output
    assert "Who allows it" in result.stderr and "Who allows it" not in result.stdout
    scope = Scope.load(path)
    assert scope.file is not None and [e.text for e in scope.file.include] == ["10.1.0.0/16", "10.2.0.0/16"]


def test_a_file_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    said = error("new", str(tmp_path / "nowhere" / "scope.toml"), "--include", "8.8.8.8", *FACTS)
    assert isinstance(said, UsageError) and "Name another place" in str(said)


def test_show_refuses_what_is_no_target(tmp_path: Path) -> None:
    path = tmp_path / "scope.toml"
    run("new", str(path), "--include", "8.8.8.8", *FACTS)
    assert isinstance(error("show", str(path), "8.8.8"), UsageError)
    assert "cannot read" in str(error("show", str(tmp_path / "none.toml")))


def test_the_module_is_cheap_to_import() -> None:
    """``leadapron --help`` mounts it: nothing of the watch may come along."""
    code = "import sys, leadapron.cli.scope; print([m for m in sys.modules if m.startswith('leadapron.watch')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
