"""multipart/related on its way: parts keep their octets, the envelope is new, and no cut changes anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.web.exchange import Refused
from leadapron.guard.gateway.web.flow import uploaded_part
from leadapron.guard.gateway.web.related import MAX_PART_HEADERS, Related, boundary_of, media_type
from leadapron.kernel.errors import ProtocolError

DICOM = b"MZ".ljust(128, b"\x90") + b"DICM" + b"\x02\0\0\0UL\x04\0"
CLEAN = bytes(128) + DICOM[128:]


def run(boundary: bytes, data: bytes, cuts: list[int], *, strict: bool = False) -> tuple[bytes, Related]:
    reader = Related(boundary, uploaded_part if strict else dict, strict=strict)
    out, at = b"", 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        out += reader.feed(data[at:cut])
        at = cut
    return out + reader.finish(), reader


def message(boundary: bytes, bodies: list[bytes], kind: bytes = b"application/dicom") -> bytes:
    made = b"".join(b"--" + boundary + b"\r\nContent-Type: " + kind + b"\r\n\r\n" + body + b"\r\n" for body in bodies)
    return made + b"--" + boundary + b"--\r\n"


@given(
    boundary=st.sampled_from([b"b", b"----x", b"a-b.c", b"0123456789" * 7]),
    bodies=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    near=st.booleans(),
    cuts=st.lists(st.integers(0, 4000), max_size=10),
)
def test_parts_keep_their_octets_and_cuts_do_not_matter(
    boundary: bytes, bodies: list[bytes], near: bool, cuts: list[int]
) -> None:
    if near:  # content that is nearly a delimiter
        bodies = [body + b"\r\n--" + boundary + b"x\r\n-" + body for body in bodies]
    if any(b"\r\n--" + boundary in b"\r\n" + body and not near for body in bodies):
        return
    data = message(boundary, bodies, b"application/octet-stream")
    out, reader = run(boundary, data, cuts)
    assert reader.parts == len(bodies)
    fresh = reader.fresh
    expected = message(fresh, bodies, b"application/octet-stream").replace(b"Content-Type", b"content-type")
    assert out == expected


@given(cuts=st.lists(st.integers(0, 1000), max_size=10))
def test_each_file_in_an_upload_is_cleaned(cuts: list[int]) -> None:
    out, reader = run(b"abc", message(b"abc", [DICOM, CLEAN, DICOM + b"\r\n--ab"]), cuts, strict=True)
    assert reader.zeroed == 2
    assert b"MZ" not in out
    assert out.count(CLEAN) == 3


def test_the_envelope_is_drawn_at_random() -> None:
    first, second = (run(b"abc", message(b"abc", [DICOM]), [])[1].fresh for _ in range(2))
    assert first != second


def test_a_delimiter_that_only_another_reader_would_see_is_content() -> None:
    inner = CLEAN + b"\n--abc\nContent-Type: application/dicom\n\n" + DICOM + b"--abc\r\n\r\n" + DICOM
    out, reader = run(b"abc", message(b"abc", [inner]), [], strict=True)
    assert reader.parts == 1
    assert reader.fresh not in inner and inner in out  # it stands between delimiters that nobody could guess


def test_preamble_and_epilogue_of_the_message_are_dropped() -> None:
    data = b"before\r\n" + message(b"abc", [CLEAN]) + b"after" * 1000
    out, reader = run(b"abc", data, [3, 9, 200])
    assert b"before" not in out and b"after" not in out
    assert out.endswith(b"--" + reader.fresh + b"--\r\n")


def test_padding_after_a_delimiter_is_allowed() -> None:
    data = b"--abc \t \r\nContent-Type: application/dicom\r\n\r\n" + CLEAN + b"\r\n--abc--"
    out, reader = run(b"abc", data, list(range(len(data))))
    assert reader.parts == 1 and CLEAN in out


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--abc--\r\n",
        b"--abc\r\nContent-Type: application/dicom\r\n\r\n" + CLEAN,
        b"--abc\r\nContent-Type: application/dicom\r\n\r\nno file at all\r\n--abc--\r\n",
        b"--abc\r\n\r\n" + CLEAN[:100] + b"\r\n--abc--\r\n",
        b"--abc\r\nContent-Type: text/html\r\n\r\n" + CLEAN + b"\r\n--abc--\r\n",
        b"--abc\r\nContent-Type: application/dicom\r\nContent-Type: text/html\r\n\r\n" + CLEAN + b"\r\n--abc--\r\n",
        b"--abc\r\nContent-Type: application/dicom\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + CLEAN
        + b"\r\n--abc--",
        b"--abc\r\nContent-Type: application/dicom\r\nContent-Encoding: gzip\r\n\r\n" + CLEAN + b"\r\n--abc--\r\n",
        b"--abc\r\nContent-Type: application/dicom\r\n folded: x\r\n\r\n" + CLEAN + b"\r\n--abc--\r\n",
        b"--abc\r\nbad header\r\n\r\n" + CLEAN + b"\r\n--abc--\r\n",
        b"--abc\r\nx: " + b"y" * MAX_PART_HEADERS + b"\r\n\r\n" + CLEAN + b"\r\n--abc--\r\n",
        b"--abc\r\n" + b"y" * 100_000,
        b"z" * 100_000,
    ],
    ids=lambda data: str(data[5:40]),
)
def test_a_message_that_is_not_what_it_should_be_is_refused(data: bytes) -> None:
    with pytest.raises((ProtocolError, Refused)):
        run(b"abc", data, [7, 50], strict=True)


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_octets_of_any_kind_are_read_or_refused(data: bytes, cuts: list[int]) -> None:
    def outcome(cuts: list[int]) -> str:
        try:
            out, reader = run(b"b", data, cuts)
        except ProtocolError as error:
            return type(error).__name__
        return out.replace(reader.fresh, b"").hex()

    assert outcome(cuts) == outcome([])


def test_media_types_and_boundaries() -> None:
    assert media_type('Multipart/Related; Type="application/dicom"; boundary=abc') == (
        "multipart/related",
        {"type": "application/dicom", "boundary": "abc"},
    )
    assert media_type('multipart/related; type="application/octet-stream; transfer-syntax=*"; boundary="a b"')[1] == {
        "type": "application/octet-stream; transfer-syntax=*",
        "boundary": "a b",
    }
    for wrong in ("", "x", "text/html; a=1; a=2", "multipart/related; boundary", 'a/b; c="d'):
        with pytest.raises(ProtocolError):
            media_type(wrong)
    for boundary in ("", "x" * 71, "a\r\nb", "a ", 'a"b', "é"):
        with pytest.raises(ProtocolError):
            boundary_of({"boundary": boundary})
