"""Key and certificate in the forms that devices import: PEM files, and PKCS #12 (RFC 7292).

For devices that cannot join by themselves. Their key is made here and leaves by a file, which is the weaker way: it was
somewhere else than in the device, so the guard keeps no copy, and the file is protected by a password.

``legacy`` is for importers older than about 2019: triple DES and SHA-1, as PKCS #12 was written for decades. It
protects no better than its password, so take the random one.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12
from msgspec import Struct

from leadapron.guard.identity.authority import PEM_FILE
from leadapron.guard.identity.contexts import PEER
from leadapron.guard.identity.pairs import complete, paths, write_next_key
from leadapron.kernel.errors import Failure, UsageError
from leadapron.kernel.files import private_directory, write_whole

MIN_PASSWORD: Final = 12
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else
_ROUNDS: Final = 600_000  # of PBKDF2-HMAC-SHA-256: OWASP's figure
_LEGACY_ROUNDS: Final = 100_000


class KeyPair(Struct, frozen=True):
    """PEM: ``key`` without a password; ``chain`` begins with its certificate and ends with the authority's."""

    key: bytes
    chain: bytes

    def __repr__(self) -> str:
        return "KeyPair(…)"


def write_pem(directory: Path, pair: KeyPair) -> None:
    """``peer.key``, ``peer.pem`` and ``authority.pem``, for their owner alone."""
    private_directory(directory)
    authority = x509.load_pem_x509_certificates(pair.chain)[-1]
    write_whole(directory / PEM_FILE, authority.public_bytes(serialization.Encoding.PEM))
    write_next_key(directory, PEER, pair.key)
    complete(directory, PEER, pair.chain)


def read_pem(directory: Path) -> KeyPair:
    """What `write_pem` or joining has left in a directory. Raises `Failure`."""
    certificate, key = paths(directory, PEER)
    try:
        return KeyPair(key.read_bytes(), certificate.read_bytes())
    except OSError as error:
        raise Failure(
            f"{directory} holds no {key.name} and {certificate.name} that can be read: {error.strerror}"
        ) from None


def password() -> str:
    """Four groups of five: 99 random bits."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))


def pkcs12_of(pair: KeyPair, name: str, secret: str, *, legacy: bool = False) -> bytes:
    """Key, certificate and authority as PKCS #12. Raises `UsageError` for a password that is too short."""
    if len(secret) < MIN_PASSWORD:
        raise UsageError(f"the password protects a key: take at least {MIN_PASSWORD} characters")
    key = serialization.load_pem_private_key(pair.key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise UsageError("the key is of a kind that devices do not import")
    own, *above = x509.load_pem_x509_certificates(pair.chain)
    builder = PrivateFormat.PKCS12.encryption_builder()
    if legacy:
        builder = builder.kdf_rounds(_LEGACY_ROUNDS).key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        builder = builder.hmac_hash(hashes.SHA1())
    else:
        builder = builder.kdf_rounds(_ROUNDS).key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        builder = builder.hmac_hash(hashes.SHA256())
    return pkcs12.serialize_key_and_certificates(
        name.encode("ascii", "replace"), key, own, above, builder.build(secret.encode("utf-8"))
    )
