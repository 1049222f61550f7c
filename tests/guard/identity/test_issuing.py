"""How a peer comes to a certificate, and that no stranger comes to one."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from guard.identity.making import Guarded, der, guarded, issued
from leadapron.guard.identity.codes import Code
from leadapron.guard.identity.csr import BadRequest, PrivateKey, new_key, request
from leadapron.guard.identity.issuing import MAX_LIVE, Issued, invite, issue, open_codes, redeem, renew
from leadapron.guard.identity.registry import PeerIdentity, Refused, Registry
from leadapron.kernel.errors import UsageError

WHENCE = "127.0.0.9"


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guarded]:
    made = guarded(tmp_path / "guard")
    yield made
    made.registry.close()


def invited(guard: Guarded, name: str = "CT1", ae: str = "CT1", hours: float = 48, days: int = 365) -> Code:
    life = timedelta(hours=hours)
    return invite(
        guard.registry, guard.authority, name=name, ae=ae, host="guard.example", port=2780, life=life, days=days
    )


def redeemed(guard: Guarded, code: Code, key: PrivateKey | None = None) -> Issued | Refused:
    return redeem(guard.registry, guard.authority, code.secret, request(key or new_key()), WHENCE)


def test_a_code_gives_one_certificate_for_its_peer(guard: Guarded) -> None:
    key = new_key()
    done = redeemed(guard, invited(guard, "ct-1", "CT 1", days=30), key)
    assert isinstance(done, Issued)
    own, authority = x509.load_pem_x509_certificates(done.chain)
    assert own.public_key() == key.public_key() and authority == guard.authority.certificate
    assert own.not_valid_after_utc == guard.clock.now() + timedelta(days=30)
    found = guard.registry.identify(der(done.chain), "CT 1")
    assert isinstance(found, PeerIdentity) and found.name == "ct-1"
    assert guard.registry.certificates()[0].how == "code" and open_codes(guard.registry) == []


def test_a_second_time_it_gives_nothing(guard: Guarded) -> None:
    code = invited(guard)
    assert isinstance(redeemed(guard, code), Issued)
    assert redeemed(guard, code) == Refused("code redeemed before")
    assert len(guard.registry.certificates()) == 1


def test_an_answer_that_was_lost_is_given_again_to_the_same_key_only(guard: Guarded) -> None:
    code, key = invited(guard), new_key()
    first, again = redeemed(guard, code, key), redeemed(guard, code, key)
    assert isinstance(first, Issued) and first == again
    assert len(guard.registry.certificates()) == 1
    guard.registry.revoke("CT1")
    assert redeemed(guard, code, key) == Refused("code redeemed before")


def test_nor_after_the_code_has_ended(guard: Guarded) -> None:
    code, key = invited(guard), new_key()
    assert isinstance(redeemed(guard, code, key), Issued)
    guard.clock.move(hours=48)
    assert redeemed(guard, code, key) == Refused("code redeemed before")


def test_a_code_ends(guard: Guarded) -> None:
    code = invited(guard, hours=1)
    assert [one.name for one in open_codes(guard.registry)] == ["CT1"]
    guard.clock.move(hours=1)
    assert redeemed(guard, code) == Refused("code expired")
    assert open_codes(guard.registry) == []


def test_revoking_takes_open_codes_back_and_so_does_a_new_one(guard: Guarded) -> None:
    first = invited(guard)
    assert guard.registry.revoke("CT1").codes == 1
    assert redeemed(guard, first) == Refused("code withdrawn")
    second = invited(guard)
    third = invited(guard)
    assert redeemed(guard, second) == Refused("code withdrawn")
    assert isinstance(redeemed(guard, third), Issued)


def test_a_request_that_cannot_be_granted_does_not_spend_the_code(guard: Guarded) -> None:
    code = invited(guard)
    with pytest.raises(BadRequest):
        redeem(guard.registry, guard.authority, code.secret, b"nothing", WHENCE)
    assert isinstance(redeemed(guard, code), Issued)


@pytest.mark.parametrize("step", ["sign_peer", "COMMIT", "after"])
def test_killed_at_any_step_a_code_is_spent_for_a_certificate_or_not_at_all(guard: Guarded, step: str) -> None:
    code, key = invited(guard), new_key()
    source = """
import os, pathlib, signal, sys
import sqlalchemy as sa
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.issuing import redeem
from leadapron.guard.identity.registry import Registry
home, step = pathlib.Path(sys.argv[1]), sys.argv[3]
registry, authority = Registry(home), Authority.load(home)
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
if step == "sign_peer":
    authority.sign_peer = die
if step == "COMMIT":
    sa.event.listen(registry.database._engine, "commit", die)
redeem(registry, authority, bytes.fromhex(sys.argv[2]), sys.stdin.buffer.read(), "127.0.0.1")
die()
"""
    command = [sys.executable, "-c", source, str(guard.home), code.secret.hex(), step]
    ran = subprocess.run(command, input=request(key), timeout=60, check=False)
    assert ran.returncode == -signal.SIGKILL
    spent = 1 if step == "after" else 0
    assert len(guard.registry.certificates()) == spent and len(open_codes(guard.registry)) == 1 - spent
    assert isinstance(redeemed(guard, code, key), Issued)  # the machine asks again
    assert len(guard.registry.certificates()) == 1
    assert redeemed(guard, code) == Refused("code redeemed before")


_made: list[tuple[Guarded, Code]] = []


@given(st.binary(max_size=40), st.integers(0, 127))
def test_no_other_secret_gives_anything(tmp_path_factory: pytest.TempPathFactory, secret: bytes, bit: int) -> None:
    if not _made:
        guard = guarded(tmp_path_factory.mktemp("codes") / "guard")
        _made.append((guard, invited(guard)))
    guard, code = _made[0]
    near = bytearray(code.secret)
    near[bit // 8] ^= 1 << bit % 8
    for wrong in (secret, bytes(near)):
        assert redeem(guard.registry, guard.authority, wrong, _REQUEST, WHENCE) == Refused("no such code")
    assert guard.registry.certificates() == []


_REQUEST = request(new_key())


def test_of_many_at_once_one_gets_it(guard: Guarded) -> None:
    code = invited(guard)
    registries = [Registry(guard.home, guard.clock) for _ in range(6)]
    results: list[Issued | Refused] = []
    start = threading.Barrier(6)

    def attempt(registry: Registry) -> None:
        csr = request(new_key())
        start.wait()
        results.append(redeem(registry, guard.authority, code.secret, csr, WHENCE))

    threads = [threading.Thread(target=attempt, args=(registry,)) for registry in registries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(result, Issued) for result in results) == 1
    assert results.count(Refused("code redeemed before")) == 5
    assert len(guard.registry.certificates()) == 1
    for registry in registries:
        registry.close()


def test_of_several_processes_one_gets_it(guard: Guarded) -> None:
    code = invited(guard)
    source = """
import pathlib, sys
from leadapron.guard.identity.authority import Authority
from leadapron.guard.identity.csr import new_key, request
from leadapron.guard.identity.issuing import redeem
from leadapron.guard.identity.registry import Registry
home = pathlib.Path(sys.argv[1])
registry, authority, csr = Registry(home), Authority.load(home), request(new_key())
print("ready", flush=True)
sys.stdin.readline()
print(type(redeem(registry, authority, bytes.fromhex(sys.argv[2]), csr, "127.0.0.1")).__name__)
"""
    command = [sys.executable, "-c", source, str(guard.home), code.secret.hex()]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=60)[0].strip() for process in running)
    assert said == ["Issued", "Refused", "Refused", "Refused"]


# ---- renewal ---------------------------------------------------------------------------------------------------------


def identity(guard: Guarded, chain: bytes) -> PeerIdentity:
    found = guard.registry.recognise(der(chain))
    assert isinstance(found, PeerIdentity)
    return found


def test_a_renewal_keeps_name_and_title(guard: Guarded) -> None:
    first = identity(guard, issued(guard, "ct-1", "CT 1").chain)
    done = renew(guard.registry, guard.authority, first, request(new_key(), "MR1"))
    assert isinstance(done, Issued)
    second = identity(guard, done.chain)
    assert (second.name, second.ae) == ("ct-1", "CT 1") and second.serial != first.serial
    assert done.certificate.how == "renewal"


def test_who_was_revoked_or_has_expired_renews_nothing(guard: Guarded) -> None:
    gone = identity(guard, issued(guard, days=1).chain)
    guard.clock.move(days=1)
    assert renew(guard.registry, guard.authority, gone, _REQUEST) == Refused("certificate revoked or expired")
    stolen = identity(guard, issued(guard).chain)
    guard.registry.revoke("CT1")
    assert renew(guard.registry, guard.authority, stolen, _REQUEST) == Refused("certificate revoked or expired")
    with pytest.raises(BadRequest):
        renew(guard.registry, guard.authority, stolen, b"nothing")


def test_renewals_are_bounded(guard: Guarded) -> None:
    present = identity(guard, issued(guard).chain)
    for _ in range(MAX_LIVE - 1):
        assert isinstance(renew(guard.registry, guard.authority, present, _REQUEST), Issued)
    assert renew(guard.registry, guard.authority, present, _REQUEST) == Refused("too many renewals")


# ---- one title, one peer ---------------------------------------------------------------------------------------------


def test_a_title_that_is_promised_is_not_given_to_another(guard: Guarded) -> None:
    invited(guard)
    with pytest.raises(UsageError, match="bound to the peer CT1"):
        invited(guard, "CT2", "CT1")
    with pytest.raises(UsageError, match="bound to the peer CT1"):
        issue(guard.registry, guard.authority, _REQUEST, name="CT2", ae="CT1 ")
    with pytest.raises(UsageError, match="bound to the AE title CT1"):
        invited(guard, "CT1", "CT2")
    guard.clock.move(hours=48)
    invited(guard, "CT2", "CT1")


@pytest.mark.parametrize(("name", "ae"), [("", "CT1"), ("../x", "CT1"), ("CT1", ""), ("CT1", "A\\B")])
def test_names_and_titles_that_are_none(guard: Guarded, name: str, ae: str) -> None:
    with pytest.raises(UsageError):
        invited(guard, name, ae)
    with pytest.raises(UsageError):
        issue(guard.registry, guard.authority, _REQUEST, name=name, ae=ae)
