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
