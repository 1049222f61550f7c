"""Getting in for the first time: set-up secret, invitations, passkeys; nothing half-made."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from guard.people.authenticator import Key
from guard.people.somebody import CHEAP, HERE, PASSWORD, SITE, Held, House, MakeHouse, refused
from leadapron.guard.identity.people import (
    Begun,
    Enrolled,
    Event,
    LoggedIn,
    NotEnrolled,
    PasskeyProof,
    People,
    RecoveryCode,
    TotpCode,
)
from leadapron.guard.identity.people.passkeys import LASTS_S, Site
from leadapron.kernel.errors import UsageError

ADMIN = ("admin:users", "admin:peers")
ORIGIN = SITE.origins[0]


class Fresh:
    """A guard that was just installed."""

    def __init__(self, home: Path) -> None:
        self.clock = Held()
        self.events: list[Event] = []
        self.people = People(home, self.clock, on_event=self.events.append, hashing=CHEAP, site=SITE)

    async def begin(self, code: str, name: str = "Erste", password: str = PASSWORD) -> Begun:
        begun = await self.people.enrol(code, name, password, HERE)
        assert isinstance(begun, Begun)
        return begun

    async def finish(self, begun: Begun) -> Enrolled | NotEnrolled:
        return await self.people.enrol_totp(begun.ticket, self.digits(begun), HERE)

    def digits(self, begun: Begun) -> str:
        return pyotp.TOTP(begun.secret).at(self.clock.now())


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    made = Fresh(tmp_path / "guard")
    yield made
    made.people.close()


# ---- the first person ----------------------------------------------------------------------------


async def test_a_fresh_install_has_nothing_that_opens(fresh: Fresh) -> None:
    for name in ("admin", "root", "leadapron", "orthanc", "guest", ""):
        for password in ("", "admin", "orthanc", "leadapron", "password"):
            refused(await fresh.people.login(name, password, TotpCode("000000"), HERE))
            fresh.clock.forward(3600)
    assert isinstance(await fresh.people.enrol("", "Erste", PASSWORD, HERE), NotEnrolled)
    assert not fresh.people.manage.people() and not fresh.people.manage.sessions()


async def test_the_setup_secret_makes_the_first_person_once(fresh: Fresh) -> None:
    secret = fresh.people.manage.setup_secret(ADMIN, "init")
    begun = await fresh.begin(secret)
    assert begun.uri.startswith("otpauth://totp/") and not fresh.people.manage.people(), "nothing is half-made"
    done = await fresh.finish(begun)
    assert isinstance(done, Enrolled) and done.name == "Erste" and len(done.recovery_codes) == 10
    (account,) = fresh.people.manage.people()
    assert account.permissions == set(ADMIN) and account.factors == ("totp",)
    refused(await fresh.people.login("Erste", PASSWORD, TotpCode(fresh.digits(begun)), HERE))  # that code is used up
    fresh.clock.forward(60)
    assert isinstance(await fresh.people.login("Erste", PASSWORD, TotpCode(fresh.digits(begun)), HERE), LoggedIn)
    assert isinstance(await fresh.people.enrol(secret, "Zweite", PASSWORD, HERE), NotEnrolled)
    assert isinstance(await fresh.finish(begun), NotEnrolled)
    with pytest.raises(UsageError):
        fresh.people.manage.setup_secret(ADMIN, "init")


async def test_of_two_with_the_setup_secret_one_is_the_first(fresh: Fresh) -> None:
    secret = fresh.people.manage.setup_secret(ADMIN, "init")
    one, two = await fresh.begin(secret, "Eine"), await fresh.begin(secret, "Andere")
    done = await asyncio.gather(fresh.finish(one), fresh.finish(two))
    assert sum(isinstance(each, Enrolled) for each in done) == 1 and len(fresh.people.manage.people()) == 1


async def test_the_setup_secret_ends_by_itself_and_when_there_is_somebody(fresh: Fresh) -> None:
    old = fresh.people.manage.setup_secret(ADMIN, "init")
    secret = fresh.people.manage.setup_secret(ADMIN, "init")
    assert isinstance(await fresh.people.enrol(old, "Erste", PASSWORD, HERE), NotEnrolled), "a newer one voids it"
    begun = await fresh.begin(secret)
    fresh.clock.forward(24 * 3600)
    assert isinstance(await fresh.people.enrol(secret, "Erste", PASSWORD, HERE), NotEnrolled)
    assert isinstance(await fresh.finish(begun), NotEnrolled)
    secret = fresh.people.manage.setup_secret(ADMIN, "init")
    begun = await fresh.begin(secret)
    fresh.people.manage.add("Konsole", ADMIN, "console", password=PASSWORD)
    assert isinstance(await fresh.people.enrol(secret, "Erste", PASSWORD, HERE), NotEnrolled)
    assert isinstance(await fresh.finish(begun), NotEnrolled)


async def test_the_code_of_the_app_must_be_right_and_may_be_tried_again(fresh: Fresh) -> None:
    begun = await fresh.begin(fresh.people.manage.setup_secret(ADMIN, "init"))
    for code in ("", "abc", "000000" if fresh.digits(begun) != "000000" else "000001"):
        assert isinstance(await fresh.people.enrol_totp(begun.ticket, code, HERE), NotEnrolled)
    for ticket in ("", "zz", "00" * 100, "ab" * 9000, begun.ticket[:-2] + "00"):
        assert isinstance(await fresh.people.enrol_totp(ticket, fresh.digits(begun), HERE), NotEnrolled)
    assert isinstance(await fresh.finish(begun), Enrolled)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("Erste", "kurz"),
        ("Erste", "x" * 300),
        ("Erste", "aaaaaaaaaaaaaaaa"),
        ("Erste", "abcabcabcabcabc"),
        ("Erste", "123456789012345"),
        ("Erste", "qwertzuiopasdf"),
        ("Erste", "Passwort1234!"),
        ("Erste", "passwordpassword"),
        ("Erste", "P@ssw0rd2026!!"),
        ("Erste", "radiologie2026"),
        ("marie.curie", "mariecurie2026"),
        ("marie.curie", "eiruc.eiram12"),
        ("x y", PASSWORD),
        ("", PASSWORD),
        ("-rf", PASSWORD),
        ("a\nb", PASSWORD),
        ("x" * 65, PASSWORD),
    ],
)
async def test_weak_passwords_and_odd_names_are_refused(fresh: Fresh, name: str, password: str) -> None:
    with pytest.raises(UsageError) as caught:
        await fresh.people.enrol(fresh.people.manage.setup_secret(ADMIN, "init"), name, password, HERE)
    assert password not in str(caught.value) or len(password) < 3
    with pytest.raises(UsageError):
        fresh.people.manage.add(name, (), "test", password=password)


@pytest.mark.parametrize(
    "password", ["vier Kerzen im Advent", "korrekt pferd batterie", "Tr0ub4dor&3xkcd", "漢字漢語日本語中文字典書"]
)
async def test_good_ones_are_taken(fresh: Fresh, password: str) -> None:
    await fresh.begin(fresh.people.manage.setup_secret(ADMIN, "init"), password=password)


# ---- those after ---------------------------------------------------------------------------------


async def test_an_invitation_sets_password_and_factor(house: House) -> None:
    people = house.people
    people.manage.add("Curie", ("web:query",), "test")
    refused(await people.login("Curie", "", TotpCode("123456"), HERE))
    code = people.manage.invite("curie", "test")
    begun = await people.enrol(code.lower(), "somebody else", "Radium leuchtet blau", HERE)
    assert isinstance(begun, Begun) and begun.name == "Curie"
    digits = pyotp.TOTP(begun.secret).at(house.clock.now())
    assert isinstance(await people.enrol_totp(begun.ticket, digits, HERE), Enrolled)
    house.clock.forward(60)
    digits = pyotp.TOTP(begun.secret).at(house.clock.now())
    done = await people.login("Curie", "Radium leuchtet blau", TotpCode(digits), HERE)
    assert isinstance(done, LoggedIn) and done.person.permissions == {"web:query"}


async def test_an_invitation_of_somebody_who_is_there_replaces_all(house: House) -> None:
    inside = await house.entered()
    code = house.people.manage.invite(house.name, "test")
    begun = await house.people.enrol(code, "", "ein ganz neues Wort", HERE)
    assert isinstance(begun, Begun)
    assert isinstance(await house.enter(), LoggedIn), "what was there holds until then"
    digits = pyotp.TOTP(begun.secret).at(house.clock.now())
    assert isinstance(await house.people.enrol_totp(begun.ticket, digits, HERE), Enrolled)
    assert house.people.session(inside.session_token) is None
    house.clock.forward(60)
    refused(await house.enter())
    refused(await house.enter(password="ein ganz neues Wort"))  # with the old app
    refused(await house.people.login(house.name, "ein ganz neues Wort", RecoveryCode(house.recovery[0]), HERE))


async def test_an_invitation_of_who_is_disabled_opens_nothing(house: House) -> None:
    code = house.people.manage.invite(house.name, "test")
    house.people.manage.set_disabled(house.name, True, "test")
    assert isinstance(await house.people.enrol(code, "", "ein ganz neues Wort", HERE), NotEnrolled)


async def test_forgotten_factors_open_nothing(house: House) -> None:
    inside = await house.entered()
    house.people.manage.forget_factors(house.name, "test")
    assert house.people.session(inside.session_token) is None
    refused(await house.enter())
    refused(await house.people.login(house.name, PASSWORD, RecoveryCode(house.recovery[0]), HERE))


# ---- passkeys ------------------------------------------------------------------------------------


async def registered(house: House, key: Key) -> Enrolled | NotEnrolled:
    code = house.people.manage.invite_factor(house.name, "test")
    begun = await house.people.enrol(code, "", "", HERE)
    assert isinstance(begun, Begun) and begun.passkey is not None
    options, challenge = begun.passkey
    return await house.people.enrol_passkey(begun.ticket, key.create(options), challenge, HERE)


async def with_passkey(
    house: House, key: Key, *, asked: str | None = None, source: str = HERE, **more: int
) -> LoggedIn | object:
    shown = house.people.passkey_options(house.name if asked is None else asked)
    assert shown is not None
    options, challenge = shown
    return await house.people.login(house.name, PASSWORD, PasskeyProof(key.get(options, **more), challenge), source)


@pytest.mark.parametrize("counts", [True, False])
async def test_a_passkey_opens_with_the_password(house: House, counts: bool) -> None:
    key = Key(ORIGIN, counts=counts)
    done = await registered(house, key)
    assert isinstance(done, Enrolled) and done.how == "webauthn" and not done.recovery_codes
    assert house.people.manage.people()[0].factors == ("totp", "webauthn")
    for _ in range(3):
        inside = await with_passkey(house, key)
        assert isinstance(inside, LoggedIn) and inside.person.how == "password+webauthn"
    house.clock.forward(60)
    assert isinstance(await house.enter(), LoggedIn), "the app still opens"


async def test_what_is_wrong_with_a_passkey_is_refused(house: House) -> None:
    key, other = Key(ORIGIN), Key(ORIGIN)
    assert isinstance(await registered(house, key), Enrolled)

    async def tried(**more: object) -> None:
        assert not isinstance(await with_passkey(house, key, **more), LoggedIn), more  # type: ignore[arg-type]
        house.clock.forward(3600)

    assert not isinstance(await with_passkey(house, other), LoggedIn)
    other.credential = key.credential
    assert not isinstance(await with_passkey(house, other), LoggedIn)
    await tried(flags=0)  # nobody touched it
    await tried(asked="Curie")  # a challenge for somebody else
    key.origin = "https://guard.example.evil.example:8443"
    await tried()
    key.origin = ORIGIN
    key.counter = 0
    assert isinstance(await with_passkey(house, key), LoggedIn)
    key.counter = 0
    await tried()  # a copy whose counter stands still
    key.counter = 7
    assert isinstance(await with_passkey(house, key), LoggedIn)


@pytest.mark.parametrize("counts", [True, False])
async def test_an_answer_opens_once_and_not_for_long(house: House, counts: bool) -> None:
    key = Key(ORIGIN, counts=counts)
    assert isinstance(await registered(house, key), Enrolled)
    shown = house.people.passkey_options(house.name)
    assert shown is not None
    proof = PasskeyProof(key.get(shown[0]), shown[1])
    assert isinstance(await house.people.login(house.name, PASSWORD, proof, HERE), LoggedIn)
    refused(await house.people.login(house.name, PASSWORD, proof, HERE))
    shown = house.people.passkey_options(house.name)
    assert shown is not None
    proof = PasskeyProof(key.get(shown[0]), shown[1])
    house.clock.forward(LASTS_S + 1)
    refused(await house.people.login(house.name, PASSWORD, proof, HERE))


@pytest.mark.parametrize(
    "response", ["", "[]", "{}", "null", '{"id": 7}', '{"id": "ä"}', "[" * 10_000, '{"id": "AA", "rawId": "AA"}']
)
async def test_nonsense_is_refused(house: House, response: str) -> None:
    shown = house.people.passkey_options(house.name)
    assert shown is not None
    for challenge in (shown[1], "", "00", "zz" * 56, "00" * 56):
        refused(await house.people.login(house.name, PASSWORD, PasskeyProof(response, challenge), HERE))
        house.clock.forward(3600)
    code = house.people.manage.invite_factor(house.name, "test")
    begun = await house.people.enrol(code, "", "", HERE)
    assert isinstance(begun, Begun) and begun.passkey is not None
    done = await house.people.enrol_passkey(begun.ticket, response, begun.passkey[1], HERE)
    assert isinstance(done, NotEnrolled)


async def test_registering_is_bound_to_person_origin_and_key(house: House) -> None:
    assert isinstance(await registered(house, Key("https://evil.example")), NotEnrolled)
    key = Key(ORIGIN)
    assert isinstance(await registered(house, key), Enrolled)
    house.people.manage.add("Curie", (), "test", password="Radium leuchtet blau")
    begun = await house.people.enrol(house.people.manage.invite_factor("Curie", "test"), "", "", HERE)
    assert isinstance(begun, Begun) and begun.passkey is not None
    done = await house.people.enrol_passkey(begun.ticket, key.create(begun.passkey[0]), begun.passkey[1], HERE)
    assert isinstance(done, NotEnrolled), "the same credential for two people"
    fresh = Key(ORIGIN)
    done = await house.people.enrol_passkey(begun.ticket, fresh.create(begun.passkey[0]), begun.passkey[1], HERE)
    assert isinstance(done, Enrolled) and len(done.recovery_codes) == 10, "what failed before used nothing up"


def test_options_do_not_tell_who_exists(house: House) -> None:
    def shape(name: str) -> tuple[object, ...]:
        shown = house.people.passkey_options(name)
        assert shown is not None
        options = json.loads(shown[0])
        (allowed,) = options["allowCredentials"]
        return sorted(options), len(allowed["id"]), options["rpId"]

    before = shape("nobody")
    assert before == shape(house.name)
    asyncio.run(registered(house, Key(ORIGIN)))
    assert before == shape(house.name)

    def ids(name: str) -> object:
        shown = house.people.passkey_options(name)
        assert shown is not None
        return json.loads(shown[0])["allowCredentials"]

    assert ids("nobody") == ids("Nobody") != ids("somebody")


async def test_the_port_that_https_has_anyway_is_not_in_what_browsers_send(make_house: MakeHouse) -> None:
    house = make_house(site=Site("guard.example", ("https://Guard.example:443",)))
    key = Key("https://guard.example")
    assert isinstance(await registered(house, key), Enrolled)
    assert isinstance(await with_passkey(house, key), LoggedIn)


@pytest.mark.parametrize("site", [None, Site("192.0.2.1", ("https://192.0.2.1:8443",)), Site("2001:db8::1", ("x",))])
async def test_without_a_site_that_has_a_name_there_are_none(make_house: MakeHouse, site: Site | None) -> None:
    house = make_house(site=site)
    assert house.people.passkey_options(house.name) is None
    refused(await house.people.login(house.name, PASSWORD, PasskeyProof("{}", "00" * 56), HERE))


async def test_a_key_of_another_site_opens_nothing(house: House) -> None:
    key = Key(ORIGIN)
    assert isinstance(await registered(house, key), Enrolled)
    elsewhere = People(house.home, house.clock, hashing=CHEAP, site=Site("other.example", ("https://other.example",)))
    shown = elsewhere.passkey_options(house.name)
    assert shown is not None
    done = await house.people.login(house.name, PASSWORD, PasskeyProof(key.get(shown[0]), shown[1]), HERE)
    elsewhere.close()
    refused(done)
