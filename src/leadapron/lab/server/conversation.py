"""A DICOM server's side of one connection: negotiation, C-ECHO, C-FIND, C-STORE, C-MOVE, C-GET, release.

The usual case is fast, since a bench has ten thousand associations a second: a PDU that came whole is not copied,
equal A-ASSOCIATE-RQs are decided once, and a C-ECHO that was answered before is recognised by its octets. Personas
that misbehave override one of the ``on_`` methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from leadapron.kernel.errors import ProtocolError
from leadapron.lab.archive.model import Framing
from leadapron.lab.server.find import MAX_IDENTIFIER, Finder, Step
from leadapron.lab.server.negotiate import Accepted, Negotiated
from leadapron.lab.server.station import Station
from leadapron.lab.server.talk import Talk
from leadapron.wire.dimse import (
    CCancelRequest,
    CEchoRequest,
    CEchoResponse,
    CFindRequest,
    CGetRequest,
    CGetResponse,
    CMoveRequest,
    CMoveResponse,
    Command,
    CommandReceived,
    CStoreRequest,
    CStoreResponse,
    MessageComplete,
    NActionRequest,
    Reassembler,
    Request,
    Response,
    encode_command,
    fragment,
)
from leadapron.wire.dimse.command import RESPONSE_OF
from leadapron.wire.dimse.status import CANCEL
from leadapron.wire.pdu import Abort, PData, Pdu, PduReader, ReleaseRequest, ReleaseResponse, decode, encode

_RELEASE_RP: Final = encode(ReleaseResponse())
_UNEXPECTED: Final = encode(Abort(2, 2))  # PS3.8 Table 9-26
_UNRECOGNIZED: Final = encode(Abort(2, 1))
_REQUEST, _P_DATA = 1, 4  # PDU-type octets, PS3.8 §9.3.1
_TURNS: Final = 8  # chunks of answers before other visitors get a turn


class DicomTalk(Talk):
    """One association, or what a visitor made of it."""

    __slots__ = ("_messages", "_reader", "_steps", "_waiting", "accepted", "finder", "negotiated")

    def __init__(self, station: Station) -> None:
        super().__init__(station)
        self.negotiated: Negotiated | None = None
        self.accepted: Accepted | None = None
        self.finder: Finder | None = None
        self._reader: PduReader | None = None
        self._messages: Reassembler | None = None
        self._steps: Iterator[Step] | None = None
        self._waiting = False  # for a call_later to go on

    # ---- octets to PDUs ---------------------------------------------------------------------------------------------

    def hear(self, data: bytes) -> None:
        reader = self._reader
        if reader is None or not reader.buffered:
            if len(data) >= 6 and int.from_bytes(data[2:6], "big") == len(data) - 6:
                self._whole(data)
                return
            if reader is None:
                reader = self._reader = PduReader()
        try:
            reader.feed(data)
            while self.link.open and (pdu := reader.next_pdu()) is not None:
                self._pdu(pdu)
        except ProtocolError:
            self.on_nonsense()

    def _whole(self, data: bytes) -> None:
        """Exactly one PDU came."""
        kind = data[0]
        negotiated = self.negotiated
        if kind == _P_DATA and self.accepted is not None and negotiated is not None:
            reply = negotiated.replies.get(data)
            if reply is not None and self._steps is None:
                self.station.seen.count("C-ECHO")
                self.on_reply(reply)
                return
        try:
            if kind == _REQUEST and negotiated is None:
                self._associate(data)
                return
            self._pdu(decode(kind, memoryview(data)[6:]), data)
        except ProtocolError:
            self.on_nonsense()

    def _associate(self, data: bytes) -> None:
        negotiator = self.station.negotiator
        assert negotiator is not None
        self.negotiated = negotiated = negotiator.negotiate(data)
        self.accepted = negotiated.accepted
        seen = self.station.seen
        seen.called.add(negotiated.request.called)
        seen.calling.add(negotiated.request.calling)
        if self.accepted is None:
            seen.rejected += 1
            self.on_reject(negotiated)
        else:
            seen.associations += 1
            self.on_accept(negotiated)

    def _pdu(self, pdu: Pdu, octets: bytes = b"") -> None:
        if isinstance(pdu, PData) and self.accepted is not None:
            messages = self._messages
            if messages is None:
                messages = self._messages = Reassembler()
            for value in pdu.values:
                for event in messages.feed(value):
                    if isinstance(event, CommandReceived):
                        if not isinstance(event.command, CStoreRequest):
                            messages.gather(MAX_IDENTIFIER)
                    elif isinstance(event, MessageComplete):
                        self._message(event, octets)
        elif isinstance(pdu, ReleaseRequest) and self.accepted is not None:
            self.station.seen.released += 1
            self.accepted = None
            self.on_release()
        elif isinstance(pdu, Abort):
            if self.accepted is not None:
                self.station.seen.aborted += 1
                self.accepted = None
            self.on_abort()
        elif self.negotiated is None and not isinstance(pdu, PData):
            self._associate(encode(pdu))
        else:
            self.send(_UNEXPECTED)
            self.link.close()

    def _message(self, message: MessageComplete, octets: bytes) -> None:
        command = message.command
        assert self.accepted is not None
        if message.context_id not in self.accepted.contexts:
            self.send(_UNEXPECTED)
            self.link.close()
            return
        name = _NAMES.get(type(command))
        if name is not None:
            self.station.seen.count(name)
        if isinstance(command, CEchoRequest):
            reply = self.response(message.context_id, CEchoResponse(command.message_id, 0, sop_class=command.sop_class))
            if octets and self.negotiated is not None and len(self.negotiated.replies) < 64:
                self.negotiated.replies[octets] = reply
            self.on_reply(reply)
        elif isinstance(command, CFindRequest):
            self.on_find(message.context_id, command, message.data_set or b"")
        elif isinstance(command, CCancelRequest):
            self.on_cancel()
        else:
            self.on_other(message.context_id, command)

    # ---- what a server does; overridden by those that misbehave -----------------------------------------------------

    def on_accept(self, negotiated: Negotiated) -> None:
        self.send(negotiated.answer)

    def on_reject(self, negotiated: Negotiated) -> None:
        self.send(negotiated.answer)

    def on_reply(self, reply: bytes) -> None:
        """``reply`` is due for a C-ECHO."""
        self.send(reply)

    def on_find(self, context_id: int, request: CFindRequest, identifier: bytes) -> None:
        if self._steps is not None:  # no asynchronous operations were negotiated
            self.send(_UNEXPECTED)
            self.link.close()
            return
        self.finder = finder = self.find(context_id, request)
        self._steps = finder.steps(identifier)
        self._go_on()

    def on_cancel(self) -> None:
        if self._steps is not None and self.finder is not None and not self.station.answers.endless:
            self._steps = iter((self.finder.final(CANCEL),))

    def on_other(self, context_id: int, command: Command) -> None:
        answers = self.station.answers
        response: Response | None = None
        if isinstance(command, CStoreRequest):
            response = CStoreResponse(
                command.message_id,
                answers.store_status,
                sop_class=command.sop_class,
                sop_instance=command.sop_instance,
            )
        elif isinstance(command, CMoveRequest):
            response = CMoveResponse(command.message_id, answers.move_status, sop_class=command.sop_class)
        elif isinstance(command, CGetRequest):
            response = CGetResponse(
                command.message_id, answers.get_status, sop_class=command.sop_class, completed=0, failed=0, warning=0
            )
        elif isinstance(command, Request):
            response = RESPONSE_OF[type(command)](command.message_id, 0x0211, sop_class=command.sop_class)
        if response is not None:
            self.send(self.response(context_id, response))

    def on_release(self) -> None:
        self.send(_RELEASE_RP)

    def on_abort(self) -> None:
        self.link.close()

    def on_nonsense(self) -> None:
        """What came is no PDU, or not one that the standard allows."""
        self.send(_UNRECOGNIZED)
        self.link.close()

    # ---- means -----------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        self.link.send(data)

    def response(self, context_id: int, command: Response) -> bytes:
        assert self.accepted is not None
        return b"".join(fragment(context_id, encode_command(command), None, self.accepted.max_pdu))

    def find(self, context_id: int, request: CFindRequest) -> Finder:
        """The answering of a request."""
        assert self.accepted is not None
        station = self.station
        framing = Framing(
            transfer_syntax=self.accepted.contexts[context_id][1],
            context_id=context_id,
            message_id=request.message_id,
            sop_class=request.sop_class,
            max_pdu=self.accepted.max_pdu,
            retrieve_ae=station.negotiator.door.retrieve_ae if station.negotiator else "",
        )
        return Finder(station.archive, station.answers, framing, str(station.options.get("canary", "")))

    def writable(self) -> None:
        if not self._waiting:
            self._go_on()

    def _go_on(self) -> None:
        """Answer until the visitor is slower than we are, others wait, or all is said."""
        self._waiting = False
        for _ in range(_TURNS):
            steps = self._steps
            if steps is None or self.link.unsent or not self.link.open:
                return
            step = next(steps, None)
            if step is None:
                self._steps = None
                return
            if isinstance(step, float):
                self._go_on_in(step)
                return
            if step:
                self.send(step)
        self._go_on_in(0)

    def _go_on_in(self, seconds: float) -> None:
        self._waiting = True
        self.link.call_later(seconds, self._go_on)

    def over(self) -> None:
        if self.accepted is not None:
            self.accepted = None
            self.station.seen.broken += 1
        self._steps = None


_NAMES: Final[dict[type, str]] = {
    CEchoRequest: "C-ECHO",
    CFindRequest: "C-FIND",
    CStoreRequest: "C-STORE",
    CMoveRequest: "C-MOVE",
    CGetRequest: "C-GET",
    NActionRequest: "N-ACTION",
}
