"""The whole scan against real servers: verdict, capabilities, software, and every study, image and patient counted.

What a server offers is checked against what pynetdicom reads off the same server, what it holds against what pydicom
reads in the files that were loaded: neither oracle is us.
"""

from __future__ import annotations

import datetime
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pydicom
import pynetdicom
import pytest

from leadapron.watch.measure.record import EndpointRecord
from leadapron.wire import uids
from peers.certificates import Certificates
from peers.loading import load, statistics
from peers.process import Peer, launch, listening, program, wait_until
from peers.samples import Totals, make_studies, sample_files, totals
from peers.servers import start_dcmqrscp, start_orthanc, start_qrscp, start_storescp
from scan.scanning import scan
from watch.measure.strangers import accepted

FIRST = datetime.date(2019, 3, 4)
ODD_DATES = ("20191399", "2019.03.12", "00000000", "2019")  # written by real software; three are no date at all
NAMES = (
    ("ISO_IR 192", "Müller^Jörg", "Schädel, übersichtlich"),
    ("ISO_IR 192", "山田^太郎=やまだ^たろう", "胸部"),
    ("ISO_IR 144", "Иванов^Пётр", "Череп"),
    ("ISO_IR 100", "Fuß^Åsa", "Thorax p.a., über Eck"),
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real images, and studies of several series, undated ones, with odd dates, with names in many scripts."""
    home = tmp_path_factory.mktemp("images")
    files = sample_files()
    files += make_studies(home / "many", 4, series=2, instances=2, patients=3, seed=2)
    files += make_studies(home / "undated", 5, undated=5, instances=2, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what is no date
        files += make_studies(home / "odd", len(ODD_DATES), dates=ODD_DATES, seed=4)
        named = make_studies(home / "named", len(NAMES), seed=5)
    for path, (charset, name, description) in zip(named, NAMES, strict=True):
        dataset = pydicom.dcmread(path)
        dataset.SpecificCharacterSet, dataset.PatientName, dataset.StudyDescription = charset, name, description
        dataset.save_as(path)
    return files + named


@pytest.fixture(scope="module")
def loaded(images: list[Path]) -> Totals:
    return totals(images)


def holds(record: EndpointRecord, loaded: Totals) -> None:
    """The count is complete, exact and that of the files, to the last one."""
    assert record.verdict == "exposed" and record.reason is None
    exposed = record.exposed
    assert exposed is not None and exposed.complete and exposed.method == "exact", exposed
    assert (exposed.patients, exposed.studies, exposed.images) == (loaded.patients, loaded.studies, loaded.instances)
    assert exposed.note is None and exposed.interval is None


def offers_what_pynetdicom_sees(record: EndpointRecord, peer: Peer, called: str = "ANY-SCP") -> None:
    """Capabilities and software, as another toolkit reads them off the same server."""
    outcome = accepted(peer, called)
    has, capabilities, software = set(outcome.contexts), record.capabilities, record.software
    assert capabilities is not None and software is not None
    assert capabilities.echo and uids.VERIFICATION in has
    assert ("study" in capabilities.find) == (uids.STUDY_ROOT_FIND in has)
    assert ("patient" in capabilities.find) == (uids.PATIENT_ROOT_FIND in has)
    assert ("get" in capabilities.retrieve) == bool(has & {uids.STUDY_ROOT_GET, uids.PATIENT_ROOT_GET})
    assert ("move" in capabilities.retrieve) == bool(has & {uids.STUDY_ROOT_MOVE, uids.PATIENT_ROOT_MOVE})
    assert capabilities.store == len(has & set(uids.COMMON_STORAGE)) > 0
    assert capabilities.worklist == (uids.MODALITY_WORKLIST_FIND in has)
    assert capabilities.commitment == (uids.STORAGE_COMMITMENT_PUSH in has)
    assert capabilities.any_calling_ae is True
    assert software.implementation_class_uid == outcome.implementation_class_uid
    assert software.implementation_version_name == outcome.implementation_version_name


def dcmtk_version() -> str:
    import subprocess

    said = subprocess.run([program("storescp"), "--version"], capture_output=True, text=True, check=True, timeout=20)
    version = re.search(r"v(\d+\.\d+\.\d+)", said.stdout)
    assert version is not None
    return version[1]


# ---- Orthanc ---------------------------------------------------------------------------------------------------------


def test_orthanc_open_to_everybody(tmp_path: Path, images: list[Path], loaded: Totals) -> None:
    with start_orthanc(tmp_path / "orthanc") as peer:
        load(peer, images)
        assert statistics(peer)["studies"] == loaded.studies
        scanned = scan(peer)
        record = scanned.at(peer)
        holds(record, loaded)
        offers_what_pynetdicom_sees(record, peer)
        assert (record.transport, record.service) == ("tcp", "dicom")
        assert record.capabilities is not None and record.capabilities.commitment
        assert record.capabilities.find == ("study", "patient") and record.capabilities.retrieve == ("get", "move")
        assert record.capabilities.any_called_ae
        assert record.shapes is not None and record.shapes.names
        found = {finding.id: finding.severity for finding in record.findings}
        assert found["query-without-credentials"] == "critical"
        assert {"retrieve-possible", "store-without-credentials", "plain-transport", "any-ae-title"} <= found.keys()
        assert scanned.summary.archives == 1 and scanned.summary.exposed.complete
        assert scanned.summary.exposed.studies == loaded.studies
        assert statistics(peer)["instances"] == loaded.instances, "the scan changed what the server holds"


def test_orthanc_as_it_comes(tmp_path: Path, images: list[Path]) -> None:
    """Debian's defaults: anybody may echo and store, C-FIND is for known modalities; the association is aborted."""
    defaults = {"DicomAlwaysAllowFind": False, "DicomAlwaysAllowGet": False, "DicomAlwaysAllowMove": False}
    with start_orthanc(tmp_path / "orthanc", defaults) as peer:
        load(peer, images[:3])
        record = scan(peer).at(peer)
        assert record.verdict == "open" and record.exposed is None
        assert record.reason is not None and "C-FIND gave no records" in record.reason
        offers_what_pynetdicom_sees(record, peer)
        assert "store-without-credentials" in {finding.id for finding in record.findings}
        assert "query-without-credentials" not in {finding.id for finding in record.findings}


def test_orthanc_that_wants_its_own_title(tmp_path: Path, images: list[Path], loaded: Totals) -> None:
    with start_orthanc(tmp_path / "orthanc", {"DicomCheckCalledAet": True}, ae="PRAXIS7") as peer:
        load(peer, images)
        record = scan(peer).at(peer)
        assert record.verdict == "guarded"
        assert record.reason is not None and "called AE title not recognized" in record.reason
        assert record.software is None and record.capabilities is None and record.exposed is None
        assert record.load.associations == 0 and record.load.connections <= 3
        known = scan(peer, called=("PRAXIS7",)).at(peer)
        holds(known, loaded)
        assert known.capabilities is not None and known.capabilities.any_called_ae is not True


def test_orthanc_behind_a_title_that_everybody_knows(tmp_path: Path, images: list[Path], loaded: Totals) -> None:
    with start_orthanc(tmp_path / "orthanc", {"DicomCheckCalledAet": True}, ae="ORTHANC") as peer:
        load(peer, images)
        record = scan(peer).at(peer)
        holds(record, loaded)
        assert record.capabilities is not None and record.capabilities.any_called_ae is False
        assert "default-ae-title" in {finding.id for finding in record.findings}


@pytest.mark.parametrize("mutual", [False, True])
def test_orthanc_over_tls(
    tmp_path: Path, images: list[Path], loaded: Totals, certificates: Certificates, mutual: bool
) -> None:
    with start_orthanc(tmp_path / "orthanc", tls=certificates, mutual=mutual) as peer:
        wait_until(lambda: listening(peer.http_port or 0), "Orthanc's REST interface")
        load(peer, images)
        record = scan(peer).at(peer)
        assert record.transport == "tls"
        if mutual:
            assert record.verdict == "guarded" and record.reason is not None and "client certificate" in record.reason
            assert record.load.associations == 0 and record.exposed is None
        else:
            holds(record, loaded)
            assert "plain-transport" not in {finding.id for finding in record.findings}


# ---- several hundred studies, and limits -----------------------------------------------------------------------------

STUDIES = 360
IN_A_DAY = 110


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Totals]]:
    """An Orthanc with years of studies, and one day with more of them than any limit here lets through."""
    home = tmp_path_factory.mktemp("hospital")
    days = [FIRST + datetime.timedelta(days=3 * number) for number in range(STUDIES - IN_A_DAY)]
    files = make_studies(home / "years", STUDIES - IN_A_DAY, dates=days, patients=170, seed=6, pixels=2)
    files += make_studies(home / "day", IN_A_DAY, dates=[datetime.date(2020, 2, 29)], instances=2, seed=7, pixels=2)
    for number, path in enumerate(files):
        minutes = max(0, number - STUDIES + IN_A_DAY) // 2 * 6
        as_hospitals_write(path, f"{8 + minutes // 60:02d}{minutes % 60:02d}17")
    with start_orthanc(home / "orthanc") as peer:
        load(peer, files)
        yield peer, totals(files)


def as_hospitals_write(path: Path, time: str) -> None:
    """Gives a study a patient's number of seven digits, and a time."""
    dataset = pydicom.dcmread(path)
    dataset.PatientID = f"{crc32(str(dataset.PatientID).encode()) % 10**7:07d}"
    dataset.StudyTime = time
    dataset.save_as(path)


def restarted(peer: Peer, **settings: object) -> Peer:
    """Orthanc with settings changed, on the same data."""
    configuration = peer.home / "orthanc.json"
    configuration.write_text(json.dumps(json.loads(configuration.read_text()) | settings))
    peer.stop()
    return launch(peer, [program("Orthanc"), str(configuration)])


def test_several_hundred_studies(hospital: tuple[Peer, Totals]) -> None:
    peer, loaded = hospital
    assert loaded.studies == STUDIES
    holds(scan(peer).at(peer), loaded)


@pytest.mark.parametrize("limit", [40, 37])
def test_orthanc_that_stops_at_a_limit(hospital: tuple[Peer, Totals], limit: int) -> None:
    """Years, and a day longer than the limit: all are counted, by asking for less at a time."""
    peer, loaded = hospital
    restarted(peer, LimitFindResults=limit)
    scanned = scan(peer)
    holds(scanned.at(peer), loaded)
    measured = scanned.measurements[peer.host, peer.port]
    assert measured.count is not None and measured.count.requests > loaded.studies / limit


def test_a_limit_that_the_allowed_requests_do_not_reach(hospital: tuple[Peer, Totals]) -> None:
    """Then the count says so: never more than is there, and not complete."""
    peer, loaded = hospital
    restarted(peer, LimitFindResults=40)
    record = scan(peer, max_requests=12).at(peer)
    exposed = record.exposed
    assert record.load.requests <= 12
    assert exposed is not None and not exposed.complete and exposed.method != "exact" and exposed.note
    assert exposed.studies <= loaded.studies or exposed.method == "estimate"
    assert exposed.studies >= 40


@pytest.mark.parametrize("undated", [0, 5])
def test_everything_on_one_day_behind_a_limit(tmp_path: Path, undated: int) -> None:
    """It is split by time. Studies without a date are found by other means, but nobody can know that these are all."""
    files = make_studies(tmp_path / "day", 90, dates=[datetime.date(2021, 6, 1)], undated=undated, seed=8, pixels=2)
    for number, path in enumerate(files):
        as_hospitals_write(path, f"{8 + number // 9:02d}{number % 9 * 6:02d}30")
    with start_orthanc(tmp_path / "orthanc", {"LimitFindResults": 25}) as peer:
        load(peer, files)
        record = scan(peer).at(peer)
        if not undated:
            holds(record, totals(files))
            return
        exposed = record.exposed
        assert exposed is not None and not exposed.complete and exposed.method == "lower-bound" and exposed.note
        assert 85 <= exposed.studies <= 90


def test_everything_at_one_moment_behind_a_limit(tmp_path: Path) -> None:
    """No range splits it: the count stays a lower bound and says so."""
    files = make_studies(tmp_path / "moment", 60, dates=[datetime.date(2021, 6, 1)], seed=9, pixels=2)
    with start_orthanc(tmp_path / "orthanc", {"LimitFindResults": 25}) as peer:
        load(peer, files)
        exposed = scan(peer).at(peer).exposed
        assert exposed is not None and not exposed.complete and exposed.method == "lower-bound" and exposed.note
        assert 25 <= exposed.studies <= 60


# ---- DCMTK -----------------------------------------------------------------------------------------------------------


def test_dcmqrscp(tmp_path: Path, images: list[Path], loaded: Totals) -> None:
    """It knows its own title only; told that one, a stranger sees all."""
    with start_dcmqrscp(tmp_path / "dcmqrscp") as peer:
        load(peer, images)
        guarded = scan(peer).at(peer)
        assert guarded.verdict == "guarded"
        assert guarded.reason is not None and "called AE title not recognized" in guarded.reason
        record = scan(peer, called=(peer.ae,)).at(peer)
        holds(record, loaded)
        offers_what_pynetdicom_sees(record, peer, peer.ae)
        assert record.software is not None
        assert (record.software.product, record.software.version) == ("DCMTK", dcmtk_version())
        assert record.capabilities is not None and not record.capabilities.commitment


def test_dcmqrscp_that_knows_its_callers(tmp_path: Path) -> None:
    with start_dcmqrscp(tmp_path / "dcmqrscp", ae="ANY-SCP", callers="host0", destinations={"CT1": 10104}) as peer:
        record = scan(peer).at(peer)
        assert record.verdict == "guarded", record
        assert record.exposed is None


@pytest.mark.parametrize("mutual", [False, True])
def test_dcmqrscp_behind_tls(tmp_path: Path, images: list[Path], certificates: Certificates, mutual: bool) -> None:
    few = images[::4]
    with start_dcmqrscp(tmp_path / "dcmqrscp", ae="ANY-SCP", tls=certificates, mutual=mutual) as peer:
        load(peer, few, context=certificates.plain_client_context())
        record = scan(peer).at(peer)
        assert record.transport == "tls"
        if mutual:
            assert record.verdict == "guarded" and record.exposed is None
        else:
            holds(record, totals(few))


@pytest.mark.parametrize("transport", ["tcp", "tls", "mutual"])
def test_storescp(tmp_path: Path, certificates: Certificates, transport: str) -> None:
    tls = None if transport == "tcp" else certificates
    with start_storescp(tmp_path / "storescp", tls=tls, mutual=transport == "mutual") as peer:
        record = scan(peer).at(peer)
        assert record.exposed is None
        if transport == "mutual":
            assert (record.transport, record.verdict) == ("tls", "guarded")
            return
        assert (record.transport, record.verdict) == (transport, "open")
        assert record.capabilities is not None and record.capabilities.echo
        assert record.capabilities.store > 0 and record.capabilities.find == () == record.capabilities.retrieve
        if transport == "tcp":
            offers_what_pynetdicom_sees(record, peer)
        assert record.software is not None
        assert (record.software.product, record.software.version) == ("DCMTK", dcmtk_version())
        assert not any((peer.home / "received").iterdir()), "something was stored"


# ---- pynetdicom ------------------------------------------------------------------------------------------------------


def test_qrscp(tmp_path: Path, images: list[Path]) -> None:
    few = [path for path in images if path.parent.name != "odd"][::3]  # its database wants dates that are some
    with start_qrscp(tmp_path / "qrscp") as peer:
        load(peer, few)
        record = scan(peer).at(peer)
        holds(record, totals(few))
        offers_what_pynetdicom_sees(record, peer)
        assert record.software is not None
        assert (record.software.product, record.software.version) == ("pynetdicom", pynetdicom.__version__)
