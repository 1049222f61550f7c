"""The octets of encoded elements, written out; what cannot be encoded; pydicom reads what we write."""

from __future__ import annotations

import io
import struct

import pytest
from pydicom.filereader import read_dataset

from leadapron.wire import uids
from leadapron.wire.elements import Item, Tag, encode_dataset

ALL = [uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE]

NAME_AND_ROWS: list[Item] = [(Tag.Rows, "US", 512), (Tag.PatientName, "PN", "A^B")]

ANNOTATED = {
    uids.IMPLICIT_LE: (
        b"\x10\x00\x10\x00\x04\x00\x00\x00A^B "  # (0010,0010), length 4, padded with a space
        b"\x28\x00\x10\x00\x02\x00\x00\x00\x00\x02"  # (0028,0010), length 2, 512
    ),
    uids.EXPLICIT_LE: (
        b"\x10\x00\x10\x00PN\x04\x00A^B "  # VR, 16-bit length
        b"\x28\x00\x10\x00US\x02\x00\x00\x02"
    ),
    uids.EXPLICIT_BE: (
        b"\x00\x10\x00\x10PN\x00\x04A^B "  # tags and lengths big endian, PS3.5 §7.3
        b"\x00\x28\x00\x10US\x00\x02\x02\x00"
    ),
}


@pytest.mark.parametrize("syntax", ALL)
def test_elements_ascend_whatever_the_order_given(syntax: str) -> None:
    assert encode_dataset(NAME_AND_ROWS, syntax) == ANNOTATED[syntax]


def test_a_compressed_syntax_is_explicit_little_endian() -> None:
    assert encode_dataset(NAME_AND_ROWS, uids.JPEG_BASELINE) == ANNOTATED[uids.EXPLICIT_LE]


def test_a_sequence_of_two_items_one_of_them_empty() -> None:
    sequence: Item = (Tag.ReferencedSOPSequence, "SQ", [[(Tag.Rows, "US", 1)], []])
    assert encode_dataset([sequence], uids.EXPLICIT_LE) == (
        b"\x08\x00\x99\x11SQ\x00\x00\x1a\x00\x00\x00"  # two reserved octets, 32-bit length 26
        b"\xfe\xff\x00\xe0\x0a\x00\x00\x00"  # item, length 10
        b"\x28\x00\x10\x00US\x02\x00\x01\x00"
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00"  # item, length 0
    )
    assert encode_dataset([sequence], uids.EXPLICIT_BE)[12:20] == b"\xff\xfe\xe0\x00\x00\x00\x00\x0a"


@pytest.mark.parametrize(
    ("vr", "value", "octets"),
    [
        ("UI", "1.2.3", b"1.2.3\0"),  # UI is padded with NUL, PS3.5 §9.1
        ("UI", ["1.2", "1.3"], b"1.2\\1.3\0"),
        ("LO", "abc", b"abc "),
        ("CS", ["A", "B"], b"A\\B "),
        ("IS", 12, b"12"),
        ("IS", [1, 2], b"1\\2 "),
        ("DS", 0.5, b"0.5 "),
        ("DS", 1 / 3, b"0.33333333333333"),  # 16 characters at most
        ("DS", -1.2345678901234567e-300, b"-1.23456789e-300"),
        ("UT", "a\\b", b"a\\b "),
        ("OB", b"\x01\x02\x03", b"\x01\x02\x03\x00"),
        ("UN", b"", b""),
        ("PN", None, b""),
        ("PN", "", b""),
        ("PN", b"raw ", b"raw "),
        ("US", [1, 65535], b"\x01\x00\xff\xff"),
        ("SS", -2, b"\xfe\xff"),
        ("UL", 1, b"\x01\x00\x00\x00"),
        ("SL", -1, b"\xff\xff\xff\xff"),
        ("FL", 1.0, b"\x00\x00\x80\x3f"),
        ("FD", 1.0, b"\x00\x00\x00\x00\x00\x00\xf0\x3f"),
        ("SV", -1, b"\xff" * 8),
        ("UV", 1, b"\x01" + b"\x00" * 7),
        ("AT", [Tag.PatientID], b"\x10\x00\x20\x00"),
    ],
)
def test_values(vr: str, value: object, octets: bytes) -> None:
    assert encode_dataset([(0x00091001, vr, value)], uids.IMPLICIT_LE)[8:] == octets  # type: ignore[list-item]


def test_tags_and_numbers_in_big_endian() -> None:
    assert encode_dataset([(0x00091001, "AT", Tag.PatientID)], uids.EXPLICIT_BE)[8:] == b"\x00\x10\x00\x20"
    assert encode_dataset([(0x00091001, "FD", 1.0)], uids.EXPLICIT_BE)[8:] == struct.pack(">d", 1.0)


@pytest.mark.parametrize(
    "items",
    [
        [(Tag.PatientID, "LO", "1"), (Tag.PatientID, "LO", "2")],  # twice
        [(Tag.PatientID, "XX", "1")],  # no such VR
        [(Tag.PatientID, "LO", "Ü")],  # not ASCII, and no character set
        [(Tag.Modality, "CS", "Ü"), (Tag.SpecificCharacterSet, "CS", "ISO_IR 192")],  # CS is ASCII always
        [(Tag.PatientName, "PN", "Ж"), (Tag.SpecificCharacterSet, "CS", "ISO_IR 100")],  # not in Latin-1
        [(Tag.PatientName, "PN", "Ü"), (Tag.SpecificCharacterSet, "CS", ["", "ISO 2022 IR 87"])],
        [(Tag.Rows, "US", 70000)],
        [(Tag.Rows, "US", "1")],
        [(Tag.PixelData, "OW", "text")],
        [(Tag.PatientComments, "LT", ["two", "values"])],
        [(Tag.PatientID, "LO", "x" * 65536)],  # above a 16-bit length
        [(Tag.ReferencedSOPSequence, "SQ", "text")],
        [(Tag.ReferencedSOPSequence, "SQ", ["text"])],
        [(Tag.WindowCenter, "DS", float("nan"))],
    ],
)
def test_what_does_not_fit_is_refused(items: list[Item]) -> None:
    with pytest.raises(ValueError):
        encode_dataset(items, uids.EXPLICIT_LE)


@pytest.mark.parametrize("character_set", [None, "ISO_IR 100", "ISO_IR 144", ["", "ISO 2022 IR 87"], "NO SUCH"])
def test_a_text_that_does_not_fit_is_not_told(character_set: str | list[str] | None) -> None:
    items: list[Item] = [(Tag.SpecificCharacterSet, "CS", character_set), (Tag.PatientName, "PN", "Canary ☂")]
    with pytest.raises(ValueError) as error:
        encode_dataset(items, uids.EXPLICIT_LE)
    assert "Canary" not in repr(error.value)
    assert error.value.__context__ is None or "Canary" not in repr(error.value.__context__)


def test_a_deflated_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="deflated"):
        encode_dataset([], uids.DEFLATED_LE)


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("ISO_IR 192", "Жуков^山田"),
        ("GB18030", "王^小东"),
        ("ISO_IR 144", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
)
@pytest.mark.parametrize("syntax", ALL)
def test_pydicom_reads_our_text(syntax: str, character_set: str | list[str], text: str) -> None:
    sequence: Item = (Tag.RequestAttributesSequence, "SQ", [[(Tag.RequestingPhysician, "PN", text)]])
    raw = encode_dataset(
        [(Tag.SpecificCharacterSet, "CS", character_set), (Tag.PatientName, "PN", text), sequence], syntax
    )
    dataset = read_dataset(io.BytesIO(raw), syntax == uids.IMPLICIT_LE, syntax != uids.EXPLICIT_BE)
    assert dataset.PatientName == text
    assert dataset.RequestAttributesSequence[0].RequestingPhysician == text


@pytest.mark.parametrize("syntax", ALL)
def test_pydicom_reads_our_elements(syntax: str) -> None:
    items: list[Item] = [
        (Tag.ReferencedStudySequence, "SQ", [[(Tag.ReferencedSOPInstanceUID, "UI", "1.2")], [(Tag.Rows, "US", 7)]]),
        (Tag.StudyDate, "DA", "20201231"),
        (Tag.StudyTime, "TM", "120000.5"),
        (Tag.PatientAge, "AS", "040Y"),
        (Tag.RetrieveAETitle, "AE", ["ONE", "TWO"]),
        (Tag.SeriesNumber, "IS", -5),
        (Tag.WindowCenter, "DS", [40, 0.25]),
        (Tag.Rows, "US", 512),
        (Tag.RetrieveURL, "UR", "http://127.0.0.1/x"),
        (0x00182020, "FL", [0.5, -2.0]),  # no keyword here: the VR is enough
        (Tag.PixelData, "OW", b"\x00\x01"),
    ]
    raw = encode_dataset(items, syntax)
    dataset = read_dataset(io.BytesIO(raw), syntax == uids.IMPLICIT_LE, syntax != uids.EXPLICIT_BE)
    assert dataset.ReferencedStudySequence[0].ReferencedSOPInstanceUID == "1.2"
    assert dataset.ReferencedStudySequence[1].Rows == 7
    assert (dataset.StudyDate, dataset.StudyTime, dataset.PatientAge) == ("20201231", "120000.5", "040Y")
    assert (list(dataset.RetrieveAETitle), dataset.SeriesNumber) == (["ONE", "TWO"], -5)
    assert (list(dataset.WindowCenter), dataset.Rows) == ([40, 0.25], 512)
    assert (dataset.RetrieveURL, dataset.PixelData) == ("http://127.0.0.1/x", b"\x00\x01")
    assert dataset.ReferencedStudySequence[0].is_undefined_length_sequence_item is False
