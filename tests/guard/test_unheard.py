"""A guard and an edge whose log goes nowhere, and whose terminal is closed: they serve, and end in order."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from peers.process import HOST, free_port, listening, wait_until
from scan.commanding import Command, command

INTO_A_FULL_DISK = (
    "-c",
    "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 2); from leadapron.cli.main import main; main()",
)


@pytest.fixture
def port(tmp_path: Path) -> int:
    """Of a guard that is set up in ``tmp_path``; its peer CT1 has its keys in ``ct1``."""
    port: int = free_port()
    archive = free_port()
    config = tmp_path / "leadapron.toml"
    for number, arguments in enumerate(
        (
            ("init", "guard", "--archive", f"{HOST}:{archive}", "--archive-ae", "PACS", "--name", "localhost",
             "--listen", f"{HOST}:{port}", "--enrol", f"{HOST}:{free_port()}", "--data", tmp_path / "data"),
            ("peer", "issue", "CT1", "--ae", "CT1", "--may", "store", "--out", tmp_path / "ct1"),
        )
    ):  # fmt: skip
        done = command(tmp_path / f"set-up{number}", *arguments, "--config", config)
        assert done.code == 0, done.err
    return port


def test_a_guard(port: int, tmp_path: Path) -> None:
    arguments = ("up", "--no-check", "--config", tmp_path / "leadapron.toml")
    with Command(tmp_path / "up", *arguments, program=INTO_A_FULL_DISK) as up:
        wait_until(lambda: listening(port), "it listens", 30)
        up.signal(signal.SIGHUP)
        assert up.end(30).code == 0
    shown = command(tmp_path / "audit", "audit", "show", "--data", tmp_path / "data").out
    assert "Started" in shown and "Stopped" in shown and "nterrupted" not in shown


def test_an_edge(port: int, tmp_path: Path) -> None:
    door = free_port()
    arguments = ["edge", "--listen", f"{HOST}:{door}", "--from", HOST, "--calling", "CT1", "--called", "PACS"]
    arguments += ("--to", f"localhost:{port}", "--identity", str(tmp_path / "ct1"), "--queue", str(tmp_path / "queue"))
    with Command(tmp_path / "edge", *arguments, program=INTO_A_FULL_DISK) as edge:
        wait_until(lambda: listening(door), "it listens", 30)
        edge.signal(signal.SIGHUP)
        assert edge.end(30).code == 0
