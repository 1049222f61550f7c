"""The remedies work: each is put in place on the real server, as its text says it, and tried.

Every test shows three things: that the server was open before, that a stranger is turned away after, and that a known
device is still served. What is put in place comes from the remedy's own parts, the same that people read.
"""

from __future__ import annotations

import json
import shlex
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leadapron.watch.measure.judge import judge
from leadapron.watch.measure.judge.model import Judgement
from leadapron.watch.measure.judge.remedies import Part, remedy
from peers.certificates import Certificates
from peers.loading import load
from peers.process import HOST, Peer, free_port, launch, program
from peers.samples import make_studies
from peers.servers import start_dcmqrscp, start_orthanc, start_storescp
from scan.scanning import scan
from watch.measure.strangers import refused_find, served

STUDIES = 3
DEVICE = {"name": "ct1", "device": "CT1", "host": HOST, "port": 10104}


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return make_studies(tmp_path / "images", STUDIES)


@pytest.fixture
def orthanc_home(tmp_path: Path) -> Iterator[Peer]:
    """Orthanc as it should not be: everybody may ask and fetch."""
    with start_orthanc(tmp_path / "orthanc") as peer:
        yield peer


def merge(settings: dict[str, Any], fragment: dict[str, Any]) -> dict[str, Any]:
    """JSON settings with a fragment merged in, objects key by key, as somebody with an editor would."""
    merged = dict(settings)
    for key, value in fragment.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def part(file: str, section: str, name: str) -> Part:
    return remedy(file, section).parts[name]


def mend(peer: Peer, *fragments: dict[str, Any]) -> None:
    """Merges settings into Orthanc's configuration and starts it again on the same data."""
    configuration = peer.home / "orthanc.json"
    settings = json.loads(configuration.read_text())
    for fragment in fragments:
        settings = merge(settings, fragment)
    configuration.write_text(json.dumps(settings))
    peer.stop()
    launch(peer, [program("Orthanc"), "--verbose", str(configuration)], also=(peer.http_port,))


def look(peer: Peer, **options: Any) -> Judgement:
    """What a scan of this server says of it; ``options`` are those of ``visit.Options``."""
    return judge(scan(peer, **options).measurements[peer.host, peer.port])


def verdict(peer: Peer, **options: Any) -> str:
    return look(peer, **options).verdict


def test_orthanc_answers_registered_devices_only(orthanc_home: Peer, images: list[Path]) -> None:
    peer = orthanc_home
    load(peer, images)
    before = look(peer)
    assert before.verdict == "exposed"
    assert {"query-without-credentials", "retrieve-possible", "store-without-credentials", "any-ae-title"} <= {
        finding.id for finding in before.findings
    }

    settings = part("orthanc", "access", "settings").filled({**DEVICE, "aet": "PRAXIS7"})
    mend(peer, settings)

    after = look(peer)
    assert after.verdict == "guarded"
    assert after.reason is not None and "called AE title not recognized" in after.reason
    assert not {finding.severity for finding in after.findings} & {"critical", "high"}
    knows_the_title = look(peer, called=("PRAXIS7",))
    assert knows_the_title.verdict == "guarded"
    assert knows_the_title.reason is not None and "calling AE title not recognized" in knows_the_title.reason
    assert served(peer, "PRAXIS7", "CT1") == STUDIES


def test_orthanc_compares_the_address_too(orthanc_home: Peer, images: list[Path]) -> None:
    load(orthanc_home, images)
    elsewhere = {**DEVICE, "host": "127.0.0.9", "aet": "PRAXIS7"}
    mend(orthanc_home, part("orthanc", "access", "settings").filled(elsewhere))
    assert verdict(orthanc_home, called=("PRAXIS7",), calling=("CT1",)) == "guarded"


def test_orthanc_pages_ask_for_a_password(orthanc_home: Peer) -> None:
    fragment = part("orthanc", "access", "web").filled({"user": "anna", "password": "correct horse"})
    mend(orthanc_home, fragment)
    address = f"http://{HOST}:{orthanc_home.http_port}/system"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address, timeout=20)
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, address, "anna", "correct horse")
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    with opener.open(address, timeout=20) as answer:
        assert json.load(answer)["DicomPort"] == orthanc_home.port


def test_orthanc_gives_a_device_only_what_it_needs(orthanc_home: Peer, images: list[Path]) -> None:
    load(orthanc_home, images)
    mend(
        orthanc_home,
        part("orthanc", "access", "settings").filled({**DEVICE, "aet": "PRAXIS7"}),
        part("orthanc", "store", "device").filled(DEVICE),
    )
    assert verdict(orthanc_home) == "guarded"
    assert served(orthanc_home, "PRAXIS7", "CT1", find=False) == 0
    assert refused_find(orthanc_home, "PRAXIS7", "CT1")


def test_orthanc_asks_for_certificates(orthanc_home: Peer, images: list[Path], certificates: Certificates) -> None:
    load(orthanc_home, images)
    assert verdict(orthanc_home) == "exposed"
    mend(
        orthanc_home,
        part("orthanc", "access", "settings").filled({**DEVICE, "aet": "PRAXIS7"}),
        part("orthanc", "transport", "settings").filled(
            {
                "certificate": str(certificates.server_certificate),
                "key": str(certificates.server_key),
                "trusted": str(certificates.authority),
            }
        ),
    )
    assert look(orthanc_home).verdict == "guarded"
    assert verdict(orthanc_home) not in ("exposed", "open")
    assert served(orthanc_home, "PRAXIS7", "CT1", tls=certificates.plain_client_context()) == STUDIES


def test_orthanc_takes_known_classes_only(tmp_path: Path) -> None:
    with start_orthanc(tmp_path / "orthanc", {"UnknownSopClassAccepted": True}) as peer:
        assert "accepts-unknown-sop-classes" in {finding.id for finding in look(peer).findings}
        mend(peer, part("orthanc", "classes", "settings").filled({}))
        assert "accepts-unknown-sop-classes" not in {finding.id for finding in look(peer).findings}


def test_dcmqrscp_answers_the_devices_in_its_table_only(tmp_path: Path, images: list[Path]) -> None:
    with start_dcmqrscp(tmp_path / "dcmqrscp", ae="ANY-SCP") as peer:
        load(peer, images)
        assert verdict(peer) == "exposed"

        configuration = peer.home / "dcmqrscp.cfg"
        area = peer.home / "database" / "ANY-SCP"
        values = {**DEVICE, "listen": peer.port, "archive": "PRAXIS7", "area": str(area)}
        configuration.write_text(part("dcmtk", "access", "config").filled(values))
        peer.stop()
        _start(peer, part("dcmtk", "access", "command").filled({"config": str(configuration)}))

        after = look(peer)
        assert after.verdict == "guarded"
        assert after.reason is not None and "called AE title not recognized" in after.reason
        assert verdict(peer, called=("PRAXIS7",)) == "guarded"
        assert served(peer, "PRAXIS7", "CT1") == STUDIES


def test_storescp_asks_for_certificates(tmp_path: Path, certificates: Certificates) -> None:
    with start_storescp(tmp_path / "storescp") as peer:
        before = look(peer)
        assert before.verdict == "open"
        assert "store-without-credentials" in {finding.id for finding in before.findings}
        peer.stop()
        # TLS alone is no guard: without a certificate of the client's everybody is still served.
        with start_storescp(tmp_path / "encrypted", tls=certificates) as encrypted:
            assert look(encrypted).verdict == "open"
        values = {
            "key": str(certificates.server_key),
            "certificate": str(certificates.server_certificate),
            "trusted": str(certificates.authority),
            "directory": str(peer.home / "received"),
            "listen": peer.port,
        }
        for section in ("store", "transport"):
            _start(peer, part("dcmtk", section, "storescp").filled(values))
            assert look(peer).verdict == "guarded"
            assert verdict(peer) not in ("exposed", "open")
            assert served(peer, "STORESCP", "CT1", tls=certificates.plain_client_context(), find=False) == 0
            peer.stop()


@pytest.mark.parametrize("file", ["generic", "dcmtk", "conquest"])
def test_stunnel_turns_strangers_away(
    file: str, tmp_path: Path, images: list[Path], certificates: Certificates
) -> None:
    with start_dcmqrscp(tmp_path / "dcmqrscp") as peer:
        load(peer, images)
        plain, peer.port = peer.port, free_port()
        lines = part(file, "transport", "stunnel").filled(
            {
                "listen": f"{HOST}:{peer.port}",
                "plain": f"{HOST}:{plain}",
                "certificate": str(certificates.server_certificate),
                "key": str(certificates.server_key),
                "trusted": str(certificates.authority),
            }
        )
        # The service of a system runs it so; here it must stay our child and write nothing outside.
        (peer.home / "stunnel.conf").write_text(f"foreground = yes\npid =\nsyslog = no\n{lines}")
        launch(peer, [program("stunnel"), str(peer.home / "stunnel.conf")], log="stunnel")
        assert look(peer).verdict == "guarded"
        assert served(peer, peer.ae, "CT1", tls=certificates.plain_client_context()) == STUDIES


def test_the_remedy_shown_is_that_of_the_product(orthanc_home: Peer) -> None:
    findings = look(orthanc_home).findings
    assert all(finding.remedies[-1] == "generic" for finding in findings)
    assert all("dcmtk" in finding.remedies for finding in findings)  # Orthanc 1.10 answers with DCMTK's identity


def _start(peer: Peer, command: str) -> None:
    name, *arguments = shlex.split(command)
    launch(peer, [program(name), *arguments])
