"""Guessing is slowed down where it comes from; nobody else can be kept out by it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.people.somebody import CHEAP, HERE, PASSWORD, Held, House, refused
from leadapron.guard.identity.people import Kind, LoggedIn, LoginRefused, People, RecoveryCode, TotpCode
from leadapron.guard.identity.people import throttle as throttle_module
from leadapron.guard.identity.people.accounts import MOST_PLACES, PLACE_LASTS_S
from leadapron.guard.identity.people.network import Network, network_of
from leadapron.guard.identity.people.throttle import (
    CROWD,
    FREE_NETWORK,
    FREE_PAIR,
    LONGEST_WAIT_S,
    Attempt,
    Throttle,
    Wait,
)

ACCOUNT = b"account"


@pytest.mark.parametrize(
    ("source", "narrow", "wide"),
    [
        ("192.0.2.77", "192.0.2.0/24", "192.0.0.0/16"),
        ("::ffff:192.0.2.77", "192.0.2.0/24", "192.0.0.0/16"),
        ("2001:db8:1:2ff::1", "2001:db8:1:200::/56", "2001:db8::/32"),
        ("fe80::1%eth0", "fe80::/56", "fe80::/32"),
        ("", "local", "local"),
        ("a/socket", "local", "local"),
    ],
)
def test_networks(source: str, narrow: str, wide: str) -> None:
    assert network_of(source) == Network(narrow, wide)


# ---- through the whole door ------------------------------------------------------------------------------------------

A = st.integers(0, 255).map(lambda n: f"203.0.113.{n}")  # one network, any address of it
guesses = st.tuples(
    A,
    st.sampled_from(["Röntgen", "röntgen", "nobody", "Curie", ""]),
    st.sampled_from(["wrong wrong wrong", PASSWORD, ""]),
    st.sampled_from(["code", "000000", "recovery", "empty"]),
    st.sampled_from([0.0, 0.5, 40.0, 3000.0]),
)


@settings(max_examples=40)
@given(st.lists(guesses, max_size=60), st.sampled_from(["192.0.2.10", "2001:db8::5", "203.0.114.1", ""]))
def test_whatever_comes_from_a_the_right_person_gets_in_from_b(
    attempts: list[tuple[str, str, str, str, float]], b: str
) -> None:
    with tempfile.TemporaryDirectory() as home:
        house = House(Path(home))

        async def attack_and_enter() -> None:
            for source, name, password, factor, wait in attempts:
                tried = {
                    "code": TotpCode("123456" if house.digits() != "123456" else "654321"),
                    "000000": TotpCode("000000" if house.digits() != "000000" else "000001"),
                    "recovery": RecoveryCode("7Q2K-M0XD-AAAA-BBBB"),
                    "empty": TotpCode(""),
                }[factor]
                refused(await house.people.login(name, password, tried, source))
                house.clock.forward(wait)
            done = await house.enter(b)
            assert isinstance(done, LoggedIn), done

        asyncio.run(attack_and_enter())
        house.close()


async def test_a_hundred_at_the_same_time_are_no_way_around(house: House) -> None:
    wrong = TotpCode("123456" if house.digits() != "123456" else "654321")
    done = await asyncio.gather(
        *(house.people.login(house.name, PASSWORD, wrong, f"203.0.113.{n}") for n in range(100)), house.enter()
    )
    reasons = [refused(one) for one in done[:-1]]
    assert sum(reason.startswith(("second factor", "wrong")) for reason in reasons) <= FREE_PAIR + 1
    assert isinstance(done[-1], LoggedIn)


async def test_the_right_one_from_a_waits_and_then_gets_in(house: House) -> None:
    for _ in range(FREE_PAIR + 3):
        refused(await house.enter(password="wrong wrong wrong"))
    done = await house.enter()
    assert "too many failures" in refused(done)
    assert not isinstance(done, LoggedIn) and done.retry_after_s is not None
    house.clock.forward(done.retry_after_s + 0.01)
    assert isinstance(await house.enter(), LoggedIn)


async def test_a_known_browser_gets_in_from_the_attackers_own_network(house: House) -> None:
    before = await house.enter("203.0.113.5")
    assert isinstance(before, LoggedIn) and before.device is not None
    for n in range(60):
        house.clock.forward(300)
        await house.enter(f"203.0.113.{n}", password="wrong wrong wrong")
    refused(await house.enter("203.0.113.5"))
    assert isinstance(await house.enter("203.0.113.5", before.device), LoggedIn)


async def test_a_stolen_device_cookie_gets_its_own_wait_and_no_other(house: House) -> None:
    before = await house.enter()
    assert isinstance(before, LoggedIn) and before.device is not None
    for _ in range(60):
        house.clock.forward(300)
        await house.enter("203.0.113.5", before.device, password="wrong wrong wrong")
    refused(await house.enter("198.51.100.9", before.device))
    assert isinstance(await house.enter("198.51.100.9"), LoggedIn)


async def test_a_device_cookie_is_one_persons_and_ends(house: House) -> None:
    before = await house.enter()
    assert isinstance(before, LoggedIn) and before.device is not None
    house.people.manage.add("Curie", (), "test", password="Radium leuchtet blau")

    async def is_known(name: str, cookie: str) -> bool:
        """Whether it gets its own count: the network is used up."""
        for _ in range(FREE_PAIR + 2):
            await house.people.login(name, "wrong wrong wrong", TotpCode("1"), "203.0.113.7")
        done = await house.people.login(name, "wrong wrong wrong", TotpCode("1"), "203.0.113.7", cookie)
        house.clock.forward(LONGEST_WAIT_S * 100)
        return "too many" not in refused(done)

    assert await is_known(house.name, before.device)
    assert not await is_known("Curie", before.device)
    for forged in ("", "x", "." * 30, before.device[:-1], before.device.replace(".1.", ".2."), "ä" * 50):
        assert not await is_known(house.name, forged), forged
    house.people.manage.set_password(house.name, PASSWORD, "test")
    assert not await is_known(house.name, before.device)


async def test_many_networks_slow_strangers_down_and_nobody_who_was_here(house: House) -> None:
    before = await house.enter()
    assert isinstance(before, LoggedIn) and before.device is not None
    house.clock.forward(60)
    judged = 0
    for n in range(400):
        done = await house.enter(f"10.{n % 200}.{n // 200}.1", password="wrong wrong wrong")
        judged += "too many" not in refused(done)
    assert judged == CROWD + 1
    (alert,) = (event for event in house.events if event.kind is Kind.ATTACK)
    assert alert.alert and alert.person == house.name
    refused(await house.enter("198.51.100.9"))  # a stranger has to wait for the crowd
    assert isinstance(await house.enter(), LoggedIn), "a known place"
    house.clock.forward(60)
    assert isinstance(await house.enter("198.51.100.9", before.device), LoggedIn), "a known browser"
    house.clock.forward(600)
    assert isinstance(await house.enter("198.51.101.9"), LoggedIn), "the crowd has one attempt in five minutes"


async def test_a_place_is_known_for_a_while(house: House) -> None:
    def known(source: str) -> bool:
        with house.people.store.read() as connection:
            account = house.people.accounts.need(connection, house.name)
            return house.people.accounts.known_place(connection, account.id, network_of(source))

    await house.entered("192.0.2.1")
    assert known("192.0.2.200") and not known("192.0.3.1")
    house.clock.forward(PLACE_LASTS_S)
    assert not known("192.0.2.1")
    for n in range(MOST_PLACES + 2):
        await house.entered(f"10.0.{n}.1")
    assert not known("10.0.0.1") and known(f"10.0.{MOST_PLACES + 1}.1"), "the newest are kept"


async def test_one_password_tried_on_everybody_is_slowed_down(house: House) -> None:
    judged = 0
    for n in range(200):
        done = await house.people.login(f"person{n}", "Sommer2026Sommer", TotpCode("123456"), "203.0.113.7")
        judged += "too many" not in refused(done)
    assert judged == FREE_NETWORK
    assert isinstance(await house.enter(HERE), LoggedIn)


# ---- the rule by itself ----------------------------------------------------------------------------------------------


def test_the_wait_doubles_up_to_a_bound() -> None:
    clock = Held()
    throttle = Throttle(clock)
    waits = []
    for _ in range(20):
        while isinstance(entered := throttle.enter(ACCOUNT, network_of(HERE), device=None, known_place=True), Wait):
            waits.append(entered.seconds)
            clock.forward(entered.seconds)
    assert waits == [min(LONGEST_WAIT_S, 2.0 * 2**n) for n in range(15)]
    clock.forward(24 * 3600 + 1)
    for _ in range(FREE_PAIR):
        assert isinstance(throttle.enter(ACCOUNT, network_of(HERE), device=None, known_place=True), Attempt)


def test_what_was_not_judged_counts_for_nothing() -> None:
    throttle = Throttle(Held())
    for n in range(100):
        attempt = throttle.enter(ACCOUNT, network_of(f"10.{n}.0.1"), device=None, known_place=False)
        assert isinstance(attempt, Attempt)
        throttle.withdraw(attempt)
        attempt = throttle.enter(ACCOUNT, network_of("10.0.0.1"), device=None, known_place=False)
        assert isinstance(attempt, Attempt)
        throttle.withdraw(attempt)


def test_a_known_account_is_no_way_to_forgive_a_networks_other_failures() -> None:
    throttle = Throttle(Held())
    judged = 0
    for n in range(200):
        judged += isinstance(throttle.enter(b"%d" % n, network_of(HERE), device=None, known_place=False), Attempt)
        own = throttle.enter(b"own", network_of(HERE), device=None, known_place=False)
        if isinstance(own, Attempt):
            throttle.succeeded(own)
    assert judged == FREE_NETWORK


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle_module, "MOST_ENTRIES", 50)
    throttle = Throttle(Held())
    for n in range(3000):
        throttle.enter(b"%d" % (n % 1000), network_of(f"10.{n % 250}.{n // 250}.1"), device=None, known_place=False)
    for table in (throttle._counts, throttle._networks, throttle._crowds):
        assert 0 < len(table) <= 50
    assert all(len(crowd.wide) <= 2 * CROWD for crowd in throttle._crowds.values())


# ---- over a restart --------------------------------------------------------------------------------------------------

Tried = tuple[bytes, int, str | None, bool]
"""Account, network, device, whether the place is known."""
keys = st.tuples(st.sampled_from([b"anna", b"ben"]), st.integers(0, 12), st.sampled_from([None, "d1"]), st.booleans())
steps = st.tuples(keys, st.sampled_from([0.0, 1.0, 30.0, 4000.0]), st.sampled_from(["fails", "works", "withdrawn"]))


class Restarted(Held):
    """Another process: its monotonic clock began somewhere else."""

    def __init__(self, before: Held) -> None:
        super().__init__()
        self.moment, self.ticks = before.moment, 17.0


def attempt(throttle: Throttle, key: Tried) -> Attempt | Wait:
    account, network, device, known = key
    return throttle.enter(account, network_of(f"10.{network}.0.1"), device=device, known_place=known)


@given(st.lists(steps, max_size=40), keys)
def test_a_restart_changes_nothing(
    done: list[tuple[tuple[bytes, int, str | None, bool], float, str]], then: tuple[bytes, int, str | None, bool]
) -> None:
    clock = Held()
    throttle = Throttle(clock)
    for key, pause, end in done:
        found = attempt(throttle, key)
        if isinstance(found, Attempt) and end != "fails":
            (throttle.succeeded if end == "works" else throttle.withdraw)(found)
        clock.forward(pause)
    later = Restarted(clock)
    again = Throttle(later)
    again.take(throttle.state())
    one, two = attempt(throttle, then), attempt(again, then)
    if isinstance(one, Wait):
        assert isinstance(two, Wait) and two.seconds == pytest.approx(one.seconds, abs=0.01)
    else:
        assert one == two


async def test_who_has_to_wait_waits_after_a_restart_too(house: House) -> None:
    for _ in range(FREE_PAIR + 4):
        await house.enter(password="wrong wrong wrong")
    before = await house.enter()
    assert isinstance(before, LoginRefused) and before.retry_after_s is not None
    house.close()
    People(house.home, house.clock, hashing=CHEAP).close()  # the command line, in between
    again = People(house.home, house.clock, hashing=CHEAP)
    try:
        after = await again.login(house.name, PASSWORD, house.code(), HERE)
        assert isinstance(after, LoginRefused) and after.retry_after_s == pytest.approx(before.retry_after_s, abs=0.01)
        house.clock.forward(LONGEST_WAIT_S)
        assert isinstance(await again.login(house.name, PASSWORD, house.code(), HERE), LoggedIn)
    finally:
        again.close()


async def test_it_is_kept_while_it_runs_for_who_is_killed(house: House) -> None:
    for _ in range(FREE_PAIR + 4):
        await house.enter(password="wrong wrong wrong")
    await house.people.keep()
    file = house.home / "throttle"
    kept = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600 and HERE.rpartition(".")[0].encode() not in kept
    await house.people.keep()
    assert file.read_bytes() == kept, "written though nothing had changed"
    other = People(house.home, house.clock, hashing=CHEAP)
    assert isinstance(await other.login(house.name, PASSWORD, house.code(), HERE), LoginRefused)
    other._throttle.changed = False
    other.close()


@pytest.mark.parametrize("data", [b"", b"nonsense", bytes(200)])
async def test_a_file_that_is_not_ours_is_as_good_as_none(house: House, data: bytes) -> None:
    house.close()
    (house.home / "throttle").write_bytes(data)
    again = People(house.home, house.clock, hashing=CHEAP)
    assert isinstance(await again.login(house.name, PASSWORD, house.code(), HERE), LoggedIn)
    again.close()


def test_a_clock_that_was_set_back_makes_no_wait_longer() -> None:
    clock = Held()
    throttle = Throttle(clock)
    for _ in range(20):
        attempt(throttle, (b"anna", 1, None, False))
        clock.forward(3600)
    attempt(throttle, (b"anna", 1, None, False))
    later = Held()  # twenty hours earlier
    again = Throttle(later)
    again.take(throttle.state())
    found = attempt(again, (b"anna", 1, None, False))
    assert isinstance(found, Wait) and found.seconds <= LONGEST_WAIT_S
    again.take(b"\xff\x00")  # no state at all
