"""Invariant 4: devices come to no harm. What a scan is to the machine that it visits, as a tap in front of it sees it.

Old modalities die of two visitors at once, of odd titles, of associations that are left open; so each of these is
watched at the socket, and the record's own figures are held against what was seen there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from invariants.tap import ABORT, RELEASE_RP, RELEASE_RQ, Connection, Tap, addresses
from leadapron.lab import ArchiveSpec, EndpointSpec, LabProcess, Population
from leadapron.lab.personas import personas
from leadapron.watch.measure.dicom.proposal import CALLING, MAX_CALLED, MAX_CALLING
from scan.scanning import Scanned, moved, scan

ARCHIVE = ArchiveSpec(studies=130, seed=5, images=6.0)
HOST_PAUSE_S = 0.1  # find.pace: a host is left alone so long between two endpoints of it
PAUSE_S = 0.05  # visit.Options: between two questions, and two connections, to one endpoint
TOLERANCE_S = 0.02  # what is seen at the socket is a little off what was slept
KINDS = (
    *("fragile", "dcmtk", "no-image-counts", "silent-limit-100", "rejects-called", "orthanc-title", "congested"),
    *("echo-only", "find-fails", "refuses-contexts", "identifier-truncated", "abort-mid-find", "wrong-message-ids"),
    *(
        "stalls-mid-find",
        "endless-answers",
        "patient-root-only",
        "closes",
        "http",
        "reset-at-release",
        "never-releases",
    ),
)
PORTS = (104, 11112, 4242)

Visits = tuple[dict[str, Tap], Scanned]


@pytest.fixture(scope="module")
def visits() -> Iterator[Visits]:
    """Each kind of server at an address of its own, all of its ports leading to it."""
    places = addresses(len(KINDS))
    specs = [EndpointSpec(f"127.2.0.{n + 1}", 0, kind, archive=ARCHIVE) for n, kind in enumerate(KINDS)]
    with ExitStack() as stack:
        truth = stack.enter_context(LabProcess(Population("load", specs), free_ports=True)).truth()
        taps = {
            kind: stack.enter_context(Tap(place, dict.fromkeys(PORTS, (one.address, one.port))))
            for kind, place, one in zip(KINDS, places, truth, strict=True)
        }
        scanned = scan(places, ports=PORTS, timeout=4.0, patience=4.0, max_requests=60)
        for tap in taps.values():
            tap.settled()
        yield taps, scanned


def at(tap: Tap, port: int) -> list[Connection]:
    return [connection for connection in tap.connections if connection.port == port]


def spoken(tap: Tap) -> list[Connection]:
    """Those over which DICOM was spoken; the rest are TLS handshakes with servers that hang up on DICOM."""
    return [connection for connection in tap.connections if not connection.is_tls]


def test_one_connection_at_a_time_for_a_host(visits: Visits) -> None:
    """Whichever of its ports they go to."""
    assert {kind: tap.most_at_once for kind, tap in visits[0].items()} == dict.fromkeys(KINDS, 1)
    assert all({connection.port for connection in tap.connections} == set(PORTS) for tap in visits[0].values())


def test_a_host_is_left_alone_between_two_visits(visits: Visits) -> None:
    """The tap may learn late of an end, on a busy machine, and then a pause looks shorter than it was: but few do."""
    pauses = []
    for tap in visits[0].values():
        for first, second in pairwise(tap.connections):
            assert first.ended is not None
            pauses.append((second.began - first.ended) / (PAUSE_S if first.port == second.port else HOST_PAUSE_S))
    assert len(pauses) > 100
    assert sum(pause < 0.8 for pause in pauses) < len(pauses) / 10


def test_there_is_a_pause_between_two_questions(visits: Visits) -> None:
    many = 0
    for kind, tap in visits[0].items():
        for port in PORTS:
            record = visits[1].records[tap.address, port]
            many += record.load.requests > 10
            assert record.elapsed_s >= (record.load.requests - 2) * (PAUSE_S - TOLERANCE_S), kind
    assert many >= 9, "or this proves nothing"


def test_an_association_is_never_left_without_a_good_bye(visits: Visits) -> None:
    """A-RELEASE or A-ABORT is the last word wherever an association stood; nothing is said behind it."""
    ended = {RELEASE_RQ: 0, ABORT: 0}
    for kind, tap in visits[0].items():
        for connection in tap.connections:
            kinds = [number for number, _ in connection.pdus]
            last_words = [number for number in kinds if number in (RELEASE_RQ, RELEASE_RP, ABORT)]
            if not connection.accepted:
                continue
            server_left = kind in ("abort-mid-find",) and not last_words
            assert server_left or kinds[-1] in (RELEASE_RQ, ABORT), (kind, kinds)
            assert kinds.count(RELEASE_RQ) <= 1, kind
            for number in last_words[:1]:
                ended[number] += 1
    assert ended[RELEASE_RQ] > 60 and ended[ABORT] > 3, "or this proves nothing"


def test_a_reset_is_for_servers_that_have_been_told(visits: Visits) -> None:
    """RST, which old stacks take badly, only behind an A-ABORT or a release that was not answered."""
    for kind, tap in visits[0].items():
        for connection in tap.connections:
            if connection.reset and connection.accepted:
                assert connection.pdus[-1][0] in (ABORT, RELEASE_RQ), kind


def test_a_device_is_asked_no_more_than_is_allowed(visits: Visits) -> None:
    for kind, tap in visits[0].items():
        for port in PORTS:
            asked = [name for one in at(tap, port) for name, _, _ in one.messages() if name != "C-CANCEL-RQ"]
            assert len(asked) <= 60, kind


@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_however_little_is_allowed(most: int) -> None:
    specs = [EndpointSpec(f"127.2.0.{n + 1}", 11112, kind, archive=ARCHIVE) for n, kind in enumerate(KINDS[:4])]
    with LabProcess(moved(Population("few", specs))) as lab:
        scanned = scan([one.address for one in lab.truth()], ports=(11112,), max_requests=most)
        for truth in lab.truth():
            record = scanned.at(truth)
            assert sum(truth.seen.requests.values()) == record.load.requests <= most
            if record.exposed is not None and not record.exposed.complete:
                assert record.exposed.note


def test_the_load_in_the_record_is_what_the_device_saw(visits: Visits) -> None:
    for kind, tap in visits[0].items():
        for port in PORTS:
            record = visits[1].records.get((tap.address, port))
            assert record is not None, kind
            seen = at(tap, port)
            asked = [name for one in seen for name, _, _ in one.messages() if name != "C-CANCEL-RQ"]
            assert record.load.connections == len(seen), kind
            assert record.load.associations == sum(one.accepted for one in seen), kind
            # A request that crosses the server's own abort was sent, and is lost in the reset that follows.
            lost = range(len(seen) + 1) if kind == "abort-mid-find" else (0,)
            assert record.load.requests - len(asked) in lost, kind


def test_we_say_who_we_are(visits: Visits) -> None:
    """The calling title is ours and ordinary, the implementation is named, whomever we call."""
    for kind, tap in visits[0].items():
        for connection in spoken(tap):
            assert connection.request.calling == CALLING == "LEADAPRON", kind
            user = dict(connection.request.user)
            assert user[0x55].startswith(b"LEADAPRON"), kind


def test_few_titles_are_tried(visits: Visits) -> None:
    tried = {}
    for kind, tap in visits[0].items():
        for port in PORTS:
            seen = [connection for connection in spoken(tap) if connection.port == port]
            called = {one.request.called for one in seen}
            assert len(called) <= MAX_CALLED == 3, kind
            assert len({one.request.calling for one in seen}) <= MAX_CALLING == 2, kind
            tried[kind, port] = called
    assert len(tried["rejects-called", 104]) == 3
    assert tried["fragile", 104] == {"ANY-SCP"}, "another title where the first one was welcome"


def test_the_titles_that_the_user_names_are_the_only_ones() -> None:
    specs = [EndpointSpec("127.2.0.1", 11112, "rejects-called", archive=ARCHIVE)]
    with LabProcess(moved(Population("titles", specs))) as lab:
        scan(lab.truth()[0].address, ports=(11112,), called=("ONE", "TWO"), calling=("MYSELF",))
        seen = lab.truth()[0].seen
    assert (seen.called, seen.calling, seen.connections) == ({"ONE", "TWO"}, {"MYSELF"}, 2)


def test_the_fragile_modality_lives() -> None:
    """At every depth, three times in a row, and a last time with everything that the count can ask."""
    specs = [EndpointSpec("127.2.0.1", 11112, "fragile", archive=ArchiveSpec(studies=120, seed=6))]
    with LabProcess(moved(Population("old", specs))) as lab:
        place = lab.truth()[0].address
        for depth in ("touch", "capabilities", "estimate", "count"):
            record = scan(place, ports=(11112,), depth=depth).at(lab.truth()[0])
            assert record.verdict == ("exposed" if depth in ("estimate", "count") else "open")
        (truth,) = lab.truth()
        assert truth.crashed is None
        assert truth.seen.most_at_once == 1 and truth.seen.broken == 0


def test_the_lab_s_modality_can_die() -> None:
    """Else its survival would prove nothing."""
    import socket

    assert personas()["fragile"].options
    specs = [EndpointSpec("127.2.0.1", 11112, "fragile", archive=ARCHIVE)]
    with LabProcess(moved(Population("old", specs))) as lab:
        place = lab.truth()[0].address
        with socket.create_connection((place, 11112), timeout=10) as one:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            one.settimeout(10)
            record = scan(place, ports=(11112,), timeout=1).at(lab.truth()[0])
        assert lab.truth()[0].crashed is not None
        assert record.verdict == "silent"
