"""`Association` carries out Table 9-10: each cell by itself, then whole conversations by octets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leadapron.kernel.errors import Failure, LimitExceeded, ProtocolError
from leadapron.wire import uids
from leadapron.wire.association.machine import (
    Aborted,
    Accepted,
    Association,
    CloseTransport,
    Data,
    Effect,
    OpenTransport,
    ProviderAbort,
    Rejected,
    Released,
    ReleaseRequested,
    Requested,
    Role,
    Send,
    StartTimer,
    StopTimer,
)
from leadapron.wire.association.negotiate import ContextRequest, Supported, anyone, build_request, choose
from leadapron.wire.association.reasons import CALLED_AE_NOT_RECOGNIZED, PROTOCOL_VERSION_NOT_SUPPORTED
from leadapron.wire.association.table import TABLE, Action, Event, State
from leadapron.wire.pdu import (
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Limits,
    PData,
    PresentationDataValue,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)

REQUEST = build_request([ContextRequest(uids.VERIFICATION)], called="ANY-SCP", calling="LEADAPRON")
ANSWER = choose(REQUEST, Supported({uids.VERIFICATION: (uids.IMPLICIT_LE,)}), anyone)
assert isinstance(ANSWER, AssociateAccept)
ACCEPT: AssociateAccept = ANSWER
REJECT = CALLED_AE_NOT_RECOGNIZED
DATA = PData((PresentationDataValue(1, True, True, b"command"),))
RELEASE_RQ, RELEASE_RP = encode(ReleaseRequest()), encode(ReleaseResponse())

EVENTS: dict[Event, Callable[[Association], list[Effect]]] = {
    Event.EVT1: lambda it: it.request(REQUEST),
    Event.EVT2: lambda it: it.transport_opened(),
    Event.EVT3: lambda it: it.receive(encode(ACCEPT)),
    Event.EVT4: lambda it: it.receive(encode(REJECT)),
    Event.EVT5: lambda it: it.transport_accepted(),
    Event.EVT6: lambda it: it.receive(encode(REQUEST)),
    Event.EVT7: lambda it: it.accept(ACCEPT),
    Event.EVT8: lambda it: it.reject(REJECT),
    Event.EVT9: lambda it: it.send(DATA),
    Event.EVT10: lambda it: it.receive(encode(DATA)),
    Event.EVT11: lambda it: it.release(),
    Event.EVT12: lambda it: it.receive(RELEASE_RQ),
    Event.EVT13: lambda it: it.receive(RELEASE_RP),
    Event.EVT14: lambda it: it.respond_release(),
    Event.EVT15: lambda it: it.abort(),
    Event.EVT16: lambda it: it.receive(encode(Abort(0, 0))),
    Event.EVT17: lambda it: it.transport_closed(),
    Event.EVT18: lambda it: it.timer_expired(),
    Event.EVT19: lambda it: it.receive(b"\xff\0\0\0\0\0"),
}

# How each state is reached, by events alone.
_REQUESTED = (Event.EVT1, Event.EVT2)
_INDICATED = (Event.EVT5, Event.EVT6)
PATHS: dict[State, tuple[Role, tuple[Event, ...]]] = {
    State.STA1: (Role.REQUESTOR, ()),
    State.STA2: (Role.ACCEPTOR, (Event.EVT5,)),
    State.STA3: (Role.ACCEPTOR, _INDICATED),
    State.STA4: (Role.REQUESTOR, (Event.EVT1,)),
    State.STA5: (Role.REQUESTOR, _REQUESTED),
    State.STA6: (Role.REQUESTOR, (*_REQUESTED, Event.EVT3)),
    State.STA7: (Role.REQUESTOR, (*_REQUESTED, Event.EVT3, Event.EVT11)),
    State.STA8: (Role.REQUESTOR, (*_REQUESTED, Event.EVT3, Event.EVT12)),
    State.STA9: (Role.REQUESTOR, (*_REQUESTED, Event.EVT3, Event.EVT11, Event.EVT12)),
    State.STA10: (Role.ACCEPTOR, (*_INDICATED, Event.EVT7, Event.EVT11, Event.EVT12)),
    State.STA11: (Role.REQUESTOR, (*_REQUESTED, Event.EVT3, Event.EVT11, Event.EVT12, Event.EVT14)),
    State.STA12: (Role.ACCEPTOR, (*_INDICATED, Event.EVT7, Event.EVT11, Event.EVT12, Event.EVT13)),
    State.STA13: (Role.ACCEPTOR, (*_INDICATED, Event.EVT8)),
}

ABORT_BY_USER = Send(encode(Abort(0, 0)))


def abort_by_provider(reason: int) -> Send:
    return Send(encode(Abort(2, reason)))


# What each action does (PS3.8 Tables 9-6 to 9-9); AA-7 and AA-8 depend on what came and are in `expected`.
EFFECTS: dict[Action, list[Effect]] = {
    Action.AE_1: [OpenTransport()],
    Action.AE_2: [Send(encode(REQUEST))],
    Action.AE_3: [Accepted(ACCEPT)],
    Action.AE_4: [Rejected(REJECT), CloseTransport()],
    Action.AE_5: [StartTimer()],
    Action.AE_6: [StopTimer(), Requested(REQUEST)],
    Action.AE_7: [Send(encode(ACCEPT))],
    Action.AE_8: [Send(encode(REJECT)), StartTimer()],
    Action.DT_1: [Send(encode(DATA))],
    Action.DT_2: [Data(DATA)],
    Action.AR_1: [Send(RELEASE_RQ)],
    Action.AR_2: [ReleaseRequested(collision=False)],
    Action.AR_3: [Released(), CloseTransport()],
    Action.AR_4: [Send(RELEASE_RP), StartTimer()],
    Action.AR_5: [StopTimer()],
    Action.AR_6: [Data(DATA)],
    Action.AR_7: [Send(encode(DATA))],
    Action.AR_8: [ReleaseRequested(collision=True)],
    Action.AR_9: [Send(RELEASE_RP)],
    Action.AR_10: [Released()],
    Action.AA_1: [ABORT_BY_USER, StartTimer()],
    Action.AA_2: [StopTimer(), CloseTransport()],
    Action.AA_3: [Aborted(), CloseTransport()],
    Action.AA_4: [ProviderAbort(None)],
    Action.AA_5: [StopTimer()],
    Action.AA_6: [],
}


def at(state: State) -> Association:
    role, path = PATHS[state]
    association = Association(role)
    for event in path:
        EVENTS[event](association)
    assert association.state is state
    return association


@pytest.mark.parametrize(("state", "event"), [pytest.param(*key, id=f"{key[0]}-{key[1]}") for key in TABLE])
def test_a_cell(state: State, event: Event) -> None:
    cell = TABLE[state, event]
    association = at(state)
    effects = EVENTS[event](association)
    assert association.state is cell.next
    reason = 1 if event is Event.EVT19 else 2  # unrecognized or unexpected PDU: Table 9-26
    if cell.action is Action.AA_7:
        assert effects == [abort_by_provider(reason)]
    elif cell.action is Action.AA_8:
        sent, indication, timer = effects
        assert (sent, timer) == (abort_by_provider(reason), StartTimer())
        assert isinstance(indication, ProviderAbort) and indication.reason == reason
        assert isinstance(indication.error, ProtocolError)
    else:
        assert effects == EFFECTS[cell.action]


EMPTY = [(state, event) for event in Event for state in State if (state, event) not in TABLE]
# Late echoes of the transport and the clock, which a caller cannot keep from crossing: nothing happens.
CROSSING = (Event.EVT17, Event.EVT18)
RECEIVED = (Event.EVT3, Event.EVT4, Event.EVT6, Event.EVT10, Event.EVT12, Event.EVT13, Event.EVT16, Event.EVT19)


@pytest.mark.parametrize(("state", "event"), [pytest.param(*key, id=f"{key[0]}-{key[1]}") for key in EMPTY])
def test_an_empty_cell(state: State, event: Event) -> None:
    """What cannot happen is our own mistake and changes nothing; what may come late is passed over."""
    association = at(state)
    if event in CROSSING or (event in RECEIVED and state is State.STA1):
        assert EVENTS[event](association) == []
    else:
        with pytest.raises(Failure, match=str(state)):
            EVENTS[event](association)
    assert association.state is state


def test_release_collision_depends_on_the_role() -> None:
    """AR-8: the requestor answers first (Sta9), the acceptor waits (Sta10)."""
    acceptor = at(State.STA10)
    assert acceptor.role is Role.ACCEPTOR
    assert at(State.STA9).role is Role.REQUESTOR


def test_a_request_that_the_provider_does_not_accept() -> None:
    """AE-6, the other outcome: bit 0 of the protocol version is not set (PS3.8 §9.3.2)."""
    acceptor = Association(Role.ACCEPTOR)
    acceptor.transport_accepted()
    raw = bytearray(encode(REQUEST))
    raw[7] = 2
    effects = acceptor.receive(bytes(raw))
    assert effects == [StopTimer(), Send(encode(PROTOCOL_VERSION_NOT_SUPPORTED)), StartTimer()]
    assert acceptor.state is State.STA13


def test_the_providers_check_is_the_callers() -> None:
    busy = AssociateReject(2, 3, 1)
    acceptor = Association(Role.ACCEPTOR, acceptable=lambda request: busy)
    acceptor.transport_accepted()
    assert Send(encode(busy)) in acceptor.receive(encode(REQUEST))


def test_the_providers_abort_is_told_from_the_users() -> None:
    """AA-3."""
    association = at(State.STA6)
    assert association.receive(encode(Abort(2, 6))) == [ProviderAbort(6), CloseTransport()]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", 1),
        (bytes.fromhex("04 00 FFFFFFFF"), 6),
        (bytes.fromhex("04 00 00000006 00000009 01 03"), 6),
    ],
    ids=["no PDU type", "length", "item"],
)
def test_an_invalid_pdu_says_why_and_what_follows_is_dropped(raw: bytes, reason: int) -> None:
    association = at(State.STA6)
    sent, indication, timer = association.receive(raw)
    assert (sent, timer) == (abort_by_provider(reason), StartTimer())
    assert isinstance(indication, ProviderAbort)
    assert isinstance(indication.error, ProtocolError)
    assert association.receive(raw) == []
    assert association.receive(RELEASE_RQ) == []
    assert association.timer_expired() == [StopTimer(), CloseTransport()]
    assert association.idle


def test_who_reads_pdus_himself_says_what_came() -> None:
    """`received` and `unreadable` are `receive` without its reader."""
    association = at(State.STA6)
    assert association.received(DATA) == [Data(DATA)]
    assert association.received(ReleaseRequest()) == [ReleaseRequested(collision=False)]
    error = LimitExceeded("too long", 2)
    assert association.unreadable(error) == [abort_by_provider(6), ProviderAbort(6, error), StartTimer()]
    assert association.unreadable(error) == association.received(DATA) == []
    association.transport_closed()
    assert association.received(DATA) == association.unreadable(error) == []
    assert association.idle


def test_limits_reach_the_reader() -> None:
    association = Association(Role.ACCEPTOR, limits=Limits(associate=68))
    association.transport_accepted()
    assert association.receive(encode(REQUEST)[:6]) == [ABORT_BY_USER, StartTimer()]
    requestor = Association(Role.REQUESTOR, limits=Limits(associate=68))
    requestor.request(REQUEST)
    requestor.transport_opened()
    indication = requestor.receive(encode(ACCEPT)[:6])[1]
    assert isinstance(indication, ProviderAbort)
    assert isinstance(indication.error, LimitExceeded)


def test_what_cannot_be_written_changes_nothing() -> None:
    association = Association(Role.REQUESTOR)
    with pytest.raises(ValueError, match="AE title"):
        association.request(AssociateRequest("", "B", (), ACCEPT.user))
    assert association.idle
    association = at(State.STA6)
    with pytest.raises(ValueError, match="does not fit"):
        association.send(PData((PresentationDataValue(999, True, True, b""),)))
    assert association.state is State.STA6
    association = at(State.STA3)
    with pytest.raises(ValueError, match="does not fit"):
        association.reject(AssociateReject(999, 1, 1))
    assert association.state is State.STA3


def test_several_pdus_in_one_piece() -> None:
    """Data, then the release, as a fast peer sends it; nothing is read past the end."""
    association = at(State.STA7)
    effects = association.receive(encode(DATA) * 2 + RELEASE_RP + encode(DATA))
    assert effects == [Data(DATA), Data(DATA), Released(), CloseTransport()]
    assert association.idle
    assert association.receive(encode(DATA)) == []
    assert association.transport_closed() == []


class Wire:
    """Two associations, joined by octets that are handed over one at a time. What each user is told is kept."""

    def __init__(self) -> None:
        self.requestor, self.acceptor = Association(Role.REQUESTOR), Association(Role.ACCEPTOR)
        self.told: dict[Role, list[Effect]] = {Role.REQUESTOR: [], Role.ACCEPTOR: []}
        self.timers: set[Role] = set()
        self._queues: dict[Role, bytearray] = {Role.REQUESTOR: bytearray(), Role.ACCEPTOR: bytearray()}
        self._closed = False

    def do(self, role: Role, effects: list[Effect]) -> None:
        """Carry out effects of one end; octets wait until `deliver`."""
        other = Role.ACCEPTOR if role is Role.REQUESTOR else Role.REQUESTOR
        for effect in effects:
            match effect:
                case Send(data):
                    self._queues[other] += data
                case OpenTransport():
                    self.do(Role.ACCEPTOR, self.acceptor.transport_accepted())
                    self.do(Role.REQUESTOR, self.requestor.transport_opened())
                case CloseTransport():
                    self._closed = True
                case StartTimer():
                    self.timers.add(role)
                case StopTimer():
                    self.timers.discard(role)
                case _:
                    self.told[role].append(effect)

    def deliver(self) -> None:
        """Everything that is under way arrives, octet by octet, then the end of the connection."""
        while any(self._queues.values()):
            for role, queue in self._queues.items():
                if queue:
                    octet = bytes(queue[:1])
                    del queue[:1]
                    self.do(role, self.end(role).receive(octet))
        if self._closed:
            for role in Role:
                self.do(role, self.end(role).transport_closed())

    def end(self, role: Role) -> Association:
        return self.requestor if role is Role.REQUESTOR else self.acceptor

    def establish(self) -> None:
        self.do(Role.REQUESTOR, self.requestor.request(REQUEST))
        self.deliver()
        self.do(Role.ACCEPTOR, self.acceptor.accept(ACCEPT))
        self.deliver()
        assert self.told == {Role.REQUESTOR: [Accepted(ACCEPT)], Role.ACCEPTOR: [Requested(REQUEST)]}
        assert (self.requestor.state, self.acceptor.state) == (State.STA6, State.STA6)
        assert not self.timers
        for told in self.told.values():
            told.clear()

    def assert_over(self) -> None:
        assert self.requestor.idle and self.acceptor.idle
        assert not self.timers


class TestConversation:
    def test_data_both_ways_and_release(self) -> None:
        wire = Wire()
        wire.establish()
        wire.do(Role.REQUESTOR, wire.requestor.send(DATA))
        wire.do(Role.ACCEPTOR, wire.acceptor.send(encode(DATA)))
        wire.deliver()
        wire.do(Role.REQUESTOR, wire.requestor.release())
        wire.deliver()
        # PS3.8 §7.2.2: the acceptor may still send what it owes before it agrees.
        wire.do(Role.ACCEPTOR, wire.acceptor.send(DATA))
        wire.do(Role.ACCEPTOR, wire.acceptor.respond_release())
        wire.deliver()
        assert wire.told[Role.REQUESTOR] == [Data(DATA), Data(DATA), Released()]
        assert wire.told[Role.ACCEPTOR] == [Data(DATA), ReleaseRequested(collision=False)]
        wire.assert_over()

    def test_release_collision(self) -> None:
        wire = Wire()
        wire.establish()
        wire.do(Role.REQUESTOR, wire.requestor.release())
        wire.do(Role.ACCEPTOR, wire.acceptor.release())
        wire.deliver()
        assert (wire.requestor.state, wire.acceptor.state) == (State.STA9, State.STA10)
        wire.do(Role.REQUESTOR, wire.requestor.respond_release())
        wire.deliver()
        assert (wire.requestor.state, wire.acceptor.state) == (State.STA11, State.STA12)
        wire.do(Role.ACCEPTOR, wire.acceptor.respond_release())
        wire.deliver()
        assert wire.told[Role.REQUESTOR] == [ReleaseRequested(collision=True), Released()]
        assert wire.told[Role.ACCEPTOR] == [ReleaseRequested(collision=True), Released()]
        wire.assert_over()

    def test_rejected(self) -> None:
        wire = Wire()
        wire.do(Role.REQUESTOR, wire.requestor.request(REQUEST))
        wire.deliver()
        wire.do(Role.ACCEPTOR, wire.acceptor.reject(REJECT))
        assert wire.timers == {Role.ACCEPTOR}
        wire.deliver()
        assert wire.told[Role.REQUESTOR] == [Rejected(REJECT)]
        wire.assert_over()

    @pytest.mark.parametrize("role", list(Role))
    def test_aborted_by_either_user(self, role: Role) -> None:
        wire = Wire()
        wire.establish()
        wire.do(role, wire.end(role).abort())
        assert wire.timers == {role}
        wire.deliver()
        assert wire.told[role] == []
        assert [told for other, told in wire.told.items() if other is not role] == [[Aborted()]]
        wire.assert_over()

    def test_a_peer_that_never_closes_is_left_when_the_timer_expires(self) -> None:
        acceptor = at(State.STA13)
        assert acceptor.receive(encode(DATA)) == []
        assert acceptor.timer_expired() == [StopTimer(), CloseTransport()]
        assert acceptor.idle

    def test_a_peer_that_never_asks_is_left_when_the_timer_expires(self) -> None:
        acceptor = at(State.STA2)
        assert acceptor.timer_expired() == [StopTimer(), CloseTransport()]
        assert acceptor.idle
