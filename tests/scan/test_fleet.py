"""Several processes are one scan: the same records and totals as one process gives, also when stopped and resumed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population

COMMAND = [sys.executable, "-m", "leadapron", "scan", "--quiet", "--format", "jsonl"]
TARGETS = "127.31.7.0/26"


@pytest.fixture(scope="module")
def street() -> Iterator[LabProcess]:
    """Thirty archives, two of which (at hosts of different shards) are one behind two doors, and some others."""
    own = [
        EndpointSpec(f"127.31.7.{host}", 11112, "dcmtk", archive=ArchiveSpec(studies=40 + host, seed=host))
        for host in range(1, 29)
    ]
    doors = [
        EndpointSpec(f"127.31.7.{host}", 11112, "dcmtk", archive=ArchiveSpec(studies=500, seed=99)) for host in (31, 32)
    ]
    others = [EndpointSpec("127.31.7.40", 11112, "ssh"), EndpointSpec("127.31.7.41", 11112, "rejects-everybody")]
    with LabProcess(Population("fleet", [*own, *doors, *others])) as lab:
        yield lab


def run(*options: str) -> tuple[list[dict[str, object]], dict[str, object]]:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    *records, summary = map(json.loads, done.stdout.splitlines())
    return records, summary


def saved(data: Path) -> None:
    """Wait until something of the scan is in its database."""
    until = time.monotonic() + 30
    while True:
        assert time.monotonic() < until
        time.sleep(0.05)
        if (data / "leadapron.sqlite").exists():
            with sqlite3.connect(data / "leadapron.sqlite") as database:
                try:
                    if database.execute("SELECT count(*) FROM sightings").fetchone()[0]:
                        return
                except sqlite3.OperationalError:
                    continue  # the tables are being made


def settled(record: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if key not in ("observed_at", "elapsed_s")}


def test_three_processes_find_what_one_finds(street: LabProcess) -> None:
    alone, summary = run(TARGETS, "--port", "11112,11113", "--no-save")
    together, shared = run(TARGETS, "--port", "11112,11113", "--no-save", "--processes", "3")
    assert sorted(map(str, map(settled, alone))) == sorted(map(str, map(settled, together)))
    assert settled(summary) == settled(shared)
    assert summary["archives"] == 29
    # No host had two visitors at once, whichever process they came from.
    assert max(truth.seen.most_at_once for truth in street.truth()) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_it_is_resumed_to_the_same_end(
    street: LabProcess, tmp_path: Path, how: signal.Signals
) -> None:
    _, whole = run(TARGETS, "--port", "11112,11113", "--no-save")
    options = [TARGETS, "--port", "11112,11113", "--data", str(tmp_path), "--processes", "2"]
    child = subprocess.Popen([*COMMAND, *options, "--rate", "30"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    for _ in range(8):
        assert child.stdout.readline()
    saved(tmp_path)
    os.kill(child.pid, how)
    child.stdout.read()
    assert child.wait(60) in (130, -signal.SIGKILL)
    records, resumed = run(*options, "--resume")
    assert settled(resumed) == settled(whole)
    assert len({(record["address"], record["port"]) for record in records}) == len(records) == 32


def test_a_worker_that_dies_fails_the_scan_and_says_so(street: LabProcess, tmp_path: Path) -> None:
    options = [TARGETS, "--port", "11112", "--data", str(tmp_path), "--processes", "2", "--rate", "20"]
    child = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline()
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    assert len(workers) == 2
    os.kill(int(workers[0]), signal.SIGKILL)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, "--resume" in said) == (1, True)


def test_workers_end_with_their_parent(street: LabProcess, tmp_path: Path) -> None:
    options = [TARGETS, "--port", "11112", "--data", str(tmp_path), "--processes", "2", "--rate", "5"]
    child = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    assert child.stdout.readline()
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    child.kill()
    child.wait(30)
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/fd").exists() and _runs(pid) for pid in workers):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.05)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
