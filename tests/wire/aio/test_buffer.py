"""The receive buffer: PDUs whole however they are cut, and bounds before anything is believed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.aio.buffer import SMALL, ReceiveBuffer
from leadapron.wire.pdu import DEFAULT_LIMITS, Abort, Limits, PData, Pdu, PresentationDataValue, encode
from peers.raw import header, request


def receive(buffer: ReceiveBuffer, data: bytes) -> int:
    """What the loop does: as much as fits into the buffer at a time. The number of octets that were taken in."""
    taken = 0
    while taken < len(data) and buffer.tail < len(buffer.view):
        room = min(len(buffer.view) - buffer.tail, len(data) - taken)
        buffer.view[buffer.tail : buffer.tail + room] = data[taken : taken + room]
        buffer.tail += room
        taken += room
        if not buffer.make_room():
            break
    return taken


def p_data(size: int) -> bytes:
    return encode(PData((PresentationDataValue(1, False, True, bytes(size)),)))


def test_one_octet_at_a_time() -> None:
    buffer = ReceiveBuffer(DEFAULT_LIMITS)
    pdu = encode(request())
    for octet in pdu[:-1]:
        assert receive(buffer, bytes([octet])) == 1
        assert buffer.take() is None
        assert not buffer.whole()
    receive(buffer, pdu[-1:])
    assert buffer.take() == (1, pdu[6:])
    assert len(buffer) == 0


@given(st.lists(st.integers(2, 3000), max_size=30), st.lists(st.integers(0, 4000), min_size=1, max_size=20))
def test_any_cut(sizes: list[int], cuts: list[int]) -> None:
    buffer = ReceiveBuffer(DEFAULT_LIMITS, 5000)
    stream = b"".join(p_data(size) for size in sizes)
    bodies: list[int] = []
    at = 0
    for cut in itertools.cycle([*cuts, 4000]):  # a cut also says how many PDUs are taken after it
        at += receive(buffer, stream[at : at + cut])
        for _ in range(cut % 7):
            taken = buffer.take()
            if taken is not None:
                bodies.append(len(taken[1]) - 6)
        if not buffer.make_room() or len(bodies) == len(sizes):
            while (taken := buffer.take()) is not None:
                bodies.append(len(taken[1]) - 6)
        if len(bodies) == len(sizes):
            break
    assert bodies == sizes


@pytest.mark.parametrize("pdu_type", range(1, 8))
def test_four_gibibytes_are_refused_at_the_header(pdu_type: int) -> None:
    buffer = ReceiveBuffer(DEFAULT_LIMITS)
    with pytest.raises(LimitExceeded):
        receive(buffer, header(pdu_type, 0xFFFFFFFF))
    assert buffer.size == SMALL


@pytest.mark.parametrize("start", [b"H", b"\x00", b"\x16\x03\x01", b"SSH-2.0", b"\xff" * 100])
def test_another_protocol_is_known_by_its_first_octet(start: bytes) -> None:
    with pytest.raises(ProtocolError, match="may not speak DICOM"):
        receive(ReceiveBuffer(DEFAULT_LIMITS), start)


def test_it_grows_for_one_pdu_and_no_further() -> None:
    buffer = ReceiveBuffer(DEFAULT_LIMITS)
    one = p_data(DEFAULT_LIMITS.p_data - 6)
    assert receive(buffer, one + one) < len(one) + SMALL
    assert buffer.size < len(one) + SMALL
    assert buffer.take() is not None


def test_it_says_when_something_must_be_taken_first() -> None:
    buffer = ReceiveBuffer(DEFAULT_LIMITS, 8192)
    flood = encode(Abort(0, 0)) * 2000
    taken = receive(buffer, flood)
    assert taken == 8192
    assert not buffer.make_room()
    for _ in range(500):
        assert buffer.take() is not None
    assert buffer.make_room()


def test_limits_are_those_given() -> None:
    buffer = ReceiveBuffer(Limits(p_data=100))
    with pytest.raises(LimitExceeded):
        receive(buffer, p_data(200))


def test_pdus_are_copies() -> None:
    buffer = ReceiveBuffer(DEFAULT_LIMITS)
    first: Pdu = PData((PresentationDataValue(1, False, True, b"first!"),))
    second: Pdu = PData((PresentationDataValue(1, False, True, b"second"),))
    receive(buffer, encode(first))
    taken = buffer.take()
    receive(buffer, encode(second))
    assert taken == (4, encode(first)[6:])
