"""C-FIND answers read on the raw receive buffer, for counting them.

An archive of 35 million studies answers as often, and an object for each PDU, PDV, command set and data set costs more
than all that a count needs of them. What repeats is recognised instead of parsed: on one association every pending
C-FIND-RSP carries the same command set, octet by octet, so the first one is decoded and the rest compared. The data set
is handed on as a place in the buffer. Everything else (fragments, several PDVs in a PDU, the final response) takes the
general way below, with the same bounds as elsewhere: PDUs by the length that we announced, identifiers by
``MAX_IDENTIFIER``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from leadapron.kernel.errors import AssociationAborted, LimitExceeded, ProtocolError
from leadapron.wire.dimse.command import MAX_COMMAND, CFindResponse, decode_command
from leadapron.wire.dimse.status import is_pending
from leadapron.wire.pdu.types import PduType

MAX_IDENTIFIER: Final = 256 * 1024
"""Octets of one answer's data set. A real one has 100 to 2,000."""
MAX_FRAGMENTS: Final = 4096
"""Of one command set or data set: empty ones add no octets, and would be waited for for ever."""

_PDU_AND_PDV: Final = struct.Struct(">BxIIBB")  # PS3.8 §9.3.5 and §9.3.5.1
_PDV: Final = struct.Struct(">IBB")
_HEADER: Final = 6
_LAST_DATA: Final = 0x02  # message control header, PS3.8 Annex E.2: bit 0 command, bit 1 last

Identifier = Callable[[bytes, int, int], None]
"""Takes (buffer, start, end): one answer's whole data set. It may raise ProtocolError."""


class RawFind:
    """Consumes the answers to one C-FIND request until the final response.

    ``context_id`` and ``message_id`` are the request's; ``max_pdu`` is the maximum length that we announced (octets).
    ``done`` and then ``status``, the DIMSE status, tell the end; ``answers`` counts pending responses, FF00H and FF01H
    both. Octets behind the final response are a protocol error, for nothing else was asked.
    """

    __slots__ = (
        "_command",
        "_context",
        "_identifier",
        "_max_pdu",
        "_message",
        "_parts",
        "_pending",
        "_pending_pdu",
        "_size",
        "_wants_data",
        "answers",
        "done",
        "status",
    )

    def __init__(self, context_id: int, message_id: int, max_pdu: int, identifier: Identifier) -> None:
        self._context = context_id
        self._message = message_id
        self._max_pdu = max_pdu
        self._identifier = identifier
        self._pending: set[bytes] = set()  # command sets that were decoded as pending: a few at most
        self._pending_pdu = b"\0"  # the last one with its PDU and PDV headers; no PDU begins with 0
        self._wants_data = False
        self._command: list[bytes] = []
        self._parts: list[bytes] = []
        self._size = 0
        self.answers = 0
        self.done = False
        self.status: int | None = None

    def consume(self, view: memoryview | bytes) -> int:
        """Take whole PDUs off the front of ``view``; gives the octets taken; the rest is to come again, and more.

        Raises ProtocolError, LimitExceeded, AssociationAborted; or what ``identifier`` raises.
        """
        buffer = bytes(view)
        end = len(buffer)
        at = 0
        if self.status is not None:  # only the data set of a final response is still due
            return self._slowly(buffer, at)
        pending_pdu = self._pending_pdu
        pending_size = len(pending_pdu)
        context, identifier, unpack = self._context, self._identifier, _PDU_AND_PDV.unpack_from
        wants_data = self._wants_data
        answers = self.answers
        try:
            while end - at >= 12:
                if not wants_data and buffer.startswith(pending_pdu, at):
                    at += pending_size
                    wants_data = True
                    continue
                kind, length, pdv_length, pdv_context, control = unpack(buffer, at)
                if kind != 4 or length > self._max_pdu:
                    break
                stop = at + 6 + length
                if stop > end:
                    break
                if wants_data and control == _LAST_DATA and pdv_length == length - 4 and pdv_context == context:
                    if self._parts:
                        break
                    wants_data = False
                    answers += 1
                    identifier(buffer, at + 12, stop)
                    at = stop
                    continue
                self._wants_data, self.answers = wants_data, answers
                self._values(buffer, at + 6, stop)
                wants_data, answers = self._wants_data, self.answers
                at = stop
                if self.status is not None:
                    break
                pending_pdu = self._pending_pdu
                pending_size = len(pending_pdu)
        finally:
            self._wants_data, self.answers = wants_data, answers
        return self._slowly(buffer, at)

    def _slowly(self, buffer: bytes, at: int) -> int:
        """What stopped the loop above: too little for a PDU, another kind of PDU, or a data set that began earlier."""
        while len(buffer) - at >= _HEADER and not self.done:
            kind, length = buffer[at], int.from_bytes(buffer[at + 2 : at + 6], "big")
            if kind == PduType.P_DATA_TF:
                if length > self._max_pdu:
                    raise LimitExceeded(f"P-DATA-TF announces {length} octets, {self._max_pdu} were agreed", at + 2)
                if length < 6:
                    raise ProtocolError(f"P-DATA-TF announces {length} octets where at least 6 are needed", at + 2)
            elif kind == PduType.ABORT and length == 4:
                if len(buffer) - at < 10:
                    return at
                raise AssociationAborted(buffer[at + 8], buffer[at + 9])
            else:
                raise ProtocolError(f"a PDU of type {kind:02X}H came where C-FIND answers were due", at)
            stop = at + _HEADER + length
            if stop > len(buffer):
                return at
            self._values(buffer, at + _HEADER, stop)
            at = stop
        if self.done and at < len(buffer):
            raise ProtocolError("more came after the final C-FIND-RSP", at)
        return at

    def _values(self, buffer: bytes, at: int, stop: int) -> None:
        """Every PDV of one P-DATA-TF."""
        first = at
        while at < stop:
            if stop - at < 6:
                raise ProtocolError("P-DATA-TF ends within the header of a PDV", at)
            length, context, control = _PDV.unpack_from(buffer, at)
            end = at + 4 + length
            if length < 2 or end > stop:
                raise ProtocolError(f"a PDV of {length} octets does not fit its P-DATA-TF", at)
            if context != self._context:
                raise ProtocolError(f"a PDV for presentation context {context} where {self._context} was due", at)
            if self.done:
                raise ProtocolError("more came after the final C-FIND-RSP", at)
            if control & 1:
                whole = buffer[first - _HEADER : stop] if at == first and end == stop else None
                self._command_fragment(buffer[at + 6 : end], bool(control & 2), whole)
            else:
                self._data_fragment(buffer, at + 6, end, bool(control & 2))
            at = end

    def _command_fragment(self, data: bytes, last: bool, pdu: bytes | None) -> None:
        if self._wants_data:
            raise ProtocolError("a command set came where a data set was due")
        self._size += len(data)
        if self._size > MAX_COMMAND:
            raise LimitExceeded(f"a command set of more than {MAX_COMMAND} octets")
        if len(self._command) >= MAX_FRAGMENTS:
            raise LimitExceeded(f"a command set in more than {MAX_FRAGMENTS} fragments")
        self._command.append(data)
        if not last:
            return
        command = b"".join(self._command)
        whole = pdu if len(self._command) == 1 else None
        self._command, self._size = [], 0
        if command not in self._pending:
            response = decode_command(command)
            if not isinstance(response, CFindResponse):
                raise ProtocolError("another message where a C-FIND-RSP was due")
            if response.responds_to != self._message:
                raise ProtocolError("a C-FIND-RSP to a message that was not sent")
            if not is_pending(response.status):
                self.status = response.status
                self.done = (
                    not response.has_data_set
                )  # PS3.7 §9.1.2.1.5 has none here; some peers send one all the same
                self._wants_data = response.has_data_set
                return
            if not response.has_data_set:
                raise ProtocolError("a pending C-FIND-RSP without a data set")
            if len(self._pending) < 8:
                self._pending.add(command)
        if whole is not None:
            self._pending_pdu = whole
        self._wants_data = True

    def _data_fragment(self, buffer: bytes, start: int, end: int, last: bool) -> None:
        if not self._wants_data:
            raise ProtocolError("a data set came where a command set was due")
        final = self.status is not None
        if not last or self._parts:
            self._size += end - start
            if self._size > MAX_IDENTIFIER:
                raise LimitExceeded(f"an answer of more than {MAX_IDENTIFIER} octets")
            if len(self._parts) >= MAX_FRAGMENTS:
                raise LimitExceeded(f"an answer in more than {MAX_FRAGMENTS} fragments")
            self._parts.append(buffer[start:end])
            if not last:
                return
            buffer = b"".join(self._parts)
            start, end = 0, len(buffer)
            self._parts, self._size = [], 0
        self._wants_data = False
        if final:
            self.done = True
        else:
            self.answers += 1
            self._identifier(buffer, start, end)
