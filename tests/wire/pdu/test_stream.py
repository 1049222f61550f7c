"""`PduReader`: a stream cut into PDUs, however the octets arrive."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.pdu import Limits, PData, Pdu, PduReader, PresentationDataValue, encode
from wire.pdu.examples import DATA, EXAMPLES
from wire.pdu.strategies import pdus

CONVERSATION = b"".join(raw for raw, _ in EXAMPLES)


def drain(reader: PduReader) -> list[Pdu]:
    return list(iter(reader.next_pdu, None))


def test_nothing_fed_nothing_read() -> None:
    reader = PduReader()
    assert reader.next_pdu() is None
    reader.feed(b"")
    assert reader.next_pdu() is None
    assert reader.buffered == 0


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7, 11, 64, len(CONVERSATION)])
def test_pieces_of_any_size(size: int) -> None:
    reader, read = PduReader(), []
    for at in range(0, len(CONVERSATION), size):
        reader.feed(CONVERSATION[at : at + size])
        read += drain(reader)
    assert read == [pdu for _, pdu in EXAMPLES]
    assert reader.buffered == 0


@given(st.lists(pdus, max_size=4), st.lists(st.integers(1, 90), min_size=1, max_size=30))
def test_however_it_is_cut(sent: list[Pdu], sizes: list[int]) -> None:
    stream = b"".join(map(encode, sent))
    reader, read, at, turn = PduReader(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        reader.feed(stream[at : at + size])
        read += drain(reader)
        at, turn = at + size, turn + 1
    assert read == sent


def test_fed_again_before_it_was_drained() -> None:
    reader = PduReader()
    for at in range(0, len(CONVERSATION), 7):
        reader.feed(CONVERSATION[at : at + 7])
    assert reader.buffered == len(CONVERSATION)
    assert drain(reader) == [pdu for _, pdu in EXAMPLES]


def test_buffered_says_whether_the_stream_broke_off_within_a_pdu() -> None:
    reader = PduReader()
    reader.feed(CONVERSATION + DATA[:9])
    assert len(drain(reader)) == len(EXAMPLES)
    assert reader.buffered == 9
    reader.feed(DATA[9:])
    assert drain(reader) == [EXAMPLES[3][1]]
    assert reader.buffered == 0


def test_the_type_is_judged_at_the_first_octet() -> None:
    reader = PduReader()
    reader.feed(b"H")  # of HTTP/1.1 400
    with pytest.raises(ProtocolError, match="48H") as caught:
        reader.next_pdu()
    assert caught.value.offset == 0


@pytest.mark.parametrize(
    ("header", "error"),
    [
        ("01 00 00020001", LimitExceeded),
        ("02 00 FFFFFFFF", LimitExceeded),
        ("04 00 00100001", LimitExceeded),
        ("05 00 00000005", LimitExceeded),
        ("07 00 7FFFFFFF", LimitExceeded),
        ("01 00 00000043", ProtocolError),
        ("04 00 00000000", ProtocolError),
        ("06 00 00000003", ProtocolError),
    ],
)
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "octet by octet"])
def test_the_length_is_judged_at_the_sixth_octet(header: str, error: type[ProtocolError], whole: bool) -> None:
    raw, reader = bytes.fromhex(header), PduReader()
    if whole:
        reader.feed(raw)
    else:
        for at in range(5):
            reader.feed(raw[at : at + 1])
            assert reader.next_pdu() is None
        reader.feed(raw[5:])
    with pytest.raises(error) as caught:
        reader.next_pdu()
    assert caught.value.offset == 2


def test_a_failed_reader_stays_failed_and_holds_nothing() -> None:
    reader = PduReader()
    reader.feed(DATA + b"\xff" + DATA)
    assert reader.next_pdu() == EXAMPLES[3][1]
    with pytest.raises(ProtocolError) as first:
        reader.next_pdu()
    assert reader.buffered == 0
    reader.feed(DATA)
    with pytest.raises(ProtocolError) as second:
        reader.next_pdu()
    assert second.value is first.value


def test_limits_are_the_readers_own() -> None:
    reader = PduReader(Limits(p_data=18))
    reader.feed(DATA[:6])
    with pytest.raises(LimitExceeded, match="19 octets"):
        reader.next_pdu()


def test_values_are_not_copied_from_what_was_fed() -> None:
    size = 500_000
    raw = encode(PData((PresentationDataValue(1, False, True, bytes(size)),)))
    reader = PduReader()
    tracemalloc.start()
    try:
        reader.feed(raw)
        pdu = reader.next_pdu()
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    assert isinstance(pdu, PData)
    assert len(pdu.values[0].data) == size


def test_values_outlive_the_next_pieces() -> None:
    """A receive buffer that is used again, and a PDU that spans pieces: what was returned does not change."""
    buffer, reader, kept = bytearray(8), PduReader(), []
    for at in range(0, len(DATA) * 8, 8):
        piece = (DATA * 8)[at : at + 8]
        buffer[: len(piece)] = piece
        reader.feed(memoryview(buffer)[: len(piece)])
        kept += drain(reader)
    assert kept == [EXAMPLES[3][1]] * 8


def test_a_peer_that_drips_octets_costs_one_pdu() -> None:
    """A length of 1 MiB announced and sent in pieces of two octets: held once, not once for each piece."""
    reader = PduReader()
    tracemalloc.start()
    try:
        reader.feed(bytes.fromhex("04 00 00100000 000FFFFC 01 00"))
        for _ in range(100_000):
            reader.feed(bytes((1, 2)))
            assert reader.next_pdu() is None
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert reader.buffered == 200_012
