"""One end of an association without I/O: events in, effects out.

`Association` carries out Table 9-10 (`table`) for either role. Who owns the socket and the clock calls a method when
something happens (octets came, the connection closed, the ARTIM timer expired, the user wants something) and carries
out the effects that it returns, in their order: octets to send, the connection to open or close, the timer to start or
stop, and indications and confirmations for the user. Nothing here waits, and nothing is called back.

The ARTIM timer (§9.1.5) is the caller's: `StartTimer` says start it, or start it again; when it is over, call
``timer_expired``.

A peer that breaks the protocol is no exception here but an event (Evt19): the effects hold an A-ABORT and a
`ProviderAbort` with the error. After it, what that peer still sends is dropped: the borders of its PDUs are lost. What
is raised is only `Failure`, when our own side asks for what the state does not allow.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from leadapron.kernel.errors import Failure, ProtocolError
from leadapron.wire.association.reasons import (
    INVALID_PDU_PARAMETER_VALUE,
    PROTOCOL_VERSION_NOT_SUPPORTED,
    REASON_NOT_SPECIFIED,
    SERVICE_PROVIDER,
    SERVICE_USER,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
)
from leadapron.wire.association.table import TABLE, Action, Cell, Event, State
from leadapron.wire.pdu import (
    DEFAULT_LIMITS,
    Abort,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    Limits,
    PData,
    Pdu,
    PduReader,
    ReleaseRequest,
    ReleaseResponse,
    encode,
)


class Role(enum.Enum):
    """Who asked for the association: decides a release collision (AR-8)."""

    REQUESTOR = "requestor"
    ACCEPTOR = "acceptor"


class OpenTransport(Struct, frozen=True):
    """Open the transport connection, then call ``transport_opened`` or ``transport_closed``."""


class CloseTransport(Struct, frozen=True):
    """Close the transport connection. Nothing more comes of this association."""


class Send(Struct, frozen=True):
    """Send these octets: one whole PDU."""

    data: bytes


class StartTimer(Struct, frozen=True):
    """Start the ARTIM timer, from its beginning if it runs."""


class StopTimer(Struct, frozen=True):
    """Stop the ARTIM timer if it runs."""


class Requested(Struct, frozen=True):
    """A-ASSOCIATE indication: answer with ``accept`` or ``reject``."""

    request: AssociateRequest


class Accepted(Struct, frozen=True):
    """A-ASSOCIATE confirmation, positive."""

    accept: AssociateAccept


class Rejected(Struct, frozen=True):
    """A-ASSOCIATE confirmation, negative."""

    reject: AssociateReject


class Data(Struct, frozen=True):
    """P-DATA indication. The values are slices of what was received: copy what is kept."""

    pdu: PData


class ReleaseRequested(Struct, frozen=True):
    """A-RELEASE indication: answer with ``respond_release``. ``collision``: we have asked for it too (§7.2.2)."""

    collision: bool


class Released(Struct, frozen=True):
    """A-RELEASE confirmation."""


class Aborted(Struct, frozen=True):
    """A-ABORT indication: the peer's user ended it."""


class ProviderAbort(Struct, frozen=True):
    """A-P-ABORT indication. ``error`` is set where we ended it because of what the peer sent; else ``reason`` is the
    peer's (PS3.8 Table 9-26), or None where the transport connection was lost."""

    reason: int | None
    error: ProtocolError | None = None


Effect = (
    OpenTransport
    | CloseTransport
    | Send
    | StartTimer
    | StopTimer
    | Requested
    | Accepted
    | Rejected
    | Data
    | ReleaseRequested
    | Released
    | Aborted
    | ProviderAbort
)

_OPEN, _CLOSE, _START, _STOP, _RELEASED = OpenTransport(), CloseTransport(), StartTimer(), StopTimer(), Released()
_RELEASE_RQ: Final = Send(encode(ReleaseRequest()))
_RELEASE_RP: Final = Send(encode(ReleaseResponse()))

_RECEIVED: Final[dict[type, Event]] = {
    AssociateAccept: Event.EVT3,
    AssociateReject: Event.EVT4,
    AssociateRequest: Event.EVT6,
    PData: Event.EVT10,
    ReleaseRequest: Event.EVT12,
    ReleaseResponse: Event.EVT13,
    Abort: Event.EVT16,
}


def version_one(request: AssociateRequest) -> AssociateReject | None:
    """What a provider finds acceptable by PS3.8 §9.3.2: bit 0 of the protocol version, the only one that is tested."""
    return None if request.protocol_version & 1 else PROTOCOL_VERSION_NOT_SUPPORTED


class Association:
    """One association, from Sta1 back to Sta1; make a new one for the next.

    ``acceptable`` is the provider's check of AE-6: None lets the request pass to the user, an AssociateReject is sent.
    """

    def __init__(
        self,
        role: Role,
        *,
        limits: Limits = DEFAULT_LIMITS,
        acceptable: Callable[[AssociateRequest], AssociateReject | None] = version_one,
    ) -> None:
        self.role = role
        self.state = State.STA1
        self._reader = PduReader(limits)
        self._acceptable = acceptable
        self._request_pdu = b""
        self._unreadable = False

    @property
    def idle(self) -> bool:
        """Not begun, or over: Sta1."""
        return self.state is State.STA1

    # The local user. What cannot be encoded raises ValueError and changes nothing.

    def request(self, request: AssociateRequest) -> list[Effect]:
        """A-ASSOCIATE request."""
        self._request_pdu = encode(request)  # what is wrong with it is said before the connection opens
        return self._do(Event.EVT1)

    def accept(self, accept: AssociateAccept) -> list[Effect]:
        """A-ASSOCIATE response, positive."""
        return self._do(Event.EVT7, encode(accept))

    def reject(self, reject: AssociateReject) -> list[Effect]:
        """A-ASSOCIATE response, negative."""
        return self._do(Event.EVT8, encode(reject))

    def send(self, data: PData | bytes) -> list[Effect]:
        """P-DATA request; ``bytes`` are a whole P-DATA-TF PDU that is encoded already."""
        return self._do(Event.EVT9, data if isinstance(data, bytes) else encode(data))

    def release(self) -> list[Effect]:
        """A-RELEASE request."""
        return self._do(Event.EVT11)

    def respond_release(self) -> list[Effect]:
        """A-RELEASE response."""
        return self._do(Event.EVT14)

    def abort(self) -> list[Effect]:
        """A-ABORT request."""
        return self._do(Event.EVT15)

    # The transport and the clock.

    def transport_accepted(self) -> list[Effect]:
        """A peer has connected to us."""
        return self._do(Event.EVT5)

    def transport_opened(self) -> list[Effect]:
        """The connection that we asked for is open."""
        return self._do(Event.EVT2)

    def transport_closed(self) -> list[Effect]:
        """The connection ended, or could not be opened. Nothing happens if that is known."""
        return [] if self.idle else self._do(Event.EVT17)

    def timer_expired(self) -> list[Effect]:
        """The ARTIM timer is over. Nothing happens if it was to be stopped: the two may cross."""
        return self._do(Event.EVT18) if self.state in (State.STA2, State.STA13) else []

    def receive(self, data: bytes) -> list[Effect]:
        """Octets of the peer, any number. What comes after the end or after an invalid PDU is dropped."""
        if self._unreadable or self.idle:
            return []
        effects: list[Effect] = []
        self._reader.feed(data)
        while not self.idle:
            try:
                pdu = self._reader.next_pdu()
            except ProtocolError as error:
                effects += self.unreadable(error)
                break
            if pdu is None:
                break
            effects += self.received(pdu)
        return effects

    def received(self, pdu: Pdu) -> list[Effect]:
        """One PDU of the peer: `receive` for who reads PDUs himself."""
        return [] if self._unreadable or self.idle else self._do(_RECEIVED[type(pdu)], pdu)

    def unreadable(self, error: ProtocolError) -> list[Effect]:
        """Octets that are no PDU, and why: `receive` for who reads PDUs himself."""
        if self._unreadable or self.idle:
            return []
        self._unreadable = True
        return self._do(Event.EVT19, error)

    # Table 9-10.

    def _do(self, event: Event, argument: Any = None) -> list[Effect]:
        cell = TABLE.get((self.state, event))
        if cell is None:
            raise Failure(f"{event.meaning}: not possible in {self.state} ({self.state.meaning})")
        self.state = cell.next
        return _ACTIONS[cell.action](self, argument, cell)


# The actions, PS3.8 Tables 9-6 to 9-9. The next state has been set; those with two outcomes set the other one.

_Act = Callable[[Association, Any, Cell], list[Effect]]


def _send(_: Association, pdu: bytes, __: Cell) -> list[Effect]:
    return [Send(pdu)]


def _ae_6(association: Association, request: AssociateRequest, cell: Cell) -> list[Effect]:
    reject = association._acceptable(request)
    if reject is None:
        return [_STOP, Requested(request)]
    assert cell.otherwise is not None
    association.state = cell.otherwise
    return [_STOP, Send(encode(reject)), _START]


def _ar_8(association: Association, _: Any, cell: Cell) -> list[Effect]:
    if association.role is Role.ACCEPTOR:
        assert cell.otherwise is not None
        association.state = cell.otherwise
    return [ReleaseRequested(collision=True)]


def _aa_3(_: Association, abort: Abort, __: Cell) -> list[Effect]:
    if abort.source == SERVICE_USER:
        return [Aborted(), _CLOSE]
    return [ProviderAbort(abort.reason), _CLOSE]


def _diagnosis(cause: Pdu | ProtocolError) -> tuple[int, ProtocolError]:
    """Reason of PS3.8 Table 9-26, and the error for our user."""
    if not isinstance(cause, ProtocolError):
        return UNEXPECTED_PDU, ProtocolError(f"{type(cause).__name__} came where PS3.8 Table 9-10 does not allow it")
    # The reader finds fault with the first octet of a PDU only if that is no PDU-type.
    return (UNRECOGNIZED_PDU if cause.offset == 0 else INVALID_PDU_PARAMETER_VALUE), cause


def _aa_7(_: Association, cause: Pdu | ProtocolError, __: Cell) -> list[Effect]:
    return [Send(encode(Abort(SERVICE_PROVIDER, _diagnosis(cause)[0])))]


def _aa_8(_: Association, cause: Pdu | ProtocolError, __: Cell) -> list[Effect]:
    reason, error = _diagnosis(cause)
    return [Send(encode(Abort(SERVICE_PROVIDER, reason))), ProviderAbort(reason, error), _START]


_ACTIONS: Final[dict[Action, _Act]] = {
    Action.AE_1: lambda *_: [_OPEN],
    Action.AE_2: lambda association, *_: [Send(association._request_pdu)],
    Action.AE_3: lambda _, accept, __: [Accepted(accept)],
    Action.AE_4: lambda _, reject, __: [Rejected(reject), _CLOSE],
    Action.AE_5: lambda *_: [_START],
    Action.AE_6: _ae_6,
    Action.AE_7: _send,
    Action.AE_8: lambda _, pdu, __: [Send(pdu), _START],
    Action.DT_1: _send,
    Action.DT_2: lambda _, pdu, __: [Data(pdu)],
    Action.AR_1: lambda *_: [_RELEASE_RQ],
    Action.AR_2: lambda *_: [ReleaseRequested(collision=False)],
    Action.AR_3: lambda *_: [_RELEASED, _CLOSE],
    Action.AR_4: lambda *_: [_RELEASE_RP, _START],
    Action.AR_5: lambda *_: [_STOP],
    Action.AR_6: lambda _, pdu, __: [Data(pdu)],
    Action.AR_7: _send,
    Action.AR_8: _ar_8,
    Action.AR_9: lambda *_: [_RELEASE_RP],
    Action.AR_10: lambda *_: [_RELEASED],
    Action.AA_1: lambda *_: [Send(encode(Abort(SERVICE_USER, REASON_NOT_SPECIFIED))), _START],
    Action.AA_2: lambda *_: [_STOP, _CLOSE],
    Action.AA_3: _aa_3,
    Action.AA_4: lambda *_: [ProviderAbort(None)],
    Action.AA_5: lambda *_: [_STOP],
    Action.AA_6: lambda *_: [],
    Action.AA_7: _aa_7,
    Action.AA_8: _aa_8,
}
