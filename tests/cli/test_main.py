"""The root of the command: whatever is called, stdout that cannot be written ends in one line and one exit code."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CALLS = [["--help"], ["schema", "endpoint"], ["lab", "--list"], ["scope", "show", "--help"]]


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_a_full_disk(arguments: list[str], buffered: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, *([] if buffered else ["-u"]), "-m", "leadapron", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("leadapron: cannot write") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_locale_that_knows_few_characters(encoding: str) -> None:
    """A pipe gets UTF-8, which programs read; a terminal gets what it can show. Neither is a bug of ours."""
    call = [sys.executable, "-m", "leadapron", "cases", "confirm", "--help"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    piped = subprocess.run(call, capture_output=True, env=environment, timeout=60, check=True)
    assert "[OPTIONS] CASE…" in piped.stdout.decode("utf-8") and not piped.stderr
    ours, its = os.openpty()
    shown = subprocess.run(call, stdout=its, stderr=subprocess.PIPE, env=environment, timeout=60, check=True)
    os.close(its)
    assert b"[OPTIONS] CASE" in os.read(ours, 4096) and not shown.stderr
    os.close(ours)


@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_a_reader_that_has_gone(arguments: list[str]) -> None:
    ours, its = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, "-m", "leadapron", *arguments],
        stdout=its,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(its)
    assert (done.returncode, done.stderr) == (0, "")
