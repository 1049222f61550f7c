"""Messages over P-DATA-TF: cutting them to the peer's size, putting them together again (PS3.8 §9.3.5, Annex E).

A message is one command set, then at most one data set. Each is cut into fragments; a fragment travels in a PDV
whose message control header says what it is (bit 0: command) and whether it is the last (bit 1). Fragments of
different messages never mix on an association (PS3.7 §6.3.1), so one small state is enough for reassembly.

Sending: the command set has PDUs of its own, as nearly every toolkit does it, since old devices were never tested with
anything else; but PDUs are joined into one ``bytes`` for one write, because with Nagle and delayed ACKs every second
small write costs 40 ms. Nothing here awaits: ``Fragmenter`` is pushed by whoever has a chunk, sync or async.

Receiving: data sets are streamed (nothing is held) unless the caller asks to have one gathered, with a bound.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.dimse.command import MAX_COMMAND, Command, decode_command
from leadapron.wire.pdu.types import PresentationDataValue

OUR_MAX_PDU: Final = 256 * 1024
"""Octets in the variable field of a PDU that we send, also where the peer allows more or says 0 (no limit)."""

MIN_MAX_PDU: Final = 8
"""Six octets of PDV header and one even fragment: a peer that announces less cannot be sent anything."""

_WRITE_SIZE: Final = 256 * 1024  # small PDUs are joined up to this for one write
_PDU_PDV: Final = struct.Struct(">BBIIBB")  # PDU-type, reserved, PDU-length; PDV-length, context ID, control header
_COMMAND, _LAST = 1, 2

Buffer = bytes | bytearray | memoryview


# ---- sending --------------------------------------------------------------------------------------------------------


class Fragmenter:
    """One message on its way out: ``command`` once, then ``data`` with chunks of any size, then ``finish``.

    Each returns whole P-DATA-TF PDUs, joined, ready to be written (or nothing yet). ``max_pdu`` is what the peer
    announced (item 51H, PS3.8 §D.1: octets of a PDU without its six-octet header; 0 is no limit); ProtocolError
    below ``MIN_MAX_PDU``. At most one fragment is held back: only the end of the data set tells which is the last.
    """

    __slots__ = ("_context_id", "_held", "_size")

    def __init__(self, context_id: int, max_pdu: int) -> None:
        if 0 < max_pdu < MIN_MAX_PDU:
            raise ProtocolError(
                f"the peer announced a maximum length of {max_pdu} octets, expected {MIN_MAX_PDU} or more"
            )
        self._context_id = context_id
        self._size = ((min(max_pdu or OUR_MAX_PDU, OUR_MAX_PDU)) - 6) & ~1  # fragments are even, PS3.8 Annex E.1
        self._held = bytearray()

    def command(self, command: bytes) -> bytes:
        return self._cut(command, _COMMAND, _COMMAND | _LAST)

    def data(self, chunk: Buffer) -> bytes:
        held, size = self._held, self._size
        if len(held) + len(chunk) <= size:
            held += chunk
            return b""
        whole = memoryview(bytes(held) + chunk if held else chunk)
        keep = len(whole) % size or size
        self._held = bytearray(whole[-keep:])
        return self._cut(whole[:-keep], 0, 0)

    def finish(self) -> bytes:
        """The last fragment, empty only if the data set was."""
        return self._cut(self._held, 0, _LAST)

    def _cut(self, data: Buffer, control: int, final_control: int) -> bytes:
        size, context_id, pack = self._size, self._context_id, _PDU_PDV.pack
        length = len(data)
        if length <= size:
            return pack(4, 0, length + 6, length + 2, context_id, final_control) + data
        view = memoryview(data)
        final = (length - 1) // size * size
        parts: list[Buffer] = []
        header = pack(4, 0, size + 6, size + 2, context_id, control)
        for at in range(0, final, size):
            parts += (header, view[at : at + size])
        rest = length - final
        parts += (pack(4, 0, rest + 6, rest + 2, context_id, final_control), view[final:])
        return b"".join(parts)


def fragment(
    context_id: int, command: bytes, dataset: Buffer | Iterable[Buffer] | None, max_pdu: int
) -> Iterator[bytes]:
    """A message as whole P-DATA-TF PDUs; each item holds one or more of them and is meant for one write.

    A command with a small data set comes as a single item. An iterable data set is taken chunk by chunk, when the item
    before has been taken. ``command`` is from ``encode_command`` and says itself whether a data set follows.
    """
    cutter = Fragmenter(context_id, max_pdu)
    out = cutter.command(command)
    if dataset is None:
        yield out
        return
    for chunk in _pieces(dataset):
        out += cutter.data(chunk)
        if len(out) >= _WRITE_SIZE:
            yield out
            out = b""
    yield out + cutter.finish()


def _pieces(dataset: Buffer | Iterable[Buffer]) -> Iterable[Buffer]:
    if not isinstance(dataset, bytes | bytearray | memoryview):
        return dataset
    if len(dataset) <= _WRITE_SIZE:
        return (dataset,)
    view = memoryview(dataset)
    return (view[at : at + _WRITE_SIZE] for at in range(0, len(view), _WRITE_SIZE))


# ---- receiving ------------------------------------------------------------------------------------------------------


class CommandReceived(Struct, frozen=True, gc=False):
    """A whole command set. If it ``has_data_set``, fragments follow."""

    context_id: int
    command: Command


class DataFragment(Struct, frozen=True, gc=False):
    """A piece of the data set, as it came: a view into the receive buffer if the reader gave one."""

    context_id: int
    data: bytes | memoryview
    last: bool


class MessageComplete(Struct, frozen=True, gc=False):
    """The message is over. ``data_set`` is whole if it was gathered, else None."""

    context_id: int
    command: Command
    data_set: bytes | None = None


MessageEvent = CommandReceived | DataFragment | MessageComplete


class Reassembler:
    """PDVs in, message events out. Raises ProtocolError for what PS3.8 Annex E forbids, and is of no use afterwards.

    ``gather``: collect data sets of up to this many octets instead of streaming them. ``gather(limit)`` after a
    ``CommandReceived`` decides the same for that message alone.
    """

    __slots__ = ("_command", "_context_id", "_gather", "_limit", "_parts")

    def __init__(self, gather: int | None = None) -> None:
        self._gather = gather
        self._limit = gather
        self._context_id: int | None = None  # of the message under way
        self._command: Command | None = None  # once it is complete and its data set is under way
        self._parts = bytearray()

    @property
    def idle(self) -> bool:
        """No message is under way."""
        return self._context_id is None

    def gather(self, limit: int | None) -> None:
        """Collect the data set of the message under way, up to ``limit`` octets; None streams it."""
        self._limit = limit

    def feed(self, pdv: PresentationDataValue) -> tuple[MessageEvent, ...]:
        """The events of one PDV, in order. LimitExceeded before more than the bound is held."""
        if self._context_id is not None and self._context_id != pdv.context_id:
            raise ProtocolError("a fragment of another presentation context came within a message")
        return self._feed_command(pdv) if pdv.command else self._feed_data(pdv)

    def _feed_command(self, pdv: PresentationDataValue) -> tuple[MessageEvent, ...]:
        if self._command is not None:
            raise ProtocolError("a command fragment came where the data set was expected")
        data = pdv.data
        if len(self._parts) + len(data) > MAX_COMMAND:
            raise LimitExceeded(f"a command set is longer than {MAX_COMMAND} octets")
        context_id = pdv.context_id
        if not pdv.last:
            self._parts += data
            self._context_id = context_id
            return ()
        if self._parts:
            self._parts += data
            data = bytes(self._parts)
            self._parts = bytearray()
        command = decode_command(data)
        received = CommandReceived(context_id, command)
        if not command.has_data_set:
            self._context_id = None
            return (received, MessageComplete(context_id, command))
        self._context_id = context_id
        self._command = command
        self._limit = self._gather
        return (received,)

    def _feed_data(self, pdv: PresentationDataValue) -> tuple[MessageEvent, ...]:
        command = self._command
        if command is None:
            raise ProtocolError("a data set fragment came where a command was expected")
        context_id, data, last = pdv.context_id, pdv.data, pdv.last
        if last:
            self._context_id = None
            self._command = None
        if self._limit is None:
            piece = DataFragment(context_id, data, last)
            return (piece, MessageComplete(context_id, command)) if last else (piece,)
        if len(self._parts) + len(data) > self._limit:
            raise LimitExceeded(f"a data set is longer than the {self._limit} octets that are collected here")
        if not last:
            self._parts += data
            return ()
        whole = bytes(self._parts) + data if self._parts else bytes(data)
        self._parts = bytearray()
        return (MessageComplete(context_id, command, whole),)
