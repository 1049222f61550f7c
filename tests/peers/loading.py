"""Putting files into a peer and asking it what it holds, without using our own code: the oracle must not be us."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pynetdicom import AE
from pynetdicom.association import Association

from peers.process import Peer

CONTEXTS_AT_ONCE = 128  # PS3.8 §9.3.2.2: identifiers are the odd numbers from 1 to 255


def load(peer: Peer, files: Iterable[Path], *, context: ssl.SSLContext | None = None) -> int:
    """Stores ``files`` in the peer, each with Success, and returns how many.

    Orthanc takes them by REST (unless TLS is asked for with ``context``), the others by pynetdicom's C-STORE.
    """
    paths = list(files)
    if peer.http_port is not None and context is None:
        for path in paths:
            rest(peer, "/instances", path.read_bytes())
        return len(paths)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    wanted = sorted({(str(h.SOPClassUID), str(h.file_meta.TransferSyntaxUID)) for h in headers})
    assert len(wanted) <= CONTEXTS_AT_ONCE, "too many kinds of files for one association"
    ae = AE(ae_title="LOADER")
    for sop_class, syntax in wanted:
        ae.add_requested_context(sop_class, syntax)
    tls = None if context is None else (context, "localhost")
    association = ae.associate(peer.host, peer.port, ae_title=peer.ae, tls_args=tls)
    assert association.is_established, f"{peer.name} did not accept the association of the loader"
    steady(association)
    try:
        for path in paths:
            answer = association.send_c_store(str(path))
            assert answer.get("Status") == 0x0000, f"{peer.name} did not store: {answer.get('Status')}"
    finally:
        association.release()
    return len(paths)


def steady(association: Association) -> None:
    """Makes a pynetdicom requestor fit for a fast peer.

    Its reactor thread, when it wakes late from the operation before, takes the answer to the next one and drops it; so
    it gets nothing while an operation is under way. And with Nagle on, as it leaves it, each message takes 80 ms.
    """
    association.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    original = association.dimse.get_msg

    def get_msg(block: bool = False) -> Any:
        if not block and not association._reactor_checkpoint.is_set():
            return None, None
        return original(block)

    association.dimse.get_msg = get_msg


def rest(peer: Peer, path: str, body: bytes | None = None) -> Any:
    """A call of Orthanc's REST interface (POST when there is a body); the JSON answer."""
    request = urllib.request.Request(f"http://{peer.host}:{peer.http_port}{path}", data=body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def statistics(peer: Peer) -> dict[str, int]:
    """Orthanc's own count: patients, studies, series, instances."""
    answer = rest(peer, "/statistics")
    return {kind: int(answer[f"Count{kind.title()}"]) for kind in ("patients", "studies", "series", "instances")}
