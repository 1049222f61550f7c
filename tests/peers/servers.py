"""Orthanc, DCMTK's storescp and dcmqrscp, and pynetdicom's qrscp, each with one function that starts it.

Each takes a home directory of its own and returns a running ``Peer``. Move destinations are given as
``{AE title: port}`` on loopback.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from peers.certificates import Certificates
from peers.process import HOST, INSTALL, Peer, free_port, launch, program

Destinations = Mapping[str, int]


def start_orthanc(
    home: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    ae: str = "ORTHANC",
    destinations: Destinations | None = None,
    tls: Certificates | None = None,
    mutual: bool = False,
) -> Peer:
    """Orthanc with its REST interface on loopback, wide open: it answers C-FIND, C-GET and C-MOVE to everybody.

    ``overrides`` are keys of Orthanc's configuration and win. ``tls`` turns DICOM over TLS on, ``mutual`` with a
    client certificate demanded.
    """
    home.mkdir(parents=True, exist_ok=True)
    port, http_port = free_port(), free_port()
    configuration: dict[str, Any] = {
        "Name": "peer",
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": ae,
        "DicomPort": port,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {title.lower(): [title, HOST, number] for title, number in (destinations or {}).items()},
        "SaveJobs": False,
        "Plugins": [],
    }
    if tls is not None:
        configuration |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(tls.server_certificate),
            "DicomTlsPrivateKey": str(tls.server_key),
            "DicomTlsTrustedCertificates": str(tls.authority),
            "DicomTlsRemoteCertificateRequired": mutual,
        }
    configuration |= dict(overrides or {})
    (home / "orthanc.json").write_text(json.dumps(configuration, indent=1))
    peer = Peer("Orthanc", configuration["DicomAet"], configuration["DicomPort"], home, tls=tls is not None)
    peer.http_port = configuration["HttpPort"]
    launch(peer, [program("Orthanc"), "--verbose", str(home / "orthanc.json")], also=(peer.http_port,))
    return peer


def start_storescp(
    home: Path,
    *options: str,
    ae: str = "STORESCP",
    tls: Certificates | None = None,
    mutual: bool = False,
) -> Peer:
    """DCMTK's storescp; what it receives lies in ``peer.home / "received"``."""
    received = home / "received"
    received.mkdir(parents=True, exist_ok=True)
    peer = Peer("storescp", ae, free_port(), home, tls=tls is not None)
    secure: list[str] = []
    if tls is not None:
        secure = ["+tls", str(tls.server_key), str(tls.server_certificate), "+cf", str(tls.authority)]
        secure.append("-rc" if mutual else "-ic")
    command = [program("storescp"), "-v", "--fork", "-aet", ae, "-od", str(received), *secure, *options]
    return launch(peer, [*command, str(peer.port)])


def start_dcmqrscp(
    home: Path,
    *options: str,
    ae: str = "DCMQRSCP",
    destinations: Destinations | None = None,
    callers: str = "ANY",
    access: str = "RW",
    quota: str = "(2000, 1024mb)",
    tls: Certificates | None = None,
    mutual: bool = False,
) -> Peer:
    """DCMTK's dcmqrscp with one AE title. ``callers`` is the last column of its AETable: ``ANY`` or a vendor's name.

    dcmqrscp speaks no TLS before DCMTK 3.6.8; with ``tls`` a stunnel stands in front, as sites do it.
    """
    database = home / "database" / ae
    database.mkdir(parents=True, exist_ok=True)
    known = enumerate((destinations or {}).items())
    hosts = "".join(f"host{i} = ({title}, {HOST}, {number})\n" for i, (title, number) in known)
    port = free_port()
    (home / "dcmqrscp.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\n{hosts}HostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{ae} {database} {access} {quota} {callers}\nAETable END\n"
    )
    peer = Peer("dcmqrscp", ae, port, home)
    launch(peer, [program("dcmqrscp"), "-v", "-c", str(home / "dcmqrscp.cfg"), *options, str(port)])
    return peer if tls is None else _behind_stunnel(peer, tls, mutual)


def start_qrscp(home: Path, *options: str, ae: str = "QRSCP", destinations: Destinations | None = None) -> Peer:
    """pynetdicom's qrscp application on a database of its own."""
    if importlib.util.find_spec("pynetdicom") is None:
        pytest.fail(f"pynetdicom is not installed, a real peer of these tests: {INSTALL['pynetdicom']}")
    home.mkdir(parents=True, exist_ok=True)
    peer = Peer("qrscp", ae, free_port(), home)
    sections = "".join(
        f"[{title}]\naddress: {HOST}\nport: {number}\n" for title, number in (destinations or {}).items()
    )
    (home / "qrscp.ini").write_text(
        f"[DEFAULT]\nae_title: {ae}\nport: {peer.port}\nmax_pdu: 16382\nacse_timeout: 30\ndimse_timeout: 30\n"
        f"network_timeout: 30\nbind_address: {HOST}\ninstance_location: {home / 'instances'}\n"
        f"database_location: {home / 'instances.sqlite'}\nlog_identifier: False\n{sections}"
    )
    command: Sequence[str] = [sys.executable, "-m", "pynetdicom", "qrscp", "-c", str(home / "qrscp.ini"), "-v"]
    return launch(peer, [*command, *options])


def _behind_stunnel(peer: Peer, tls: Certificates, mutual: bool) -> Peer:
    """Puts TLS in front of a plain peer; ``peer.port`` is then the secure one."""
    plain, peer.port = peer.port, free_port()
    check = f"verifyChain = yes\nCAfile = {tls.authority}\n" if mutual else ""
    (peer.home / "stunnel.conf").write_text(
        f"foreground = yes\npid =\nsyslog = no\n[dicom]\naccept = {HOST}:{peer.port}\nconnect = {HOST}:{plain}\n"
        f"cert = {tls.server_certificate}\nkey = {tls.server_key}\n{check}"
    )
    peer.tls = True
    return launch(peer, [program("stunnel"), str(peer.home / "stunnel.conf")], log="stunnel")
