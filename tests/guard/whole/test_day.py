"""An ordinary day raises no alarm and meets no refusal; whoever copies the archive is stopped, and it is told.

A guard as `up` runs it with the bounds that it has by itself, before a real Orthanc. Thirty exams of four devices are
stored, three workstations look, fetch and move them and what there was before; the clock of the guard is set forward
from one event to the next, so the rates are those of a day though it passes in seconds. Objects are few for an exam:
what is counted are studies and requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random

import pydicom
import pytest

from guard.relaying import table
from guard.whole.premises import ARCHIVE_AE, Premises, bare, premises
from guard.whole.visiting import fetch
from leadapron.guard.audit.entry import Entry
from leadapron.guard.gateway.meter import Bounds
from leadapron.guard.identity.contexts import client_context
from leadapron.guard.policy.rules import PeerRules
from leadapron.wire import uids
from leadapron.wire.aio import (
    Call,
    ContextRequest,
    EchoRequest,
    RequestorAssociation,
    Service,
    StoreRequest,
    Supported,
    Timeouts,
    associate,
    choose,
    recognised,
    serve,
    server_context,
)
from leadapron.wire.elements.dictionary import Tag
from leadapron.wire.pdu import AssociateAccept, AssociateReject
from peers.loading import load, statistics
from peers.process import HOST, Peer, free_port
from peers.samples import make_studies
from peers.servers import start_orthanc

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
DEVICES, STATIONS = ("CT1", "MR1", "US1", "DX1"), ("WS1", "WS2", "WS3")
OBJECTS = {"CT1": (6, 12), "MR1": (4, 9), "US1": (2, 6), "DX1": (1, 2)}  # a twentieth of what they make
EXAMS, PRIORS = 30, 130
HOUR = 3600.0
PATIENT = Timeouts(connect=10, tls=10, associate=20, response=30, idle=30, write=20, release=10)
SC = uids.SECONDARY_CAPTURE_STORAGE
READING = [ContextRequest(uid) for uid in (uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET)]
STORING = [ContextRequest(SC, (uids.EXPLICIT_LE,))]
GETTING = [*READING, ContextRequest(SC, (uids.EXPLICIT_LE,), scu=False, scp=True)]
READER = "anna"


class Station(Service):
    """A workstation that is sent what it moves; ``studies`` that came, by whichever way."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.studies: list[str] = []

    async def on_associate(self, call: Call) -> AssociateAccept | AssociateReject:
        supported = Supported({SC: (uids.EXPLICIT_LE,), uids.VERIFICATION: (uids.IMPLICIT_LE,)})
        return choose(call.request, supported, recognised(called={self.title}, calling={ARCHIVE_AE}))

    async def echo(self, request: EchoRequest) -> int:
        return 0

    async def store(self, request: StoreRequest) -> int:
        self.studies.append((await request.read(1 << 20)).text(Tag.StudyInstanceUID, "UI"))
        return 0


class Practice:
    """``new`` and ``old``: studies by UID with their files; ``day`` begins when the guard does."""

    def __init__(self, place: Premises, archive: Peer, stations: dict[str, Station], new: Files, old: Files) -> None:
        self.place, self.archive, self.stations, self.new, self.old = place, archive, stations, new, old
        self.tls, self.begin = bare(None), place.clock.ticks
        self.token = ""

    def at(self, seconds: float) -> None:
        """It is so late since the day began, or later."""
        self.place.clock.move(max(0.0, self.begin + seconds - self.place.clock.ticks))

    def joined(self, name: str, contexts: list[ContextRequest]) -> AbstractAsyncContextManager[RequestorAssociation]:
        return associate(
            HOST,
            self.place.dimse,
            calling=name,
            called=ARCHIVE_AE,
            contexts=contexts,
            tls=client_context(self.place.peers[name]),
            server_name="localhost",
            timeouts=PATIENT,
        )

    async def examine(self, device: str, files: list[Path]) -> None:
        async with self.joined(device, STORING) as association:
            for path in files:
                assert await association.store_file(path) == 0

    async def look(self, station: str, patient: str = "*") -> list[str]:
        keys = [
            (Tag.QueryRetrieveLevel, "CS", "STUDY"),
            (Tag.PatientID, "LO", patient),
            (Tag.StudyInstanceUID, "UI", ""),
        ]
        async with self.joined(station, READING) as association:
            find = association.find(uids.STUDY_ROOT_FIND, keys)
            found = [answer.text(Tag.StudyInstanceUID, "UI") async for answer in find]
            assert find.status == 0, f"{find.status:04X}H"
            return found

    async def get(self, station: str, study: str) -> int:
        async with self.joined(station, GETTING) as association:
            return (await association.get(uids.STUDY_ROOT_GET, _level(study), self.stations[station].store)).status

    async def move(self, station: str, study: str) -> int:
        async with self.joined(station, READING) as association:
            return (await association.move(uids.STUDY_ROOT_MOVE, station, _level(study))).status

    async def fetch(self, study: str) -> int:
        """WADO-RS of the whole study, by a program of somebody's."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*',
        }
        answer = await fetch(self.place.web, HOST, self.tls, "GET", f"/dicom-web/studies/{study}", headers)
        assert answer is not None
        assert answer.status != 200 or b"DICM" in answer.body
        return answer.status

    def alarms(self, begin: int = 0) -> list[Entry]:
        """What of the trail is an alert, behind the first ``begin`` records; the console's own doings are none."""
        self.place.quiet()
        self.place.call(self.place.running._rules())  # takes the meter's to the trail, as it does each second
        return [one for one in self.place.since(begin) if one.event == "alert"]


Files = dict[str, list[Path]]


def _level(study: str) -> list[tuple[int, str, str]]:
    return [(Tag.QueryRetrieveLevel, "CS", "STUDY"), (Tag.StudyInstanceUID, "UI", study)]


def _by_study(paths: list[Path]) -> Files:
    found: Files = {}
    for path in paths:
        found.setdefault(str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID), []).append(path)
    return found


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    if not PLUGIN.exists():
        pytest.fail("Orthanc's DICOMweb plugin is needed for these tests: apt-get install -y orthanc-dicomweb")
    root, back = tmp_path_factory.mktemp("practice"), free_port()
    web = {"Enable": True, "Root": "/dicom-web/"}
    stations = {name: Station(name) for name in STATIONS}
    ports = {name: free_port() for name in STATIONS}
    old = _by_study(make_studies(root / "old", PRIORS, patients=EXAMS, pixels=4, seed=7))
    new = _by_study(make_studies(root / "new", EXAMS, instances=12, pixels=4, seed=8))
    with start_orthanc(
        root / "orthanc",
        {"Plugins": [str(PLUGIN)], "DicomWeb": web},
        ae=ARCHIVE_AE,
        destinations=dict.fromkeys(STATIONS, back),
    ) as archive:
        load(archive, [path for paths in old.values() for path in paths])

        with premises(root, (archive.port, f"http://{HOST}:{archive.http_port}"), back=back) as place:
            for name in DEVICES + STATIONS:
                place.enrol(name)
            place.rules(rules(ports))
            it = Practice(place, archive, stations, new, old)
            place.person(READER, ("web:query", "web:retrieve"))
            it.token = place.people.manage.make_token(READER, ("web:query", "web:retrieve"), 30, "test")

            async def listen() -> list[object]:
                servers = []
                for name in STATIONS:
                    keys = place.peers[name]
                    tls = server_context(keys / "peer.pem", keys / "peer.key", authorities=keys / "authority.pem")
                    servers.append(await serve(HOST, ports[name], stations[name], tls=tls, timeouts=PATIENT, grace=0))
                return list(servers)

            servers = place.call(listen())
            yield it

            async def close() -> None:
                for server in servers:
                    await server.close()  # type: ignore[attr-defined]

            place.call(close())


def rules(ports: dict[str, int], **bounds: int) -> str:
    """What such a practice writes down; ``bounds`` for workstations, the guard's own where there are none."""
    tables = [table(name, may=("echo", "store")) for name in DEVICES]
    for name in STATIONS:
        here = f"{HOST}:{ports[name]}"
        tables.append(table(name, may=("echo", "find", "retrieve"), move_to=(name,), receive=here, **bounds))
    return "\n".join(tables)


def test_an_ordinary_day_is_quiet(practice: Practice) -> None:
    place, random = practice.place, Random(30)
    events: list[tuple[float, str, str, str]] = []  # when, who, what, of which study
    for study in practice.new:
        device, at = random.choice(DEVICES), random.uniform(1.5, 10) * HOUR
        events.append((at, device, "examine", study))
        station, read = random.choice(STATIONS), at + random.uniform(0.3, 2) * HOUR
        events.append((read, station, "look", study))
        opened = [study, *random.sample(list(practice.old), random.randint(0, 3))]
        for number, one in enumerate(opened):
            events.append((read + 20 + 30 * number, station, random.choice(("get", "move", "fetch")), one))
        if random.random() < 0.3:  # once more, for a colleague who asks
            events.append((read + HOUR, station, "get", study))
    for station in STATIONS:  # a list that shows what is new
        events += [(at * 600.0, station, "list", "") for at in range(9, 72)]
    stored = 0
    for at, who, what, study in sorted(events):
        practice.at(at)
        if what == "examine":
            files = practice.new[study][: random.randint(*OBJECTS[who])]
            stored += len(files)
            place.call(practice.examine(who, files))
        elif what == "look":
            assert study in place.call(practice.look(who, patient_of(practice.new[study][0])))
        elif what == "list":
            place.call(practice.look(who, "SYNTHETIC-8-*"))
        elif what == "fetch":
            assert place.call(practice.fetch(study)) == 200
        else:
            status = place.call(getattr(practice, what)(who, study))
            assert status == 0, f"{what} of {who}: {status:04X}H"
    assert practice.alarms() == [] and not [line for line in place.told if "ALARM" in line]
    entries = place.since(0)
    assert all(one.outcome == 0 for one in entries), [one for one in entries if one.outcome]
    assert statistics(practice.archive)["instances"] == PRIORS + stored
    seen = {one.event for one in entries}
    assert {"begin-transfer", "transfer", "query"} <= seen, "and all of it stands in the trail"
    told = {thing.id for one in entries if one.event == "transfer" for thing in one.things if thing.kind == "study"}
    assert set(practice.new) <= told


def patient_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).PatientID)


PER_HOUR = 25


def bounded(practice: Practice) -> None:
    known = practice.place.running.rules.current
    ports = {name: int(known.rules(name).receive.rpartition(":")[2]) for name in STATIONS}  # type: ignore[union-attr]
    practice.place.rules(rules(ports, studies_per_hour=PER_HOUR))


@pytest.mark.parametrize(("station", "way"), [("WS1", "get"), ("WS2", "move")])
def test_a_copy_of_the_archive_is_stopped_and_alarms(practice: Practice, station: str, way: str) -> None:
    """One study a second, as a script does it, on the day after."""
    place, thief = practice.place, practice.stations[station]
    bounded(practice)
    place.clock.move(24 * HOUR)
    begin, taken = len(place.trail()), len(thief.studies)
    statuses = []
    for study in list(practice.old)[: PER_HOUR + 15]:
        place.clock.move(1)
        statuses.append(place.call(getattr(practice, way)(station, study)))
    assert statuses == [0] * PER_HOUR + [0xA700] * 15, "out of resources, from the first one too many on"
    assert len(set(thief.studies[taken:])) == PER_HOUR
    alarms = bulk(practice, begin, station)
    assert alarms and str(PER_HOUR) in (alarms[0].text or "")
    place.clock.move(HOUR + 60)  # an hour later it may read again
    assert place.call(getattr(practice, way)(station, next(iter(practice.old)))) == 0


def test_a_copy_in_one_request_brings_nothing_at_all(practice: Practice) -> None:
    place, thief = practice.place, practice.stations["WS3"]
    bounded(practice)  # by itself: another worker may have run what stands above
    place.clock.move(24 * HOUR)
    begin, taken = len(place.trail()), len(thief.studies)
    assert place.call(practice.get("WS3", "\\".join(list(practice.old)[: PER_HOUR + 1]))) == 0xA700
    assert len(thief.studies) == taken and bulk(practice, begin, "WS3")


def test_a_copy_over_the_web_is_stopped_and_alarms(practice: Practice) -> None:
    place, bound = practice.place, Bounds().studies_per_hour
    assert bound == PeerRules(name="x", ae="X").studies_per_hour < PRIORS
    place.clock.move(24 * HOUR)
    begin, statuses = len(place.trail()), []
    for study in list(practice.old)[: bound + 10]:
        place.clock.move(1)
        statuses.append(place.call(practice.fetch(study)))
    assert statuses == [200] * bound + [429] * 10
    assert bulk(practice, begin, READER)


def bulk(practice: Practice, begin: int, who: str) -> list[Entry]:
    """The alarms of bulk retrieval about somebody."""
    found = [one for one in practice.alarms(begin) if "Bulk retrieval" in one.types]
    assert all(one.outcome != 0 and who.lower() in one.names() for one in found), found
    return found
