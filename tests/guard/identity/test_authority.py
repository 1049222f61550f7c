"""The authority: what it signs, for whom, and what it refuses."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from guard.identity.making import Hand
from leadapron.guard.identity.authority import Authority, fingerprint
from leadapron.guard.identity.csr import BadRequest, new_key, proven_key, request
from leadapron.guard.identity.names import ae_title, peer_name
from leadapron.kernel.errors import Failure, UsageError


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def authority(tmp_path: Path, clock: Hand) -> Authority:
    return Authority.create(tmp_path / "guard", "Practice", clock=clock)


def leaf(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain)[0]


def alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_what_was_made_is_loaded(tmp_path: Path, authority: Authority) -> None:
    home = tmp_path / "guard"
    again = Authority.load(home)
    assert again.fingerprint == authority.fingerprint == fingerprint(again.certificate)
    assert again.pem == authority.pem == (home / "authority.pem").read_bytes()
    assert (home / "authority.key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


def test_openssl_finds_nothing_to_complain_about(tmp_path: Path, authority: Authority) -> None:
    chain = authority.sign_peer(request(new_key()), name="CT1", ae="CT 1")
    (tmp_path / "leaf.pem").write_bytes(chain)
    key, server = authority.sign_server(["guard.example", "192.0.2.7", "2001:db8::7"])
    (tmp_path / "server.pem").write_bytes(server)
    assert key.startswith(b"-----BEGIN PRIVATE KEY-----")
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(tmp_path / "guard" / "authority.pem")]
    for file in ("leaf.pem", "server.pem"):
        for purpose in ("sslserver", "sslclient"):
            ran = subprocess.run(
                [*verify, "-purpose", purpose, str(tmp_path / file)],
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert ran.returncode == 0, ran.stderr


def test_a_peers_certificate_says_who_it_is_for_and_that_it_is_no_host(authority: Authority, clock: Hand) -> None:
    certificate = leaf(authority.sign_peer(request(new_key()), name="CT1", ae="CT 1/a", days=30))
    names = alternatives(certificate)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["urn:leadapron:peer:CT1", "urn:leadapron:ae:CT%201%2Fa"]
    assert not names.get_values_for_type(x509.DNSName) and not names.get_values_for_type(x509.IPAddress)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "CT1"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc == clock.now() + timedelta(days=30)


def test_the_guards_certificate_names_its_hosts(authority: Authority) -> None:
    names = alternatives(leaf(authority.sign_server(["guard.example", "röntgen.example", "::1", "guard.example"])[1]))
    assert names.get_values_for_type(x509.DNSName) == ["guard.example", "xn--rntgen-wxa.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("::1")]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:leadapron:guard"]


@given(
    common_name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    wanted=st.sampled_from(["urn:leadapron:guard", "urn:leadapron:peer:MR1", "urn:leadapron:ae:MR1"]),
    ca=st.booleans(),
)
def test_whatever_a_request_asks_for_only_its_key_counts(
    tmp_path_factory: pytest.TempPathFactory, common_name: str, wanted: str, ca: bool
) -> None:
    authority = Authority.create(tmp_path_factory.mktemp("home") / "guard", "Practice")
    key = ec.generate_private_key(ec.SECP256R1())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("guard.example"), x509.UniformResourceIdentifier(wanted)]), False
        )
        .sign(key, hashes.SHA256())
    )
    signed = leaf(authority.sign_peer(csr.public_bytes(serialization.Encoding.PEM), name="CT1", ae="CT1"))
    assert signed.public_key() == key.public_key()
    assert [name.value for name in alternatives(signed)] == ["urn:leadapron:peer:CT1", "urn:leadapron:ae:CT1"]
    assert signed.subject.rfc4514_string() == "CN=CT1"
    assert not signed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@given(st.binary(max_size=400) | st.just(b"x" * 20_000))
def test_octets_that_are_no_request_are_refused(octets: bytes) -> None:
    with pytest.raises(BadRequest):
        proven_key(octets)


@given(at=st.integers(0, 10_000), by=st.integers(1, 255))
def test_a_request_that_was_touched_is_refused_or_says_the_same(at: int, by: int) -> None:
    good = x509.load_pem_x509_csr(request(_KEY)).public_bytes(serialization.Encoding.DER)
    touched = bytearray(good)
    touched[at % len(good)] ^= by
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n"
    pem += base64.encodebytes(bytes(touched)) + b"-----END CERTIFICATE REQUEST-----\n"
    with contextlib.suppress(BadRequest):
        assert proven_key(pem) == _KEY.public_key()


_KEY = new_key()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(3, 2048),
    ],
    ids=["P-521", "secp256k1", "Ed25519", "RSA 1024", "RSA with exponent 3"],
)
def test_weak_and_odd_keys_are_refused(key: ec.EllipticCurvePrivateKey) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(BadRequest, match="kind that is not signed"):
        proven_key(csr)


def test_nothing_outlives_the_authority(tmp_path: Path, clock: Hand) -> None:
    authority = Authority.create(tmp_path / "guard", "Practice", clock=clock, days=10)
    certificate = leaf(authority.sign_peer(request(new_key()), name="CT1", ae="CT1"))
    assert certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc
    clock.move(days=11)
    with pytest.raises(UsageError):
        authority.sign_peer(request(new_key()), name="CT1", ae="CT1")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "ä", "a\n", "x" * 64, "../x", 'a"b'])
def test_names_that_are_none(authority: Authority, name: str) -> None:
    with pytest.raises(UsageError):
        peer_name(name)
    with pytest.raises(UsageError):
        authority.sign_peer(request(new_key()), name=name, ae="CT1")


@pytest.mark.parametrize("ae", ["", " ", "A" * 17, "A\\B", "Ä", "A\x1b", "A\n"])
def test_titles_that_are_none(authority: Authority, ae: str) -> None:
    with pytest.raises(UsageError):
        ae_title(ae)
    with pytest.raises(UsageError):
        authority.sign_peer(request(new_key()), name="CT1", ae=ae)


def test_there_is_no_second_one(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(UsageError, match="lock every peer out"):
        Authority.create(tmp_path / "guard", "Practice")


def test_after_a_crash_between_key_and_certificate_it_can_be_made(tmp_path: Path, authority: Authority) -> None:
    home = tmp_path / "guard"
    key = (home / "authority.key").read_bytes()
    (home / "authority.pem").unlink()
    assert Authority.create(home, "Practice").pem == Authority.load(home).pem
    assert (home / "authority.key").read_bytes() == key


def test_two_that_make_one_at_the_same_time_make_one(tmp_path: Path) -> None:
    source = "import sys, pathlib; from leadapron.guard.identity.authority import Authority; "
    source += "print(Authority.create(pathlib.Path(sys.argv[1]), 'Practice').fingerprint)"
    command = [sys.executable, "-c", source, str(tmp_path / "guard")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0].strip() for process in both]
    assert sorted(process.returncode == 0 for process in both) == [False, True]
    assert Authority.load(tmp_path / "guard").fingerprint in printed


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "guard" / "authority.key").chmod(0o640)
    with pytest.raises(Failure, match="chmod 600"):
        Authority.load(tmp_path / "guard")


def test_files_that_do_not_fit(tmp_path: Path, authority: Authority) -> None:
    other = tmp_path / "other"
    Authority.create(other, "Other")
    home = tmp_path / "guard"
    with pytest.raises(Failure, match="init guard"):
        Authority.load(tmp_path / "nowhere")
    (home / "authority.pem").write_bytes((other / "authority.pem").read_bytes())
    with pytest.raises(Failure, match="do not belong together"):
        Authority.load(home)
    (home / "authority.pem").write_bytes(b"nothing")
    with pytest.raises(Failure, match="cannot be read"):
        Authority.load(home)
