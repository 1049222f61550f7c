"""TLS under any conversation of the lab: the inner one believes that it has a plain link.

OpenSSL works on memory buffers here, so that a TLS server is one more conversation of the swarm. Certificates are
made when first needed by an authority of the lab's own: nothing secret is shipped, and nothing outlives the process.
"""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final, cast

from leadapron.lab.server.station import Station
from leadapron.wire.aio.swarm import Conversation, End, Link

_CHUNK: Final = 64 * 1024
_NOT_TLS: Final = b"\x15\x03\x03\x00\x02\x02\x0a"  # RFC 8446 §6: alert, fatal, unexpected message


class TlsTalk(Conversation):
    """The server's side of TLS; ``inner`` speaks inside of it."""

    __slots__ = ("_alerts", "_engine", "_incoming", "_inner", "_outgoing", "_ready", "_wire", "link")

    def __init__(self, context: ssl.SSLContext, inner: Conversation, alerts: bool) -> None:
        self._alerts = alerts
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._inner = inner
        self._ready = False

    def opened(self, link: Link) -> None:
        self.link = link
        self._wire = _TlsWire(link, self._engine, self._outgoing)
        link.deadline(30.0)

    def received(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if not self._ready:
                self._engine.do_handshake()
                self._ready = True
                self._flush()
                self._inner.opened(cast(Link, self._wire))
            while self.link.open and (plain := self._engine.read(_CHUNK)):
                self._inner.received(plain)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._flush()  # the alert that says why; OpenSSL has none for what is no TLS at all
            if self._alerts and not self._ready and data[0] != 0x16:
                self.link.send(_NOT_TLS)
            self.link.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.link.send(self._outgoing.read())

    def writable(self) -> None:
        if self._ready:
            self._inner.writable()

    def timed_out(self) -> None:
        if self._ready:
            self._inner.timed_out()
        else:
            self.link.abort()

    def ended(self, end: End) -> None:
        if self._ready:
            self._inner.ended(end)

    def failed(self, error: Exception) -> None:
        if self._ready:
            self._inner.failed(error)


class _TlsWire:
    """A ``Link`` as the inner conversation sees it."""

    __slots__ = ("_engine", "_link", "_outgoing", "abort", "call_later", "deadline", "local", "remote")

    def __init__(self, link: Link, engine: ssl.SSLObject, outgoing: ssl.MemoryBIO) -> None:
        self._link, self._engine, self._outgoing = link, engine, outgoing
        self.abort, self.call_later, self.deadline = link.abort, link.call_later, link.deadline
        self.local, self.remote = link.local, link.remote

    @property
    def open(self) -> bool:
        return self._link.open

    @property
    def unsent(self) -> int:
        return self._link.unsent

    def send(self, data: bytes) -> None:
        if self._link.open:
            self._engine.write(data)
            self._link.send(self._outgoing.read())

    def close(self) -> None:
        self._link.close()


def over_tls(
    inner: Callable[[Station], Conversation], *, client_certificate: bool = False, alerts: bool = False
) -> Callable[[Station], Conversation]:
    """The same conversation over TLS; with ``client_certificate`` only for those whom the lab's authority knows.

    Who does not speak TLS is hung up on, as OpenSSL does it, or told so by an alert (``alerts``), as others do.
    """

    def talk(station: Station) -> Conversation:
        context = server_context(client_certificate, str(station.options.get("certificate", "")))
        return TlsTalk(context, inner(station), alerts)

    return talk


# ---- certificates ---------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority that lives as long as the process. ``path`` gives PEM files in a temporary directory."""

    def __init__(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        self._directory = tempfile.TemporaryDirectory(prefix="leadapron-lab-")
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lead Apron Lab")])
        self.certificate = self._write("authority", self._name, self._key, authority=True)
        self.server = self.issue("archive.example")
        self.client = self.issue("modality.example")

    def issue(self, common_name: str) -> Path:
        """A PEM file with a certificate that this authority has signed, and its key."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        return self._write(common_name, name, ec.generate_private_key(ec.SECP256R1()), authority=False)

    def _write(self, stem: str, name: object, key: object, *, authority: bool) -> Path:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        assert isinstance(name, x509.Name) and isinstance(key, ec.EllipticCurvePrivateKey)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            names = [x509.DNSName(stem), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        path = Path(self._directory.name) / f"{stem}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.touch(mode=0o600)
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + (b"" if authority else secret))
        return path


def _lasting(name: str) -> bytes:
    """A self-signed certificate for ``name`` and its key, PEM: by Ed25519, whose signatures depend on nothing else
    (RFC 8032), so that a server keeps its certificate from one run of the lab to another."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.x509.oid import NameOID

    seed = hashlib.sha256(name.encode()).digest()
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(seed[:8], "big") | 1)
        .not_valid_before(datetime(2019, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, None)
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@lru_cache(1)
def authority() -> Authority:
    """The lab's own, made when it is first needed."""
    return Authority()


@lru_cache(64)
def server_context(client_certificate: bool, name: str = "") -> ssl.SSLContext:
    """What TLS personas present; TLS 1.2 at least. ``name``: a certificate that is the same whenever it is made."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if name:
        with tempfile.NamedTemporaryFile(prefix="leadapron-lab-") as file:
            file.write(_lasting(name))
            file.flush()
            context.load_cert_chain(file.name)
    else:
        context.load_cert_chain(authority().server)
    if client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority().certificate)
    return context
