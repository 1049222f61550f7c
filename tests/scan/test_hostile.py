"""A thousand hostile endpoints at once: the scan ends in bounded time and memory, with an honest record for each.

Memory is that of the scanning process alone, as the kernel counts it; the lab has a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leadapron.lab import EndpointTruth, LabProcess, load
from leadapron.lab.personas import personas
from scan.commanding import Done, command
from scan.scanning import moved

ENDPOINTS = 1_000
MOST_MEMORY = 300 << 20
TIME_OUT_S, PATIENCE_S = 1.5, 3.0
SLOW = ("tarpit", "silent", "random")  # no persona of the family of the hostile, but they belong here


def population(file: Path) -> Path:
    """A TOML file with ``ENDPOINTS`` endpoints, of every hostile persona as many."""
    kinds = [name for name, persona in personas().items() if persona.family == "hostile"] + list(SLOW)
    text = ['name = "thousand"', 'summary = "a thousand endpoints that mean harm"']
    left = ENDPOINTS
    for number, kind in enumerate(kinds):
        count = left // (len(kinds) - number)
        left -= count
        archive = "archive = { studies = 300 }" if personas()[kind].archive else ""
        text += [
            "[[endpoint]]",
            f'address = "127.3.{number}.0/24"',
            f"count = {count}",
            "port = 11112",
            f'persona = "{kind}"',
            archive,
        ]
    file.write_text("\n".join(text))
    return file


@dataclass(frozen=True)
class Assault:
    done: Done
    records: dict[tuple[str, int], dict[str, Any]]
    summary: dict[str, Any]
    truth: dict[tuple[str, int], EndpointTruth]


@pytest.fixture(scope="module")
def assault(tmp_path_factory: pytest.TempPathFactory) -> Assault:
    home = tmp_path_factory.mktemp("hostile")
    with LabProcess(moved(load(population(home / "thousand.toml")))) as lab:
        targets = home / "targets"
        targets.write_text("\n".join(truth.address for truth in lab.truth()))
        bounds = ("--timeout", str(TIME_OUT_S), "--patience", str(PATIENCE_S))
        done = command(home, "scan", "--from", targets, "--port", "11112", *bounds, "--format", "jsonl")
        *records, summary = done.lines
        return Assault(
            done,
            {(record["address"], record["port"]): record for record in records},
            summary,
            {(truth.address, truth.port): truth for truth in lab.truth()},
        )


@pytest.mark.timeout(180)
def test_memory_is_bounded(assault: Assault) -> None:
    assert len(assault.truth) == ENDPOINTS
    assert assault.done.peak <= MOST_MEMORY, f"{assault.done.peak / 2**20:.0f} MiB"


def test_it_ends_and_says_how(assault: Assault) -> None:
    """In bounded time: the command has ended, or the fixture had failed. Nothing of it is our fault."""
    assert assault.done.code == 0, assault.done.err[-2000:]
    assert assault.summary["type"] == "summary"
    assert sum(assault.summary["endpoints"].values()) == ENDPOINTS
    assert assault.summary["endpoints"]["failed"] == 0
    assert "a bug of ours" not in assault.done.out and "Traceback" not in assault.done.err


def test_each_endpoint_has_an_honest_record(assault: Assault) -> None:
    assert len(assault.records) + assault.summary["endpoints"]["closed"] == ENDPOINTS
    for key, record in assault.records.items():
        truth = assault.truth[key]
        assert record["verdict"] in truth.verdicts, (truth.persona, record)
        exposed = record["exposed"]
        if exposed is None:
            continue
        assert truth.studies is not None and truth.images is not None
        if exposed["complete"]:
            assert (exposed["studies"], exposed["images"]) == (truth.studies, truth.images), truth.persona
        else:
            assert exposed["note"] and exposed["studies"] <= truth.studies, (truth.persona, exposed)


def test_nobody_is_asked_without_end(assault: Assault) -> None:
    for truth in assault.truth.values():
        assert truth.seen.most_at_once <= 1, truth.persona
        assert sum(truth.seen.requests.values()) <= 400, truth.persona
