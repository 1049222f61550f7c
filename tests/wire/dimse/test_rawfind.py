"""C-FIND answers on the raw buffer: the same whatever way the octets come."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import AssociationAborted, LimitExceeded, ProtocolError
from leadapron.wire import uids
from leadapron.wire.dimse.command import CEchoResponse, CFindResponse, encode_command
from leadapron.wire.dimse.rawfind import RawFind
from leadapron.wire.pdu import Abort, PData, PresentationDataValue, encode

CONTEXT, MESSAGE, MAX_PDU = 3, 7, 16384


def pending(status: int = 0xFF00) -> bytes:
    return encode_command(CFindResponse(MESSAGE, status, True, uids.STUDY_ROOT_FIND))


def final(status: int = 0x0000, has_data_set: bool = False) -> bytes:
    return encode_command(CFindResponse(MESSAGE, status, has_data_set, uids.STUDY_ROOT_FIND))


def pdv(data: bytes, command: bool = False, last: bool = True, context: int = CONTEXT) -> PresentationDataValue:
    return PresentationDataValue(context, command, last, data)


def pdus(*values: PresentationDataValue) -> bytes:
    """One P-DATA-TF for each."""
    return b"".join(encode(PData((value,))) for value in values)


def read(stream: bytes, chunks: list[int] | None = None) -> tuple[RawFind, list[bytes]]:
    """Feed the stream in pieces of these sizes (all at once without), keeping what was not taken."""
    seen: list[bytes] = []
    find = RawFind(CONTEXT, MESSAGE, MAX_PDU, lambda buffer, start, end: seen.append(buffer[start:end]))
    kept, sizes = b"", iter(chunks or [])
    while stream:
        size = next(sizes, len(stream))
        kept, stream = kept + stream[:size], stream[size:]
        kept = kept[find.consume(memoryview(kept)) :]
    assert not kept or not find.done
    return find, seen


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Data sets, and a stream that carries them with fragments and PDVs packed at random."""
    sets = draw(st.lists(st.binary(min_size=2, max_size=60), max_size=8))
    values: list[PresentationDataValue] = []

    def add(data: bytes, command: bool) -> None:
        cuts = sorted(set(draw(st.lists(st.integers(1, len(data) - 1), max_size=2))))
        pieces = [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        values.extend(pdv(piece, command, n == len(pieces) - 1) for n, piece in enumerate(pieces))

    for data in sets:
        add(pending(draw(st.sampled_from([0xFF00, 0xFF01]))), True)
        add(data, False)
    add(final(draw(st.sampled_from([0, 0xFE00, 0xA700]))), True)
    stream = b""
    while values:
        size = draw(st.integers(1, 3))
        stream += encode(PData(tuple(values[:size])))
        values = values[size:]
    return sets, stream


@given(answers(), st.lists(st.integers(1, 50), max_size=40))
def test_any_packing_in_any_pieces(data: tuple[list[bytes], bytes], chunks: list[int]) -> None:
    sets, stream = data
    find, seen = read(stream, chunks)
    assert (find.done, find.answers, seen) == (True, len(sets), sets)


def test_one_octet_at_a_time() -> None:
    stream = pdus(*(value for n in range(5) for value in (pdv(pending(), True), pdv(b"%02d" % n)))) + pdus(
        pdv(final(0xFE00), True)
    )
    find, seen = read(stream, [1] * len(stream))
    assert (find.status, find.answers, seen) == (0xFE00, 5, [b"%02d" % n for n in range(5)])


def test_a_final_response_with_a_data_set_is_read_and_not_counted() -> None:
    find, seen = read(pdus(pdv(final(0, True), True), pdv(b"xx")))
    assert (find.done, find.status, find.answers, seen) == (True, 0, 0, [])


@pytest.mark.parametrize(
    "stream",
    [
        pdus(pdv(b"xx")),  # a data set first
        pdus(pdv(pending(), True), pdv(pending(), True)),  # a command set instead of the data set
        pdus(pdv(pending(), True, context=5)),  # another context
        pdus(pdv(encode_command(CEchoResponse(MESSAGE, 0)), True)),  # another message
        pdus(pdv(encode_command(CFindResponse(MESSAGE + 1, 0xFF00, True)), True)),  # to another request
        pdus(pdv(encode_command(CFindResponse(MESSAGE, 0xFF00, False)), True)),  # pending with nothing
        pdus(pdv(final(), True), pdv(final(), True)),  # more than was asked
        b"\x04\x00" + struct.pack(">I", 5) + bytes(5),  # no room for a PDV
        b"\x04\x00" + struct.pack(">IIBB", 6, 99, CONTEXT, 3),  # a PDV longer than its PDU
        b"\x04\x00" + struct.pack(">IIBB", 6, 1, CONTEXT, 3),  # a PDV shorter than its header
        b"\x05\x00\x00\x00\x00\x04" + bytes(4),  # A-RELEASE-RQ in the middle
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_what_breaks_the_protocol_is_named(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(stream)


def test_four_gibibytes_are_refused_at_the_header() -> None:
    with pytest.raises(LimitExceeded):
        read(b"\x04\x00\xff\xff\xff\xff")


def test_an_endless_answer_is_refused() -> None:
    piece = bytes(MAX_PDU - 6)
    stream = pdus(pdv(pending(), True)) + pdus(*(pdv(piece, last=False) for _ in range(20)))
    with pytest.raises(LimitExceeded):
        read(stream)


def test_an_endless_command_set_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        read(pdus(*(pdv(bytes(16000), True, last=False) for _ in range(3))))


@pytest.mark.parametrize("command", [True, False])
def test_empty_fragments_without_end_are_refused(command: bool) -> None:
    """They add no octets, so only their number can be bounded."""
    empty = pdus(*(pdv(b"", command, last=False) for _ in range(5000)))
    with pytest.raises(LimitExceeded):
        read(empty if command else pdus(pdv(pending(), True)) + empty)


def test_an_abort_is_told_with_source_and_reason() -> None:
    with pytest.raises(AssociationAborted) as caught:
        read(pdus(pdv(pending(), True)) + encode(Abort(2, 6)))
    assert (caught.value.source, caught.value.reason) == (2, 6)
