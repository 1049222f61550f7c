"""How soon the command is there: help, and the first packet of a scan."""

from __future__ import annotations

from bench.run import LEADAPRON, Row, measure, run


def suite(runs: int) -> dict[str, list[Row]]:
    """Wall seconds, in the column of seconds."""
    return {
        "start of the command": [
            measure(Row("leadapron --help", 1, "starts"), max(5, runs), lambda: run([*LEADAPRON, "--help"])),
            measure(
                Row("leadapron scan of one closed port", 1, "starts", note="start, scan, save, end"),
                max(5, runs),
                lambda: run([*LEADAPRON, "scan", "127.0.0.1", "--port", "1", "--no-save", "--quiet"]),
            ),
        ]
    }
