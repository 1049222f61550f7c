"""Who is identified, who is not, and what another process sees of a revocation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from guard.identity.making import Guarded, der, guarded, issued
from leadapron.guard.identity import inventory, issuing
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.csr import new_key, request
from leadapron.guard.identity.registry import PeerIdentity, Refused, Registry
from leadapron.guard.identity.revision import Revision
from leadapron.kernel.errors import Failure, UsageError


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guarded]:
    made = guarded(tmp_path / "guard")
    yield made
    made.registry.close()


def known(guard: Guarded, name: str = "CT1", ae: str = "CT1", days: int = 365) -> tuple[bytes, PeerIdentity]:
    certificate = der(issued(guard, name, ae, days=days).chain)
    identity = guard.registry.identify(certificate, ae)
    assert isinstance(identity, PeerIdentity)
    return certificate, identity


# ---- who is asking ---------------------------------------------------------------------------------------------------


def test_a_peer_is_identified_by_its_certificate_and_title(guard: Guarded) -> None:
    certificate, identity = known(guard, "ct-1", "CT 1")
    assert (identity.name, identity.ae) == ("ct-1", "CT 1")
    assert identity.not_after == guard.clock.now() + timedelta(days=365)
    assert guard.registry.identify(certificate, "CT 1            ") == identity  # as A-ASSOCIATE-RQ pads it
    assert guard.registry.recognise(certificate) == identity
    assert guard.registry.valid(identity)


@given(ae=st.text(max_size=20))
def test_with_another_title_it_is_nobody(tmp_path_factory: pytest.TempPathFactory, ae: str) -> None:
    guard = _shared(tmp_path_factory)
    if ae.strip(" ") != "CT1":
        assert guard.registry.identify(_certificate(guard), ae) == Refused("certificate bound to another AE title")


@given(octets=st.binary(max_size=300) | st.none())
def test_octets_identify_nobody(tmp_path_factory: pytest.TempPathFactory, octets: bytes | None) -> None:
    found = _shared(tmp_path_factory).registry.identify(octets, "CT1")
    assert found in (Refused("no certificate"), Refused("certificate that cannot be read"))


@given(at=st.integers(0, 10_000), by=st.integers(1, 255))
def test_a_certificate_that_was_touched_identifies_nobody(
    tmp_path_factory: pytest.TempPathFactory, at: int, by: int
) -> None:
    guard = _shared(tmp_path_factory)
    touched = bytearray(_certificate(guard))
    touched[at % len(touched)] ^= by
    assert isinstance(guard.registry.identify(bytes(touched), "CT1"), Refused)


_made: list[tuple[Guarded, bytes]] = []


def _shared(factory: pytest.TempPathFactory) -> Guarded:
    """One guard for all examples: opening a database for each would take most of the time."""
    if not _made:
        guard = guarded(factory.mktemp("shared") / "guard")
        _made.append((guard, der(issued(guard).chain)))
    return _made[0][0]


def _certificate(guard: Guarded) -> bytes:
    return _made[0][1]


def test_of_another_authority_with_the_same_name(guard: Guarded, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", "Practice of the tests", clock=guard.clock)
    chain = other.sign_peer(request(new_key()), name="CT1", ae="CT1")
    assert guard.registry.identify(der(chain), "CT1") == Refused("certificate of another authority")
    assert guard.registry.identify(der(other.pem), "CT1") == Refused("certificate of another authority")


def test_ours_but_no_peers(guard: Guarded) -> None:
    """The guard's own certificate, the authority's, and one that was signed and never taken in."""
    never = guard.authority.sign_peer(request(new_key()), name="CT1", ae="CT1")
    for pem in ((guard.home / "server.pem").read_bytes(), guard.authority.pem, never):
        assert guard.registry.identify(der(pem), "CT1") == Refused("certificate that is not a peer's")


def test_of_the_authority_before_this_one(guard: Guarded) -> None:
    """A registry from an old backup beside a new authority."""
    certificate, _ = known(guard)
    for file in ("authority.key", "authority.pem"):
        (guard.home / file).unlink()
    Authority.create(guard.home, "Practice of the tests", clock=guard.clock)
    with Registry(guard.home, guard.clock) as registry:
        assert registry.identify(certificate, "CT1") == Refused("certificate of another authority")


def test_where_the_authority_cannot_be_read_nobody_is_let_in(guard: Guarded) -> None:
    certificate = der(issued(guard).chain)
    (guard.home / "authority.pem").write_bytes(b"nothing")
    never = der(guard.authority.sign_peer(request(new_key()), name="MR1", ae="MR1"))
    for shown in (certificate, never):
        assert guard.registry.identify(shown, "CT1") == Refused("our own authority cannot be read")


def test_it_ends_with_its_time(guard: Guarded) -> None:
    certificate, identity = known(guard, days=2)
    guard.clock.move(days=2, seconds=-1)
    assert guard.registry.valid(identity)
    guard.clock.move(seconds=1)
    assert not guard.registry.valid(identity)
    assert guard.registry.identify(certificate, "CT1") == Refused("certificate expired")
    guard.clock.move(days=-3)
    assert guard.registry.identify(certificate, "CT1") == Refused("certificate not yet valid")


def test_an_identity_that_was_made_up_is_not_valid(guard: Guarded) -> None:
    _, identity = known(guard)
    assert not guard.registry.valid(PeerIdentity("CT1", "CT1", "0" * 40, identity.not_after))


# ---- revocation ------------------------------------------------------------------------------------------------------


def test_a_revocation_ends_it_at_once(guard: Guarded) -> None:
    certificate, identity = known(guard)
    _, other = known(guard, "MR1", "MR1")
    ended = guard.registry.revoke("CT1", "stolen")
    assert [row.serial for row in ended.certificates] == [identity.serial]
    assert not guard.registry.valid(identity) and guard.registry.valid(other)
    assert guard.registry.identify(certificate, "CT1") == Refused("certificate revoked")
    (row,) = guard.registry.certificates("CT1")
    assert (row.why, row.revoked_at) == ("stolen", guard.clock.now())
    assert not guard.registry.revoke("CT1")


def test_by_serial_number_or_enough_of_it(guard: Guarded) -> None:
    _, first = known(guard)
    _, second = known(guard)
    assert not guard.registry.revoke(first.serial[:7])
    assert guard.registry.revoke(":".join(first.serial[at : at + 2] for at in range(0, 10, 2)).upper())
    assert not guard.registry.valid(first) and guard.registry.valid(second)
    assert guard.registry.revoke(second.serial)
    assert not guard.registry.valid(second)


def test_another_process_revokes_and_the_next_look_sees_it(guard: Guarded) -> None:
    certificate, identity = known(guard)
    assert guard.registry.valid(identity)
    source = "import sys, pathlib; from leadapron.guard.identity.registry import Registry; "
    source += "assert Registry(pathlib.Path(sys.argv[1])).revoke('CT1')"
    subprocess.run([sys.executable, "-c", source, str(guard.home)], check=True, timeout=60)
    assert not guard.registry.valid(identity)
    assert guard.registry.identify(certificate, "CT1") == Refused("certificate revoked")


def test_a_revoker_that_dies_before_it_says_so_is_noticed_all_the_same(guard: Guarded) -> None:
    """Killed between the commit and the word that it happened: the counter stays odd, and readers look each time."""
    _, identity = known(guard)
    assert guard.registry.valid(identity)
    source = """
import os, pathlib, signal, sys
from leadapron.guard.identity.registry import Registry
registry = Registry(pathlib.Path(sys.argv[1]))
actual = registry._revision._set
registry._revision._set = lambda count: actual(count) if count % 2 else os.kill(os.getpid(), signal.SIGKILL)
registry.revoke("CT1")
"""
    ran = subprocess.run([sys.executable, "-c", source, str(guard.home)], timeout=60)
    assert ran.returncode == -signal.SIGKILL
    assert guard.registry._revision.stable() is None
    assert not guard.registry.valid(identity)
    _, later = known(guard, "MR1", "MR1")  # the next change puts the counter straight
    assert guard.registry._revision.stable() is not None
    assert guard.registry.valid(later) and not guard.registry.valid(identity)


def test_what_a_dead_writer_left_is_put_straight_at_opening(tmp_path: Path) -> None:
    first = Revision(tmp_path)
    first._set(7)
    assert first.stable() is None
    second = Revision(tmp_path)
    assert second.stable() == first.stable() == (8).to_bytes(8, "little")
    first.close()
    second.close()


def test_many_change_at_once_and_nobody_is_missed(guard: Guarded) -> None:
    identities = [known(guard, f"P{n}", f"P{n}")[1] for n in range(12)]
    registries = [Registry(guard.home, guard.clock) for _ in range(4)]
    threads = [
        threading.Thread(target=lambda n=n: [registries[n].revoke(f"P{k}") for k in range(n, 12, 4)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        guard.registry.valid(identities[0])
    for thread in threads:
        thread.join()
    assert not any(registry.valid(one) for registry in [guard.registry, *registries] for one in identities)
    for registry in registries:
        registry.close()


def test_where_the_registry_cannot_be_read_nobody_is_let_in(guard: Guarded) -> None:
    certificate, identity = known(guard)
    never = der(guard.authority.sign_peer(request(new_key()), name="MR1", ae="MR1"))
    guard.registry.database.close()
    for file in guard.home.glob("identity.db*"):
        file.unlink()
    (guard.home / "identity.db").write_bytes(b"no database at all" * 1000)
    with guard.registry._revision.changing():
        pass
    assert not guard.registry.valid(identity)
    for shown in (certificate, never):
        assert guard.registry.identify(shown, "CT1") == Refused("our own registry cannot be read")
    with pytest.raises(Failure):
        guard.registry.certificates()
    os.unlink(guard.home / "identity.db")  # so that closing the fixture can begin anew
    Registry(guard.home).close()


# ---- one title, one peer ---------------------------------------------------------------------------------------------


def test_a_title_is_bound_to_one_peer(guard: Guarded) -> None:
    known(guard)
    with pytest.raises(UsageError, match="bound to the peer CT1"):
        issued(guard, "CT2", "CT1")
    with pytest.raises(UsageError, match="bound to the AE title CT1"):
        issued(guard, "CT1", "CT2")
    guard.registry.revoke("CT1")
    assert guard.registry.identify(der(issued(guard, "CT2", "CT1").chain), "CT1") != Refused("certificate revoked")


def test_the_certificate_before_ends_a_week_after_the_next(guard: Guarded) -> None:
    _, first = known(guard)
    guard.clock.move(days=300)
    _, second = known(guard)
    guard.clock.move(days=7, seconds=-1)
    assert guard.registry.valid(first) and guard.registry.valid(second)
    guard.clock.move(seconds=1)
    assert not guard.registry.valid(first) and guard.registry.valid(second)


def test_what_ends_soon_is_told_once_for_each_peer(guard: Guarded) -> None:
    known(guard, "CT1", "CT1", days=20)
    known(guard, "MR1", "MR1", days=10)
    known(guard, "US1", "US1", days=5)
    known(guard, "US1", "US1", days=200)
    known(guard, "DX1", "DX1", days=3)
    guard.registry.revoke("DX1")
    assert [row.name for row in guard.registry.expiring(timedelta(days=30))] == ["MR1", "CT1"]
    assert guard.registry.expiring(timedelta(days=9)) == []


# ---- who was seen ----------------------------------------------------------------------------------------------------


def test_the_inventory_has_every_peer_and_flags_who_is_unknown(guard: Guarded) -> None:
    for number in range(5):
        _, identity = known(guard, f"P{number}", f"P{number}")
        if number:
            guard.registry.seen(identity, f"127.0.0.{number}")
    guard.clock.move(hours=1)
    guard.registry.seen(identity, "127.0.0.9")
    guard.registry.unknown("EVIL\x1b[2J", "127.0.0.66", "no certificate")
    guard.registry.unknown("EVIL\x1b[2J", "127.0.0.66", "certificate expired")
    records = guard.registry.peers()
    assert [record.name for record in records] == ["P0", "P1", "P2", "P3", "P4"]
    assert records[0].first_seen is None and records[0].addresses == ()
    assert records[4].addresses == ("127.0.0.9", "127.0.0.4")
    assert records[4].last_seen == guard.clock.now() and records[4].first_seen == guard.clock.now() - timedelta(hours=1)
    (stranger,) = guard.registry.strangers()
    assert (stranger.ae, stranger.times, stranger.reason) == ("EVIL?[2J", 2, "certificate expired")


def test_what_was_seen_is_there_after_closing(guard: Guarded) -> None:
    _, identity = known(guard)
    with Registry(guard.home, guard.clock) as other:
        other.seen(identity, "127.0.0.1")
        other.unknown("X", "127.0.0.2", "no certificate")
    assert guard.registry.peers()[0].addresses == ("127.0.0.1",)
    assert len(guard.registry.strangers()) == 1


def test_strangers_cannot_fill_the_disk_nor_push_others_out(guard: Guarded) -> None:
    guard.registry.unknown("FIRST", "127.0.0.2", "no certificate")
    guard.registry.flush()
    guard.clock.move(seconds=1)
    for number in range(3 * inventory.STRANGERS):
        guard.registry.unknown(f"A{number}", "127.0.0.3", "no certificate")
    guard.registry.flush()
    rows = guard.registry.strangers()
    assert sum(row.address == "127.0.0.3" for row in rows) == inventory.PER_ADDRESS
    assert any(row.ae == "FIRST" for row in rows)
    guard.clock.move(seconds=1)
    for number in range(3 * inventory.STRANGERS):
        guard.registry.unknown("A", f"127.1.{number // 200}.{number % 200}", "no certificate")
    assert len(guard.registry._inventory._unknown) <= inventory.STRANGERS
    assert len(guard.registry.strangers()) <= inventory.STRANGERS


def test_addresses_of_a_peer_are_bounded(guard: Guarded) -> None:
    _, identity = known(guard)
    for number in range(200):
        guard.clock.move(seconds=1)
        guard.registry.seen(identity, f"127.0.0.{number}")
    (record,) = guard.registry.peers()
    assert len(record.addresses) == inventory.ADDRESSES and record.addresses[0] == "127.0.0.199"


def test_a_database_of_later_days_is_refused(guard: Guarded) -> None:
    with guard.registry.database.writing() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 99")
    with pytest.raises(Failure, match="newer Lead Apron"):
        Registry(guard.home)


def test_no_key_is_in_the_registry(guard: Guarded) -> None:
    pair = issued(guard)
    code = issuing.invite(guard.registry, guard.authority, name="MR1", ae="MR1", host="guard.example", port=2780)
    guard.registry.flush()
    held = b"".join(file.read_bytes() for file in guard.home.glob("identity.db*"))
    assert x509.load_pem_x509_certificates(pair.chain)[0].public_bytes(Encoding.PEM) in held
    assert code.secret not in held and code.secret.hex().encode() not in held
    assert b"PRIVATE" not in held
    assert all(file.stat().st_mode & 0o077 == 0 for file in guard.home.glob("identity.*"))
