"""Break-glass: granted, alarmed, over; once."""

from __future__ import annotations

import pytest

from guard.people.somebody import HERE, House, refused
from leadapron.guard.identity.people import Kind, LoggedIn
from leadapron.kernel.errors import UsageError

MAY = ("web:query", "web:retrieve", "web:view")


async def test_it_is_granted_and_alarmed_and_ends(house: House) -> None:
    code = house.people.manage.arm(MAY, "console:root", label="safe", hours=2)
    house.events.clear()
    done = await house.people.break_glass(code.lower().replace("-", ""), "Dr. Curie", "trauma, phones are down", HERE)
    assert isinstance(done, LoggedIn)
    person = done.person
    assert (person.name, person.how, person.permissions) == ("emergency:Dr. Curie", "emergency", set(MAY))
    assert person.emergency == "trauma, phones are down"
    (event,) = house.events
    assert (event.kind, event.alert, event.success, event.person, event.reason, event.source) == (
        Kind.EMERGENCY,
        True,
        True,
        "Dr. Curie",
        "trauma, phones are down",
        HERE,
    )
    house.clock.forward(2 * 3600 - 1)  # longer than a session may be idle
    assert house.people.session(done.session_token) == person
    house.clock.forward(1)
    assert house.people.session(done.session_token) is None
    house.events.clear()
    house.people.sweep()
    house.people.sweep()
    (event,) = house.events
    assert (event.kind, event.alert) == (Kind.EMERGENCY, True) and "arm a new code" in event.reason


async def test_it_is_single_use_and_has_to_be_armed_again(house: House) -> None:
    code = house.people.manage.arm(MAY, "test", label="safe")
    done = await house.people.break_glass(code, "Dr. Curie", "trauma room", HERE)
    assert isinstance(done, LoggedIn)
    await house.people.logout(done.session_token)
    house.events.clear()
    assert "in use" in refused(await house.people.break_glass(code, "Dr. Curie", "trauma room", HERE))
    (event,) = house.events
    assert event.alert and not event.success
    assert [envelope.state for envelope in house.people.manage.envelopes()] == ["in use"]
    again = house.people.manage.arm(MAY, "test", label="safe")
    assert isinstance(await house.people.break_glass(again, "Dr. Curie", "trauma room", HERE), LoggedIn)


@pytest.mark.parametrize(("who", "reason"), [("", "trauma room"), ("Dr. Curie", ""), ("Dr. Curie", " x "), ("  ", " ")])
async def test_who_and_why_are_demanded(house: House, who: str, reason: str) -> None:
    code = house.people.manage.arm(MAY, "test", label="safe")
    refused(await house.people.break_glass(code, who, reason, HERE))
    assert isinstance(await house.people.break_glass(code, "Dr. Curie", "trauma room", HERE), LoggedIn)


async def test_what_is_no_armed_code_opens_nothing(house: House) -> None:
    for code in ("", "x", "0000-0000-0000-0000-0000-0000", house.recovery[0], "\x1b" * 5000):
        refused(await house.people.break_glass(code, "Dr. Curie", "trauma room", HERE))
    replaced = house.people.manage.arm(MAY, "test", label="safe")
    disarmed = house.people.manage.arm(MAY, "test", label="safe")
    (row,) = (one for one in house.people.manage.envelopes() if one.state == "armed")
    assert house.people.manage.disarm(row.id, "test") and not house.people.manage.disarm(row.id, "test")
    old = house.people.manage.arm(MAY, "test", label="other", days=2)
    house.clock.forward(2 * 86_400)
    for code, state in ((replaced, "disarmed"), (disarmed, "disarmed"), (old, "expired")):
        assert state in refused(await house.people.break_glass(code, "Dr. Curie", "trauma room", HERE))
    assert [one.state for one in house.people.manage.envelopes()] == ["disarmed", "disarmed", "expired"]


@pytest.mark.parametrize(
    ("may", "label", "hours", "days"),
    [((), "safe", 4, 30), (MAY, " ", 4, 30), (MAY, "safe", 0, 30), (MAY, "safe", 48, 30), (MAY, "safe", 4, 4000)],
)
def test_none_for_ever_or_for_nothing(house: House, may: tuple[str, ...], label: str, hours: int, days: int) -> None:
    with pytest.raises(UsageError):
        house.people.manage.arm(may, "test", label=label, hours=hours, days=days)


async def test_its_session_can_be_ended(house: House) -> None:
    code = house.people.manage.arm(MAY, "test", label="safe")
    done = await house.people.break_glass(code, "Dr. Curie", "trauma room", HERE)
    assert isinstance(done, LoggedIn)
    (row,) = house.people.manage.sessions()
    assert row.person == "emergency:Dr. Curie" and house.people.manage.revoke_session(row.id, "test")
    assert house.people.session(done.session_token) is None


async def test_nobody_can_be_called_like_an_emergency(house: House) -> None:
    with pytest.raises(UsageError):
        house.people.manage.add("emergency:Dr.Curie", (), "test")
