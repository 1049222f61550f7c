"""The real peers start, take what is loaded into them, and end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pynetdicom import AE

from peers.certificates import Certificates
from peers.loading import load, statistics
from peers.process import Peer, listening, run
from peers.samples import make_studies, sample_files, totals

Factory = Callable[..., Peer]


def test_orthanc_counts_what_was_loaded(orthanc: Factory, tmp_path: Path) -> None:
    files = sample_files(compressed=True) + make_studies(tmp_path / "made", 3, series=2, instances=2, undated=1)
    peer = orthanc()
    load(peer, files)
    want = totals(files)
    assert statistics(peer) == {
        "patients": want.patients,
        "studies": want.studies,
        "series": want.series,
        "instances": want.instances,
    }


@pytest.mark.parametrize("name", ["storescp", "dcmqrscp", "qrscp"])
def test_a_peer_takes_the_samples_and_ends(name: str, request: pytest.FixtureRequest, sample: list[Path]) -> None:
    factory: Factory = request.getfixturevalue(name)
    peer = factory()
    pid = peer.pid
    assert load(peer, sample) == len(sample)
    assert run(["echoscu", "-aec", peer.ae, peer.host, str(peer.port)]).returncode == 0
    peer.stop()
    assert not listening(peer.port)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("name", ["orthanc", "storescp", "dcmqrscp"])
def test_a_peer_over_tls(
    name: str, mutual: bool, request: pytest.FixtureRequest, sample: list[Path], certificates: Certificates
) -> None:
    factory: Factory = request.getfixturevalue(name)
    peer = factory(tls=certificates, mutual=mutual)
    assert load(peer, sample[:2], context=certificates.plain_client_context()) == 2
    stranger = certificates.plain_client_context(with_certificate=False)
    ae = AE()
    ae.add_requested_context("1.2.840.10008.1.1")
    association = ae.associate(peer.host, peer.port, ae_title=peer.ae, tls_args=(stranger, "localhost"))
    assert association.is_established is not mutual
    if association.is_established:
        association.release()


def test_totals_of_made_studies(tmp_path: Path) -> None:
    files = make_studies(tmp_path, 6, series=2, instances=3, patients=2, dates=["20200101", None])
    count = totals(files)
    assert (count.patients, count.studies, count.series, count.instances) == (2, 6, 12, 36)
