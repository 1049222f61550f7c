"""A DICOM file, PS3.10: its meta information read, its data set to be streamed as it lies on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from leadapron.kernel.errors import ProtocolError
from leadapron.wire import uids
from leadapron.wire.elements import Element, ElementReader, Tag, texts

PREAMBLE: Final = 128
MAX_META: Final = 64 * 1024  # real ones have 200 to 500 octets; private information (0002,0102) may be longer
CHUNK: Final = 256 * 1024


class Part10(Struct, frozen=True):
    """Where the data set of a file begins (octets), and what it is."""

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    offset: int

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The encoded data set, read as it is asked for."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset)
            while chunk := file.read(size):
                yield chunk


def open_part10(path: str | os.PathLike[str]) -> Part10:
    """Reads the meta information of a file. ProtocolError if it is no DICOM file; OSError as ``open`` has it."""
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(PREAMBLE + 4 + MAX_META)
    if head[PREAMBLE : PREAMBLE + 4] != b"DICM":
        raise ProtocolError("no DICOM file: DICM is missing after the preamble (PS3.10 §7.1)", PREAMBLE)
    # The meta information is Explicit VR Little Endian whatever follows, and ends where group 0002 ends.
    reader = ElementReader(uids.EXPLICIT_LE, stop=0x00030000)
    meta = {element.tag: element for element in reader.feed(head[PREAMBLE + 4 :])}
    if not reader.stopped:
        raise ProtocolError(f"the file meta information has no end within {MAX_META} octets")
    return Part10(
        path,
        _uid(meta, Tag.MediaStorageSOPClassUID),
        _uid(meta, Tag.MediaStorageSOPInstanceUID),
        _uid(meta, Tag.TransferSyntaxUID),
        PREAMBLE + 4 + reader.offset,
    )


def _uid(meta: dict[int, Element], tag: Tag) -> str:
    values = texts(meta[tag].value, "UI") if tag in meta else []
    if len(values) != 1:
        raise ProtocolError(f"the file meta information has no {tag.name}")
    return values[0]
