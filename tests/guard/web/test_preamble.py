"""The preamble filter: programs go, TIFF stays, everything else is bit-exact, however the file is cut."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.preamble import HEAD, NotPart10, Preamble, PreambleFilter, clean
from peers.samples import sample_files

PE = b"MZ\x90\0" + bytes(56) + struct.pack("<I", 0x80) + b"\x0e\x1f\xba\x0e\0\xb4\x09\xcd!" + bytes(55)
ELF = (
    b"\x7fELF\x02\x01\x01"
    + bytes(9)
    + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    + bytes(64)
)
SCRIPT = b"#!/bin/sh\nrm -rf /\n".ljust(128, b"\n")
REST = b"\x02\0\0\0UL\x04\0\xd2\0\0\0" + bytes(range(256)) * 9


def passed(data: bytes, cuts: list[int], *, strict: bool = False) -> tuple[bytes, Preamble]:
    """What comes out of the filter when the input is cut at ``cuts``."""
    preamble, out, at = PreambleFilter(strict=strict), b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        out += preamble.feed(data[at:cut])
        at = cut
    return out + preamble.finish(), preamble.found


@pytest.mark.parametrize(
    "program", [PE, ELF, SCRIPT, b"\xff" * 128, bytes(127) + b"x"], ids=["PE", "ELF", "script", "FF", "last"]
)
def test_a_program_in_the_preamble_is_gone_and_the_rest_is_bit_exact(program: bytes) -> None:
    assert len(program) == 128
    out, found = passed(program + b"DICM" + REST, [])
    assert out == bytes(128) + b"DICM" + REST
    assert found is Preamble.ZEROED


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"II*\0" + struct.pack("<I", 5000), 8),
        (b"MM\0*" + struct.pack(">I", 5000), 8),
        (b"II+\0\x08\0\0\0" + struct.pack("<Q", 5000), 16),
        (b"MM\0+\0\x08\0\0" + struct.pack(">Q", 5000), 16),
        (b"II*\0" + struct.pack("<I", 8), 0),  # its first directory would lie in the preamble
        (b"II+\0\x04\0\0\0" + struct.pack("<Q", 5000), 0),
    ],
)
def test_the_head_of_a_tiff_file_stays_and_nothing_beside_it(header: bytes, kept: int) -> None:
    alone = header.ljust(128, b"\0")
    assert clean(alone) == header[:kept].ljust(128, b"\0")
    with_more = header.ljust(128, b"\xcc")
    assert clean(with_more) == header[:kept].ljust(128, b"\0")
    out, found = passed(alone + b"DICM" + REST, [])
    assert found is (Preamble.TIFF if kept else Preamble.ZEROED)
    assert out[HEAD:] == REST


def test_what_is_no_dicom_file_passes_or_is_refused() -> None:
    for data in (b"", b"MZ", PE, PE + b"dicm" + REST):
        assert passed(data, [])[0] == data
        assert passed(data, [])[1] is Preamble.NONE
        with pytest.raises(NotPart10):
            passed(data, [], strict=True)


@given(
    preamble=st.one_of(
        st.just(bytes(128)),
        st.binary(min_size=128, max_size=128),
        st.builds(
            lambda start, rest: (start + rest)[:128].ljust(128, b"\0"),
            st.sampled_from([b"II*\0", b"MM\0*"]),
            st.binary(max_size=124),
        ),
    ),
    rest=st.binary(max_size=600),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
def test_the_output_does_not_depend_on_the_cuts(preamble: bytes, rest: bytes, cuts: list[int]) -> None:
    data = preamble + b"DICM" + rest
    whole, found = passed(data, [])
    assert passed(data, cuts) == (whole, found)
    assert whole == clean(preamble) + b"DICM" + rest
    assert whole[:2] not in (b"MZ", b"#!") and whole[:4] != b"\x7fELF"


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_octets_of_any_kind_keep_their_number(data: bytes, cuts: list[int]) -> None:
    assert len(passed(data, cuts)[0]) == len(data)


def test_one_octet_at_a_time() -> None:
    data = PE + b"DICM" + REST
    assert passed(data, list(range(len(data)))) == passed(data, [])


def test_real_files_are_the_same_to_a_reader() -> None:
    for path in sample_files():
        data = path.read_bytes()
        out, _ = passed(PE + data[128:], [200, 131])
        assert out[128:] == data[128:]
        assert pydicom.dcmread(io.BytesIO(out)) == pydicom.dcmread(path)
