"""Files of PS3.10, with pydicom as the oracle."""

from __future__ import annotations

import struct
from pathlib import Path

import pydicom
import pytest

from leadapron.kernel.errors import ProtocolError
from leadapron.wire.aio.dataset import DataSet
from leadapron.wire.aio.part10 import open_part10
from leadapron.wire.elements import Tag
from peers.samples import make_studies, sample_files

PREAMBLE = bytes(128) + b"DICM"


@pytest.mark.parametrize("path", sample_files(compressed=True), ids=lambda path: path.name)
def test_what_a_file_is_and_where_its_data_set_begins(path: Path) -> None:
    file = open_part10(path)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    assert file.sop_class == header.file_meta.MediaStorageSOPClassUID
    assert file.sop_instance == header.file_meta.MediaStorageSOPInstanceUID
    assert file.transfer_syntax == header.file_meta.TransferSyntaxUID
    data = b"".join(file.chunks(1000))
    assert data == path.read_bytes()[file.offset :]
    assert DataSet(data, file.transfer_syntax).text(Tag.StudyInstanceUID, "UI") == header.StudyInstanceUID


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    (whole,) = make_studies(tmp_path, 1)
    end = open_part10(whole).offset
    cut = tmp_path / "cut.dcm"
    for length in range(0, end, 7):
        cut.write_bytes(whole.read_bytes()[:length])
        with pytest.raises(ProtocolError):
            open_part10(cut)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG" + bytes(500),
        PREAMBLE,
        PREAMBLE + bytes(100_000),
        PREAMBLE + struct.pack("<HH2sH4s", 2, 0, b"UL", 4, bytes(4)) + struct.pack("<HH2sH2s", 8, 5, b"CS", 2, b"  "),
        PREAMBLE + struct.pack("<HH2sHI", 2, 0x102, b"OB", 0, 0xFFFFFFF0) + bytes(100),
    ],
)
def test_what_is_no_dicom_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ProtocolError):
        open_part10(path)
