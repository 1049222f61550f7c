"""TLS on loopback: what is not allowed fails to negotiate, and the server learns of each failure once, and why."""

from __future__ import annotations

import functools
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from guard.identity.making import Guarded, Hand, der, guarded, issued, peer_directory
from leadapron.guard.identity import export
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.contexts import (
    client_context,
    delivery_context,
    enrolment_context,
    is_guard,
    joining_context,
    refusal,
    reload,
    server_context,
    web_context,
)
from leadapron.guard.identity.csr import key_pem, new_key, request
from leadapron.guard.identity.renewal import install_server
from leadapron.kernel.errors import Failure

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
WAIT_S = 10.0
KEYS = {kind: functools.cache(functools.partial(new_key, kind)) for kind in ("ec", "rsa")}  # RSA takes a second


@dataclass
class Met:
    """How one connection ended on the side of the server: who was there, or the error of the handshake."""

    certificate: bytes | None = None
    error: Exception | None = None
    version: str | None = None
    cipher: str = ""
    reused: bool | None = None


class Listener:
    """Real sockets, the standard library's ``ssl``, one connection at a time; says ``hello`` after the handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def meet(self) -> Future[Met]:
        """Take the next connection in a thread."""
        future: Future[Met] = Future()
        threading.Thread(target=lambda: future.set_result(self._meet()), daemon=True).start()
        return future

    def _meet(self) -> Met:
        self._socket.settimeout(WAIT_S)
        raw, _ = self._socket.accept()
        raw.settimeout(WAIT_S)
        try:
            with self._context.wrap_socket(raw, server_side=True) as link:
                cipher = link.cipher()
                met = Met(
                    link.getpeercert(True), None, link.version(), cipher[0] if cipher else "", link.session_reused
                )
                link.sendall(b"hello")
                return met
        except (ssl.SSLError, OSError) as error:
            return Met(error=error)
        finally:
            raw.close()

    def close(self) -> None:
        self._socket.close()


def talk(
    port: int, context: ssl.SSLContext, name: str | None = "guard.example", session: ssl.SSLSession | None = None
) -> tuple[bytes, ssl.SSLSession | None]:
    """Connect and read; the greeting, and the session."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    with raw, context.wrap_socket(raw, server_hostname=name, session=session) as link:
        return link.recv(5), link.session


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guarded]:
    clock = Hand()
    clock.move(days=-5)
    made = guarded(tmp_path / "guard", clock)
    clock.move(days=5)
    yield made
    made.registry.close()


@pytest.fixture
def listener(guard: Guarded) -> Iterator[Listener]:
    made = Listener(server_context(guard.home))
    yield made
    made.close()


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.maximum_version = context.minimum_version = version
    return context


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_the_right_one_is_let_in(
    guard: Guarded, listener: Listener, tmp_path: Path, version: ssl.TLSVersion, kind: str
) -> None:
    pair = issued(guard, key=KEYS[kind]())
    export.write_pem(tmp_path / "peer", pair)
    met = listener.meet()
    assert talk(listener.port, only(client_context(tmp_path / "peer"), version))[0] == b"hello"
    seen = met.result(WAIT_S)
    assert seen.error is None and seen.certificate == der(pair.chain)
    assert seen.version == version.name.replace("_", ".")
    assert "GCM" in seen.cipher or "CHACHA20" in seen.cipher


# ---- what is not allowed ---------------------------------------------------------------------------------------------

# Every suite of OpenSSL for TLS 1.2 and before that is not ephemeral or not authenticated encryption.
FORBIDDEN = [
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-SHA",
    "DHE-RSA-AES128-SHA256",
    "DHE-RSA-AES128-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA256",
    "AES128-SHA",
    "AES256-SHA",
    "ECDHE-ECDSA-NULL-SHA",
    "NULL-SHA256",
    "AECDH-AES128-SHA",
    "ADH-AES128-GCM-SHA256",
    "DHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CAMELLIA128-SHA256",
    "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-ARIA128-GCM-SHA256",
]


@pytest.mark.parametrize("suite", FORBIDDEN)
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_forbidden_suites_do_not_negotiate(
    guard: Guarded, listener: Listener, tmp_path: Path, suite: str, kind: str
) -> None:
    export.write_pem(tmp_path / "peer", issued(guard, key=KEYS[kind]()))
    context = only(client_context(tmp_path / "peer"), ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    met = listener.meet()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        talk(listener.port, context)
    error = met.result(WAIT_S).error
    assert error is not None and refusal(error) == "no cipher suite that is allowed"


def test_no_suite_that_we_offer_is_a_weak_one(guard: Guarded) -> None:
    for context in (server_context(guard.home), enrolment_context(guard.home), delivery_context(guard.home)):
        for cipher in context.get_ciphers():
            assert cipher["aead"] and cipher["strength_bits"] >= 128, cipher["name"]
            assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith("ECDHE-")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_do_not_negotiate(
    guard: Guarded, listener: Listener, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = client_context(peer_directory(guard, tmp_path / "peer"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    met = listener.meet()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        talk(listener.port, only(context, version))
    error = met.result(WAIT_S).error
    assert error is not None and refusal(error) == "a version of TLS that is not allowed"


# ---- who is not allowed ----------------------------------------------------------------------------------------------


def nobody(guard: Guarded, tmp: Path) -> ssl.SSLContext:
    return joining_context(guard.home)


def _with(guard: Guarded, tmp: Path, key: bytes, chain: bytes) -> ssl.SSLContext:
    context = joining_context(guard.home)
    (tmp / "x.pem").write_bytes(chain)
    (tmp / "x.key").write_bytes(key)
    context.load_cert_chain(tmp / "x.pem", tmp / "x.key")
    return context


def foreign(guard: Guarded, tmp: Path) -> ssl.SSLContext:
    """Of an authority with the same name, even."""
    key = new_key()
    other = Authority.create(tmp / "other", "Practice of the tests", clock=guard.clock)
    return _with(guard, tmp, key_pem(key), other.sign_peer(request(key), name="CT1", ae="CT1"))


def expired(guard: Guarded, tmp: Path) -> ssl.SSLContext:
    """By our own authority: for one day, two days ago."""
    key = new_key()
    guard.clock.move(days=-2)
    chain = guard.authority.sign_peer(request(key), name="CT1", ae="CT1", days=1)
    guard.clock.move(days=2)
    return _with(guard, tmp, key_pem(key), chain)


def self_signed(guard: Guarded, tmp: Path) -> ssl.SSLContext:
    Authority.create(tmp / "self", "CT1", clock=guard.clock)
    return _with(
        guard, tmp, (tmp / "self" / "authority.key").read_bytes(), (tmp / "self" / "authority.pem").read_bytes()
    )


def by_a_peer(guard: Guarded, tmp: Path) -> ssl.SSLContext:
    """Signed with a peer's key, as if a peer were an authority."""
    pair = issued(guard)
    signer = serialization.load_pem_private_key(pair.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    itself = Authority(signer, x509.load_pem_x509_certificates(pair.chain)[0], guard.clock)
    key = new_key()
    return _with(guard, tmp, key_pem(key), itself.sign_peer(request(key), name="MR1", ae="MR1"))


STRANGERS: list[tuple[Callable[[Guarded, Path], ssl.SSLContext], set[str]]] = [
    (nobody, {"no certificate"}),
    (foreign, {"certificate of another authority", "certificate not good (X.509 error 7)"}),
    (expired, {"certificate expired"}),
    (self_signed, {"certificate self-signed"}),
    (by_a_peer, {"certificate not good (X.509 error 79)", "certificate not good (X.509 error 24)"}),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("stranger", "reasons"), STRANGERS, ids=[made.__name__ for made, _ in STRANGERS])
def test_strangers_are_turned_away_and_the_server_learns_why(
    guard: Guarded,
    listener: Listener,
    tmp_path: Path,
    version: ssl.TLSVersion,
    stranger: Callable[[Guarded, Path], ssl.SSLContext],
    reasons: set[str],
) -> None:
    context = only(stranger(guard, tmp_path), version)
    met = listener.meet()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        # In TLS 1.3 the client's handshake ends before its certificate is looked at: it learns when it reads.
        assert talk(listener.port, context)[0] == b""
        raise ConnectionError
    error = met.result(WAIT_S).error
    assert error is not None and refusal(error) in reasons


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.0\r\n\r\n", b"\x01\x00\x00\x00\x00\xcd\x00\x01" + bytes(200), bytes(64)]
)
def test_what_is_no_tls_is_told_apart(listener: Listener, said: bytes) -> None:
    met = listener.meet()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=WAIT_S) as link:
        link.sendall(said)
        error = met.result(WAIT_S).error
    assert error is not None and refusal(error) == "not TLS"


def test_who_hangs_up_is_told_apart(listener: Listener) -> None:
    met = listener.meet()
    socket.create_connection(("127.0.0.1", listener.port), timeout=WAIT_S).close()
    error = met.result(WAIT_S).error
    assert error is not None and refusal(error) == "the connection ended during the TLS handshake"
    assert refusal(TimeoutError()) == "no TLS handshake in time"


# ---- the other side --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_resumed(guard: Guarded, listener: Listener, tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = only(client_context(peer_directory(guard, tmp_path / "peer")), version)
    met = listener.meet()
    _, session = talk(listener.port, context)
    met.result(WAIT_S)
    again = listener.meet()
    talk(listener.port, context, session=session)
    assert again.result(WAIT_S).reused is False


def test_a_peer_does_not_pass_for_the_guard(guard: Guarded, tmp_path: Path) -> None:
    """Even one whose name looks like the guard's host."""
    directory = peer_directory(guard, tmp_path / "guard.example", "guard.example", "FALSE")
    context = server_context(guard.home)
    reload(context, directory, "peer")
    listener = Listener(context)
    met = listener.meet()
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        talk(listener.port, client_context(directory))
    met.result(WAIT_S)
    listener.close()
    assert not is_guard(der((directory / "peer.pem").read_bytes()))


def test_the_guard_is_known_where_its_name_is_not(guard: Guarded, listener: Listener, tmp_path: Path) -> None:
    context = client_context(peer_directory(guard, tmp_path / "peer"), check_hostname=False)
    met = listener.meet()
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=WAIT_S)
    with raw, context.wrap_socket(raw) as link:
        assert is_guard(link.getpeercert(True))
        link.recv(5)
    met.result(WAIT_S)
    assert not is_guard(None) and not is_guard(b"") and not is_guard(b"nothing")


def test_the_guard_delivers_to_a_peer_that_it_knows(guard: Guarded, tmp_path: Path) -> None:
    directory = peer_directory(guard, tmp_path / "peer")
    context = server_context(guard.home)
    reload(context, directory, "peer")
    listener = Listener(context)
    met = listener.meet()
    assert talk(listener.port, delivery_context(guard.home), None)[0] == b"hello"
    assert is_guard(met.result(WAIT_S).certificate)
    listener.close()


@pytest.mark.parametrize("make", [enrolment_context, web_context])
def test_where_no_certificate_is_asked_for_none_is_needed(
    guard: Guarded, make: Callable[[Path], ssl.SSLContext]
) -> None:
    listener = Listener(make(guard.home))
    met = listener.meet()
    assert talk(listener.port, joining_context(guard.home))[0] == b"hello"
    assert met.result(WAIT_S).certificate is None
    listener.close()


def test_a_new_certificate_is_taken_by_an_open_listener(guard: Guarded, tmp_path: Path) -> None:
    context = server_context(guard.home)
    listener = Listener(context)
    peer = client_context(peer_directory(guard, tmp_path / "peer"))
    for expected in ("guard.example", "other.example"):
        if expected == "other.example":
            install_server(guard.home, guard.authority, [expected])
            reload(context, guard.home)
        met = listener.meet()
        assert talk(listener.port, peer, expected)[0] == b"hello"
        met.result(WAIT_S)
    listener.close()


def test_files_that_cannot_be_used_say_so(guard: Guarded) -> None:
    (guard.home / "server.key").write_bytes(key_pem(new_key()))
    with pytest.raises(Failure, match="cannot be used"):
        server_context(guard.home)
    (guard.home / "authority.pem").unlink()
    with pytest.raises(Failure, match="cannot be used as an authority"):
        server_context(guard.home)
