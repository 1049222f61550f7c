"""A stranger and a known device, both pynetdicom, so that the oracle is not us: what they meet, as a measurement."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from leadapron.watch.measure.dicom.proposal import ABSTRACT_SYNTAXES, CALLED, CALLING, request
from leadapron.watch.measure.model import (
    Aborted,
    Accepted,
    Attempt,
    Count,
    CountFailed,
    Echo,
    HungUp,
    Measurement,
    Outcome,
    Rejected,
    TlsFailed,
)
from leadapron.wire import uids
from peers.process import Peer

WAIT_S = 20
LISTEN_S = 3
# What OpenSSL calls the alert with which a server turns away who has no certificate (TLS 1.3, TLS 1.2).
CERTIFICATE_ALERTS = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")


def stranger(peer: Peer, called: str = CALLED, calling: str = CALLING) -> Measurement:
    """What somebody without credentials meets on a plain port: C-ECHO and one STUDY-level C-FIND, each on its own
    association, since some servers abort when they refuse."""
    outcome, association = _associate(peer, called, calling)
    echo: Echo | None = None
    count: Count | CountFailed | None = None
    if association is not None:
        if isinstance(outcome, Accepted) and uids.VERIFICATION in outcome.contexts:
            status = association.send_c_echo().get("Status")
            echo = Echo(status, None if status is not None else "no answer")
        association.release()
        if isinstance(outcome, Accepted) and uids.STUDY_ROOT_FIND in outcome.contexts:
            count = _count(peer, called, calling)
    return _measurement(peer, Attempt("tcp", called, calling, outcome), echo, count)


def secure_stranger(peer: Peer) -> Measurement:
    """What somebody without a certificate meets on a TLS port, by the standard library alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    outcome: Outcome
    try:
        with (
            socket.create_connection((peer.host, peer.port), timeout=WAIT_S) as plain,
            context.wrap_socket(plain) as secure,
        ):
            outcome = _speak(secure)
    except ssl.SSLError as error:
        reason = error.reason or ""
        outcome = TlsFailed(reason, any(alert in reason for alert in CERTIFICATE_ALERTS))
    except ConnectionError:
        outcome = HungUp(True)
    return _measurement(peer, Attempt("tls", CALLED, CALLING, outcome), None, None)


def _speak(secure: ssl.SSLSocket) -> Outcome:
    """In TLS 1.3 a server refuses who has no certificate after the client's handshake has ended, and closes. Who speaks
    first may then meet a reset that swallows the alert: so listen a moment before speaking."""
    secure.settimeout(LISTEN_S)
    try:
        first = secure.recv(1)
    except TimeoutError:
        secure.settimeout(WAIT_S)
        secure.sendall(request())
        first = secure.recv(1)
    return Accepted((uids.VERIFICATION,)) if first == b"\x02" else HungUp(False, len(first))


def served(
    peer: Peer, called: str, calling: str, *, tls: ssl.SSLContext | None = None, find: bool = True
) -> int | None:
    """How many studies a known device is answered; without ``find`` the status of its C-ECHO."""
    ae = _entity(calling)
    association = ae.associate(
        peer.host, peer.port, ae_title=called, tls_args=None if tls is None else (tls, "localhost")
    )
    assert association.is_established, f"{peer.name} turned a known device away:\n{peer.log()[-1500:]}"
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
    """Whether a C-FIND by that device ends without success."""
    return isinstance(_count(peer, called, calling), CountFailed)


def _entity(calling: str) -> AE:
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = WAIT_S
    for syntax in ABSTRACT_SYNTAXES:
        ae.add_requested_context(syntax, [uids.IMPLICIT_LE, uids.EXPLICIT_LE])
    return ae


def _associate(peer: Peer, called: str, calling: str) -> tuple[Outcome, Association | None]:
    association = _entity(calling).associate(peer.host, peer.port, ae_title=called)
    answer: Any = association.acceptor.primitive
    if association.is_rejected:
        return Rejected(answer.result, answer.result_source, answer.diagnostic), None
    if not association.is_established:
        return (Aborted(2, 0) if association.is_aborted else HungUp(False)), None
    accepted = {str(context.abstract_syntax) for context in association.accepted_contexts}
    acceptor = association.acceptor
    return (
        Accepted(
            contexts=tuple(syntax for syntax in ABSTRACT_SYNTAXES if syntax in accepted),
            max_pdu=acceptor.maximum_length,
            implementation_class_uid=str(acceptor.implementation_class_uid),
            implementation_version_name=acceptor.implementation_version_name,
        ),
        association,
    )


def _all_studies() -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = ""
    return keys


def _count(peer: Peer, called: str, calling: str) -> Count | CountFailed:
    outcome, association = _associate(peer, called, calling)
    if association is None:
        return CountFailed(type(outcome).__name__)
    pending, last = 0, None
    for status, _ in association.send_c_find(_all_studies(), uids.STUDY_ROOT_FIND):
        last = status.get("Status")
        pending += last in (0xFF00, 0xFF01)
    if association.is_established:
        association.release()
    if last != 0x0000:
        return CountFailed("the association was aborted" if last is None else "refused", last, 1)
    return Count(None, pending, None, complete=False, method="lower-bound", requests=1, answers=pending)


def _measurement(peer: Peer, attempt: Attempt, echo: Echo | None, count: Count | CountFailed | None) -> Measurement:
    return Measurement(peer.host, peer.port, "count", (attempt,), "2026-11-21T20:00:00Z", 0.0, echo=echo, count=count)
