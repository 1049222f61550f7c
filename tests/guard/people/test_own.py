"""What people change of their own account: each for a fresh factor, once; what was there before opens nothing."""

from __future__ import annotations

import asyncio

import pyotp
import pytest

from guard.people.authenticator import Key
from guard.people.somebody import HERE, PASSWORD, SITE, House, MakeHouse, refused
from leadapron.guard.identity.people import LoggedIn, LoginRefused, PasskeyProof, Person, RecoveryCode, TotpCode
from leadapron.guard.identity.people.confirmations import LASTS_S, Confirmations, Doing
from leadapron.guard.identity.people.model import Kind
from leadapron.guard.identity.people.own import OVER, NotDone
from leadapron.kernel.errors import UsageError

NEW = "ein ganz neues Wort"


async def confirmed(house: House, person: Person, doing: Doing, number: int = 0) -> str:
    """A confirmation, for six digits of the app."""
    note = await house.people.own.confirm(person, doing, number, house.code(), HERE)
    assert isinstance(note, str), note
    house.clock.forward(60)
    return note


async def test_a_new_password_ends_all_sessions_but_this_browsers(house: House) -> None:
    other, inside = await house.entered(), await house.entered()
    own, person = house.people.own, inside.person
    note = await confirmed(house, person, Doing.PASSWORD)
    wrong = await own.change_password(person, note, "falsch", NEW, HERE)
    assert isinstance(wrong, NotDone) and "old password" in wrong.reason
    assert house.people.session(inside.session_token) is not None
    with pytest.raises(UsageError):
        await own.change_password(person, note, PASSWORD, "kurz", HERE)
    done = await own.change_password(person, note, PASSWORD, NEW, HERE)
    assert isinstance(done, LoggedIn)
    assert house.people.session(other.session_token) is None and house.people.session(inside.session_token) is None
    assert house.people.session(done.session_token) == done.person
    assert [event.success for event in house.events if event.kind is Kind.ACCOUNT] == [False, True]
    house.clock.forward(60)
    refused(await house.enter())
    assert isinstance(await house.enter(password=NEW), LoggedIn)


async def test_the_new_session_lasts_no_longer_than_the_old_one(make_house: MakeHouse) -> None:
    house = make_house(idle_s=36_000, absolute_s=36_000)
    inside = await house.entered()
    house.clock.forward(30_000)
    note = await confirmed(house, inside.person, Doing.PASSWORD)
    done = await house.people.own.change_password(inside.person, note, PASSWORD, NEW, HERE)
    assert isinstance(done, LoggedIn)
    house.clock.forward(5_800)
    assert house.people.session(done.session_token) is not None
    house.clock.forward(200)
    assert house.people.session(done.session_token) is None


async def test_without_a_factor_nothing_is_confirmed(house: House) -> None:
    person = (await house.entered()).person
    used = house.code()
    assert isinstance(await house.people.own.confirm(person, Doing.TOKEN, 0, used, HERE), str)
    for factor in (None, used, TotpCode("000000"), TotpCode(""), RecoveryCode("AAAA"), PasskeyProof("{}", "00")):
        house.events.clear()
        done = await house.people.own.confirm(person, Doing.TOKEN, 0, factor, HERE)
        assert isinstance(done, LoginRefused)
        (event,) = house.events
        assert (event.kind, event.success, event.person) == (Kind.ACCOUNT, False, house.name)
        house.clock.forward(60)
    for _ in range(2):
        waits = await house.people.own.confirm(person, Doing.TOKEN, 0, TotpCode("000000"), HERE)
    assert isinstance(waits, LoginRefused) and waits.retry_after_s is not None, "guessing is not slowed down"


async def test_a_confirmation_is_for_one_thing_one_session_once_and_soon(house: House) -> None:
    own, people = house.people.own, house.people
    one, two = (await house.entered()).person, (await house.entered()).person
    note = await confirmed(house, one, Doing.TOKEN)

    async def make(person: Person, with_note: str) -> bool:
        done = await own.make_token(person, with_note, ["web:query"], 1, "", HERE)
        assert isinstance(done, tuple) or done.reason == OVER
        return isinstance(done, tuple)

    assert not await make(two, note)
    assert not await make(one, "") and not await make(one, note[:-2] + "00") and not await make(one, "ff" * 5000)
    assert isinstance(await own.end_others(one, note, HERE), NotDone)
    assert await make(one, note) and not await make(one, note)
    note = await confirmed(house, one, Doing.TOKEN)
    house.clock.forward(LASTS_S)
    assert not await make(one, note)
    note = await confirmed(house, one, Doing.TOKEN)
    people.manage.set_password(house.name, NEW, "test")
    assert not await make(one, note)
    assert len(people.manage.tokens()) == 1


async def test_of_a_hundred_at_once_one_uses_a_confirmation(house: House) -> None:
    person = (await house.entered()).person
    note = await confirmed(house, person, Doing.TOKEN)
    done = await asyncio.gather(
        *(house.people.own.make_token(person, note, ["web:query"], 1, "", HERE) for _ in range(20))
    )
    assert sum(isinstance(one, tuple) for one in done) == 1 == len(house.people.manage.tokens())


async def test_another_app_works_in_place_of_the_one_before(house: House) -> None:
    own = house.people.own
    inside = await house.entered()
    note = await confirmed(house, inside.person, Doing.APP)
    begun = own.new_app(inside.person, note)
    assert begun is not None
    secret, uri, note = begun
    assert secret in uri and own.new_app(inside.person, note) is not None
    wrong = await own.set_app(inside.person, note, "000000", HERE)
    assert isinstance(wrong, NotDone) and "digits" in wrong.reason
    done = await own.set_app(inside.person, note, pyotp.TOTP(secret).at(house.clock.now()), HERE)
    assert isinstance(done, LoggedIn) and house.people.session(inside.session_token) is None
    house.clock.forward(60)
    refused(await house.enter())
    house.secret = secret
    assert isinstance(await house.enter(), LoggedIn)
    mine = own.mine(done.person)
    assert mine is not None and [one.kind for one in mine.factors] == ["totp"] and mine.recovery_codes == 10


async def test_a_key_is_added_and_the_app_removed_and_one_stays(house: House) -> None:
    own = house.people.own
    inside = await house.entered()
    note = await confirmed(house, inside.person, Doing.KEY)
    options = own.new_key(inside.person, note)
    assert options is not None
    key = Key(SITE.origins[0])
    assert isinstance(await own.add_key(inside.person, note, "{}", options[1], HERE), NotDone)
    added = await own.add_key(inside.person, note, key.create(options[0]), options[1], HERE)
    assert isinstance(added, LoggedIn)
    person = added.person

    mine = own.mine(person)
    assert mine is not None
    app, other = mine.factors
    assert (app.kind, other.kind) == ("totp", "webauthn")
    asked = house.people.passkey_options(house.name)
    assert asked is not None
    proof = PasskeyProof(key.get(asked[0]), asked[1])
    by_key = await own.confirm(person, Doing.REMOVE, app.id, proof, HERE)
    assert isinstance(by_key, str)
    again = await own.confirm(person, Doing.REMOVE, app.id, proof, HERE)
    assert isinstance(again, LoginRefused), "an answer of a key was taken twice"
    left = await own.remove_factor(person, by_key, HERE)
    assert isinstance(left, LoggedIn)
    refused(await house.enter())

    note = await own_by_recovery(house, left.person, Doing.REMOVE, other.id)
    last = await own.remove_factor(left.person, note, HERE)
    assert isinstance(last, NotDone) and "last" in last.reason
    mine = own.mine(left.person)
    assert mine is not None and [one.id for one in mine.factors] == [other.id]


async def own_by_recovery(house: House, person: Person, doing: Doing, number: int = 0) -> str:
    codes = list(house.recovery)
    note = await house.people.own.confirm(person, doing, number, RecoveryCode(codes.pop()), HERE)
    assert isinstance(note, str)
    house.recovery = tuple(codes)
    return note


async def test_new_recovery_codes_void_the_old(house: House) -> None:
    person = (await house.entered()).person
    codes = await house.people.own.new_codes(person, await confirmed(house, person, Doing.CODES), HERE)
    assert isinstance(codes, tuple) and len(codes) == 10
    old = await house.people.login(house.name, PASSWORD, RecoveryCode(house.recovery[0]), HERE)
    assert isinstance(old, LoginRefused)
    assert isinstance(await house.people.login(house.name, PASSWORD, RecoveryCode(codes[0]), HERE), LoggedIn)


async def test_tokens_and_sessions_are_ones_own_only(house: House) -> None:
    own, manage = house.people.own, house.people.manage
    inside = await house.entered()
    person = inside.person
    manage.add("Curie", ("web:query",), "test", password="Radium leuchtet blau")
    manage.make_token("Curie", ["web:query"], 1, "test")
    house.events.clear()
    with pytest.raises(UsageError, match="may not"):
        await own.make_token(person, await confirmed(house, person, Doing.TOKEN), ["web:delete"], 1, "", HERE)
    made = await own.make_token(person, await confirmed(house, person, Doing.TOKEN), ["web:query"], 1, "mine", HERE)
    assert isinstance(made, tuple)
    mine = own.mine(person)
    assert mine is not None and [one.id for one in mine.tokens] == [made[1]]
    (hers,) = (one.id for one in manage.tokens() if one.owner == "Curie")
    note = await confirmed(house, person, Doing.REVOKE, hers)
    assert isinstance(await own.revoke_token(person, note, HERE), NotDone)
    note = await confirmed(house, person, Doing.REVOKE, made[1])
    assert await own.revoke_token(person, note, HERE) == made[1]
    assert house.people.token(made[0]) is None
    assert [one.state for one in manage.tokens()] == ["holds", "revoked"]

    assert done_of(house) == [f"token {made[1]} made", f"token {made[1]} revoked"]

    others = [await house.entered() for _ in range(3)]
    note = await confirmed(house, person, Doing.END, others[0].person.session)
    assert await own.end_session(person, note, HERE) == others[0].person.session
    assert house.people.session(others[0].session_token) is None
    assert house.people.session(others[1].session_token) is not None
    assert await own.end_others(person, await confirmed(house, person, Doing.OTHERS), HERE) == 2
    assert house.people.session(inside.session_token) is not None
    assert [one.id for one in manage.sessions()] == [person.session]
    assert done_of(house) == [f"session {others[0].person.session} ended", "2 other sessions ended"]


def done_of(house: House) -> list[str]:
    return [event.reason for event in house.events if event.kind is Kind.ACCOUNT and event.success]


async def test_who_has_no_factor_here_may_only_take_away(house: House) -> None:
    own, people = house.people.own, house.people
    people.manage.add("Curie", ("web:query",), "test", oidc="m.curie@example.org")
    token = people.manage.make_token("Curie", ["web:query"], 1, "test")
    with people.store.write() as connection:
        account = people.accounts.need(connection, "Curie")
        inside = people._login.signed_in(connection, account, "oidc", HERE)
    person = inside.person
    for doing in set(Doing) - {Doing.REVOKE, Doing.END, Doing.OTHERS}:
        assert isinstance(await own.confirm(person, doing, 0, house.code(), HERE), LoginRefused)
    note = await own.confirm(person, Doing.REVOKE, 1, None, HERE)
    assert isinstance(note, str) and await own.revoke_token(person, note, HERE) == 1
    assert people.token(token) is None


async def test_an_emergency_has_no_account(house: House) -> None:
    code = house.people.manage.arm(("web:view",), "test", label="safe")
    inside = await house.people.break_glass(code, house.name, "the phone is lost", HERE)
    assert isinstance(inside, LoggedIn)
    assert house.people.own.mine(inside.person) is None
    for doing in Doing:
        assert isinstance(await house.people.own.confirm(inside.person, doing, 0, house.code(), HERE), LoginRefused)


@pytest.mark.parametrize("note", ["", "zz", "00" * 40, "ff" * 5000, "é" * 30])
def test_no_note_but_ours_is_read(house: House, note: str) -> None:
    person = Person(name=house.name, permissions=frozenset(), how="", session=1)
    assert Confirmations(house.people.store).read(person, note, Doing.TOKEN) is None
