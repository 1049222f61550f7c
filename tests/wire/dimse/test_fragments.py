"""Messages cut into PDUs and put together again: every size, every illegal order, every bound."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.dimse import (
    CEchoRequest,
    CEchoResponse,
    CFindResponse,
    CommandReceived,
    CStoreRequest,
    DataFragment,
    Fragmenter,
    MessageComplete,
    MessageEvent,
    Reassembler,
    decode_command,
    encode_command,
    fragment,
)
from leadapron.wire.dimse.command import MAX_COMMAND
from leadapron.wire.dimse.fragments import OUR_MAX_PDU
from leadapron.wire.pdu import PData, PduReader, PresentationDataValue

STORE = CStoreRequest(1, "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4")
ECHO = CEchoRequest(1)
STEADY = settings(derandomize=True, deadline=None)  # the same examples in every run, however loaded the machine
CONTEXT = 3


def pdus(octets: bytes) -> Iterator[bytes]:
    """The bodies of P-DATA-TF PDUs."""
    while octets:
        kind, length = struct.unpack_from(">BxI", octets)
        assert kind == 4
        yield octets[6 : 6 + length]
        assert len(octets) >= 6 + length
        octets = octets[6 + length :]


def values(items: list[bytes]) -> list[PresentationDataValue]:
    reader = PduReader()
    found: list[PresentationDataValue] = []
    for item in items:
        reader.feed(item)
        while (pdu := reader.next_pdu()) is not None:
            assert isinstance(pdu, PData)
            found += pdu.values
    return found


def events(pdvs: list[PresentationDataValue], gather: int | None = None) -> list[MessageEvent]:
    reassembler = Reassembler(gather)
    return [event for pdv in pdvs for event in reassembler.feed(pdv)]


def pdv(data: bytes, command: bool = False, last: bool = True, context: int = CONTEXT) -> PresentationDataValue:
    return PresentationDataValue(context, command, last, data)


def test_an_annotated_message() -> None:
    (item,) = fragment(CONTEXT, b"command!", b"data", 16384)
    assert item == (
        b"\x04\x00\x00\x00\x00\x0e"  # P-DATA-TF, 14 octets
        b"\x00\x00\x00\x0a\x03\x03command!"  # PDV of 10 octets, context 3, control 3: command, last
        b"\x04\x00\x00\x00\x00\x0a"
        b"\x00\x00\x00\x06\x03\x02data"  # control 2: data set, last
    )


def test_an_annotated_message_in_small_pieces() -> None:
    assert b"".join(fragment(CONTEXT, b"command!", b"data", 12)) == (
        b"\x04\x00\x00\x00\x00\x0c\x00\x00\x00\x08\x03\x01comman"  # control 1: command, not the last
        b"\x04\x00\x00\x00\x00\x08\x00\x00\x00\x04\x03\x03d!"
        b"\x04\x00\x00\x00\x00\x0a\x00\x00\x00\x06\x03\x02data"
    )


def test_a_message_without_data_set_is_one_pdu() -> None:
    (item,) = fragment(CONTEXT, encode_command(ECHO), None, 0)
    assert len(list(pdus(item))) == 1
    assert events(values([item])) == [CommandReceived(CONTEXT, ECHO), MessageComplete(CONTEXT, ECHO)]


def test_an_empty_data_set_is_one_empty_fragment() -> None:
    (item,) = fragment(CONTEXT, encode_command(STORE), b"", 0)
    assert events(values([item]), gather=0)[-1] == MessageComplete(CONTEXT, STORE, b"")
    assert [value.data for value in values([item])][1:] == [b""]


@pytest.mark.parametrize("max_pdu", range(8, 201))
def test_every_size(max_pdu: int) -> None:
    command = encode_command(STORE)
    room = (max_pdu - 6) & ~1
    for length in (0, 1, room - 1, room, room + 1, 2 * room, 300):
        data = bytes(index & 0xFF for index in range(length))
        chunked = [data[at : at + 7] for at in range(0, length, 7)]
        for data_set in (data, bytearray(data), memoryview(data), chunked, iter(chunked)):
            items = list(fragment(CONTEXT, command, data_set, max_pdu))
            bodies = [body for item in items for body in pdus(item)]
            assert max(map(len, bodies)) <= max_pdu
            assert all(len(body) % 2 == 0 for body in bodies[:-1])  # PS3.8 Annex E: fragments are even but for the last
            pdvs = values(items)
            assert [value.last for value in pdvs if not value.command] == [False] * (max(0, length - 1) // room) + [
                True
            ]
            assert len([value for value in pdvs if value.command]) == -(-len(command) // room)
            assert events(pdvs, gather=400) == [CommandReceived(CONTEXT, STORE), MessageComplete(CONTEXT, STORE, data)]


@pytest.mark.parametrize("max_pdu", [1, 7])
def test_a_peer_that_can_take_nothing(max_pdu: int) -> None:
    with pytest.raises(ProtocolError):
        list(fragment(CONTEXT, b"command!", None, max_pdu))


@pytest.mark.parametrize("max_pdu", [0, 2**32 - 1])
def test_no_limit_is_our_limit(max_pdu: int) -> None:
    data = bytes(1_000_000)
    items = list(fragment(CONTEXT, encode_command(STORE), data, max_pdu))
    assert max(len(body) for item in items for body in pdus(item)) == OUR_MAX_PDU
    assert max(map(len, items)) < 2 * OUR_MAX_PDU  # what waits to be written is bounded
    assert events(values(items), gather=len(data))[-1] == MessageComplete(CONTEXT, STORE, data)


def test_small_pdus_are_joined_for_few_writes() -> None:
    items = list(fragment(CONTEXT, encode_command(STORE), bytes(1_000_000), 16384))
    assert len(items) <= 5
    assert sum(1 for item in items for _ in pdus(item)) == 1 + -(-1_000_000 // 16378)


def test_an_iterable_is_not_taken_ahead() -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield bytes(100_000)

    items = fragment(CONTEXT, encode_command(STORE), chunks(), 16384)
    next(items)
    assert taken == 3
    next(items)
    assert taken <= 6


def test_pushing_chunks() -> None:
    cutter = Fragmenter(CONTEXT, 106)
    sent = [
        cutter.command(encode_command(ECHO)),
        cutter.data(b"a" * 60),
        cutter.data(b"b" * 40),
        cutter.data(b"c" * 150),
    ]
    assert [len(list(pdus(item))) for item in sent] == [1, 0, 0, 2]
    sent.append(cutter.finish())
    assert [len(value.data) for value in values(sent)][1:] == [100, 100, 50]
    assert b"".join(bytes(value.data) for value in values(sent)[1:]) == b"a" * 60 + b"b" * 40 + b"c" * 150


@STEADY
@given(st.binary(max_size=400), st.lists(st.integers(0, 150)), st.integers(8, 300))
def test_however_it_is_chunked_the_pdus_are_the_same(data: bytes, cuts: list[int], max_pdu: int) -> None:
    command = encode_command(STORE)
    chunks, rest = [], data
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    chunks.append(rest)
    assert b"".join(fragment(1, command, chunks, max_pdu)) == b"".join(fragment(1, command, data, max_pdu))


# ---- receiving ------------------------------------------------------------------------------------------------------


def test_streamed_fragments_pass_as_they_came() -> None:
    reassembler = Reassembler()
    assert reassembler.idle
    assert reassembler.feed(pdv(encode_command(STORE), command=True)) == (CommandReceived(CONTEXT, STORE),)
    assert not reassembler.idle
    view = memoryview(b"one")
    (event,) = reassembler.feed(PresentationDataValue(CONTEXT, False, False, view))
    assert isinstance(event, DataFragment) and event.data is view and not event.last
    assert reassembler.feed(pdv(b"two")) == (
        DataFragment(CONTEXT, b"two", True),
        MessageComplete(CONTEXT, STORE),
    )
    assert reassembler.idle


def test_messages_follow_each_other_on_any_context() -> None:
    reassembler = Reassembler(gather=10)
    for context in (1, 3, 1):
        command = pdv(encode_command(STORE), command=True, context=context)
        assert reassembler.feed(command) == (CommandReceived(context, STORE),)
        assert reassembler.feed(pdv(b"ab", last=False, context=context)) == ()
        assert reassembler.feed(pdv(b"cd", context=context)) == (MessageComplete(context, STORE, b"abcd"),)


def test_the_command_decides_whether_its_data_set_is_gathered() -> None:
    reassembler = Reassembler()
    for gather, expected in (
        (4, [MessageComplete(CONTEXT, STORE, b"data")]),
        (None, [DataFragment(CONTEXT, b"data", True), MessageComplete(CONTEXT, STORE)]),
    ):
        reassembler.feed(pdv(encode_command(STORE), command=True))
        if gather is not None:
            reassembler.gather(gather)
        assert list(reassembler.feed(pdv(b"data"))) == expected


def test_what_is_gathered_is_a_copy() -> None:
    buffer = bytearray(b"data")
    reassembler = Reassembler(gather=4)
    reassembler.feed(pdv(encode_command(STORE), command=True))
    (event,) = reassembler.feed(PresentationDataValue(CONTEXT, False, True, memoryview(buffer)))
    buffer[:] = b"XXXX"
    assert event == MessageComplete(CONTEXT, STORE, b"data")


def test_a_command_in_pieces_of_one_octet_and_empty_ones() -> None:
    raw = encode_command(STORE)
    pieces = [pdv(b"", command=True, last=False)]
    pieces += [pdv(raw[at : at + 1], command=True, last=False) for at in range(len(raw))]
    assert events([*pieces, pdv(b"", command=True)]) == [CommandReceived(CONTEXT, STORE)]


COMMAND = pdv(encode_command(STORE), command=True)
HALF = pdv(encode_command(STORE)[:20], command=True, last=False)


@pytest.mark.parametrize(
    "order",
    [
        [pdv(b"data")],  # no command before
        [pdv(b"data", last=False)],
        [pdv(encode_command(ECHO), command=True), pdv(b"data")],  # a data set that was not announced
        [HALF, pdv(b"data")],  # the command is not over
        [COMMAND, COMMAND],  # the data set is missing
        [COMMAND, HALF],
        [COMMAND, pdv(b"data", last=False), COMMAND],  # the data set is not over
        [COMMAND, pdv(b"data"), pdv(b"data")],  # another one
        [HALF, pdv(encode_command(STORE)[20:], command=True, context=5)],  # another context within
        [COMMAND, pdv(b"data", context=5)],
        [COMMAND, pdv(b"data", last=False), pdv(b"data", context=5)],
        [pdv(b"", command=True)],  # an empty command set
        [pdv(encode_command(STORE)[:20], command=True)],  # a truncated one
    ],
)
@pytest.mark.parametrize("gather", [None, 100])
def test_illegal_orders(order: list[PresentationDataValue], gather: int | None) -> None:
    with pytest.raises(ProtocolError) as error:
        events(order, gather)
    assert not isinstance(error.value, LimitExceeded)


def test_bounds() -> None:
    reassembler = Reassembler(gather=100)
    for _ in range(MAX_COMMAND // 1024):
        assert reassembler.feed(pdv(bytes(1024), command=True, last=False)) == ()
    with pytest.raises(LimitExceeded):
        reassembler.feed(pdv(b"x", command=True, last=False))
    with pytest.raises(LimitExceeded):
        events([COMMAND, pdv(bytes(60), last=False), pdv(bytes(41), last=False)], gather=100)
    with pytest.raises(LimitExceeded):
        events([COMMAND, pdv(bytes(101))], gather=100)
    assert events([COMMAND, pdv(bytes(60), last=False), pdv(bytes(40))], gather=100)[-1] == MessageComplete(
        CONTEXT, STORE, bytes(100)
    )
    assert len(events([COMMAND, *[pdv(bytes(1_000_000), last=False)] * 50])) == 51  # streamed: nothing is held


@STEADY
@given(
    st.lists(
        st.builds(
            pdv,
            st.one_of(
                st.sampled_from([encode_command(c) for c in (STORE, ECHO, CEchoResponse(1, 0), CFindResponse(1, 0))]),
                st.binary(max_size=20),
            ),
            st.booleans(),
            st.booleans(),
            st.sampled_from([1, 3]),
        ),
        max_size=12,
    ),
    st.sampled_from([None, 30]),
)
def test_any_order_is_messages_or_an_error(order: list[PresentationDataValue], gather: int | None) -> None:
    """What comes out obeys: command, then its fragments if it has a data set, then complete."""
    reassembler = Reassembler(gather)
    open_command = None
    for value in order:
        try:
            found = reassembler.feed(value)
        except ProtocolError:
            return
        for event in found:
            if isinstance(event, CommandReceived):
                assert open_command is None
                open_command = event.command
            elif isinstance(event, DataFragment):
                assert open_command is not None and open_command.has_data_set and gather is None
            else:
                assert event.command is open_command
                assert (event.data_set is not None) == (gather is not None and event.command.has_data_set)
                open_command = None
        assert not (reassembler.idle and open_command)


def test_a_peer_that_sends_both_parts_in_one_pdu() -> None:
    raw = encode_command(STORE)
    body = b"".join(
        struct.pack(">IBB", len(data) + 2, CONTEXT, control) + data for data, control in ((raw, 3), (b"data", 2))
    )
    pdvs = values([struct.pack(">BBI", 4, 0, len(body)) + body])
    assert events(pdvs, gather=4)[-1] == MessageComplete(CONTEXT, decode_command(raw), b"data")
