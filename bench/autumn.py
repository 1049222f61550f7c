"""The autumn of 2019 at full scale: both waves scanned over loopback, held against the population's own truth."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench.run import LEADAPRON, SERVER_CORES, Cost, Row, measure, pin, run
from leadapron.lab.history import autumn
from leadapron.lab.process import LabProcess

PORTS = "104,4242,11112,2762"


def suite(runs: int) -> dict[str, list[Row]]:
    """24 and 35 million studies of 590 and 547 open servers among 2,300; client and servers have a core each."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        everybody = {spec.address for wave in (1, 2) for spec in autumn.population(wave).endpoint}
        (home / "targets.txt").write_text("\n".join(sorted(everybody)))
        for wave in (1, 2):
            with LabProcess(autumn.population(wave)) as lab:
                pin(lab.pid, SERVER_CORES)
                truth = [one for one in lab.truth() if one.verdicts == ("exposed",)]
                row = Row(f"wave {wave}: {len(truth)} open", sum(one.studies or 0 for one in truth), "studies")
                measure(row, 1, lambda: _scan(home))
                row.note = _held(home, truth)
                rows.append(row)
    return {"autumn 2019, two waves at full scale, one run": rows}


def _scan(home: Path) -> Cost:
    return run(
        [
            *LEADAPRON, "scan", "--from", str(home / "targets.txt"), "--port", PORTS, "--patience", "900",
            "--timeout", "30", "--quiet", "--data", str(home), "--format", "jsonl", "--output", str(home / "out.jsonl"),
        ],
        timeout=1800,
    )  # fmt: skip


def _held(home: Path, truth: list[object]) -> str:
    """What the scan found against what there was."""
    *records, summary = map(json.loads, (home / "out.jsonl").read_text().splitlines())
    known = {(one.address, one.port): (one.studies, one.images) for one in truth}  # type: ignore[attr-defined]
    found = {
        (one["address"], one["port"]): (one["exposed"]["studies"], one["exposed"]["images"])
        for one in records
        if one["verdict"] == "exposed"
    }
    wrong = sum(found.get(key) != volume for key, volume in known.items()) + len(found.keys() - known.keys())
    exposed = summary["exposed"]
    return f"{exposed['studies']:,} studies, {exposed['images']:,} images; " + (
        f"WRONG at {wrong}" if wrong else "each server's own number"
    )
