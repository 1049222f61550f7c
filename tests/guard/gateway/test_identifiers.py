"""Whose an object is, read off its first octets, also where they are deflated; what is no object tells nothing."""

from __future__ import annotations

import tracemalloc
import zlib

from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from leadapron.guard.gateway.dimse.identifiers import modality_in, study_of
from leadapron.wire import uids

STUDY = "1.2.826.0.1.3680043.9.1"


def image(pixels: bytes = bytes(5000)) -> bytes:
    found = Dataset()
    found.Modality, found.StudyInstanceUID, found.PatientName = "SC", STUDY, "CANARY^ANNA"
    found.add_new(0x7FE00010, "OW", pixels)
    octets = encode(found, False, True)
    assert octets is not None
    return octets


def deflated(octets: bytes) -> bytes:
    """PS3.5 §A.5: RFC 1951, no header."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(octets) + packer.flush()


@given(st.binary(max_size=9000), st.integers(300, 4096))
def test_a_deflated_object_tells_what_it_is(pixels: bytes, cut: int) -> None:
    head = deflated(image(pixels + bytes(len(pixels) & 1)))[:cut]
    assert study_of(head, uids.DEFLATED_LE) == STUDY and modality_in(head, uids.DEFLATED_LE) == "SC"


def test_one_that_grows_a_thousandfold_costs_no_memory() -> None:
    bomb = Dataset()
    bomb.add_new(0x00080005, "CS", "ISO_IR 100")
    bomb.add_new(0x00091001, "OB", bytes(32 << 20))
    bomb.StudyInstanceUID = STUDY
    octets = encode(bomb, False, True)
    assert octets is not None
    head = deflated(octets)
    tracemalloc.start()
    try:
        assert study_of(head, uids.DEFLATED_LE) is None
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=4096), st.sampled_from([uids.DEFLATED_LE, uids.EXPLICIT_LE, uids.IMPLICIT_LE]))
def test_octets_of_any_kind_tell_a_uid_or_nothing(head: bytes, syntax: str) -> None:
    found = study_of(head, syntax)
    assert found is None or set(found) <= set("0123456789.")
    modality = modality_in(head, syntax)
    assert modality is None or len(modality) <= 16
