"""Sessions and API tokens: what they open, when they end, what other requests must say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.people.somebody import CHEAP, HERE, House, MakeHouse
from leadapron.guard.identity.people import Kind, LoggedIn, People, codes, forged
from leadapron.guard.identity.people.sessions import MOST_SESSIONS
from leadapron.kernel.errors import UsageError

OURS = ("https://guard.example:8443",)


def test_a_session_ends_when_nothing_is_done(house: House) -> None:
    inside = house.inside()
    for _ in range(20):
        house.clock.forward(13 * 60)
        assert house.people.session(inside.session_token) is not None
    house.clock.forward(15 * 60)
    assert house.people.session(inside.session_token, "203.0.113.1") is None
    assert house.people.session(inside.session_token, "203.0.113.1") is None
    ended, unknown = house.events
    assert (ended.kind, ended.person, ended.source) == (Kind.SESSION_ENDED, house.name, "203.0.113.1")
    assert (unknown.kind, unknown.success) == (Kind.LOGIN, False)


def test_a_session_ends_whatever_is_done(house: House) -> None:
    inside = house.inside()
    house.clock.forward(-60)
    for _ in range(59):
        house.clock.forward(600)
        assert house.people.session(inside.session_token) is not None
    house.clock.forward(600)
    assert house.people.session(inside.session_token) is None
    assert [event.kind for event in house.events] == [Kind.SESSION_ENDED]


def test_the_end_is_told_once_also_by_the_sweep(house: House) -> None:
    inside = house.inside()
    house.clock.forward(3600)
    house.people.sweep()
    house.people.sweep()
    assert [(event.kind, event.reason) for event in house.events] == [
        (Kind.SESSION_ENDED, "nothing was done for too long")
    ]
    assert house.people.session(inside.session_token) is None


async def test_logging_out_ends_it(house: House) -> None:
    one, two = await house.enter(), None
    house.clock.forward(60)
    two = await house.enter()
    assert isinstance(one, LoggedIn) and isinstance(two, LoggedIn)
    assert one.session_token != two.session_token
    house.events.clear()
    await house.people.logout(one.session_token, HERE)
    await house.people.logout(one.session_token, HERE)
    await house.people.logout("x" * 5000, HERE)
    assert [(event.kind, event.person) for event in house.events] == [(Kind.LOGOUT, house.name)]
    assert house.people.session(one.session_token) is None and house.people.session(two.session_token) is not None


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with People(tmp_path_factory.mktemp("guard"), on_event=lambda event: None, hashing=CHEAP) as people:
        yield people


@given(text=st.text(max_size=200))
def test_no_other_text_opens(nobody: People, text: str) -> None:
    assert nobody.session(text) is None and nobody.token(text) is None


def test_listing_and_ending_by_number(house: House) -> None:
    first, second = house.inside("192.0.2.1"), house.inside("192.0.2.2")
    rows = house.people.manage.sessions()
    assert [(row.id, row.person, row.source, row.how) for row in rows] == [
        (first.person.session, house.name, "192.0.2.1", "password+totp"),
        (second.person.session, house.name, "192.0.2.2", "password+totp"),
    ]
    other = People(house.home, house.clock, hashing=CHEAP)  # as the command line beside a running guard
    assert other.manage.revoke_session(first.person.session, "console")
    assert not other.manage.revoke_session(first.person.session, "console")
    other.close()
    assert house.people.session(first.session_token) is None and house.people.session(second.session_token)


def test_a_person_has_a_bounded_number_of_them(house: House) -> None:
    tokens = [house.inside().session_token for _ in range(MOST_SESSIONS + 3)]
    assert len(house.people.manage.sessions()) <= MOST_SESSIONS
    assert house.people.session(tokens[-1]) is not None and house.people.session(tokens[0]) is None


def test_permissions_are_read_anew_for_each_request(house: House) -> None:
    inside = house.inside()
    house.people.manage.set_permissions(house.name, ["web:view"], "test")
    person = house.people.session(inside.session_token)
    assert person is not None and person.permissions == {"web:view"}


# ---- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_may_what_it_and_its_owner_may(house: House) -> None:
    secret = house.people.manage.make_token(house.name, ["web:query"], 30, "test", "nightly export")
    found = house.people.token(secret, HERE)
    assert found is not None and found.permissions == {"web:query"} and found.may("web:query")
    assert (found.owner, found.label) == (house.name, "nightly export") and not found.may("web:retrieve")
    house.people.manage.set_permissions(house.name, ["web:retrieve"], "test")
    found = house.people.token(secret)
    assert found is not None and not found.permissions
    with pytest.raises(UsageError, match="web:query"):
        house.people.manage.make_token(house.name, ["web:query", "web:retrieve"], 30, "test")


def test_a_token_ends(house: House) -> None:
    secret = house.people.manage.make_token(house.name, ["web:query"], 2, "test")
    house.clock.forward(2 * 86_400 - 1)
    assert house.people.token(secret) is not None
    house.clock.forward(1)
    house.events.clear()
    assert house.people.token(secret, HERE) is None
    (event,) = house.events
    assert (event.kind, event.person, event.source, event.reason) == (Kind.TOKEN, house.name, HERE, "expired")


@pytest.mark.parametrize(("may", "days"), [([], 30), (["web:query"], 0), (["web:query"], 10_000), (["admin"], 3)])
def test_no_token_for_ever_or_for_nothing(house: House, may: list[str], days: int) -> None:
    with pytest.raises(UsageError):
        house.people.manage.make_token(house.name, may, days, "test")


def test_revoking_and_listing(house: House) -> None:
    secret = house.people.manage.make_token(house.name, ["web:query"], 2, "test", "one")
    house.people.token(secret, "192.0.2.99")
    (row,) = house.people.manage.tokens()
    assert (row.owner, row.label, row.state, row.used_from) == (house.name, "one", "holds", "192.0.2.99")
    assert house.people.manage.revoke_token(row.id, "test") and not house.people.manage.revoke_token(row.id, "test")
    assert not house.people.manage.revoke_token(4711, "test")
    assert house.people.token(secret) is None
    assert house.people.manage.tokens()[0].state == "revoked"


@given(st.data())
def test_a_mistyped_token_is_told_by_its_checksum(data: st.DataObject) -> None:
    token = codes.api_token()
    assert codes.is_api_token(token) and len(token) == codes.TOKEN_LENGTH
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != token[place]))
    assert not codes.is_api_token(token[:place] + other + token[place + 1 :])


def test_a_token_opens_no_session_and_a_session_is_no_token(house: House) -> None:
    inside = house.inside()
    secret = house.people.manage.make_token(house.name, ["web:query"], 2, "test")
    assert house.people.session(secret) is None and house.people.token(inside.session_token) is None


def test_idle_and_absolute_are_the_operators(make_house: MakeHouse) -> None:
    house = make_house(idle_s=60, absolute_s=600)
    inside = house.inside()
    assert house.people.session(inside.session_token) is None  # 60 s went by in ``inside``


# ---- cross-site requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "headers", "good"),
    [
        ("POST", {"sec-fetch-site": "same-origin", "origin": OURS[0]}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"origin": OURS[0]}, True),
        ("POST", {}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, False),
        ("POST", {"sec-fetch-site": "same-site", "origin": "https://guard.example"}, False),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, False),
        ("POST", {"origin": "null"}, False),
        ("delete", {"sec-fetch-site": "cross-site"}, False),
        ("OPTIONS", {}, False),
        ("GET", {}, True),
        ("GET", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, True),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, False),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, False),
        ("GET", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "origin": "https://guard.example"}, False),
        ("GET", {"origin": "https://evil.example"}, False),
        ("HEAD", {"sec-fetch-site": "same-origin"}, True),
    ],
)
def test_what_other_pages_send_is_refused(method: str, headers: dict[str, str], good: bool) -> None:
    assert (forged(method, headers, OURS) is None) is good


def test_the_port_that_https_has_anyway_is_not_in_what_browsers_send() -> None:
    assert forged("POST", {"origin": "https://guard.example"}, ("https://guard.example:443",)) is None
    assert forged("POST", {"origin": "https://guard.example:8443"}, ("https://guard.example:443",)) is not None
