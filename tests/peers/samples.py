"""Data sets for peers: pydicom's own real images, and synthetic studies as many as wanted.

Nothing here belongs to a living patient: pydicom's files are public test images, the synthetic ones are made from a
counter. With ``canary`` every text attribute of a synthetic study holds that word, so that a test can look for it where
it must not be.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
ROOT = "1.2.826.0.1.3680043.10.1543"  # a root for made-up UIDs; they stay on this machine

UNCOMPRESSED = (
    "CT_small.dcm",
    "MR_small.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "SC_rgb_small_odd.dcm",
    "waveform_ecg.dcm",
    "liver_1frame.dcm",
    "dicomdirtests/77654033/CR*/*",
    "dicomdirtests/77654033/CT2/*",
    "dicomdirtests/98892001/CT*/*",
    "dicomdirtests/98892003/MR*/*",
)
COMPRESSED = (
    "JPEG2000.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "693_J2KI.dcm",
    "examples_jpeg2k.dcm",
    "examples_ybr_color.dcm",
    "SC_rgb_rle.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
)


def sample_files(*, compressed: bool = False) -> list[Path]:
    """Real images with distinct SOP Instance UIDs, of many modalities: CT, MR, CR, US, SC, ECG, SEG.

    With ``compressed`` also JPEG, JPEG 2000 and RLE ones (an undated CT study among them), which only some peers take.
    """
    patterns = UNCOMPRESSED + (COMPRESSED if compressed else ())
    return [path for pattern in patterns for path in sorted(TEST_FILES.glob(pattern)) if path.is_file()]


@dataclass(frozen=True)
class Totals:
    patients: int
    studies: int
    series: int
    instances: int


def totals(files: Iterable[Path]) -> Totals:
    """What an archive that holds these files must count, read by pydicom."""
    wanted = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    sets: tuple[set[str], ...] = (set(), set(), set(), set())
    for path in files:
        header = pydicom.dcmread(path, specific_tags=wanted, stop_before_pixels=True)
        for keyword, seen in zip(wanted, sets, strict=True):
            seen.add(str(header.get(keyword, "")))
    return Totals(*(len(seen) for seen in sets))


def make_studies(
    home: Path,
    studies: int,
    *,
    series: int = 1,
    instances: int = 1,
    patients: int | None = None,
    dates: Sequence[datetime.date | str | None] | None = None,
    undated: int = 0,
    pixels: int = 16,
    canary: str = "SYNTHETIC",
    seed: int = 1,
) -> list[Path]:
    """Writes synthetic secondary-capture studies below ``home``; returns the files, study by study.

    Study i takes ``dates[i % len(dates)]`` (a date, a DA string, "" or None for an empty one; by default one day after
    another from 2001-01-01); the last ``undated`` studies have none whatever ``dates`` says. ``pixels`` is the side of
    the square 8-bit image, so an instance is a little over ``pixels²`` octets. Patients default to one a study.
    Other seeds give other UIDs.
    """
    home.mkdir(parents=True, exist_ok=True)
    first = datetime.date(2001, 1, 1)
    files: list[Path] = []
    for number in range(studies):
        day = dates[number % len(dates)] if dates is not None else first + datetime.timedelta(days=number)
        if number >= studies - undated:
            day = None
        patient = number % (patients or studies)
        for group in range(1, series + 1):
            for image in range(1, instances + 1):
                uid = f"{ROOT}.{seed}.{number + 1}"
                dataset = _instance(f"{uid}.{group}.{image}", canary, pixels)
                dataset.PatientName = f"{canary}^{patient}"
                dataset.PatientID = f"{canary}-{seed}-{patient}"
                dataset.StudyInstanceUID = uid
                dataset.StudyDate = "" if day is None else day if isinstance(day, str) else day.strftime("%Y%m%d")
                dataset.StudyID = str(number + 1)
                dataset.SeriesInstanceUID = f"{uid}.{group}"
                dataset.SeriesNumber = group
                dataset.InstanceNumber = image
                path = home / f"{number + 1:06d}-{group:02d}-{image:04d}.dcm"
                dataset.save_as(path, enforce_file_format=True)
                files.append(path)
    return files


def _instance(uid: str, canary: str, pixels: int) -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = uid
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "O"
    dataset.StudyTime = "120000"
    dataset.AccessionNumber = canary[:16]
    dataset.ReferringPhysicianName = f"{canary}^REFERRING"
    dataset.StudyDescription = f"{canary} study"
    dataset.SeriesDescription = f"{canary} series"
    dataset.InstitutionName = f"{canary} institution"
    dataset.Modality = "OT"
    dataset.ConversionType = "SYN"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = pixels
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    size = pixels * pixels
    dataset.PixelData = (bytes(range(256)) * (size // 256 + 1))[:size] + b"\0" * (size % 2)
    return dataset
