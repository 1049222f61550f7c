"""TLS contexts: strict for our own services, and one for looking at strangers.

Ours follow BCP 195 as PS3.15 Annex B.9 and B.10 have it: TLS 1.2 and 1.3, ephemeral key exchange (ECDHE) and
authenticated encryption only, certificates verified on both sides where a client's is asked for. An archive that cannot
speak this belongs behind a gateway, not on a weaker context.

`probe_context` is the opposite on purpose: a census must be able to see servers with expired certificates and ciphers
of 2005. It verifies nothing. **It must never carry data**: whoever stands in between can read and change everything, so
all that may be said over it is what one would shout across the street (an association, an echo, a count).
"""

from __future__ import annotations

import contextlib
import os
import ssl
import warnings
from typing import Any, Final

from msgspec import Struct

STRICT_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of TLS 1.3 are all of this kind

Path = str | os.PathLike[str]


class TlsInfo(Struct, frozen=True):
    """What was agreed: ``TLSv1.3``, the cipher suite's name, the peer's certificate in DER (None if it sent none)."""

    version: str
    cipher: str
    certificate: bytes | None


class DirectSession(ssl.SSLObject):
    """A session whose ``read`` is OpenSSL's own, for ``context.sslobject_class``. The loop asks for each record of
    16 KiB, and the frame of Python that `ssl.SSLObject` puts in between is a twentieth of what a relay costs."""

    @property
    def read(self) -> Any:
        return self._sslobj.read  # type: ignore[attr-defined]

    @property
    def pending(self) -> Any:
        return self._sslobj.pending  # type: ignore[attr-defined]


def client_context(
    *, authorities: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """For our requests to servers that we trust: their certificate must be good, and for the host name.

    ``authorities``: a PEM file of those who may have signed it (the system's if None). ``certificate`` and ``key``: PEM
    files of our own, for servers that want to know who asks.
    """
    context = ssl.create_default_context(
        ssl.Purpose.SERVER_AUTH, cafile=None if authorities is None else os.fspath(authorities)
    )
    _strict(context)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def server_context(certificate: Path, key: Path | None = None, *, authorities: Path | None = None) -> ssl.SSLContext:
    """For a service of ours. With ``authorities`` (PEM file) a client must show a certificate signed by one of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _strict(context)
    context.load_cert_chain(certificate, key)
    if authorities is not None:
        context.load_verify_locations(os.fspath(authorities))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def probe_context() -> ssl.SSLContext:
    """For looking at strangers, never for data: verifies nothing, takes any version and cipher that OpenSSL still has.

    What the server shows is kept: see `tls_info`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options |= ssl.OP_LEGACY_SERVER_CONNECT if hasattr(ssl, "OP_LEGACY_SERVER_CONNECT") else 0x4
    return context


def tls_info(session: ssl.SSLObject | ssl.SSLSocket | None) -> TlsInfo | None:
    """What a TLS session agreed on; None for a plain connection."""
    if session is None:
        return None
    cipher = session.cipher()
    certificate = None
    with contextlib.suppress(ValueError):  # no handshake yet
        certificate = session.getpeercert(binary_form=True)
    return TlsInfo(session.version() or "", cipher[0] if cipher else "", certificate)


def _strict(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(STRICT_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
