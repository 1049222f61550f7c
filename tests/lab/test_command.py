"""``leadapron lab``, as typed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from leadapron.cli.lab import command, scan_command
from leadapron.lab.personas import personas
from leadapron.lab.population import shipped

MINE = """
name = "mine"
[[endpoint]]
address = "127.209.0.1"
port = 11209
persona = "dcmtk"
note = "a practice"
[[endpoint]]
address = "127.209.0.2"
port = 4242
persona = "ssh"
"""


def said_by(process: subprocess.Popen[bytes], until: bytes) -> bytes:
    assert process.stdout is not None
    said, end = b"", time.monotonic() + 30
    while until not in said:
        ready, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        assert ready, said
        more = os.read(process.stdout.fileno(), 65536)
        assert more, said
        said += more
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_what_is_up_and_how_to_scan_it_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    population, truth = tmp_path / "mine.toml", tmp_path / "truth.json"
    population.write_text(MINE)
    arguments = [sys.executable, "-m", "leadapron.cli.main", "lab", str(population), "--truth", str(truth)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = said_by(process, b"--port")
    assert b"127.209.0.1:11209" in said and b"a practice" in said
    assert b"leadapron scan 127.209.0.0/24 --port 4242,11209" in said
    known = json.loads(truth.read_text())
    assert [(t["persona"], t["studies"]) for t in known] == [("dcmtk", 200), ("ssh", None)]
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors.splitlines()[-1] == b"All servers are closed."


def test_the_list_has_everything() -> None:
    said = CliRunner().invoke(command, ["--list"]).output
    assert all(name in said for name in (*shipped(), *personas()))


def test_nothing_heavy_is_imported_to_show_the_help() -> None:
    code = "import sys, leadapron.cli.lab; sys.exit(any(m in sys.modules for m in ('numpy', 'pydicom', 'msgspec')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 2, b"no population is called"),
        (["--latency", "-1"], 2, b"latency"),
        (["x.toml"], 2, b"cannot read"),
    ],
)
def test_wrong_usage(arguments: list[str], code: int, said: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leadapron.cli.main", "lab", *arguments], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == code and said in done.stderr


def test_many_endpoints_are_summed_up_in_few_networks() -> None:
    from leadapron.lab.neighbourhood import Neighbourhood

    neighbourhood = Neighbourhood("hard-cases", free_ports=True)

    async def truth() -> list[str]:
        async with neighbourhood:
            return scan_command(neighbourhood.truth)

    import asyncio

    arguments = asyncio.run(truth())
    assert 1 <= sum(argument.startswith("127.2.") for argument in arguments) <= 4
