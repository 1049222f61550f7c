"""Dead space: addresses that swallow packets, and addresses that refuse."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from bench.blackhole import Blackhole
from bench.run import LEADAPRON, Cost, Row, measure, run

DROPPED, DROPPED_NMAP = 65_536, 256
REFUSED = 131_072


def suite(runs: int) -> dict[str, list[Row]]:
    """Dropped packets with a time-out of 1 s on one core; refused connections on all cores."""
    with tempfile.TemporaryDirectory() as name, Blackhole() as hole:
        directory = Path(name)
        dropped = [
            measure(
                Row("leadapron scan --timeout 1", DROPPED, "addresses"),
                runs,
                lambda: _ours(directory, "127.128.0.0/16", hole.port, {0}),
            ),
            measure(
                Row("nmap -sS -T5", DROPPED_NMAP, "addresses"),
                1,
                lambda: run(["nmap", "-n", "-Pn", "-sS", "-T5", "-p", str(hole.port), "127.128.0.0/24"]),
            ),
        ]
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        refused = [
            measure(
                Row("leadapron scan --processes 2", REFUSED, "addresses"),
                runs,
                lambda: _ours(directory, "127.128.0.0/15", port, {0, 1}, "--processes", "2"),
            ),
            measure(
                Row("leadapron scan, one process", REFUSED, "addresses"),
                runs,
                lambda: _ours(directory, "127.128.0.0/15", port, {0, 1}),
            ),
            measure(
                Row("nmap -sT -T5", REFUSED // 2, "addresses"),
                runs,
                lambda: run(["nmap", "-n", "-Pn", "-sT", "-T5", "-p", str(port), "127.128.0.0/16"], {0, 1}),
            ),
        ]
    return {"dead space, packets dropped, time-out 1 s": dropped, "dead space, refused, two cores": refused}


def _ours(directory: Path, targets: str, port: int, cores: set[int], *more: str) -> Cost:
    return run(
        [
            *LEADAPRON, "scan", targets, "--port", str(port), "--depth", "touch", "--timeout", "1", "--quiet",
            "--no-save", "--format", "jsonl", "--output", str(directory / "out.jsonl"), *more,
        ],
        cores,
    )  # fmt: skip
