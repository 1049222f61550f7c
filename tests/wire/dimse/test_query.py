"""Identifiers: annotated octets, and pydicom as reader."""

from __future__ import annotations

import io

import pytest
from pydicom.filereader import read_dataset

from leadapron.wire import uids
from leadapron.wire.dimse.query import UNIQUE_KEY, QueryLevel, find_identifier
from leadapron.wire.elements import Tag


def test_a_study_query() -> None:
    assert find_identifier("STUDY", match={Tag.StudyDate: "20200101-"}, ask=[Tag.PatientID]) == (
        b"\x08\x00\x20\x00\x0a\x00\x00\x0020200101- "  # (0008,0020) from this day on
        b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY "  # (0008,0052)
        b"\x10\x00\x20\x00\x00\x00\x00\x00"  # (0010,0020) to be told
        b"\x20\x00\x0d\x00\x00\x00\x00\x00"  # (0020,000D) the unique key
    )


@pytest.mark.parametrize("level", list(QueryLevel))
@pytest.mark.parametrize("syntax", [uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE])
def test_pydicom_reads_each_level(level: QueryLevel, syntax: str) -> None:
    match = {Tag.StudyInstanceUID: "1.2.3", Tag.PatientName: "Müller*"}
    raw = find_identifier(level, match=match, ask=[Tag.NumberOfStudyRelatedInstances], transfer_syntax=syntax)
    dataset = read_dataset(io.BytesIO(raw), syntax == uids.IMPLICIT_LE, syntax != uids.EXPLICIT_BE)
    assert dataset.QueryRetrieveLevel == level.value
    assert (dataset.StudyInstanceUID, dataset.PatientName) == ("1.2.3", "Müller*")
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset[UNIQUE_KEY[level]] is not None
    assert dataset.NumberOfStudyRelatedInstances is None


def test_a_matched_key_is_not_asked_for_again() -> None:
    raw = find_identifier("STUDY", match={Tag.StudyInstanceUID: ["1.2", "1.3"]}, ask=[Tag.StudyInstanceUID])
    assert read_dataset(io.BytesIO(raw), True, True).StudyInstanceUID == ["1.2", "1.3"]


def test_a_worklist_query_has_no_level() -> None:
    step = [[(Tag.Modality, "CS", "CT"), (Tag.ScheduledProcedureStepStartDate, "DA", "20260101")]]
    raw = find_identifier(None, match={Tag.ScheduledProcedureStepSequence: step}, ask=[Tag.PatientName])
    dataset = read_dataset(io.BytesIO(raw), True, True)
    assert "QueryRetrieveLevel" not in dataset
    assert dataset.ScheduledProcedureStepSequence[0].Modality == "CT"


def test_unknown_tags_and_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(0009,1001\)"):
        find_identifier("STUDY", ask=[0x00091001])
    with pytest.raises(ValueError):
        find_identifier("HOUSE")
