"""TLS for the guard: mutual, strict, and trusting one authority, our own.

PS3.15 B.12 and B.13 (BCP 195, RFC 9325): TLS 1.2 and 1.3; of 1.2 only suites with ephemeral key exchange (ECDHE) and
authenticated encryption. Nothing is resumed: a session ticket would carry an authentication past the end or the
revocation of its certificate, and an association lives long enough to pay for one full handshake.

In TLS 1.3 a client believes that its handshake is done before the server has seen its certificate (RFC 8446 §4.4.2.4),
so it learns of a refusal at its first read. The server does not: its handshake fails, once, and `refusal` says why.

Client contexts check the host name by the subject alternative names alone; peers' certificates have none of type DNS or
IP, so no peer passes for the guard. Where the name cannot be known (an address behind NAT) `is_guard` tells.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from leadapron.guard.identity.authority import PEM_FILE
from leadapron.guard.identity.names import GUARD_URI
from leadapron.guard.identity.pairs import paths
from leadapron.kernel.errors import Failure

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:@SECLEVEL=2"  # of TLS 1.2; all of TLS 1.3 are of this kind
SERVER: Final = "server"
PEER: Final = "peer"


def server_context(home: Path, *, stem: str = SERVER) -> ssl.SSLContext:
    """For the guard's listeners, or a peer's (``stem``): who connects must show a certificate of our authority's. To a
    peer any other peer may connect with it: see `is_guard`."""
    context = _strict(ssl.PROTOCOL_TLS_SERVER, home)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    reload(context, home, stem)
    return context


def enrolment_context(home: Path) -> ssl.SSLContext:
    """For the enrolment service: a joining machine has no certificate yet, a renewing one shows its own."""
    context = server_context(home)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def web_context(home: Path) -> ssl.SSLContext:
    """For pages that people open with a browser: no certificate is asked for, another proof follows."""
    context = server_context(home)
    context.verify_mode = ssl.CERT_NONE
    return context


def client_context(directory: Path, *, stem: str = PEER, check_hostname: bool = True) -> ssl.SSLContext:
    """For a peer's requests: its ``peer.pem`` and ``peer.key``, and the ``authority.pem`` it verified at joining."""
    context = _strict(ssl.PROTOCOL_TLS_CLIENT, directory)
    context.check_hostname = check_hostname
    context.hostname_checks_common_name = False
    reload(context, directory, stem)
    return context


def delivery_context(home: Path) -> ssl.SSLContext:
    """For associations that the guard opens to peers. Peers have no host names: the caller must `Registry.identify` the
    certificate that is shown, and say which AE title it expects."""
    return client_context(home, stem=SERVER, check_hostname=False)


def joining_context(authority: Path | None) -> ssl.SSLContext:
    """For a machine without a certificate. ``authority``: directory of a verified ``authority.pem``; None trusts nobody
    and verifies nothing, which is good for fetching that file and for nothing else."""
    context = _strict(ssl.PROTOCOL_TLS_CLIENT, authority)
    context.check_hostname = False
    if authority is None:
        context.verify_mode = ssl.CERT_NONE
    return context


def reload(context: ssl.SSLContext, directory: Path, stem: str = SERVER) -> None:
    """Take the certificate that is there now, for connections to come. Raises `Failure`."""
    certificate, key = paths(directory, stem)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        mend = "remove both, and the guard makes new ones" if stem == SERVER else "renew them"
        raise Failure(
            f"{certificate} and {key} cannot be used ({_kind(error)}): restore both from one backup, or {mend}"
        ) from None


def is_guard(certificate: bytes | None) -> bool:
    """Whether a verified certificate (DER) is the guard's own, not a peer's."""
    if not certificate:
        return False
    try:
        names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound):
        return False
    return GUARD_URI in names.value.get_values_for_type(x509.UniformResourceIdentifier)


def refusal(error: BaseException) -> str:
    """Why a handshake failed, in words of ours: for the audit trail. Nothing that the other side sent is in it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFICATION.get(error.verify_code, f"certificate not good (X.509 error {error.verify_code})")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        for part, words in _TLS.items():
            if part in reason:
                return words
        return f"TLS failed ({reason})" if reason else "the connection ended during the TLS handshake"
    if isinstance(error, TimeoutError):
        return "no TLS handshake in time"
    return "the connection ended during the TLS handshake"


# X.509 verification errors of OpenSSL, x509_vfy.h
_VERIFICATION: Final = {
    9: "certificate not yet valid",
    10: "certificate expired",
    18: "certificate self-signed",
    19: "certificate of another authority",
    20: "certificate of another authority",
    21: "certificate of another authority",
    26: "certificate not for this purpose",
}
_TLS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "NO_SHARED_CIPHER": "no cipher suite that is allowed",
    "NO_SHARED_GROUP": "no cipher suite that is allowed",
    "NO_SUITABLE": "no cipher suite that is allowed",
    "UNSUPPORTED_PROTOCOL": "a version of TLS that is not allowed",
    "VERSION_TOO_LOW": "a version of TLS that is not allowed",
    "WRONG_VERSION_NUMBER": "not TLS",
    "HTTP_REQUEST": "not TLS",
    "PACKET_LENGTH_TOO_LONG": "not TLS",
    "UNEXPECTED_MESSAGE": "not TLS",
    "RECORD_LAYER_FAILURE": "not TLS",
    "UNKNOWN_CA": "our certificate was refused",
    "BAD_CERTIFICATE": "our certificate was refused",
    "CERTIFICATE_UNKNOWN": "our certificate was refused",
    "CERTIFICATE_EXPIRED": "our certificate was refused",
    "UNEXPECTED_EOF": "the connection ended during the TLS handshake",
}


def _strict(protocol: ssl._SSLMethod, authority: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if authority is not None:
        try:
            context.load_verify_locations(authority / PEM_FILE)
        except (OSError, ssl.SSLError) as error:
            raise Failure(f"{authority / PEM_FILE} cannot be used as an authority ({_kind(error)})") from None
    return context


def _kind(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
