"""Servers that break the protocol, from careless to malicious. A client must end in bounded time and memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from leadapron.lab.persona import Persona, Verdict
from leadapron.lab.personas.archives import DCMTK
from leadapron.lab.server.conversation import DicomTalk
from leadapron.lab.server.negotiate import Negotiated
from leadapron.lab.server.profile import Answers
from leadapron.lab.server.station import Station
from leadapron.lab.server.talk import Talk
from leadapron.wire.dimse import CFindRequest, CFindResponse, encode_command
from leadapron.wire.pdu import PData, PresentationDataValue, encode

_FAMILY = "hostile"
_HEADER: Final = struct.Struct(">BxI")
_FLOOD: Final = bytes(64 * 1024)
_ITEMS: Final = struct.pack(">BxH", 0x5A, 0) * 16384
"""64 KiB of user sub-items without content, of a type that nobody knows."""


class Flood(DicomTalk):
    """Sends ``flood`` for ever, as fast as it is read."""

    __slots__ = ("flood",)

    def __init__(self, station: Station) -> None:
        super().__init__(station)
        self.flood = b""

    def pour(self, head: bytes, flood: bytes) -> None:
        self.flood = flood
        self.send(head)
        self.writable()

    def writable(self) -> None:
        if not self.flood:
            super().writable()
            return
        for _ in range(4):
            if self.link.unsent or not self.link.open:
                return
            self.send(self.flood)
        self.link.call_later(0, self.writable)


class HugeAccept(Flood):
    __slots__ = ()

    def on_accept(self, negotiated: Negotiated) -> None:
        self.pour(_HEADER.pack(2, 0xFFFFFFFF), _FLOOD)


class EndlessItems(Flood):
    """An accept of 16 MiB that is all user sub-items."""

    __slots__ = ()

    def on_accept(self, negotiated: Negotiated) -> None:
        self.pour(_HEADER.pack(2, 1 << 24) + negotiated.answer[6:], _ITEMS)


class HugeAnswer(Flood):
    __slots__ = ()

    def on_find(self, context_id: int, request: CFindRequest, identifier: bytes) -> None:
        self.pour(_HEADER.pack(4, 0xFFFFFFFF) + struct.pack(">IBB", 0xFFFFFFFD, context_id, 3), _FLOOD)


class EndlessCommand(Flood):
    """One command set in more and more fragments."""

    __slots__ = ()

    def on_find(self, context_id: int, request: CFindRequest, identifier: bytes) -> None:
        part = encode(PData((PresentationDataValue(context_id, True, False, bytes(4096)),)))
        self.pour(b"", part * 16)


class EndlessIdentifier(Flood):
    """One answer's identifier in more and more fragments."""

    __slots__ = ()

    def on_find(self, context_id: int, request: CFindRequest, identifier: bytes) -> None:
        part = encode(PData((PresentationDataValue(context_id, False, False, bytes(4096)),)))
        self.pour(_pending(context_id, request), part * 16)


class EmptyFragments(Flood):
    """Fragments without content, for ever: nothing grows but the time."""

    __slots__ = ()

    def on_find(self, context_id: int, request: CFindRequest, identifier: bytes) -> None:
        part = encode(PData((PresentationDataValue(context_id, False, False, b""),)))
        self.pour(_pending(context_id, request), part * 4096)


class ManyItems(DicomTalk):
    """An accept under every length limit that has 15,000 items in it."""

    __slots__ = ()

    def on_accept(self, negotiated: Negotiated) -> None:
        answer = negotiated.answer
        body = answer[6:] + struct.pack(">BxH", 0x50, 60_000) + _ITEMS[:60_000]
        self.send(_HEADER.pack(2, len(body)) + body)


def _pending(context_id: int, request: CFindRequest) -> bytes:
    command = encode_command(CFindResponse(request.message_id, 0xFF00, has_data_set=True, sop_class=request.sop_class))
    return encode(PData((PresentationDataValue(context_id, True, True, command),)))


# ---- malformed: the accept ------------------------------------------------------------------------------------------

_ACCEPTS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "accept-too-short": ("an accept of 10 octets", lambda answer: _HEADER.pack(2, 10) + answer[6:16]),
    "accept-length-too-long": (
        "announces an accept 100 octets longer than it is, and waits",
        lambda answer: _HEADER.pack(2, len(answer) + 94) + answer[6:],
    ),
    "accept-item-overruns": (
        "an item in the accept is longer than the PDU",
        lambda answer: answer[:76] + b"\x7f\xff" + answer[78:],
    ),
    "unknown-pdu-type": ("answers with a PDU of type 09H", lambda answer: b"\x09" + answer[1:]),
    "accept-of-nothing": (
        "an accept without a single item",
        lambda answer: _HEADER.pack(2, 68) + answer[6:74],
    ),
}


def _accepting(spoil: Callable[[bytes], bytes]) -> Callable[[Station], DicomTalk]:
    class SpoiltAccept(DicomTalk):
        __slots__ = ()

        def on_accept(self, negotiated: Negotiated) -> None:
            self.send(spoil(negotiated.answer))

    return SpoiltAccept


# ---- malformed: the answer to C-FIND --------------------------------------------------------------------------------


def _pdu(body: bytes) -> bytes:
    return _HEADER.pack(4, len(body)) + body


def _command_without(field_at: int) -> Callable[[int, CFindRequest], bytes]:
    """A command set with one element of wrong length."""

    def answer(context_id: int, request: CFindRequest) -> bytes:
        command = bytearray(encode_command(CFindResponse(request.message_id, 0, sop_class=request.sop_class)))
        command[field_at] = 0xFF
        return encode(PData((PresentationDataValue(context_id, True, True, bytes(command)),)))

    return answer


_FINDS: Final[dict[str, tuple[str, Callable[[int, CFindRequest], bytes]]]] = {
    "pdv-overruns": (
        "a PDV is longer than its PDU",
        lambda context, request: _pdu(struct.pack(">IBB", 1000, context, 3) + bytes(20)),
    ),
    "pdv-of-nothing": ("a PDV of length zero", lambda context, request: _pdu(bytes(4) + bytes(6))),
    "wrong-context": (
        "answers on a context that was never negotiated",
        lambda context, request: encode(
            PData(
                (
                    PresentationDataValue(
                        251,
                        True,
                        True,
                        encode_command(CFindResponse(request.message_id, 0, sop_class=request.sop_class)),
                    ),
                )
            )
        ),
    ),
    "command-garbage": ("a command set whose first element overruns", _command_without(7)),
    "data-before-command": (
        "a data set where a command was due",
        lambda context, request: encode(PData((PresentationDataValue(context, False, True, bytes(64)),))),
    ),
    "pending-without-identifier": (
        "pending answers that announce no identifier, then Success",
        lambda context, request: b"".join(
            encode(
                PData(
                    (
                        PresentationDataValue(
                            context,
                            True,
                            True,
                            encode_command(CFindResponse(request.message_id, status, sop_class=request.sop_class)),
                        ),
                    )
                )
            )
            for status in (0xFF00, 0xFF00, 0x0000)
        ),
    ),
    "wrong-response": (
        "answers C-FIND with an A-ASSOCIATE-RJ",
        lambda context, request: b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01",
    ),
}


def _finding(answer: Callable[[int, CFindRequest], bytes]) -> Callable[[Station], DicomTalk]:
    class SpoiltFind(DicomTalk):
        __slots__ = ()

        def on_find(self, context_id: int, request: CFindRequest, identifier: bytes) -> None:
            self.send(answer(context_id, request))

    return SpoiltFind


# ---- malformed: identifiers -----------------------------------------------------------------------------------------

_IDENTIFIERS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "identifier-truncated": ("identifiers end within an element", lambda identifier: identifier[:-3]),
    "identifier-overruns": (
        "an element of an identifier is 4 GiB long",
        lambda identifier: identifier + b"\x10\x00\x10\x00\xff\xff\xff\xfe",
    ),
    "identifier-garbage": ("identifiers are noise", lambda identifier: bytes(b ^ 0xA5 for b in identifier)),
    "identifier-empty": ("identifiers without an element", lambda identifier: b""),
    "identifier-nested": (
        "identifiers with sequences in sequences in sequences, 4,000 deep",
        lambda identifier: identifier + b"\x40\x00\x75\x02\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 4000,
    ),
}

_MIXED: tuple[Verdict, ...] = ("exposed", "open", "decoy", "failed")

# ---- breaking off ---------------------------------------------------------------------------------------------------


class ResetOnConnect(Talk):
    __slots__ = ()

    def begin(self) -> None:
        self.link.abort()


class ResetAfterRequest(DicomTalk):
    __slots__ = ()

    def on_accept(self, negotiated: Negotiated) -> None:
        self.link.abort()


class ResetAfterAccept(DicomTalk):
    """The accept, and a reset right behind it."""

    __slots__ = ()

    def on_accept(self, negotiated: Negotiated) -> None:
        self.send(negotiated.answer)
        self.link.call_later(0.05, self.link.abort)


class ResetMidFind(DicomTalk):
    """Some answers, and a reset."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        super().send(data)
        if self.finder is not None:
            self.link.call_later(0.05, self.link.abort)


class AbortMidFind(DicomTalk):
    """Some answers, and an A-ABORT."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        super().send(data)
        if self.finder is not None:
            super().send(b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00")
            self.link.close()


class ResetAtRelease(DicomTalk):
    __slots__ = ()

    def on_release(self) -> None:
        self.link.abort()


class NeverReleases(DicomTalk):
    __slots__ = ()

    def on_release(self) -> None:
        """Not a word."""


class SilentAfterAccept(DicomTalk):
    """Accepts and answers nothing, not even C-ECHO."""

    __slots__ = ()

    def on_reply(self, reply: bytes) -> None:
        """Not a word."""

    def on_find(self, context_id: int, request: CFindRequest, identifier: bytes) -> None:
        """Not a word."""


def _hostile(
    name: str,
    summary: str,
    talk: Callable[[Station], Talk],
    verdicts: tuple[Verdict, ...],
    answers: Answers | None = None,
    *,
    completable: bool = False,
) -> Persona:
    return Persona(
        name=name,
        family=_FAMILY,
        summary=summary,
        verdicts=verdicts,
        talk=talk,
        door=DCMTK,
        answers=answers or Answers(),
        archive=True,
        completable=completable,
        product="DCMTK",
    )


_NOT_DICOM: tuple[Verdict, ...] = ("other", "silent", "failed", "decoy")
_SERVED: tuple[Verdict, ...] = ("open", "exposed", "failed", "decoy")

PERSONAS = (
    _hostile("huge-accept", "announces an accept of 4 GiB and sends it", HugeAccept, _NOT_DICOM),
    _hostile("endless-items", "an accept whose items never end", EndlessItems, _NOT_DICOM),
    _hostile("many-items", "an accept with 15,000 items", ManyItems, _NOT_DICOM),
    *(
        _hostile(name, summary, _accepting(spoil), ("guarded",) if name == "accept-of-nothing" else _NOT_DICOM)
        for name, (summary, spoil) in _ACCEPTS.items()
    ),
    _hostile("huge-answer", "announces an answer of 4 GiB and sends it", HugeAnswer, _SERVED),
    _hostile("endless-command", "a command set whose fragments never end", EndlessCommand, _SERVED),
    _hostile("endless-identifier", "an identifier whose fragments never end", EndlessIdentifier, _SERVED),
    _hostile("empty-fragments", "empty fragments for ever", EmptyFragments, _SERVED),
    _hostile("endless-answers", "the same answers again and again", DicomTalk, _SERVED, Answers(endless=True)),
    *(_hostile(name, summary, _finding(answer), _SERVED) for name, (summary, answer) in _FINDS.items()),
    *(
        _hostile(name, summary, DicomTalk, _MIXED, Answers(mangle=mangle))
        for name, (summary, mangle) in _IDENTIFIERS.items()
    ),
    _hostile("no-study-uids", "answers without StudyInstanceUID", DicomTalk, _MIXED, Answers(omit=(0x0020000D,))),
    _hostile(
        "wrong-message-ids",
        "responses that belong to no request",
        DicomTalk,
        _SERVED,
        Answers(wrong_message_id=True),
    ),
    _hostile("stalls-mid-find", "25 answers, and then never a word", DicomTalk, _SERVED, Answers(stalls_after=25)),
    _hostile("silent-after-accept", "accepts, and answers nothing", SilentAfterAccept, _SERVED),
    _hostile("reset-on-connect", "resets every connection", ResetOnConnect, ("silent", "closed", "other", "failed")),
    _hostile(
        "reset-after-request",
        "resets after the A-ASSOCIATE-RQ",
        ResetAfterRequest,
        ("silent", "closed", "other", "failed"),
    ),
    _hostile("reset-after-accept", "accepts and resets", ResetAfterAccept, _SERVED),
    _hostile("reset-mid-find", "ten answers and a reset", ResetMidFind, _SERVED, Answers(stalls_after=10)),
    _hostile("abort-mid-find", "ten answers and an A-ABORT", AbortMidFind, _SERVED, Answers(stalls_after=10)),
    _hostile("reset-at-release", "resets instead of releasing", ResetAtRelease, ("exposed",), completable=True),
    _hostile("never-releases", "never answers A-RELEASE-RQ", NeverReleases, ("exposed",), completable=True),
)
