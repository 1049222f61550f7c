"""Keys, and the requests for a certificate that are made with them (PKCS #10, RFC 2986).

Of a request only the public key counts, and the proof that its sender holds the private one. What it says about names
is not looked at: a certificate is for whom the authority says.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from leadapron.kernel.errors import LeadApronError

MAX_REQUEST: Final = 16 * 1024
RSA_BITS: Final = 3072
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class BadRequest(LeadApronError):
    """A request for a certificate that cannot be granted, whoever sent it."""


def new_key(kind: str = "ec") -> PrivateKey:
    """A private key: ``ec`` is P-256; ``rsa`` has 3072 bits, for devices that know nothing else."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """PKCS #8 without a password: it belongs into a file that only its owner may read."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def request(key: PrivateKey, common_name: str = "peer") -> bytes:
    """A request in PEM that proves that its sender holds ``key``."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def proven_key(csr: bytes) -> PublicKey:
    """The public key of a request (PEM), once its signature is verified. Raises `BadRequest`."""
    if len(csr) > MAX_REQUEST:
        raise BadRequest(f"the request for a certificate is longer than {MAX_REQUEST} octets")
    try:
        parsed = x509.load_pem_x509_csr(csr)
        good = parsed.is_signature_valid
        key = parsed.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise BadRequest("the request for a certificate cannot be read; it is expected as PKCS #10 in PEM") from None
    if not good:
        raise BadRequest("the request for a certificate is not signed with its own key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 4096 and key.public_numbers().e == 65537:
        return key
    raise BadRequest("the key is of a kind that is not signed: EC P-256 or P-384, or RSA with 2048 to 4096 bits")
