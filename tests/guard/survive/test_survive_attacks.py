"""The list of attacks, each against a guard that serves an honest peer and a reader's program at the same time.

They see no error and go on, the guard stays below 200 MB in all that this file does to it, it gives back its file
descriptors, and it writes a trail that verifies.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.survive.besieged import MEMORY, Besieged, Work, besieged, strike
from guard.survive.blows import BLOWS
from peers.loading import rest
from peers.process import wait_until
from peers.servers import start_orthanc

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SPARE = 12
"""Descriptors that may come to stay: connections to the archive that are kept, files of the registry by thread."""
TIMES = {"a deflated image": 4, "a deflated query": 4}
"""16 of the others; more of these would show what the archive can stand."""


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    if not PLUGIN.exists():
        pytest.fail("Orthanc's DICOMweb plugin is one of the real peers: apt-get install -y orthanc-dicomweb")
    home = tmp_path_factory.mktemp("siege")
    more = {"Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, "OverwriteInstances": True}
    with start_orthanc(home / "archive", more, ae="PACS") as archive, besieged(home, archive) as guard:
        yield guard


@pytest.fixture(scope="module")
def quiet(siege: Besieged) -> int:
    """Descriptors of the guard when nobody is there, after some ordinary work."""
    with Work(siege) as work:
        work.goes_on()
    least = siege.descriptors

    def steady() -> bool:
        nonlocal least
        before, least = least, siege.descriptors
        return least == before

    wait_until(steady, "it is quiet")
    return least


@pytest.mark.parametrize("name", BLOWS)
def test_an_attack_while_a_peer_works(name: str, siege: Besieged, quiet: int) -> None:
    with Work(siege) as work:
        work.goes_on(1)
        done = strike(lambda number: BLOWS[name](siege, number), TIMES.get(name, 16), hands=16)
        work.goes_on(2)
    assert not work.errors, work.errors
    assert done, "no blow was struck"
    assert siege.peak < MEMORY, f"{siege.peak >> 20} MB"
    wait_until(lambda: siege.descriptors <= quiet + SPARE, f"{siege.descriptors} descriptors come back to {quiet}")
    assert "Traceback" not in siege.up.err


def test_what_the_attacks_left(siege: Besieged, quiet: int) -> None:
    """The trail tells of them and verifies; nothing of the guard's stands where they pointed to."""
    assert {path.name for path in siege.data.iterdir()} == {"guard", "peer-GOOD", "peer-EVIL"}
    assert siege.lead("audit", "verify", "--data", siege.data).code == 0
    shown = siege.lead("audit", "show", "--data", siege.data, "--format", "jsonl")
    assert shown.code == 0, shown.err
    assert "of another authority" in shown.out or "no certificate" in shown.out
    assert rest(siege.archive, "/system")["DicomAet"] == "PACS"
