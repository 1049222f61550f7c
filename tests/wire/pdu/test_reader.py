from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire.pdu import (
    DEFAULT_LIMITS,
    Abort,
    AssociateAccept,
    AssociateRequest,
    ContextResult,
    Limits,
    PData,
    Pdu,
    ProposedContext,
    UserInformation,
    decode,
    decode_accept_cached,
    encode,
)
from wire.pdu.examples import ACCEPT, DATA, EXAMPLES, REQUEST, each_example, octets
from wire.pdu.strategies import pdus


def item(kind: int, content: bytes) -> bytes:
    return bytes((kind, 0)) + len(content).to_bytes(2, "big") + content


def associate(*items: bytes) -> bytes:
    """Body of an A-ASSOCIATE PDU: the 68 octets of fixed fields, then items."""
    return octets("0001 0000 'CALLED__________' 'CALLING_________'") + bytes(32) + b"".join(items)


def user(*sub_items: bytes) -> bytes:
    return item(0x50, b"".join(sub_items))


@each_example
def test_the_octets_mean_what_the_standard_says(raw: bytes, pdu: Pdu) -> None:
    assert decode(raw[0], raw[6:]) == pdu
    assert decode(raw[0], memoryview(raw)[6:]) == pdu


@given(pdus)
def test_what_is_written_is_read_back(pdu: Pdu) -> None:
    raw = encode(pdu)
    assert decode(raw[0], raw[6:]) == pdu
    assert int.from_bytes(raw[2:6], "big") == len(raw) - 6


@each_example
def test_truncated_anywhere(raw: bytes, pdu: Pdu) -> None:
    """A body that ends early is an error, or at the border of an item the PDU without what follows."""
    whole = 0
    for end in range(6, len(raw)):
        try:
            shorter = decode(raw[0], raw[6:end])
        except ProtocolError as error:
            assert error.offset is not None and 0 <= error.offset <= end
        else:
            assert type(shorter) is type(pdu) and shorter != pdu
            whole += 1
    borders = {0x01: 3, 0x02: 4, 0x04: 1}  # between items; a P-DATA-TF between PDVs
    assert whole == borders.get(raw[0], 0)


@each_example
def test_trailing_octets(raw: bytes, pdu: Pdu) -> None:
    """PS3.8 §9.3: a PDU ends with its last field. One octet more is no item, and no room for one."""
    with pytest.raises(ProtocolError):
        decode(raw[0], raw[6:] + b"\0")


@each_example
def test_other_octets_lead_to_protocol_errors_only(raw: bytes, pdu: Pdu) -> None:
    """Each octet of the body replaced: a PDU comes out or a ProtocolError, nothing else."""
    for at in range(6, len(raw)):
        for value in (0x00, 0x01, 0x7F, 0xFF):
            try:
                decode(raw[0], raw[6:at] + bytes((value,)) + raw[at + 1 :])
            except ProtocolError as error:
                assert error.offset is not None


@given(st.integers(0, 9), st.binary(max_size=200))
def test_any_octets_lead_to_protocol_errors_only(pdu_type: int, body: bytes) -> None:
    try:
        decode(pdu_type, body)
    except ProtocolError as error:
        assert error.offset is not None


def test_errors_do_not_repeat_what_the_peer_said() -> None:
    canary = b"DOE^JANE"
    bodies = [
        (0x01, associate(item(0x10, canary * 40))),
        (0x01, associate(user(item(0x55, canary * 40)))),
        (0x02, associate(user(item(0x53, canary)))),
        (0x01, associate(user(item(0x58, b"\2\1" + canary)))),
        (0x04, b"\0\0\0\x7f\1\3" + canary),
        (0x48, canary),
    ]
    for pdu_type, body in bodies:
        with pytest.raises(ProtocolError) as caught:
            decode(pdu_type, body)
        assert "DOE" not in str(caught.value) and "JANE" not in str(caught.value)


class TestTolerance:
    """What is seen in the wild and does no harm."""

    @pytest.mark.parametrize(
        ("field", "title"),
        [
            ("'STORE-SCP' 00000000000000", "STORE-SCP"),
            ("'STORE-SCP_' 000000000000", "STORE-SCP"),
            ("'__STORE-SCP_____'", "STORE-SCP"),
            ("'SIXTEEN-CHARS-AE'", "SIXTEEN-CHARS-AE"),
            ("00000000000000000000000000000000", ""),
            ("'M' FC 'NSTER_________'", "MüNSTER"),
            ("E69DB1 'ABCDEFGHIJKLM'", "æ\x9d±ABCDEFGHIJKLM"),
        ],
        ids=["NULs", "space then NULs", "leading spaces", "full", "nothing", "Latin-1", "UTF-8 octets"],
    )
    def test_ae_titles(self, field: str, title: str) -> None:
        body = bytearray(associate())
        body[4:20] = body[20:36] = octets(field)
        request = decode(0x01, bytes(body))
        assert isinstance(request, AssociateRequest)
        assert (request.called, request.calling) == (title, title)

    @pytest.mark.parametrize("padding", [b"", b"\0", b"\0\0", b" "])
    def test_uids_and_names_end_in_nuls_or_spaces(self, padding: bytes) -> None:
        request = decode(
            0x01,
            associate(
                item(0x10, b"1.2.840.10008.3.1.1.1" + padding),
                item(0x20, b"\1\0\0\0" + item(0x30, b"1.2" + padding) + item(0x40, b"1.3" + padding)),
                user(item(0x52, b"1.4" + padding), item(0x55, b"NAME" + padding)),
            ),
        )
        assert request == AssociateRequest(
            "CALLED", "CALLING", (ProposedContext(1, "1.2", ("1.3",)),), UserInformation(None, "1.4", "NAME")
        )

    def test_implementation_class_uid_left_out(self) -> None:
        accept = decode(0x02, associate(user(item(0x51, b"\0\0\x40\0"))))
        assert isinstance(accept, AssociateAccept)
        assert accept.user == UserInformation(maximum_length=16384, implementation_class_uid=None)

    def test_implementation_class_uid_empty_is_not_left_out(self) -> None:
        accept = decode(0x02, associate(user(item(0x52, b""))))
        assert isinstance(accept, AssociateAccept)
        assert accept.user.implementation_class_uid == ""

    @pytest.mark.parametrize("items", [(), (user(),)], ids=["left out", "empty"])
    def test_user_information(self, items: tuple[bytes, ...]) -> None:
        accept = decode(0x02, associate(*items))
        assert isinstance(accept, AssociateAccept)
        assert accept.user == UserInformation(maximum_length=None)

    def test_refused_contexts_have_no_transfer_syntax_or_an_empty_one(self) -> None:
        accept = decode(
            0x02, associate(item(0x21, b"\1\0\3\0"), item(0x21, b"\3\0\4\0" + item(0x40, b"")), item(0x21, b"\5\0\0\0"))
        )
        assert isinstance(accept, AssociateAccept)
        assert accept.contexts == (ContextResult(1, 3, ""), ContextResult(3, 4, ""), ContextResult(5, 0, ""))

    def test_items_in_any_order_and_unknown_ones(self) -> None:
        accept = decode(
            0x02,
            associate(
                user(item(0x55, b"N"), item(0x51, b"\0\0\0\0"), item(0x7A, b"kept")),
                item(0x99, b"skipped"),
                item(0x20, b"not of this PDU"),
                item(0x21, b"\1\0\0\0" + item(0x99, b"skipped") + item(0x40, b"1.2")),
                item(0x10, b"1.5"),
            ),
        )
        assert accept == AssociateAccept(
            (ContextResult(1, 0, "1.2"),),
            UserInformation(0, None, "N", unknown=((0x7A, b"kept"),)),
            "CALLED",
            "CALLING",
            application_context="1.5",
        )

    def test_reserved_octets_are_not_tested(self) -> None:
        """PS3.8 §9.3.1: "reserved … shall not be tested"."""
        assert decode(0x07, b"\xff\xff\x02\x06") == Abort(2, 6)
        values = decode(0x04, bytes.fromhex("00000003 01 FF 61"))
        assert isinstance(values, PData)
        assert (values.values[0].command, values.values[0].last) == (True, True)

    def test_an_empty_pdv_is_one(self) -> None:
        data = decode(0x04, bytes.fromhex("00000002 01 02"))
        assert isinstance(data, PData)
        assert [(value.command, value.last, bytes(value.data)) for value in data.values] == [(False, True, b"")]


class TestBounds:
    @pytest.mark.parametrize(
        ("pdu_type", "length"),
        [(1, 67), (2, 67), (3, 3), (4, 0), (4, 5), (5, 0), (6, 3), (7, 3)],
    )
    def test_too_short(self, pdu_type: int, length: int) -> None:
        with pytest.raises(ProtocolError, match="octets") as caught:
            decode(pdu_type, bytes(length))
        assert not isinstance(caught.value, LimitExceeded)
        assert caught.value.offset == 2

    @pytest.mark.parametrize(
        ("pdu_type", "length"),
        [(1, 131073), (2, 131073), (3, 5), (4, 1048577), (5, 5), (6, 5), (7, 5)],
    )
    def test_too_long(self, pdu_type: int, length: int) -> None:
        with pytest.raises(LimitExceeded, match="octets"):
            decode(pdu_type, bytes(length))

    @pytest.mark.parametrize("pdu_type", [0x00, 0x08, 0x48, 0xFF])
    def test_no_pdu_type(self, pdu_type: int) -> None:
        with pytest.raises(ProtocolError, match=f"{pdu_type:02X}H") as caught:
            decode(pdu_type, bytes(4))
        assert caught.value.offset == 0

    @pytest.mark.parametrize(
        ("pdu_type", "piece", "most"),
        [
            (0x01, item(0x20, bytes(4)), DEFAULT_LIMITS.contexts),
            (0x02, item(0x21, bytes(4)), DEFAULT_LIMITS.contexts),
            (0x01, item(0x99, b""), DEFAULT_LIMITS.items),
        ],
        ids=["proposed contexts", "context results", "items"],
    )
    def test_number_of_items(self, pdu_type: int, piece: bytes, most: int) -> None:
        decode(pdu_type, associate(piece * most))
        with pytest.raises(LimitExceeded, match=str(most)):
            decode(pdu_type, associate(piece * (most + 1)))

    @pytest.mark.parametrize(
        ("piece", "most"),
        [
            (item(0x54, b"\0\0\1\1"), DEFAULT_LIMITS.user_items),
            (item(0x56, b"\0\0"), DEFAULT_LIMITS.user_items),
            (item(0x99, b""), DEFAULT_LIMITS.unknown_items),
        ],
        ids=["roles", "extended", "unknown"],
    )
    def test_number_of_sub_items(self, piece: bytes, most: int) -> None:
        decode(0x01, associate(user(piece * most)))
        with pytest.raises(LimitExceeded, match=str(most)):
            decode(0x01, associate(user(piece * (most + 1))))

    def test_number_of_transfer_syntaxes(self) -> None:
        most = DEFAULT_LIMITS.transfer_syntaxes
        decode(0x01, associate(item(0x20, bytes(4) + item(0x40, b"1") * most)))
        with pytest.raises(LimitExceeded, match=str(most)):
            decode(0x01, associate(item(0x20, bytes(4) + item(0x40, b"1") * (most + 1))))

    def test_items_are_counted_over_all_contexts(self) -> None:
        context = item(0x20, bytes(4) + item(0x40, b"1") * 40)
        with pytest.raises(LimitExceeded, match="items"):
            decode(0x01, associate(context * 128))

    def test_number_of_related_classes(self) -> None:
        most = DEFAULT_LIMITS.related

        def common(count: int) -> bytes:
            related = b"\0\1\x31" * count
            return associate(user(item(0x57, bytes(4) + len(related).to_bytes(2, "big") + related)))

        decode(0x01, common(most))
        with pytest.raises(LimitExceeded, match=str(most)):
            decode(0x01, common(most + 1))

    @pytest.mark.parametrize("kind", [0x52, 0x55])
    def test_length_of_text(self, kind: int) -> None:
        most = DEFAULT_LIMITS.text
        decode(0x01, associate(user(item(kind, b"1" * most))))
        with pytest.raises(LimitExceeded, match=str(most)):
            decode(0x01, associate(user(item(kind, b"1" * (most + 1)))))

    def test_length_of_a_transfer_syntax_in_an_accept(self) -> None:
        most = DEFAULT_LIMITS.text
        decode(0x02, associate(item(0x21, bytes(4) + item(0x40, b"1" * most))))
        with pytest.raises(LimitExceeded, match=str(most)):
            decode(0x02, associate(item(0x21, bytes(4) + item(0x40, b"1" * (most + 1)))))
        with pytest.raises(LimitExceeded, match="10"):
            decode(0x02, associate(item(0x21, bytes(4) + item(0x40, b"1" * 11))), Limits(text=10))

    def test_number_of_values(self) -> None:
        most = DEFAULT_LIMITS.pdvs
        decode(0x04, bytes.fromhex("00000002 01 00") * most)
        with pytest.raises(LimitExceeded, match=str(most)):
            decode(0x04, bytes.fromhex("00000002 01 00") * (most + 1))

    def test_tighter_limits_hold(self) -> None:
        raw, pdu = EXAMPLES[0]
        assert decode(0x01, raw[6:], Limits(associate=len(raw) - 6)) == pdu
        with pytest.raises(LimitExceeded):
            decode(0x01, raw[6:], Limits(associate=len(raw) - 7))

    @pytest.mark.parametrize("kind", [0x10, 0x20, 0x30, 0x40, 0x50, 0x54, 0x56, 0x57, 0x99])
    def test_a_body_of_the_cheapest_items_costs_little(self, kind: int) -> None:
        """Four octets on the wire must not become a kilobyte of objects: 128 KiB of them stay under 2 MiB."""
        within = {0x30: 0x20, 0x40: 0x20, 0x54: 0x50, 0x56: 0x50, 0x57: 0x50}.get(kind)
        piece = item(kind, bytes({0x20: 4, 0x54: 4, 0x56: 2, 0x57: 6}.get(kind, 0)))
        content = piece * (65000 // len(piece))
        body = associate(item(within, bytes(4) * (within == 0x20) + content) if within else content)
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolError):
                decode(0x01, body + item(0x99, b"") * 8192)
            assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
        finally:
            tracemalloc.stop()


class TestMalformed:
    @pytest.mark.parametrize(
        "body",
        [
            associate(user(item(0x51, b"\0\0\0"))),
            associate(user(item(0x51, bytes(5)))),
            associate(user(item(0x53, b"\0"))),
            associate(user(item(0x54, b"\0\x031.2\1"))),
            associate(user(item(0x54, b"\0\x031.2\1\1\1"))),
            associate(user(item(0x54, b"\0"))),
            associate(user(item(0x56, b"\0\x041.2"))),
            associate(user(item(0x57, b"\0\x031.2\0\x031.2"))),
            associate(user(item(0x57, b"\0\1\x31\0\1\x31\0\2\0\3"))),
            associate(user(item(0x58, b"\1"))),
            associate(user(item(0x58, b"\1\0\0\1u"))),
            associate(user(item(0x58, b"\1\0\0\1u\0\0\0"))),
            associate(user(item(0x59, b"\0\1"))),
            associate(user(item(0x59, b"\0\0\0"))),
            associate(user(b"\x51\0\0")),
            associate(user(), user()),
            associate(item(0x20, b"\1\0\0")),
            associate(item(0x20, b"\1\0\0\0" + b"\x40\0\0\4" + b"1.2")),
            associate(b"\x10\0\0\5"),
            associate(b"\x10"),
        ],
        ids=lambda body: body[68:].hex(),
    )
    def test_items(self, body: bytes) -> None:
        with pytest.raises(ProtocolError) as caught:
            decode(0x01, body)
        assert not isinstance(caught.value, LimitExceeded)
        assert caught.value.offset is not None and 74 <= caught.value.offset <= len(body) + 6

    @pytest.mark.parametrize(
        "body",
        [
            "00000001 01 03",
            "00000000 01 03",
            "FFFFFFFF 01 03",
            "00000003 01 03",
            "00000002 01 03 00",
            "00000000 00000003 01 03 61",  # would be read on as a second PDV that overlaps the first
            "00000001 01 00000003 01 03 61",
        ],
    )
    def test_values(self, body: str) -> None:
        with pytest.raises(ProtocolError, match="PDV"):
            decode(0x04, bytes.fromhex(body))

    def test_the_offset_is_where_the_fault_is(self) -> None:
        body = associate(item(0x10, b"1.2"), user(item(0x51, bytes(4)), item(0x53, bytes(3))))
        with pytest.raises(ProtocolError) as caught:
            decode(0x01, body)
        assert (6 + len(body)) - 3 == caught.value.offset


def test_values_are_slices_of_what_was_given() -> None:
    buffer = bytearray(DATA[6:])
    data = decode(0x04, memoryview(buffer))
    assert isinstance(data, PData)
    buffer[6:9] = b"XYZ"
    assert bytes(data.values[0].data) == b"XYZ"
    copied = decode(0x04, bytes(buffer))
    assert isinstance(copied, PData)
    assert isinstance(copied.values[0].data, bytes)


class TestCachedAccept:
    def test_identical_bodies_are_one_record(self) -> None:
        first = decode_accept_cached(ACCEPT[6:])
        assert first == EXAMPLES[1][1]
        assert decode_accept_cached(bytes(bytearray(ACCEPT[6:]))) is first

    def test_large_bodies_are_not_kept(self) -> None:
        accept = AssociateAccept(
            tuple(ContextResult(2 * index + 1, 0, "1.2.840.10008.1.2") for index in range(128)), UserInformation()
        )
        body = encode(accept)[6:]
        assert decode_accept_cached(body) == accept
        assert decode_accept_cached(body) is not decode_accept_cached(body)

    @pytest.mark.parametrize("body", [b"", bytes(67), associate(b"\1"), bytes(131073)])
    def test_errors_are_those_of_decode(self, body: bytes) -> None:
        with pytest.raises(ProtocolError) as expected:
            decode(0x02, body)
        for _ in range(2):
            with pytest.raises(type(expected.value)) as caught:
                decode_accept_cached(body)
            assert str(caught.value) == str(expected.value)


def test_a_request_is_hashable_and_frozen() -> None:
    request = decode(0x01, REQUEST[6:])
    assert isinstance(request, AssociateRequest)
    assert hash(request) == hash(replace(request))
    with pytest.raises(AttributeError):
        request.called = "other"  # type: ignore[misc]
