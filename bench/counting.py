"""Count C-FIND answers: studies of one large simulated archive, by everything that speaks C-FIND."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.run import LEADAPRON, SERVER_CORES, Cost, Row, measure, pin, run
from leadapron.lab.population import Population, load
from leadapron.lab.process import LabProcess

STUDIES, SMALL_STUDIES, HUGE = 3_000_003, 50_000, 35_000_003
ADDRESS, SMALL, PORT = "127.97.0.1", "127.97.0.2", "11112"
_ENDPOINT = """
[[endpoint]]
address = "{address}"
port = 11112
persona = "dcmtk"
archive = {{ studies = {studies}, seed = 11 }}
"""


def _population(huge: bool) -> Population:
    text = 'name = "bench-count"\nsummary = "large archives"\n'
    text += _ENDPOINT.format(address=ADDRESS, studies=HUGE if huge else STUDIES)
    text += _ENDPOINT.format(address=SMALL, studies=SMALL_STUDIES)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        return load(Path(file.name))


def suite(runs: int) -> dict[str, list[Row]]:
    """The rate of each, in answers a second; ours as the whole command, with everything that it asks to be sure."""
    with LabProcess(_population(False)) as lab, tempfile.TemporaryDirectory() as name:
        pin(lab.pid, SERVER_CORES)
        directory = Path(name)
        reader = Path(__file__).with_name("pynetdicom_find.py")
        find = ["findscu", "-S", "-aec", "ANY-SCP", ADDRESS, PORT]
        for key in (
            "QueryRetrieveLevel=STUDY",
            "StudyInstanceUID",
            "StudyDate",
            "PatientID",
            "NumberOfStudyRelatedInstances",
        ):
            find += ["-k", key]
        ours = Row("leadapron scan --depth count", 0, "answers", note="counted, checked, saved")
        measure(ours, runs, lambda: _scan(directory, ADDRESS))
        ours.work = _answers(directory, ours, STUDIES)
        rows = [
            ours,
            measure(Row("findscu -q", STUDIES, "answers", note="shows nothing"), runs, lambda: run([*find, "-q"])),
            measure(
                Row("findscu", SMALL_STUDIES, "answers", note="prints each"),
                1,
                lambda: run([*find[:4], SMALL, *find[5:]]),
            ),
            measure(
                Row("pynetdicom", SMALL_STUDIES, "answers"),
                1,
                lambda: run([sys.executable, str(reader), SMALL, PORT, str(SMALL_STUDIES)]),
            ),
        ]
    return {"count C-FIND answers": rows}


def huge(runs: int) -> dict[str, list[Row]]:
    """35 million studies in one archive, lab and scan on two cores."""
    with LabProcess(_population(True)) as lab, tempfile.TemporaryDirectory() as name:
        pin(lab.pid, SERVER_CORES)
        row = Row("leadapron scan --depth count, 35 M studies", HUGE, "studies")
        measure(row, runs, lambda: _scan(Path(name), ADDRESS))
        _answers(Path(name), row, HUGE)
    return {"35 million studies, two cores, lab included": [row]}


def _scan(directory: Path, address: str) -> Cost:
    return run(
        [
            *LEADAPRON, "scan", address, "--port", PORT, "--patience", "900", "--timeout", "30", "--quiet",
            "--data", str(directory), "--format", "jsonl", "--output", str(directory / "out.jsonl"),
        ],
        timeout=1200,
    )  # fmt: skip


def _answers(directory: Path, row: Row, truth: int) -> int:
    """Pending responses that were read in all, from the stored measurement; marks a count that is wrong."""
    record = json.loads((directory / "out.jsonl").read_text().splitlines()[0])
    if record["exposed"]["studies"] != truth or not record["exposed"]["complete"]:
        row.note += f"; WRONG: {record['exposed']}"
    from leadapron.watch.measure.model import Count
    from leadapron.watch.track.store import Store

    with Store.open(str(directory)) as store:
        latest = store.latest()
        assert latest is not None
        count = next(iter(store.sightings(latest.id))).measurement.count
    return count.answers if isinstance(count, Count) else 0
