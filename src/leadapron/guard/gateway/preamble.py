"""The 128 octets before ``DICM``: zeroed, unless they are zero already or the head of a TIFF file.

PS3.10 §7.1 lets a file begin with anything at all, so a file can be a DICOM object and a Windows or Linux program
at once (CVE-2019-11687): a viewer shows it, a shell runs it, and patient data keep malware scanners away from it.
Nothing in DICOM reads the preamble. The one use that the standard names is the file that is a TIFF too (whole slide
images): there the header of TIFF stays, 8 octets or 16 for BigTIFF, if it points past the DICOM prefix, and the
other octets are zeroed.

The filter keeps at most 132 octets, adds and removes none, and touches nothing after the preamble: what comes out
is the same however the input is cut.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from leadapron.kernel.errors import ProtocolError

PREAMBLE: Final = 128
PREFIX: Final = b"DICM"
HEAD: Final = PREAMBLE + len(PREFIX)

_ZEROED: Final = bytes(PREAMBLE)
_TIFF: Final = {b"II*\0": "little", b"MM\0*": "big"}
_BIG_TIFF: Final = {b"II+\0\x08\0\0\0": "little", b"MM\0+\0\x08\0\0": "big"}  # offsets of 8 octets, constant 0


class Preamble(Enum):
    """What stood before ``DICM``."""

    UNKNOWN = "not yet seen"
    EMPTY = "zero"
    TIFF = "the head of a TIFF file"
    ZEROED = "something else, which was zeroed"
    NONE = "no DICOM file"


class NotPart10(ProtocolError):
    """What should be a DICOM file has no ``DICM`` after the preamble."""

    def __init__(self) -> None:
        super().__init__("no DICOM file: DICM is missing after the preamble (PS3.10 §7.1)", PREAMBLE)


def clean(preamble: bytes) -> bytes:
    """128 octets without anything that a program loader could take for its own."""
    if len(preamble) != PREAMBLE:
        raise ValueError(f"a preamble has {PREAMBLE} octets, not {len(preamble)}")
    kept = _tiff_header(preamble)
    return preamble[:kept] + bytes(PREAMBLE - kept)


def _tiff_header(preamble: bytes) -> int:
    """How many octets are a TIFF header whose first directory lies behind the DICOM prefix; 0 if it is none."""
    if order := _TIFF.get(preamble[:4]):
        return 8 if int.from_bytes(preamble[4:8], "little" if order == "little" else "big") >= HEAD else 0
    if order := _BIG_TIFF.get(preamble[:8]):
        return 16 if int.from_bytes(preamble[8:16], "little" if order == "little" else "big") >= HEAD else 0
    return 0


class PreambleFilter:
    """One DICOM file in pieces: ``feed`` each, ``finish`` at the end; both give what may be passed on.

    ``strict``: raise `NotPart10` for what is no DICOM file, as on the way in; otherwise it passes unchanged.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.found = Preamble.UNKNOWN
        self._strict = strict
        self._head: bytearray | None = bytearray()

    def feed(self, data: bytes) -> bytes:
        if self._head is None:
            return data
        missing = HEAD - len(self._head)
        self._head += data[:missing]
        if len(self._head) < HEAD:
            return b""
        return self._decide() + data[missing:]

    def finish(self) -> bytes:
        """What is left at the end of the file: only of one that is too short to be a DICOM file."""
        return b"" if self._head is None else self._decide()

    def _decide(self) -> bytes:
        assert self._head is not None
        head, self._head = bytes(self._head), None
        if head[PREAMBLE:] != PREFIX:
            self.found = Preamble.NONE
            if self._strict:
                raise NotPart10
            return head
        preamble = head[:PREAMBLE]
        cleaned = clean(preamble)
        if preamble == _ZEROED:
            self.found = Preamble.EMPTY
        else:
            self.found = Preamble.TIFF if cleaned == preamble else Preamble.ZEROED
        return cleaned + PREFIX
