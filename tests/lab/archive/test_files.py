"""pydicom's own images as an archive, against what pydicom reads."""

from __future__ import annotations

import warnings
from collections import defaultdict
from pathlib import Path

import pydicom
import pytest
from lab_brute import answers, asked
from pydicom.data.data_manager import DATA_ROOT

from leadapron.lab.archive import query as q
from leadapron.lab.archive.files import pydicom_archive
from leadapron.lab.archive.query import Unanswerable
from leadapron.wire import uids


@pytest.fixture(scope="module")
def by_pydicom() -> dict[str, dict[str, set[str]]]:
    """Series and their images, by study."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in Path(DATA_ROOT).rglob("*"):
            try:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
                place = dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
            except Exception:  # no DICOM file, or one that is broken on purpose
                continue
            if all(place):
                found[place[0]][place[1]].add(place[2])
    return found


def test_every_study_with_its_images(by_pydicom: dict[str, dict[str, set[str]]]) -> None:
    archive = pydicom_archive()
    told = {v[q.STUDY_INSTANCE_UID].decode(): int(v[q.STUDY_INSTANCES]) for v in answers(archive, asked("STUDY"))}
    assert told == {study: sum(map(len, series.values())) for study, series in by_pydicom.items()}
    assert archive.volume.studies == len(by_pydicom) > 40
    assert archive.volume.images == sum(told.values()) > 120
    assert archive.volume.series == sum(len(series) for series in by_pydicom.values())


def test_series_and_images_of_each_study(by_pydicom: dict[str, dict[str, set[str]]]) -> None:
    archive = pydicom_archive()
    keys = ((q.SERIES_INSTANCE_UID, "UI"), (q.SOP_INSTANCE_UID, "UI"), (q.SERIES_INSTANCES, "IS"))
    for study, series in by_pydicom.items():
        told = answers(archive, asked("SERIES", keys[::2], STUDY_INSTANCE_UID=study))
        assert {v[q.SERIES_INSTANCE_UID].decode(): int(v[q.SERIES_INSTANCES]) for v in told} == {
            uid: len(images) for uid, images in series.items()
        }
        images = answers(archive, asked("IMAGE", keys[:2], STUDY_INSTANCE_UID=study))
        assert {v[q.SOP_INSTANCE_UID].decode() for v in images} == set().union(*series.values())


def test_the_parts_of_a_range_and_the_undated_make_the_whole() -> None:
    archive = pydicom_archive()
    every = answers(archive, asked("STUDY"))
    dated = answers(archive, asked("STUDY", STUDY_DATE="19000101-20991231"))
    assert len(every) == len(dated) + archive.volume.undated
    cut = [answers(archive, asked("STUDY", STUDY_DATE=dates)) for dates in ("-20031231", "20040101-")]
    assert sum(map(len, cut)) == len(dated)
    assert min(map(len, cut)) > 0


@pytest.mark.parametrize("transfer_syntax", [uids.IMPLICIT_LE, uids.EXPLICIT_BE])
def test_headers_in_every_encoding(transfer_syntax: str) -> None:
    archive = pydicom_archive()
    assert answers(archive, asked("STUDY"), transfer_syntax=transfer_syntax, max_pdu=256) == answers(
        archive, asked("STUDY")
    )


def test_names_are_found_by_wildcard_whatever_the_case() -> None:
    found = answers(pydicom_archive(), asked("STUDY", PATIENT_NAME="doe*"))
    assert found and all(v[q.PATIENT_NAME].lower().startswith(b"doe") for v in found)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(Unanswerable):
        list(pydicom_archive().select(asked("VOLUME")))
