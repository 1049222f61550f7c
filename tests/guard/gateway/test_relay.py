"""Real senders over TLS through the guard to a real archive."""

from __future__ import annotations

import pytest

from guard.relaying import House, guard, table
from leadapron.guard.audit.events import BeginTransferring, InstancesTransferred
from peers.loading import statistics
from peers.process import HOST, run
from peers.samples import sample_files


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House.build(tmp_path_factory.mktemp("house"))
    house.enrol("CT1")
    return house


def test_storescu_over_tls_to_orthanc(house, orthanc):
    archive = orthanc()
    files = sample_files()
    with guard(house, (HOST, archive.port, archive.ae), table("CT1")) as running:
        echo = run(["echoscu", *house.dcmtk("CT1"), *running.target(calling="CT1")])
        assert echo.returncode == 0, echo.stdout
        sent = run(["storescu", "-R", *house.dcmtk("CT1"), *running.target(calling="CT1"), *map(str, files)])
        assert sent.returncode == 0, sent.stdout
        running.quiet()
        assert statistics(archive)["instances"] == len(files)
        (told,) = running.told(InstancesTransferred)
        assert sum(sop.instances for study in told.studies for sop in study.sop_classes) == len(files)
        assert len(running.told(BeginTransferring)) == len(told.studies)
