"""Reading annotated octets, in every shape that PS3.5 §7 allows, and refusing those that it does not."""

from __future__ import annotations

import pytest

from leadapron.kernel.errors import LimitExceeded, ProtocolError
from leadapron.wire import uids
from leadapron.wire.elements import (
    Element,
    ElementLimits,
    ElementReader,
    Tag,
    encode_dataset,
    get,
    read_elements,
)

LE, BE, IMPLICIT = uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.IMPLICIT_LE

ROWS = b"\x28\x00\x10\x00US\x02\x00\x00\x02"  # (0028,0010) US 512
ITEM_OPEN = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"  # item of undefined length
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
SQ = b"\x08\x00\x99\x11SQ\0\0"  # (0008,1199), its length follows
UNDEFINED = b"\xff\xff\xff\xff"


def rows(offset: int) -> Element:
    return Element(Tag.Rows, "US", b"\x00\x02", offset)


def both_ways(data: bytes, syntax: str = LE, **options: object) -> list[Element]:
    """At once, and one octet at a time: the same, or the same error at the same offset."""
    try:
        whole = list(read_elements(data, syntax, **options))  # type: ignore[arg-type]
    except ProtocolError as error:
        with pytest.raises(type(error)) as streamed:
            one_at_a_time(data, syntax, **options)
        assert (str(streamed.value), streamed.value.offset) == (str(error), error.offset)
        raise
    assert one_at_a_time(data, syntax, **options) == whole
    return whole


def one_at_a_time(data: bytes, syntax: str, **options: object) -> list[Element]:
    reader = ElementReader(syntax, **options)  # type: ignore[arg-type]
    elements = []
    for at in range(len(data)):
        elements += reader.feed(data[at : at + 1])
    reader.finish()
    return elements


def test_nothing_is_an_empty_data_set() -> None:
    assert both_ways(b"") == []


def test_three_encodings() -> None:
    assert both_ways(ROWS) == [rows(0)]
    assert both_ways(b"\x28\x00\x10\x00\x02\x00\x00\x00\x00\x02", IMPLICIT) == [rows(0)]
    assert both_ways(b"\x00\x28\x00\x10US\x00\x02\x02\x00", BE) == [Element(Tag.Rows, "US", b"\x02\x00", 0)]


def test_views_are_read_like_octets() -> None:
    assert list(read_elements(memoryview(ROWS), LE)) == list(read_elements(bytearray(ROWS), LE)) == [rows(0)]


def test_a_vr_with_a_long_length_and_one_of_a_later_standard() -> None:
    assert both_ways(b"\x42\x00\x11\x00OB\0\0\x02\0\0\0ab") == [Element(0x00420011, "OB", b"ab", 0)]
    assert both_ways(b"\x42\x00\x11\x00ZZ\0\0\x02\0\0\0ab") == [Element(0x00420011, "ZZ", b"ab", 0)]


def test_implicit_vr_of_an_unknown_tag_is_none() -> None:
    assert both_ways(b"\x09\x00\x01\x10\x01\0\0\0a", IMPLICIT) == [Element(0x00091001, None, b"a", 0)]


def test_implicit_group_length_is_ul() -> None:
    assert both_ways(b"\x08\x00\x00\x00\x04\0\0\0\x10\0\0\0", IMPLICIT)[0].vr == "UL"


@pytest.mark.parametrize(
    "sequence",
    [
        SQ + b"\x12\0\0\0" + b"\xfe\xff\x00\xe0\x0a\0\0\0" + ROWS,
        SQ + b"\x1a\0\0\0" + ITEM_OPEN + ROWS + ITEM_END,
        SQ + UNDEFINED + b"\xfe\xff\x00\xe0\x0a\0\0\0" + ROWS + SEQUENCE_END,
        SQ + UNDEFINED + ITEM_OPEN + ROWS + ITEM_END + SEQUENCE_END,
    ],
    ids=["defined", "item undefined", "sequence undefined", "undefined"],
)
def test_a_sequence_in_each_of_its_four_shapes(sequence: bytes) -> None:
    expected = Element(Tag.ReferencedSOPSequence, "SQ", b"", 0, ((rows(20),),))
    assert both_ways(sequence) == [expected]
    assert both_ways(sequence + ROWS) == [expected, rows(len(sequence))]


def test_empty_sequences_and_items() -> None:
    assert both_ways(SQ + b"\0\0\0\0")[0].items == ()
    assert both_ways(SQ + UNDEFINED + SEQUENCE_END)[0].items == ()
    assert both_ways(SQ + UNDEFINED + ITEM_OPEN + ITEM_END + b"\xfe\xff\x00\xe0\0\0\0\0" + SEQUENCE_END)[0].items == (
        (),
        (),
    )


def test_implicit_vr_of_undefined_length_is_a_sequence() -> None:
    data = b"\x09\x00\x01\x10" + UNDEFINED + ITEM_OPEN + b"\x28\x00\x10\x00\x02\0\0\0\x00\x02" + ITEM_END + SEQUENCE_END
    assert both_ways(data, IMPLICIT) == [Element(0x00091001, "SQ", b"", 0, ((rows(16),),))]


def test_implicit_sequence_of_defined_length_by_the_dictionary() -> None:
    data = encode_dataset([(Tag.ReferencedSOPSequence, "SQ", [[(Tag.Rows, "US", 512)]])], IMPLICIT)
    assert both_ways(data, IMPLICIT)[0].items == ((rows(16),),)


@pytest.mark.parametrize("syntax", [LE, BE])
def test_un_of_undefined_length_holds_implicit_little_endian(syntax: str) -> None:
    tag, length = (b"\x09\x00\x01\x10", "little") if syntax == LE else (b"\x00\x09\x10\x01", "big")
    inside = ITEM_OPEN + b"\x28\x00\x10\x00\x02\0\0\0\x00\x02" + ITEM_END + SEQUENCE_END
    data = tag + b"UN\0\0" + 0xFFFFFFFF.to_bytes(4, length) + inside  # type: ignore[arg-type]
    assert both_ways(data, syntax) == [Element(0x00091001, "SQ", b"", 0, ((rows(20),),))]


PIXELS = b"\xe0\x7f\x10\x00OB\0\0" + UNDEFINED
FRAGMENTS = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\x04\0\0\0\xfe\xff\xdd\xe0"  # a fragment like a delimiter


def test_encapsulated_pixel_data_keeps_its_fragments() -> None:
    assert both_ways(ROWS + PIXELS + FRAGMENTS + SEQUENCE_END) == [
        rows(0),
        Element(Tag.PixelData, "OB", FRAGMENTS, 10),
    ]


def test_stop_ends_before_the_first_higher_tag() -> None:
    assert both_ways(ROWS + PIXELS, stop=Tag.PixelData) == [rows(0)]
    assert both_ways(ROWS + PIXELS, stop=0x00280011) == [rows(0)]
    assert both_ways(ROWS + PIXELS, stop=Tag.Rows) == []


def test_stop_is_for_the_top_level() -> None:
    assert len(both_ways(SQ + b"\x12\0\0\0" + b"\xfe\xff\x00\xe0\x0a\0\0\0" + ROWS, stop=Tag.Rows)) == 1


def test_a_stopped_reader_gives_what_it_did_not_read() -> None:
    reader = ElementReader(LE, stop=Tag.PixelData)
    assert reader.feed(ROWS + PIXELS[:5]) == [rows(0)]
    assert not reader.stopped
    assert reader.feed(PIXELS[5:]) == []
    assert (reader.stopped, reader.offset, reader.rest()) == (True, 10, PIXELS)
    assert reader.feed(b"more") == []
    assert reader.rest() == PIXELS + b"more"
    reader.finish()


def test_reading_can_start_at_an_element() -> None:
    assert list(read_elements(SQ + b"\0\0\0\0" + ROWS, LE, start=12)) == [rows(12)]


@pytest.mark.parametrize(
    ("data", "syntax", "offset"),
    [
        (ROWS[:3], LE, 0),
        (ROWS + ROWS[:9], LE, 10),
        (ROWS + b"\x42\x00\x11\x00OB\0\0\x02\0", LE, 10),
        (b"\x28\x00\x10\x00\x02\x00\x00\x00\x00\x02", LE, 0),  # implicit where explicit is promised
        (b"\x28\x00\x10\x00us\x02\x00\x00\x02", LE, 0),
        (ITEM_OPEN + ROWS, LE, 0),
        (ITEM_END, IMPLICIT, 0),
        (SEQUENCE_END, LE, 0),
        (SQ + UNDEFINED + ROWS, LE, 12),  # no item
        (SQ + UNDEFINED, LE, 12),
        (SQ + UNDEFINED + ITEM_OPEN + ROWS, LE, 30),
        (SQ + UNDEFINED + ITEM_OPEN + SEQUENCE_END, LE, 20),  # the item was not ended
        (SQ + UNDEFINED + ITEM_END, LE, 12),
        (SQ + b"\x08\0\0\0" + SEQUENCE_END, LE, 12),  # a delimiter where the length says it all
        (SQ + b"\x04\0\0\0" + b"\xfe\xff\x00\xe0" + ROWS, LE, 12),
        (SQ + b"\x10\0\0\0" + b"\xfe\xff\x00\xe0\x0a\0\0\0" + ROWS, LE, 12),  # an item longer than its sequence
        (SQ + b"\x12\0\0\0" + b"\xfe\xff\x00\xe0\x08\0\0\0" + ROWS, LE, 20),  # an element longer than its item
        (SQ + b"\x12\0\0\0" + b"\xfe\xff\x00\xe0\x0a\0\0\0" + b"\x42\x00\x11\x00OB\0\0\0\0", LE, 20),
        (PIXELS + ITEM_OPEN, LE, 12),
        (PIXELS + FRAGMENTS, LE, 32),
        (b"\x10\x00\x10\x00UT\0\0" + UNDEFINED + SEQUENCE_END, LE, 0),
        (b"\x10\x00\x10\x00" + UNDEFINED + SEQUENCE_END, IMPLICIT, 0),
    ],
)
def test_broken_data_sets_say_where(data: bytes, syntax: str, offset: int) -> None:
    with pytest.raises(ProtocolError) as error:
        both_ways(data, syntax)
    assert error.value.offset == offset
    assert not isinstance(error.value, LimitExceeded)


def test_limits() -> None:
    for limits, data, offset in (
        (ElementLimits(total=19), ROWS + ROWS, 10),
        (ElementLimits(elements=1), ROWS + ROWS, 10),
        (ElementLimits(elements=2), SQ + UNDEFINED + ITEM_OPEN + ROWS + ITEM_END + SEQUENCE_END, 20),
        (ElementLimits(depth=1), SQ + UNDEFINED + ITEM_OPEN + SQ + UNDEFINED, 20),
        (ElementLimits(total=100), PIXELS + b"\xfe\xff\x00\xe0\xfe\xff\xff\xff", 12),
    ):
        with pytest.raises(LimitExceeded) as error:
            both_ways(data, LE, limits=limits)
        assert error.value.offset == offset


def test_a_length_of_four_gibibytes_is_refused_before_its_value_comes() -> None:
    reader = ElementReader(LE)
    with pytest.raises(LimitExceeded):
        reader.feed(b"\x42\x00\x11\x00OB\0\0\xfe\xff\xff\xff")


def test_depth_costs_no_recursion() -> None:
    depth = 2000
    data = (SQ + UNDEFINED + ITEM_OPEN) * depth + (ITEM_END + SEQUENCE_END) * depth
    (element,) = read_elements(data, LE, limits=ElementLimits(depth=depth))
    for _ in range(depth - 1):
        assert element.items is not None
        ((element,),) = element.items
    assert element.items == ((),)


CANARY = b"Canary^Patient"


def test_no_value_is_shown_or_told() -> None:
    data = encode_dataset([(Tag.PatientName, "PN", CANARY.decode())], LE)
    (element,) = read_elements(data, LE)
    assert element.value == CANARY
    assert "Canary" not in repr(element)
    assert repr(element) == "Element(0010,0010 PN, 14 octets at 0)"
    for cut in range(1, len(data)):
        with pytest.raises(ProtocolError) as error:
            list(read_elements(data[:cut], LE))
        assert "Canary" not in str(error.value)


def test_get_agrees_with_the_reader() -> None:
    for syntax in (IMPLICIT, LE, BE):
        data = encode_dataset(
            [
                (Tag.StudyDate, "DA", "20200101"),
                (Tag.ReferencedSOPSequence, "SQ", [[(Tag.PatientID, "LO", "inner")]]),
                (Tag.PatientID, "LO", "outer"),
                (0x00420011, "OB", b"document"),
                (Tag.PixelData, "OW", b"\0\0"),
            ],
            syntax,
        )
        for element in read_elements(data, syntax):
            assert get(data, element.tag, syntax) == element.value
        assert get(data, Tag.PatientID, syntax) == b"outer "
        assert get(data, Tag.ReferencedSOPSequence, syntax) == b""
        assert get(data, Tag.PatientName, syntax) is None
        assert get(b"", Tag.PatientName, syntax) is None


def test_get_goes_through_undefined_lengths_and_disorder() -> None:
    data = ROWS + SQ + UNDEFINED + ITEM_OPEN + ROWS + ITEM_END + SEQUENCE_END + b"\x10\x00\x20\x00LO\x02\x00ID"
    assert get(data, Tag.PatientID, LE) == b"ID"
    assert get(data, Tag.ReferencedSOPSequence, LE) == b""
    assert get(data, Tag.PatientName, LE) is None


def test_get_stops_at_the_tag() -> None:
    assert get(ROWS + b"broken", Tag.Rows, LE) == b"\x00\x02"


@pytest.mark.parametrize(
    ("data", "syntax", "offset"),
    [
        (ROWS + b"broken", LE, 10),
        (ROWS[:9], LE, 0),
        (b"\x42\x00\x11\x00OB\0\0\x02\0", LE, 0),
        (b"\x28\x00\x10\x00\x02\x00\x00\x00\x00\x02", LE, 0),
        (ROWS + ITEM_END, LE, 10),
        (ITEM_OPEN, IMPLICIT, 0),
        (SQ + UNDEFINED, LE, 12),
    ],
)
def test_get_refuses_what_is_broken_before_the_tag(data: bytes, syntax: str, offset: int) -> None:
    with pytest.raises(ProtocolError) as error:
        get(data, Tag.PatientID, syntax)
    assert error.value.offset == offset
