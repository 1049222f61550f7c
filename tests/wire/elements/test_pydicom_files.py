"""The files that pydicom brings along, read by both: the same tags, VRs, octets and places, up to the pixel data."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.filewriter import write_dataset

from leadapron.kernel.errors import ProtocolError
from leadapron.wire import uids
from leadapron.wire.elements import Element, ElementReader, Tag, encode_dataset, numbers, read_elements, texts
from leadapron.wire.elements.syntax import NUMBERS

DATA = Path(pydicom.__file__).parent / "data"

BROKEN = {  # what is wrong with each: a reader of such a data set says so
    "SC_rgb_jpeg.dcm": "written in implicit VR, called explicit",
    "DICOMDIR-nooffset": "the last item is longer than its sequence",
    "rtplan_truncated.dcm": "cut off",
}


def part10_files() -> list[Path]:
    paths = (path for folder in ("test_files", "charset_files") for path in (DATA / folder).rglob("*"))
    return sorted(path for path in paths if path.is_file() and path.read_bytes()[128:132] == b"DICM")


def body_of(path: Path) -> tuple[int, str]:
    """Offset of the data set in a Part 10 file, and its transfer syntax, read by our own reader (PS3.10 §7.1)."""
    raw = path.read_bytes()[132:]
    first = next(read_elements(raw, uids.EXPLICIT_LE))
    if first.tag == Tag.FileMetaInformationGroupLength:
        raw = raw[: int(numbers(first.value, "UL", uids.EXPLICIT_LE)[0]) + 12]
    reader = ElementReader(uids.EXPLICIT_LE, stop=0x00030000)
    meta = {element.tag: element.value for element in reader.feed(raw)}
    (syntax,) = texts(meta.get(Tag.TransferSyntaxUID, b""), "UI") or [uids.EXPLICIT_LE]
    return 132 + reader.offset, syntax


READABLE = [path for path in part10_files() if path.name not in {*BROKEN, "meta_missing_tsyntax.dcm", "image_dfl.dcm"}]


def theirs(elements: Any) -> dict[int, Any]:
    """Tag → (VR, octets), or the items of a sequence, or None where pydicom has converted the value already."""
    tree: dict[int, Any] = {}
    for element in elements:
        tag = int(element.tag)
        if isinstance(element, RawDataElement) and element.VR != "SQ":
            tree[tag] = (element.VR, element.value or b"")
        elif isinstance(element, RawDataElement):
            tree[tag] = [theirs(raw_of(item)) for item in convert_raw_data_element(element).value]
        else:
            tree[tag] = [theirs(raw_of(item)) for item in element.value] if element.VR == "SQ" else None
    return tree


def raw_of(dataset: pydicom.Dataset) -> list[Any]:
    return [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118 - a Dataset iterates over elements


def ours(elements: Any, other: dict[int, Any]) -> dict[int, Any]:
    """The same shape; what pydicom did not keep, or did not know to be a sequence, is taken as it is there."""
    tree: dict[int, Any] = {}
    for element in elements:
        its = other.get(element.tag)
        if element.items is None and its is not None:
            tree[element.tag] = (element.vr if its[0] is not None else None, element.value)
        elif element.items is not None and isinstance(its, list):
            pairs = zip(element.items, its, strict=True)
            tree[element.tag] = [ours(item, inner) for item, inner in pairs]
        else:
            assert its is None or its[0] is None
            tree[element.tag] = its
    return tree


def read_raw(body: bytes, syntax: str) -> list[Any]:
    """pydicom's low level, up to the pixel data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(
            data_element_generator(
                io.BytesIO(body),
                syntax == uids.IMPLICIT_LE,
                syntax != uids.EXPLICIT_BE,
                stop_when=lambda tag, vr, length: tag >= Tag.PixelData,
            )
        )


def test_there_are_enough_files_of_each_syntax() -> None:
    found = [body_of(path)[1] for path in READABLE]
    assert len(READABLE) > 120
    assert {uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE} <= set(found)


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_same_as_pydicom(path: Path) -> None:
    start, syntax = body_of(path)
    explicit = syntax != uids.IMPLICIT_LE
    body = path.read_bytes()[start:]
    elements = list(read_elements(body, syntax, stop=Tag.PixelData))
    raw = read_raw(body, syntax)
    tree = theirs(raw)
    assert ours(elements, tree) == tree
    for element, other in zip(elements, raw, strict=True):
        assert element.tag == other.tag
        if isinstance(other, RawDataElement):
            header = 12 if explicit and element.vr in ("OB", "OW", "OF", "SQ", "UN", "UT", "UC", "UR") else 8
            assert element.offset + header == other.value_tell
            assert element.items is not None or len(element.value) == other.length


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_streamed_up_to_the_pixels(path: Path) -> None:
    start, syntax = body_of(path)
    body = path.read_bytes()[start:]
    reader = ElementReader(syntax, stop=Tag.PixelData)
    elements = [element for at in range(0, len(body), 61) for element in reader.feed(body[at : at + 61])]
    reader.finish()
    assert elements == list(read_elements(body, syntax, stop=Tag.PixelData))
    assert body[reader.offset :] == reader.rest()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused(name: str) -> None:
    (path,) = (path for path in part10_files() if path.name == name)
    start, syntax = body_of(path)
    with pytest.raises(ProtocolError):
        list(read_elements(path.read_bytes()[start:], syntax))


@pytest.mark.parametrize("path", READABLE[::5], ids=lambda path: path.name)
def test_cut_anywhere_it_is_refused_or_shorter(path: Path) -> None:
    start, syntax = body_of(path)
    body = path.read_bytes()[start:][:4000]
    whole = list(read_elements(body, syntax)) if len(body) < 4000 else None
    for cut in range(0, len(body), 7):
        try:
            part = list(read_elements(body[:cut], syntax))
        except ProtocolError as error:
            assert error.offset is not None and error.offset <= cut
        else:
            assert whole is None or part == whole[: len(part)]


@pytest.mark.parametrize("syntax", [uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE])
@pytest.mark.parametrize("name", ["rtplan.dcm", "CT_small.dcm", "liver_1frame.dcm", "reportsi.dcm"])
@pytest.mark.parametrize("undefined", [False, True])
def test_the_same_data_set_in_every_encoding(name: str, syntax: str, undefined: bool) -> None:
    dataset = pydicom.dcmread(DATA / "test_files" / name)
    dataset.pop("PixelData", None)

    def shape(sequences: pydicom.Dataset) -> None:
        for element in sequences:
            if element.VR == "SQ":
                element.is_undefined_length = undefined
                for item in element.value:
                    item.is_undefined_length_sequence_item = undefined
                    shape(item)

    shape(dataset)
    file = DicomBytesIO()
    file.is_little_endian = syntax != uids.EXPLICIT_BE
    file.is_implicit_VR = syntax == uids.IMPLICIT_LE
    write_dataset(file, dataset)
    body = file.getvalue()
    tree = theirs(read_raw(body, syntax))
    assert ours(read_elements(body, syntax, stop=Tag.PixelData), tree) == tree


def test_what_we_write_of_a_real_header_pydicom_reads_equal() -> None:
    start, syntax = body_of(DATA / "test_files" / "CT_small.dcm")
    body = (DATA / "test_files" / "CT_small.dcm").read_bytes()[start:]
    elements = list(read_elements(body, syntax, stop=Tag.PixelData))

    def value(element: Element) -> Any:
        if element.items is not None:
            return [[(e.tag, e.vr, value(e)) for e in item] for item in element.items]
        assert element.vr is not None
        return numbers(element.value, element.vr, syntax) if element.vr in NUMBERS else element.value

    original = pydicom.dcmread(DATA / "test_files" / "CT_small.dcm", stop_before_pixels=True)
    for other in (uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE):
        raw = encode_dataset([(e.tag, e.vr or "", value(e)) for e in elements], other)
        again = read_dataset(io.BytesIO(raw), other == uids.IMPLICIT_LE, other != uids.EXPLICIT_BE)
        for element in original:
            if not element.tag.is_private:  # implicit VR makes private elements UN
                assert again[element.tag].value == element.value
