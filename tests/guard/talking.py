"""Two flows and a judge that a test sets, without I/O: what is fed on one side, and what comes out on either."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from leadapron.guard.gateway.dimse.conversation import Conversation, Operation
from leadapron.guard.gateway.dimse.flow import Course, Flow
from leadapron.wire import uids
from leadapron.wire.dimse.command import Command, CStoreRequest, Response, decode_command, encode_command
from leadapron.wire.dimse.fragments import fragment
from leadapron.wire.pdu import DEFAULT_LIMITS, PData, PduReader, PresentationDataValue, encode

CT = uids.CT_IMAGE_STORAGE
IMAGE = bytes(range(256)) * 40
RELEASE_RQ, RELEASE_RP = b"\5\0\0\0\0\4" + bytes(4), b"\6\0\0\0\0\4" + bytes(4)
ABORT = b"\7\0\0\0\0\4\0\0\0\0"


@dataclass
class Verdicts:
    """A judge whose answers are callables, each PASS unless a test says else. What it was told stands in lists."""

    on_request: Callable[[Operation], Course | int] = lambda operation: Course.PASS
    on_held: Callable[[Operation, bytes, bool], Course | int] = lambda operation, data, whole: Course.PASS
    on_answer: Callable[[Operation, Response], int | None] = lambda operation, response: None
    on_report: Callable[[Operation], Course | int] = lambda operation: Course.PASS
    on_pdu: Callable[[], None] = lambda: None
    told: list[tuple[str, int]] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    def pdu(self) -> None:
        self.on_pdu()

    def request(self, operation: Operation) -> Course | int:
        self.asked.append(operation.request)
        return self.on_request(operation)

    def held(self, operation: Operation, data: bytes, whole: bool) -> Course | int:
        return self.on_held(operation, data, whole)

    def answer(self, operation: Operation, response: Response) -> int | None:
        return self.on_answer(operation, response)

    def report(self, operation: Operation) -> Course | int:
        self.asked.append(operation.request)
        return self.on_report(operation)

    def ended(self, operation: Operation, status: int) -> None:
        self.told.append((type(operation.request).__name__, status))

    def noted(self, operation: Operation, data: bytes) -> None:
        self.heads.append(data)


class Talk:
    """``requestor`` and ``acceptor`` are what each of them has received. Contexts 1, 3 and 5 are accepted."""

    def __init__(self, judge: Verdicts | None = None, max_pdu: int = 16384) -> None:
        self.judge = judge or Verdicts()
        self.requestor, self.acceptor = bytearray(), bytearray()
        self.conversation = Conversation(self.judge)
        self.inward = Flow(self.conversation, (1, 3, 5), 1 << 20, max_pdu, lambda parts: self._take("acceptor", parts))
        self.outward = Flow(
            self.conversation, (1, 3, 5), 1 << 20, max_pdu, lambda parts: self._take("requestor", parts)
        )
        self.conversation.attach(self.inward, self.outward)
        self._left = {self.inward: b"", self.outward: b""}

    def _take(self, side: str, parts: Any) -> None:
        getattr(self, side).extend(b"".join(parts))

    def ask(self, octets: bytes, chunk: int = 1 << 20) -> Talk:
        """The requestor sends, ``chunk`` octets at a time."""
        return self._feed(self.inward, octets, chunk)

    def answer(self, octets: bytes, chunk: int = 1 << 20) -> Talk:
        """The acceptor sends."""
        self._feed(self.outward, octets, chunk)
        if self.inward.waiting and self.conversation.situation.draining is None:
            self.inward.resume()
            self._feed(self.inward, b"", chunk)
        return self

    def _feed(self, flow: Flow, octets: bytes, chunk: int) -> Talk:
        for at in range(0, max(len(octets), 1), chunk):
            view = memoryview(self._left[flow] + octets[at : at + chunk])
            taken = flow.feed(view)
            self._left[flow] = bytes(view[taken:])
        return self

    def held(self, flow: Flow) -> int:
        return len(self._left[flow])

    def sent_inward(self) -> list[tuple[int, Command, bytes | None]]:
        return messages(bytes(self.acceptor))

    def sent_outward(self) -> list[tuple[int, Command, bytes | None]]:
        return messages(bytes(self.requestor))


def message(command: Command | bytes, data: bytes | None = None, *, context: int = 1, max_pdu: int = 4096) -> bytes:
    """A whole message as a sender would put it."""
    raw = command if isinstance(command, bytes) else encode_command(command)
    return b"".join(fragment(context, raw, data, max_pdu))


def one_pdu(*values: tuple[int, int, bytes]) -> bytes:
    """A P-DATA-TF of PDVs: context, message control header, octets."""
    return encode(PData(tuple(PresentationDataValue(c, bool(k & 1), bool(k & 2), d) for c, k, d in values)))


def store(number: int = 1, data: bytes = IMAGE, **more: Any) -> bytes:
    return message(CStoreRequest(number, CT, "1.2.3"), data, **more)


def messages(octets: bytes) -> list[tuple[int, Command, bytes | None]]:
    """The messages in what one side received, read with our own reader; fails for what is none."""
    reader = PduReader(DEFAULT_LIMITS)
    reader.feed(octets)
    found: list[tuple[int, Command, bytes | None]] = []
    raw, data = b"", b""
    command: Command | None = None
    while (pdu := reader.next_pdu()) is not None:
        if not isinstance(pdu, PData):
            continue
        for value in pdu.values:
            if value.command:
                assert command is None, "a command within a data set"
                raw += bytes(value.data)
                if value.last:
                    command, raw = decode_command(raw), b""
                    if not command.has_data_set:
                        found.append((value.context_id, command, None))
                        command = None
            else:
                assert command is not None, "a data set without a command"
                data += bytes(value.data)
                if value.last:
                    found.append((value.context_id, command, data))
                    command, data = None, b""
    assert command is None and not raw, "a message without an end"
    return found


def header(kind: int, length: int) -> bytes:
    return struct.pack(">BxI", kind, length)
