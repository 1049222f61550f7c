"""The guard's own certificate, pairs of files that change together, and what is handed to devices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from guard.identity.making import NAMES, Guarded, guarded, issued, peer_directory
from leadapron.guard.identity import export, pairs
from leadapron.guard.identity.contexts import client_context, server_context
from leadapron.guard.identity.csr import key_pem, new_key
from leadapron.guard.identity.renewal import Ending, expiring, leaf, renew_server
from leadapron.kernel.errors import Failure, UsageError


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guarded]:
    made = guarded(tmp_path / "guard")
    yield made
    made.registry.close()


# ---- the guard's own -------------------------------------------------------------------------------------------------


def test_it_is_renewed_before_it_ends_and_not_earlier(guard: Guarded) -> None:
    serial = leaf(guard.home / "server.pem").serial_number
    again = lambda: renew_server(guard.home, guard.authority, NAMES, clock=guard.clock)  # noqa: E731
    assert not again()
    guard.clock.move(days=304)
    assert not again() and leaf(guard.home / "server.pem").serial_number == serial
    guard.clock.move(days=2)
    assert again() and not again()
    assert leaf(guard.home / "server.pem").serial_number != serial
    server_context(guard.home)
    assert (guard.home / "server.key").stat().st_mode & 0o777 == 0o600


def test_a_clock_that_was_ahead_for_a_while_leaves_no_certificate_that_nobody_takes(guard: Guarded) -> None:
    again = lambda: renew_server(guard.home, guard.authority, NAMES, clock=guard.clock)  # noqa: E731
    guard.clock.move(days=2000)  # as after a start with a dead battery
    assert again()
    guard.clock.move(days=-2000)
    assert again() and not again()
    assert leaf(guard.home / "server.pem").not_valid_before_utc <= guard.clock.now()
    guard.clock.move(days=-10_000)  # before the authority begins nothing better can be made
    assert not again()


def test_with_the_authority_it_ends_and_is_not_renewed_again_and_again(guard: Guarded) -> None:
    again = lambda: renew_server(guard.home, guard.authority, NAMES, clock=guard.clock)  # noqa: E731
    end = guard.authority.certificate.not_valid_after_utc
    guard.clock.move(days=(end - guard.clock.now()).days - 5)
    assert again() and leaf(guard.home / "server.pem").not_valid_after_utc == end
    assert not again()
    guard.clock.move(days=6)
    with pytest.raises(UsageError):
        again()


def test_it_is_renewed_for_new_names_and_made_where_there_is_none(guard: Guarded) -> None:
    assert not renew_server(guard.home, guard.authority, ["127.0.0.1"], clock=guard.clock)
    assert renew_server(guard.home, guard.authority, ["röntgen.example", "::1"], clock=guard.clock)
    assert not renew_server(guard.home, guard.authority, ["röntgen.example", "::1"], clock=guard.clock)
    (guard.home / "server.pem").unlink()
    assert renew_server(guard.home, guard.authority, NAMES, clock=guard.clock)
    with pytest.raises(UsageError):
        renew_server(guard.home, guard.authority, ["no host/name "], clock=guard.clock)


def test_what_ends_soon(guard: Guarded) -> None:
    issued(guard, days=20)
    assert [(one.kind, one.name) for one in expiring(guard.home, guard.registry)] == [("peer", "CT1")]
    guard.clock.move(days=340)
    assert [one.kind for one in expiring(guard.home, guard.registry)] == ["server"]
    everything = expiring(guard.home, guard.registry, timedelta(days=4000))
    assert everything[-1] == Ending("authority", "", guard.authority.certificate.not_valid_after_utc)


# ---- pairs -----------------------------------------------------------------------------------------------------------


def test_a_pair_is_whole_whenever_the_change_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The power fails before each step in turn: afterwards it is the old pair or the new one, never one of each."""
    steps = 0
    while True:
        home = tmp_path / f"{steps}"
        pairs.write_next_key(home, "peer", b"old key")
        pairs.complete(home, "peer", b"old chain")
        left = steps

        def failing(source: Path, target: Path, replace=os.replace) -> None:  # type: ignore[no-untyped-def]
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            replace(source, target)

        try:
            with monkeypatch.context() as patch:
                patch.setattr(os, "replace", failing)
                pairs.write_next_key(home, "peer", b"new key")
                pairs.complete(home, "peer", b"new chain")
            finished = True
        except KeyboardInterrupt:
            finished = False
        certificate, key = pairs.paths(home, "peer")
        assert (key.read_bytes(), certificate.read_bytes()) in (
            (b"old key", b"old chain"),
            (b"new key", b"new chain"),
        )
        if finished:
            break
        steps += 1
    assert steps == 4 and key.read_bytes() == b"new key"


def test_contexts_settle_what_was_interrupted(guard: Guarded, tmp_path: Path) -> None:
    directory = peer_directory(guard, tmp_path / "peer")
    second = issued(guard)
    (directory / "next-peer.pem").write_bytes(second.chain)
    (directory / "peer.key").write_bytes(second.key)  # it stopped between the two
    client_context(directory)
    assert (directory / "peer.pem").read_bytes() == second.chain


# ---- for devices -----------------------------------------------------------------------------------------------------


def test_pem_files_are_for_their_owner_alone(guard: Guarded, tmp_path: Path) -> None:
    pair = issued(guard)
    export.write_pem(tmp_path / "peer", pair)
    assert export.read_pem(tmp_path / "peer") == pair and "PRIVATE" not in repr(pair)
    assert sorted(path.name for path in (tmp_path / "peer").iterdir()) == ["authority.pem", "peer.key", "peer.pem"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "peer").iterdir())
    assert (tmp_path / "peer" / "authority.pem").read_bytes() == guard.authority.pem
    with pytest.raises(Failure, match=r"peer\.key"):
        export.read_pem(tmp_path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_pkcs12_is_read_by_openssl(guard: Guarded, tmp_path: Path, legacy: bool, kind: str) -> None:
    pair = issued(guard, key=new_key(kind))
    secret = export.password()
    octets = export.pkcs12_of(pair, "CT1", secret, legacy=legacy)
    key, own, above = pkcs12.load_key_and_certificates(octets, secret.encode())
    assert key is not None and own is not None and above == [guard.authority.certificate]
    assert own.public_key() == key.public_key()
    with pytest.raises(ValueError):
        pkcs12.load_key_and_certificates(octets, b"another password")
    (tmp_path / "x.p12").write_bytes(octets)
    ran = subprocess.run(
        ["openssl", "pkcs12", "-in", str(tmp_path / "x.p12"), "-nodes", "-info", "-passin", f"pass:{secret}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("BEGIN CERTIFICATE") == 2 and "friendlyName: CT1" in ran.stdout
    assert ("3-KeyTripleDES" in ran.stderr) == legacy and ("AES-256-CBC" in ran.stderr) != legacy
    read = serialization.load_pem_private_key(ran.stdout[ran.stdout.index("-----BEGIN PRIVATE") :].encode(), None)
    assert read.public_key() == key.public_key()


def test_passwords(guard: Guarded) -> None:
    made = {export.password() for _ in range(100)}
    assert len(made) == 100 and all(len(one) == 23 for one in made)
    with pytest.raises(UsageError, match="at least 12"):
        export.pkcs12_of(issued(guard), "CT1", "short")


def test_the_chain_of_a_pair_ends_with_the_authority(guard: Guarded) -> None:
    own, above = x509.load_pem_x509_certificates(issued(guard).chain)
    own.verify_directly_issued_by(above)
    assert key_pem(new_key()).startswith(b"-----BEGIN PRIVATE KEY-----")
