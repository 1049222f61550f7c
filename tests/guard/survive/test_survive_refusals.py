"""Refusals beyond the ordinary: counted, summed up, never unsaid, and bounded in memory and on disk."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.people.somebody import Held
from leadapron.guard.audit.codes import Alert, Outcome
from leadapron.guard.audit.events import (
    BulkAlarm,
    Event,
    NodeAuthenticationFailed,
    Participant,
    QueryMade,
    SecurityAlert,
    UserAuthentication,
)
from leadapron.guard.audit.place import AuditFailed
from leadapron.guard.gateway.refusals import LASTING, MAX_KINDS, MAX_SPANS, OVERALL, SINGLY, Refusals, network

SUM = re.compile(r"(\d+) further refusals of .* within \d+ s; the last: ")


def refused(address: str = "192.0.2.1", reason: str = "not TLS") -> NodeAuthenticationFailed:
    return NodeAuthenticationFailed(address=address, reason=reason)


def told(event: Event) -> int:
    """How many refusals an event stands for."""
    text = event.text if isinstance(event, SecurityAlert) else event.reason or ""
    found = SUM.match(text)
    return int(found[1]) if found else 1


class Book:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.clock = Held()
        self.full = False
        self.refusals = Refusals(self.record, self.clock)

    def record(self, event: Event) -> None:
        if self.full:
            raise AuditFailed("no room")
        self.events.append(event)

    @property
    def sum(self) -> int:
        return sum(map(told, self.events))


def test_ordinary_rates_are_told_one_by_one() -> None:
    book = Book()
    for minute in range(5):
        for number in range(SINGLY - 1):
            event = refused(reason=f"reason {minute}")
            book.refusals(event)
            assert book.events[-1] is event, number
        book.clock.forward(60)
        book.refusals.sweep()
    assert len(book.events) == 5 * (SINGLY - 1)


def test_the_one_that_is_too_much_says_so_and_a_sum_follows_when_the_minute_is_over() -> None:
    book = Book()
    for _ in range(1000):
        book.refusals(refused())
    assert len(book.events) == SINGLY
    assert "their sum is told" in str(book.events[-1].reason)
    book.clock.forward(59)
    book.refusals.sweep()
    assert len(book.events) == SINGLY
    book.clock.forward(1)
    book.refusals.sweep()
    (total,) = book.events[SINGLY:]
    assert total.reason == "980 further refusals of 192.0.2.1 within 60 s; the last: not TLS"
    assert book.sum == 1000


def test_a_flood_that_lasts_for_a_day_costs_little_and_a_pause_ends_it() -> None:
    book = Book()
    for _ in range(24 * 3600):
        book.refusals(refused())
        book.clock.forward(1)
        book.refusals.sweep()
    assert len(book.events) < 350
    book.clock.forward(1200)
    book.refusals.sweep()
    book.clock.forward(1200)
    book.refusals.sweep()
    assert book.sum == 24 * 3600
    before = len(book.events)
    for _ in range(SINGLY - 1):
        book.refusals(refused())
    assert len(book.events) == before + SINGLY - 1


def test_one_that_is_flooding_does_not_hide_another() -> None:
    book = Book()
    for _ in range(5000):
        book.refusals(refused())
    other, login = refused("192.0.2.2"), UserAuthentication(
        person=Participant("reader", address="192.0.2.1"), login=True, how="password", outcome=Outcome.MINOR
    )  # fmt: skip
    for event in (other, login, refused(reason="certificate revoked")):
        book.refusals(event)
        assert book.events[-1] is event


def test_what_is_no_refusal_passes() -> None:
    book = Book()
    peer = Participant("CT1", address="192.0.2.1")
    events: list[Event] = [
        BulkAlarm(peer=peer, studies=11, limit=10, window_s=3600),
        QueryMade(peer=peer, archive=peer, query=b"x"),
        UserAuthentication(person=peer, login=True),
        SecurityAlert(kind=Alert.REQUEST_DENIED, text="serious", performers=(peer,)),
    ]
    events *= 1000
    for event in events:
        book.refusals(event)
    assert book.events == events


def test_an_enrolled_peer_that_is_refused_for_ever() -> None:
    book = Book()
    for name in ("CT1", "WS1"):
        for _ in range(500):
            peer = Participant(name, ae=name, address="192.0.2.1")
            book.refusals(
                SecurityAlert(
                    kind=Alert.REQUEST_DENIED, text="C-FIND was refused: x", performers=(peer,), outcome=Outcome.MINOR
                )
            )
    assert len(book.events) == 2 * SINGLY
    book.refusals.close()
    assert book.sum == 1000


def test_floods_from_everywhere_are_bounded_on_disk_and_in_memory() -> None:
    book = Book()
    sent = 0
    for minute in range(10):
        for number in range(20_000):
            book.refusals(refused(str(ipaddress.IPv4Address(minute * 50_000 + number))))
            sent += 1
        book.clock.forward(60)
        book.refusals.sweep()
        assert len(book.refusals._spans) <= MAX_SPANS + 3
        # A span that told one singly goes away when it is over.
        assert sum(map(len, book.refusals._kinds.values())) <= MAX_SPANS
    assert len(book.events) <= 2 * OVERALL + 8 * LASTING + 12
    assert sys.getsizeof(book.refusals._spans) < 1 << 20
    book.refusals.close()
    assert book.sum == sent
    assert "of more than 1024 addresses" in str(book.events[-1])


def test_reasons_that_a_stranger_chooses_are_few_kinds() -> None:
    book = Book()
    for number in range(3000):
        letters = "".join(chr(ord("g") + int(digit)) for digit in str(number))
        book.refusals(refused(reason=f"it said {letters}"))
        book.refusals(refused("192.0.2.2", f"length {number} at '{letters}'"))
    singly = Counter(event.address for event in book.events if isinstance(event, NodeAuthenticationFailed))
    assert singly["192.0.2.1"] <= SINGLY * (MAX_KINDS + 1) and singly["192.0.2.2"] == SINGLY
    book.refusals.close()
    assert book.sum == 6000


def test_what_cannot_be_recorded_is_not_forgotten() -> None:
    book = Book()
    for _ in range(100):
        book.refusals(refused())
    book.full = True
    book.clock.forward(60)
    for _ in range(3):
        with pytest.raises(AuditFailed):
            book.refusals.sweep()
    book.full = False
    book.refusals.sweep()
    assert book.sum == 100


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("x" * 500, "x" * 64),
    ],
)
def test_networks(address: str, known: str) -> None:
    assert network(address) == known


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db9::1"]),
            st.sampled_from(["not TLS", "no certificate", "length 5", "length 77"]),
            st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 30.0, 61.0, 700.0]),
            st.integers(1, 60),
        ),
        max_size=40,
    )
)
def test_every_refusal_is_in_some_message(steps: list[tuple[str, str, float, int]]) -> None:
    book, sent = Book(), 0
    for address, reason, pause, times in steps:
        book.clock.forward(pause)
        if pause:
            book.refusals.sweep()
        for _ in range(times):
            book.refusals(refused(address, reason))
            sent += 1
        assert book.sum <= sent
    book.refusals.close()
    assert book.sum == sent
