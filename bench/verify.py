"""Verify endpoints: associate, C-ECHO, release, at 0 and 20 ms latency, against what people use for it today."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.run import LEADAPRON, SERVER_CORES, Cost, Row, measure, pin, run
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population

OURS, THEIRS, SLOW = 18_000, 2_000, 300
RANGE = "127.96.0.1-127.96.70.80"  # 18,000 addresses
PORT = "11112"
POPULATION = Population(
    "verify",
    [EndpointSpec("127.96.0.0/17", 11112, "dcmtk", count=OURS, archive=ArchiveSpec(studies=1000, seed=7, shared=True))],
)


def suite(runs: int) -> dict[str, list[Row]]:
    """Rows by latency. Peers get fewer endpoints, since they are slower; each is given the concurrency it can use."""
    tables = {}
    for latency in (0, 20):
        with LabProcess(POPULATION, latency_ms=latency) as lab, tempfile.TemporaryDirectory() as directory:
            pin(lab.pid, SERVER_CORES)
            tables[f"verify an open endpoint, server {latency} ms away"] = _rows(Path(directory), runs)
    return tables


def _rows(directory: Path, runs: int) -> list[Row]:
    targets = directory / "targets"
    targets.write_text("".join(f"127.96.{n // 256}.{n % 256}\n" for n in range(1, THEIRS + 1)))
    few = directory / "few"
    few.write_text("".join(targets.read_text().splitlines(keepends=True)[:SLOW]))
    echo = Path(__file__).with_name("pynetdicom_echo.py")
    number = iter(range(1_000_000))

    def ours() -> Cost:
        data = directory / f"data{next(number)}"
        return run(
            [
                *LEADAPRON, "scan", RANGE, "--port", PORT, "--depth", "capabilities", "--quiet",
                "--data", str(data), "--format", "jsonl", "--output", str(directory / "out.jsonl"),
            ]
        )  # fmt: skip

    rows = [
        measure(
            Row("leadapron scan --depth capabilities", OURS, "endpoints", note="echo, capabilities, saved"), runs, ours
        ),
        measure(
            Row("nmap -sT --script dicom-ping", THEIRS, "endpoints", note="association only"),
            runs,
            lambda: run(["nmap", "-n", "-Pn", "-sT", "-T5", "-p", PORT, "--script", "dicom-ping", "-iL", str(targets)]),
        ),
        measure(
            Row("pynetdicom, 16 threads", SLOW, "endpoints", note="echo"),
            1,
            lambda: run([sys.executable, str(echo), str(few), PORT]),
        ),
        measure(
            Row("echoscu, 16 processes", SLOW, "endpoints", note="echo, a process each"),
            1,
            lambda: run(["xargs", "-a", str(few), "-P", "16", "-I", "{}", "echoscu", "{}", PORT]),
        ),
    ]
    _check(directory / "out.jsonl", rows)
    return rows


def _check(output: Path, rows: list[Row]) -> None:
    """A rate counts only for work that was done."""
    done = sum('"verdict":"open"' in line for line in output.read_text().splitlines())
    if done != OURS:
        rows[0].note += f"; ONLY {done} OF {OURS} VERIFIED"
    found = rows[1].costs[-1].output.count("DICOM Service Provider discovered")
    if found != THEIRS:
        rows[1].note += f"; {found} of {THEIRS} found"
    if any(cost.code for row in rows[2:] for cost in row.costs):
        rows[2].note += "; a peer failed"
