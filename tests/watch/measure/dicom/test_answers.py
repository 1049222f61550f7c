"""Answers cut up by a remembered layout give what the general reader gives, whatever came before them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.kernel.errors import ProtocolError
from leadapron.watch.measure.count.query import StudyQuery
from leadapron.watch.measure.count.tally import Tally
from leadapron.watch.measure.dicom.answers import _study_closely, study_reader
from leadapron.wire import uids

Elements = list[tuple[int, bytes]]
TAGS = (0x00080005, 0x00080020, 0x00080052, 0x00100020, 0x0020000D, 0x00201208)
VALUES = {
    0x00080005: (b"ISO_IR 100",),
    0x00080020: (b"20190304", b"", b"2019030 ", b"18000101"),
    0x00080052: (b"STUDY ", b"STUDY", b"SERIES", b""),
    0x00100020: (b"P1", b"P2", b"PAT-0003", b""),
    0x0020000D: (b"1.2.3.4\0", b"1.2.3.5\0", b"1.2.3.44", b"", b"9" * 1100),
    0x00201208: (b"12", b"3 ", b"", b"-1", b"9" * 20),
}


def encoded(elements: Elements) -> bytes:
    return b"".join(struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value for tag, value in sorted(elements))


answers = st.lists(
    st.lists(st.sampled_from(TAGS), unique=True).flatmap(
        lambda tags: st.tuples(*[st.tuples(st.just(tag), st.sampled_from(VALUES[tag])) for tag in tags])
    ),
    max_size=40,
)


def result(tally: Tally) -> dict[str, Any]:
    answer = tally.finish(0)
    fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
    for name in ("studies", "undated", "patients"):
        fields[name] = fields[name].fingerprint()
    fields["dates"] = dict(fields["dates"])
    return fields


@given(answers)
def test_a_remembered_layout_changes_nothing(answers: list[tuple[tuple[int, bytes], ...]]) -> None:
    query = StudyQuery(sample=4)
    quick, close = Tally(query), Tally(query)
    read, walk = study_reader(query, uids.IMPLICIT_LE, quick), _study_closely(uids.IMPLICIT_LE, close)
    for elements in answers:
        data = b"\xff" * 3 + encoded(list(elements)) + b"\xff" * 5
        read(data, 3, len(data) - 5)
        walk(data, 3, len(data) - 5)
    assert result(quick) == result(close)


@given(st.binary(max_size=60))
def test_octets_that_are_no_elements_are_told(junk: bytes) -> None:
    """After a good answer of the same size, too: its layout must not be taken on trust."""
    query = StudyQuery()
    good = encoded([(0x0020000D, b"1.2.3.4\0"), (0x00080052, b"STUDY ")])
    junk = (junk + good)[: len(good)]
    quick, close = Tally(query), Tally(query)
    read, walk = study_reader(query, uids.IMPLICIT_LE, quick), _study_closely(uids.IMPLICIT_LE, close)
    read(good, 0, len(good))
    walk(good, 0, len(good))
    said = []
    for reader in (read, walk):
        try:
            reader(junk, 0, len(junk))
            said.append("taken")
        except ProtocolError:
            said.append("refused")
    assert said[0] == said[1]
    assert result(quick) == result(close)


def test_a_longer_element_than_the_answer_is_refused() -> None:
    data = struct.pack("<HHI", 0x0020, 0x000D, 100) + b"1.2.3"
    with pytest.raises(ProtocolError, match="longer than the answer"):
        study_reader(StudyQuery(), uids.IMPLICIT_LE, Tally(StudyQuery()))(data, 0, len(data))
