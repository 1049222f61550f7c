"""The built-in certificate authority: one EC P-256 key in ``home``, certificates for peers and for the guard itself.

One level and no intermediate: whoever can read ``authority.key`` can read the guard's directory and so owns the guard
anyway. Leaf certificates live a year at most and are renewed by their owners; there is no CRL and no OCSP, because the
only party that must know of a revocation, the guard, looks into its own registry for every PDU.

The certificates satisfy RFC 5280 as OpenSSL checks it with ``X509_V_FLAG_X509_STRICT``. A leaf is for both sides of
TLS: a peer that is a C-MOVE destination takes associations, and the guard opens associations to peers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from leadapron.guard.identity.csr import PublicKey, key_pem, new_key, proven_key
from leadapron.guard.identity.lock import locked
from leadapron.guard.identity.names import GUARD_URI, ae_title, peer_name, peer_uris
from leadapron.kernel.clock import Clock, SystemClock
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.files import private_directory, write_whole

KEY_FILE: Final = "authority.key"
PEM_FILE: Final = "authority.pem"
AUTHORITY_DAYS: Final = 3653
LEAF_DAYS: Final = 365
SKEW: Final = timedelta(minutes=10)  # how far the clocks of modalities may be behind ours
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.ASCII)


class Authority:
    """`create` or `load` one. ``pem`` and ``fingerprint`` (SHA-256 of the DER, hexadecimal) are public."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, clock: Clock) -> None:
        self.certificate = certificate
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        self.fingerprint = fingerprint(certificate)
        self._key = key
        self._clock = clock

    @classmethod
    def create(cls, home: Path, name: str, *, clock: Clock | None = None, days: int = AUTHORITY_DAYS) -> Self:
        """Make one in ``home``; ``name`` is what certificates show as their issuer.

        Raises `UsageError` where there is one already: a second would lock every peer out.
        """
        clock = clock or SystemClock()
        with locked(private_directory(home)):
            if (home / PEM_FILE).exists():
                raise UsageError(f"{home / PEM_FILE} is there already; a new authority would lock every peer out")
            # A key without a certificate is what a crash between the two left: it has signed nothing yet.
            if not (home / KEY_FILE).exists():
                write_whole(home / KEY_FILE, key_pem(new_key()))
            key = _load_key(home / KEY_FILE)
            certificate = _self_signed(key, name, clock.now(), days)
            write_whole(home / PEM_FILE, certificate.public_bytes(serialization.Encoding.PEM))
        return cls(key, certificate, clock)

    @classmethod
    def load(cls, home: Path, *, clock: Clock | None = None) -> Self:
        """The one of ``home``. Raises `Failure` where there is none, or key and certificate do not belong together."""
        certificate = load_authority_certificate(home)
        key = _load_key(home / KEY_FILE)
        if key.public_key() != certificate.public_key():
            raise Failure(f"{KEY_FILE} and {PEM_FILE} in {home} do not belong together: restore both from one backup")
        return cls(key, certificate, clock or SystemClock())

    def sign_peer(self, csr: bytes, *, name: str, ae: str, days: int = LEAF_DAYS) -> bytes:
        """The certificate of a peer and ours behind it, in PEM. From ``csr`` only the proven public key is taken.

        Raises `BadRequest` for a request that cannot be granted, `UsageError` for a name or AE title that is none.
        """
        uris = peer_uris(peer_name(name), ae_title(ae))
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        leaf = self._sign(proven_key(csr), name, names, days)
        return leaf.public_bytes(serialization.Encoding.PEM) + self.pem

    def sign_server(self, names: Sequence[str], days: int = LEAF_DAYS) -> tuple[bytes, bytes]:
        """A new key and its certificate chain for the guard itself, both in PEM. ``names``: hosts and addresses."""
        key = new_key()
        alternatives: list[x509.GeneralName] = [general_name(name) for name in dict.fromkeys(names)]
        alternatives.append(x509.UniformResourceIdentifier(GUARD_URI))
        leaf = self._sign(key.public_key(), "Lead Apron guard", alternatives, days)
        return key_pem(key), leaf.public_bytes(serialization.Encoding.PEM) + self.pem

    def _sign(self, key: PublicKey, common_name: str, names: Sequence[x509.GeneralName], days: int) -> x509.Certificate:
        now, begin = self._clock.now(), self.certificate.not_valid_before_utc
        until = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        if days <= 0 or until <= max(now, begin):
            raise UsageError("the certificate would end before it begins; see when the authority's own ends")
        issuer = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return (
            _begun(common_name, self.certificate.subject, key, max(now - SKEW, begin), until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def serial_text(certificate: x509.Certificate) -> str:
    """The serial number as the registry and the command line show it: 40 hexadecimal digits."""
    return f"{certificate.serial_number:040x}"


def load_authority_certificate(home: Path) -> x509.Certificate:
    """The authority's certificate, without its key. Raises `Failure`."""
    path = home / PEM_FILE
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        raise Failure(f"there is no certificate authority in {home}: 'leadapron init guard' makes one") from None
    except (OSError, ValueError) as error:
        raise Failure(f"{path} cannot be read ({type(error).__name__}): restore it from a backup") from None


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        if path.stat().st_mode & 0o077:
            raise Failure(f"others may read {path}, which holds a key: chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Failure(f"{path} cannot be read ({type(error).__name__}): restore it from a backup") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Failure(f"{path} holds no EC key: restore it from a backup")
    return key


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str, now: datetime, days: int) -> x509.Certificate:
    builder = _begun(name, None, key.public_key(), now - SKEW, now + timedelta(days=days))
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _begun(
    common_name: str, issuer: x509.Name | None, key: PublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    try:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError:
        raise UsageError("a certificate's name has 1 to 64 characters") from None
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,  # RSA key exchange is what BCP 195 forbids
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def general_name(name: str) -> x509.DNSName | x509.IPAddress:
    """How a host name or an address stands in a certificate. Raises `UsageError`."""
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        host = name.lower().encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise UsageError(f"a name of the guard is neither a host name nor an address: {name[:64]!a}")
    return x509.DNSName(host)
