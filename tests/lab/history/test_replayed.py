"""The autumn of 2019, scanned for real over loopback: what the watch says is the population's own truth.

Three rounds: September, November, and September again, so that what was closed is opened anew. A thousandth of the
studies (at least one in each archive): 24,000 and 35,000 of them at 590 and 547 open servers among 2,300. The whole is
in the bench (``python -m bench autumn``).
"""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from leadapron.lab.history import autumn
from leadapron.lab.history.mmdb import mmdb
from leadapron.lab.process import LabProcess
from leadapron.watch.track.database import open_engine
from leadapron.watch.track.tables import events, exposures
from scan.commanding import Command, Done, command

SCALE = 0.001
PORTS = "104,4242,11112,2762"
Volume = tuple[int, int]

CONFIGURATION = """
database_url = "{location}"

[watch]
closed_after = 1

[lookups]
dns = false
rdap = false
countries = "lab.mmdb"
networks = "lab.mmdb"
"""


def test_two_waves_are_their_own_truth(tmp_path: Path, location: str) -> None:
    (tmp_path / "leadapron.toml").write_text(CONFIGURATION.format(location=location))
    (tmp_path / "lab.mmdb").write_bytes(mmdb(autumn.places(), "Lab"))
    everybody = sorted({spec.address for wave in (1, 2) for spec in autumn.population(wave, SCALE).endpoint})
    (tmp_path / "targets.txt").write_text("\n".join(everybody))
    changes = autumn.changes(SCALE)

    truth = _round(tmp_path, 1)
    looked_up = command(tmp_path, "owner", "look-up", "--all")
    assert looked_up.code == 0, looked_up.err
    rows = _open(location)
    assert {key: volume for key, (volume, _) in rows.items()} == truth
    assert len(truth) == 590 and len({country for _, country in rows.values()}) == 52
    countries = {spec.address: spec.note for spec in autumn.population(1, SCALE).endpoint}
    assert all(country == countries[address] for address, (_, country) in rows.items())
    assert _events(location, 1) == {"opened": set(truth)}

    truth = _round(tmp_path, 2)
    command(tmp_path, "owner", "look-up", "--all")
    rows = _open(location)
    assert {key: volume for key, (volume, _) in rows.items()} == truth and len(truth) == 547
    by_country: Counter[str] = Counter()
    for (_, images), country in rows.values():
        by_country[country] += images
    assert by_country == _images_by_country(changes)
    largest = sorted((images for _, images in truth.values()), reverse=True)
    assert 0.19 < sum(largest[:10]) / sum(largest) < 0.21 and 0.49 < by_country["US"] / sum(largest) < 0.51
    found = _events(location, 2)
    for kind in ("opened", "closed", "moved"):
        assert found.pop(kind) == {c.address for c in changes if c.kind == kind}, kind
    assert found.pop("grew") == {c.address for c in changes if c.kind == "grew"}
    assert not found
    assert _moves(location) == {(c.was, c.address, c.sure) for c in changes if c.kind == "moved" and c.was is not None}

    if location.startswith("postgresql"):
        return  # reopening is the same code; the third round costs ten seconds
    truth = _round(tmp_path, 1)
    assert {key: volume for key, (volume, _) in _open(location).items()} == truth
    found = _events(location, 3)
    closed = {c.address for c in changes if c.kind == "closed"}
    left = {c.was for c in changes if c.was is not None}
    assert found["reopened"] == closed | left
    assert found["closed"] == {c.address for c in changes if c.kind in ("opened", "moved")}


def test_the_page_as_it_stands(tmp_path: Path) -> None:
    """The commands of docs/autumn-2019.md, one after the other."""
    first = ("lab", "autumn-2019", "--scale", "0.001", "--targets", "targets.txt", "--countries", "lab.mmdb")
    with Command(tmp_path / "one", *first) as lab:
        lab.until("the first wave is up", lambda: "2,300 endpoints are up" in lab.out)
        shutil.copy(tmp_path / "one" / "targets.txt", tmp_path)
        assert command(tmp_path, "scan", "--from", "targets.txt").code == 0
        lab.signal(signal.SIGINT)
        assert lab.end().code == 0
    second = ("lab", "autumn-2019", "--wave", "2", "--scale", "0.001", "--targets", "later.txt")
    with Command(tmp_path / "two", *second) as lab:
        lab.until("the second wave is up", lambda: "2,303 endpoints are up" in lab.out)
        shutil.copy(tmp_path / "two" / "later.txt", tmp_path)
        assert command(tmp_path, "scan", "--from", "targets.txt", "--from", "later.txt").code == 0
    done = command(tmp_path, "report", "--compare", "1")
    assert done.code == 0 and "120" in done.out, done.out


def _round(home: Path, wave: int) -> Mapping[str, Volume]:
    """Scans one wave; gives its truth, after the summary was held against it."""
    with LabProcess(autumn.population(wave, SCALE)) as lab:
        done: Done = command(home, "scan", "--from", "targets.txt", "--port", PORTS, "--format", "jsonl")
        told = lab.truth()
    assert done.code == 0, done.err[-2000:]
    truth = {t.address: (t.studies, t.images) for t in told if t.verdicts == ("exposed",)}
    summary = json.loads(done.out.splitlines()[-1])
    assert summary["endpoints"]["exposed"] == summary["archives"] == len(truth)
    assert summary["exposed"] == {
        "patients": sum(t.patients or 0 for t in told if t.verdicts == ("exposed",)),
        "studies": sum(studies or 0 for studies, _ in truth.values()),
        "images": sum(images or 0 for _, images in truth.values()),
        "complete": True,
    }
    return {key: (studies or 0, images or 0) for key, (studies, images) in truth.items()}


def _open(location: str) -> dict[str, tuple[Volume, str]]:
    """What stands open, with its volume and country."""
    e = exposures.c
    query = sa.select(e.address, e.studies, e.images, e.country).where(e.state == "open")
    return {address: ((studies, images), country) for address, studies, images, country in _all(location, query)}


def _events(location: str, scan: int) -> dict[str, set[str]]:
    query = (
        sa.select(events.c.kind, exposures.c.address)
        .join(exposures, exposures.c.id == events.c.exposure_id)
        .where(events.c.scan_id == scan)
    )
    found: dict[str, set[str]] = {}
    for kind, address in _all(location, query):
        found.setdefault(kind, set()).add(address)
    return found


def _moves(location: str) -> set[tuple[str, str, bool]]:
    old, new = exposures.alias(), exposures.alias()
    query = (
        sa.select(old.c.address, new.c.address, events.c.sure)
        .join(new, new.c.id == events.c.exposure_id)
        .join(old, old.c.id == events.c.other_id)
        .where(events.c.kind == "moved")
    )
    return {(was, now, sure) for was, now, sure in _all(location, query)}


def _all(location: str, query: sa.Select[tuple[object, ...]]) -> list[sa.Row[tuple[object, ...]]]:
    engine = open_engine(location)
    try:
        with engine.connect() as connection:
            return list(connection.execute(query).all())
    finally:
        engine.dispose()


def _images_by_country(changes: list[autumn.Change]) -> Counter[str]:
    images: Counter[str] = Counter()
    for change in changes:
        if change.after is not None:
            images[change.country] += change.after[1]
    return images
