"""Getting in: password and factor, both, once; and what is told of it."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass

import pytest

from guard.people.somebody import CHEAP, HERE, PASSWORD, House, MakeHouse, refused
from leadapron.guard.identity.people import Kind, LoggedIn, People, RecoveryCode, TotpCode, typed_factor
from leadapron.guard.identity.people import gate as gate_module
from leadapron.guard.identity.people.factors import Proof
from leadapron.guard.identity.people.gate import QUEUE_OF_ONE, Busy, Gate
from leadapron.guard.identity.people.passwords import Hasher, Hashing
from leadapron.kernel.clock import SystemClock
from leadapron.kernel.errors import Failure, UsageError


async def test_password_and_code_open(house: House) -> None:
    done = await house.enter()
    assert isinstance(done, LoggedIn)
    assert done.person.permissions == {"web:query", "web:retrieve"} and done.person.may("web:query")
    assert house.people.session(done.session_token) == done.person
    (event,) = house.events
    assert (event.kind, event.person, event.source, event.success, event.how, event.alert) == (
        Kind.LOGIN,
        "Röntgen",
        HERE,
        True,
        "password+totp",
        False,
    )


@pytest.mark.parametrize("spelt", ["röntgen", "RÖNTGEN", "Ro\u0308ntgen"])
async def test_a_name_is_one_name_however_it_is_typed(house: House, spelt: str) -> None:
    assert isinstance(await house.enter(name=spelt), LoggedIn)
    with pytest.raises(UsageError):
        house.people.manage.add(spelt, (), "test")


async def test_nothing_less_opens(house: House) -> None:
    wrong = TotpCode("000000" if house.digits() != "000000" else "000001")
    for name, password, factor in [
        (house.name, PASSWORD, wrong),
        (house.name, PASSWORD, TotpCode("")),
        (house.name, PASSWORD, TotpCode("１２３４５６")),
        (house.name, PASSWORD, RecoveryCode("")),
        (house.name, "", house.code()),
        (house.name, PASSWORD + " ", house.code()),
        (house.name, PASSWORD.upper(), house.code()),
        ("nobody", PASSWORD, house.code()),
        ("", PASSWORD, house.code()),
        ("\x1b[31m" + "x" * 5000, "\ud800" * 5000, TotpCode("\0" * 5000)),
        ("\ud800\0", PASSWORD, RecoveryCode("\ud800\0")),
    ]:
        house.events.clear()
        refused(await house.people.login(name, password, factor, "198.51.100.7"))
        house.clock.forward(3600)
        (event,) = house.events
        assert not event.success and event.reason and event.person.isprintable() and len(event.person) <= 65


async def test_a_password_alone_is_never_enough(house: House) -> None:
    house.people.manage.add("new", ("web:query",), "test", password="ohne zweiten Faktor")
    for factor in (TotpCode("123456"), RecoveryCode("0000-0000-0000-0000"), typed_factor("")):
        refused(await house.people.login("new", "ohne zweiten Faktor", factor, HERE))


async def test_a_code_opens_once(house: House) -> None:
    code = house.code()
    assert isinstance(await house.people.login(house.name, PASSWORD, code, HERE), LoggedIn)
    assert "used before" in refused(await house.people.login(house.name, PASSWORD, code, HERE))


@pytest.mark.parametrize("recovery", [False, True])
async def test_of_two_at_the_same_time_with_one_code_one_gets_in(house: House, recovery: bool) -> None:
    other = People(house.home, house.clock, on_event=house.events.append, hashing=CHEAP)  # another process's
    code = RecoveryCode(house.recovery[0]) if recovery else house.code()
    done = await asyncio.gather(
        *(
            door.login(house.name, PASSWORD, code, f"192.0.{n}.1")
            for n, door in enumerate((house.people, other, house.people, other) * 2)
        )
    )
    other.close()
    assert sum(isinstance(one, LoggedIn) for one in done) == 1


def test_a_factor_that_was_judged_by_two_is_used_up_by_one(house: House) -> None:
    """The moment between judging and using up, held still."""
    factors = house.people._factors
    for factor in (house.code(), RecoveryCode(house.recovery[0])):
        with house.people.store.write() as connection:
            held = factors.held(connection, house.people.accounts.need(connection, house.name).id)
            proof = factors.check(held, factor, house.name)
            assert isinstance(proof, Proof)
            assert [factors.spend(connection, proof) for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
async def test_one_step_early_or_late(house: House, steps: int, good: bool) -> None:
    done = await house.people.login(house.name, PASSWORD, TotpCode(house.digits(steps)), HERE)
    assert isinstance(done, LoggedIn) is good


async def test_an_earlier_step_than_the_last_is_a_replay(house: House) -> None:
    assert isinstance(await house.people.login(house.name, PASSWORD, TotpCode(house.digits(1)), HERE), LoggedIn)
    refused(await house.people.login(house.name, PASSWORD, house.code(), HERE))


async def test_each_recovery_code_opens_once(house: House) -> None:
    assert len(set(house.recovery)) == 10
    typed = house.recovery[0].lower().replace("-", " ")
    assert isinstance(await house.people.login(house.name, PASSWORD, typed_factor(typed), HERE), LoggedIn)
    refused(await house.people.login(house.name, PASSWORD, typed_factor(typed), HERE))
    assert isinstance(await house.people.login(house.name, PASSWORD, RecoveryCode(house.recovery[1]), HERE), LoggedIn)
    assert house.people.manage.people()[0].recovery_codes == 8
    fresh = house.people.manage.new_recovery_codes(house.name, "test")
    refused(await house.people.login(house.name, PASSWORD, RecoveryCode(house.recovery[2]), HERE))
    assert isinstance(await house.people.login(house.name, PASSWORD, RecoveryCode(fresh[0]), HERE), LoggedIn)


async def test_recovery_codes_are_of_one_person(house: House) -> None:
    house.people.manage.add("Curie", (), "test", password="Radium leuchtet blau")
    refused(await house.people.login("Curie", "Radium leuchtet blau", RecoveryCode(house.recovery[0]), HERE))


async def test_who_is_disabled_is_out_at_once(house: House) -> None:
    inside = await house.enter()
    assert isinstance(inside, LoggedIn)
    token = house.people.manage.make_token(house.name, ["web:query"], 30, "test")
    assert house.people.token(token) is not None
    house.people.manage.set_disabled(house.name, True, "test")
    assert house.people.session(inside.session_token) is None and house.people.token(token) is None
    house.clock.forward(60)
    assert "disabled" in refused(await house.enter())
    house.people.manage.set_disabled(house.name, False, "test")
    house.clock.forward(60)
    assert isinstance(await house.enter(), LoggedIn)
    assert house.people.session(inside.session_token) is None, "the session of before came back"


async def test_a_password_is_hashed_anew_when_the_parameters_change(make_house: MakeHouse) -> None:
    house = make_house()
    dearer = People(house.home, house.clock, hashing=Hashing(memory=16, passes=2, lanes=1))
    assert isinstance(await dearer.login(house.name, PASSWORD, house.code(), HERE), LoggedIn)
    with dearer.store.read() as connection:
        account = dearer.accounts.need(connection, house.name)
        hashed = dearer.accounts.password(connection, account.id)
    assert hashed is not None and "m=16,t=2,p=1" in hashed
    house.clock.forward(60)
    assert isinstance(await dearer.login(house.name, PASSWORD, house.code(), HERE), LoggedIn)
    dearer.close()


def test_the_parameters_are_those_that_are_named() -> None:
    hasher = Hasher(Hashing())
    hashed = hasher.hash(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    assert hasher.verify(hashed, PASSWORD) and not hasher.verify(hashed, PASSWORD + "!")
    assert not hasher.outdated(hashed) and not hasher.outdated(hasher.dummy), "nobody costs as much as somebody"


async def test_nobody_costs_as_much_as_somebody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not measured in seconds: the same work is done, by count."""
    calls: list[str] = []
    verify = Hasher.verify

    def counted(hasher: Hasher, hashed: str, password: str) -> bool:
        calls.append(hashed.rpartition("$")[0].rpartition("$")[0])
        return verify(hasher, hashed, password)

    monkeypatch.setattr(Hasher, "verify", counted)
    house.people.manage.add("oidc-only", (), "test", oidc="o@example")
    for name in (house.name, "nobody", "oidc-only"):
        refused(await house.people.login(name, "wrong wrong wrong", TotpCode("123456"), HERE))
    assert len(calls) == 3 and len(set(calls)) == 1


def test_nothing_readable_is_in_the_files(house: House) -> None:
    inside = house.inside()
    token = house.people.manage.make_token(house.name, ["web:query"], 30, "test")
    setup = house.people.manage.arm(["web:query"], "test", label="safe")
    inside_again = house.people.manage.invite(house.name, "test")
    held = b"".join(file.read_bytes() for file in house.home.iterdir() if file.name != "guard.key")
    for secret in (
        PASSWORD,
        house.secret,
        inside.session_token,
        token,
        token[4:],
        setup,
        setup.replace("-", ""),
        inside_again,
        house.recovery[3],
        house.recovery[3].replace("-", ""),
        "argon2id",
    ):
        assert secret.encode() not in held, secret
    for file in house.home.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


async def test_no_record_shows_a_secret(house: House) -> None:
    done = await house.enter()
    assert isinstance(done, LoggedIn) and done.session_token not in repr(done)
    assert house.digits() not in repr(house.code()) and repr(house.code()) == "<TotpCode>"
    begun = await house.people.enrol(house.people.manage.invite(house.name, "test"), "", PASSWORD, HERE)
    assert repr(begun) == "<Begun>"


def test_another_key_opens_nothing(house: House) -> None:
    house.close()
    (house.home / "guard.key").write_bytes(bytes(32))
    other = People(house.home, house.clock, on_event=house.events.append, hashing=CHEAP)
    with pytest.raises(Failure):
        asyncio.run(other.login(house.name, PASSWORD, house.code(), HERE))
    other.close()


def test_a_file_of_another_version_is_left_alone(house: House) -> None:
    house.close()
    with sqlite3.connect(house.home / "people.db") as connection:
        connection.execute("PRAGMA user_version = 77")
    with pytest.raises(Failure, match="77"):
        People(house.home, SystemClock(), hashing=CHEAP)


def test_events_of_the_command_line_reach_the_trail_later(house: House) -> None:
    console = People(house.home, house.clock, hashing=CHEAP)
    console.manage.add("Curie", ("web:query",), "console:root", password="Radium leuchtet blau")
    console.manage.set_disabled("Curie", True, "console:root")
    console.close()
    assert not house.events
    house.people.sweep()
    house.people.sweep()
    assert [(event.kind, event.person, event.reason, event.by) for event in house.events] == [
        (Kind.ACCOUNT, "Curie", "added", "console:root"),
        (Kind.ACCOUNT, "Curie", "disabled", "console:root"),
    ]


# ---- the gate --------------------------------------------------------------------------------------------------------


@dataclass
class Work:
    """Counts how many are at it."""

    now: int = 0
    most: int = 0
    done: int = 0


async def test_one_at_a_time_and_known_ones_first() -> None:
    gate, order = Gate(), list[str]()

    async def one(name: str, known: bool) -> None:
        await gate.run(lambda: order.append(name), network=name, known=known)

    tasks = [asyncio.create_task(one(f"stranger {n}", False)) for n in range(5)]
    tasks += [asyncio.create_task(one(f"known {n}", True)) for n in range(3)]
    await asyncio.gather(*tasks)
    gate.close()
    assert order == ["stranger 0", *(f"known {n}" for n in range(3)), *(f"stranger {n}" for n in range(1, 5))]


async def test_a_network_has_few_places_and_the_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "QUEUE", 10)
    gate = Gate()

    async def one(network: str) -> bool:
        try:
            await gate.run(int, network=network, known=False)
        except Busy:
            return False
        return True

    done = await asyncio.gather(*(one("A") for _ in range(50)), *(one(f"B{n}") for n in range(50)))
    gate.close()
    assert sum(done[:50]) == 1 + QUEUE_OF_ONE
    assert sum(done[50:]) == 10 - QUEUE_OF_ONE


async def test_who_goes_away_leaves_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    tasks = [asyncio.create_task(gate.run(int, network=str(n), known=False)) for n in range(20)]
    await asyncio.sleep(0)
    for task in tasks[1::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [bool(n % 2) for n in range(20)]
    assert await gate.run(lambda: 7, network="after", known=False) == 7
    monkeypatch.setattr(gate_module, "WAIT_S", 0.01)
    wait = asyncio.Event()
    loop = asyncio.get_running_loop()
    blocked = asyncio.create_task(
        gate.run(lambda: asyncio.run_coroutine_threadsafe(wait.wait(), loop).result(30), network="slow", known=False)
    )
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await gate.run(int, network="impatient", known=False)
    wait.set()
    assert await blocked
    assert await gate.run(lambda: 8, network="after", known=False) == 8
    gate.close()
