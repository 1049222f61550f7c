"""A known device, and an oracle for what a server accepts: both pynetdicom, so that it is not us."""

from __future__ import annotations

import ssl

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from leadapron.watch.measure.dicom.proposal import ABSTRACT_SYNTAXES, CALLED, CALLING
from leadapron.watch.measure.model import Accepted
from leadapron.wire import uids
from peers.process import Peer

WAIT_S = 20


def accepted(peer: Peer, called: str = CALLED) -> Accepted:
    """What this server accepts of our proposal, as pynetdicom reads it."""
    association = _associate(peer, called, CALLING)
    association.release()
    mine = {str(context.abstract_syntax) for context in association.accepted_contexts}
    acceptor = association.acceptor
    return Accepted(
        contexts=tuple(syntax for syntax in ABSTRACT_SYNTAXES if syntax in mine),
        max_pdu=acceptor.maximum_length,
        implementation_class_uid=str(acceptor.implementation_class_uid),
        implementation_version_name=acceptor.implementation_version_name,
    )


def served(
    peer: Peer, called: str, calling: str, *, tls: ssl.SSLContext | None = None, find: bool = True
) -> int | None:
    """How many studies a known device is answered; without ``find`` the status of its C-ECHO."""
    association = _associate(peer, called, calling, tls)
    try:
        if not find:
            status: int | None = association.send_c_echo().get("Status")
            return status
        answers = list(association.send_c_find(_all_studies(), uids.STUDY_ROOT_FIND))
        assert answers and answers[-1][0].get("Status") == 0x0000, f"{peer.name} did not answer a known device"
        return len(answers) - 1
    finally:
        if association.is_established:
            association.release()


def refused_find(peer: Peer, called: str, calling: str) -> bool:
    """Whether a C-FIND by that device, which may associate, ends without success."""
    association = _associate(peer, called, calling)
    try:
        last = [status.get("Status") for status, _ in association.send_c_find(_all_studies(), uids.STUDY_ROOT_FIND)][-1]
        return last != 0x0000
    finally:
        if association.is_established:
            association.release()


def _entity(calling: str) -> AE:
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = WAIT_S
    for syntax in ABSTRACT_SYNTAXES:
        ae.add_requested_context(syntax, [uids.IMPLICIT_LE, uids.EXPLICIT_LE])
    return ae


def _associate(peer: Peer, called: str, calling: str, tls: ssl.SSLContext | None = None) -> Association:
    association = _entity(calling).associate(
        peer.host, peer.port, ae_title=called, tls_args=None if tls is None else (tls, "localhost")
    )
    assert association.is_established, f"{peer.name} turned {calling} away:\n{peer.log()[-1500:]}"
    return association


def _all_studies() -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = ""
    return keys
