"""The list of attacks, each against a guard that serves an honest peer and a reader's program at the same time.

They see no error and go on, the guard stays below 200 MB in all that this file does to it, it gives back its file
descriptors, and it writes a trail that verifies. (135 MB were the most that was seen, on two cores.)
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.survive.besieged import MEMORY, Besieged, Work, besieged, strike
from guard.survive.blows import BLOWS, asking, connect, drip, post, secure
from peers.loading import rest
from peers.process import wait_until
from peers.servers import start_orthanc

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
SLOW_S = 30.0
"""Longer than each bound of the guard in these tests."""
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


def test_who_sends_an_octet_a_second_is_left_on_each_listener(siege: Besieged, quiet: int) -> None:
    """Handshake, A-ASSOCIATE-RQ, head and body of a request: each has its time, whatever trickles in. (A PDU is seen to
    in the relay's own tests; a body for the pages has a minute, and then a rate to keep.)"""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    head = b"GET / HTTP/1.1\r\nX: " + b"x" * 1000
    left: dict[str, float] = {}

    def slow(name: str, door: contextlib.AbstractContextManager[Any], first: bytes, octets: bytes) -> None:
        begin = time.monotonic()
        with contextlib.suppress(OSError), door as sock:
            sock.sendall(first)
            drip(sock, octets, seconds=SLOW_S, pause=0.5)
            return
        left[name] = time.monotonic() - begin

    anonymous = siege.stranger
    ways: list[tuple[str, contextlib.AbstractContextManager[Any], bytes, bytes]] = [
        ("handshake, DICOM", connect(siege, 1), b"", hello),
        ("handshake, enrolment", connect(siege, 2, siege.enrol), b"", hello),
        ("handshake, pages", connect(siege, 3, siege.web), b"", hello),
        ("A-ASSOCIATE-RQ", secure(siege, 4), b"", asking()),
        ("head, enrolment", secure(siege, 6, siege.enrol, anonymous()), b"", head),
        ("head, pages", secure(siege, 7, siege.web, anonymous()), b"", head),
        ("body, enrolment", secure(siege, 8, siege.enrol, anonymous()), post("/enrol", 1000), bytes(1000)),
    ]
    with Work(siege) as work:
        threads = [threading.Thread(target=slow, args=way, daemon=True) for way in ways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SLOW_S + 10)
        work.goes_on(1)
    assert left.keys() == {name for name, *_ in ways}, left
    assert not work.errors


def test_what_the_attacks_left(siege: Besieged, quiet: int) -> None:
    """The trail tells of them and verifies; nothing of the guard's stands where they pointed to."""
    assert {path.name for path in siege.data.iterdir()} == {"guard", "peer-GOOD", "peer-EVIL"}
    assert siege.lead("audit", "verify", "--data", siege.data).code == 0
    shown = siege.lead("audit", "show", "--data", siege.data, "--format", "jsonl")
    assert shown.code == 0, shown.err
    assert "of another authority" in shown.out or "no certificate" in shown.out
    assert rest(siege.archive, "/system")["DicomAet"] == "PACS"
