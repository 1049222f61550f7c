"""Orthanc with its DICOMweb plugin, for the tests of the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.process import Peer
from peers.servers import start_orthanc

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """An Orthanc whose REST, DICOMweb, WADO-URI and Explorer stand open on loopback."""
    if not PLUGIN.exists():
        pytest.fail(
            "Orthanc's DICOMweb plugin is one of the real peers of these tests: apt-get install -y orthanc-dicomweb"
        )
    web = {"Enable": True, "Root": "/dicom-web/", "EnableWado": True, "WadoRoot": "/wado"}
    with start_orthanc(tmp_path_factory.mktemp("orthanc"), {"Plugins": [str(PLUGIN)], "DicomWeb": web}) as peer:
        yield peer
