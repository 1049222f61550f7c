"""Recognition of what answers, by the identities that the products were read to use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.measure.software import printable, products, recognise, remedy_file


@pytest.mark.parametrize(
    ("class_uid", "version_name", "product", "version"),
    [
        ("1.2.276.0.7230010.3.0.3.6.7", "OFFIS_DCMTK_367", "DCMTK", "3.6.7"),
        ("1.2.276.0.7230010.3.0.3.7.0", "OFFIS_DCMTK_370", "DCMTK", "3.7.0"),
        ("1.2.276.0.7230010.3.0.3.1.1", "OFFIS-DCMTK-311", "DCMTK", "3.1.1"),
        ("1.2.276.0.7230010.3.0.3.6.4", None, "DCMTK", "3.6.4"),
        ("1.2.276.0.7230010.3.0.3.5.4", "SOMEPACS_20", "DCMTK", "3.5.4"),
        (None, "OFFIS_DCMTK_366", "DCMTK", "3.6.6"),
        ("1.2.246.352.70.2.1.120.1", "MergeCOM3_410", "Merge DICOM Toolkit", "4.1.0"),
        ("1.2.40.0.13.1.3", "dcm4che-5.35.0", "dcm4che", "5.35.0"),
        ("1.2.40.0.13.1.3", "dcm4che-5.29.2-S", "dcm4che", "5.29.2"),
        ("1.2.40.0.13.1.1.1", "dcm4che-1.4.34", "dcm4che", "1.4.34"),
        ("1.2.40.0.13.1.1", "dcm4che-2.0", "dcm4che", "2.0"),
        ("1.2.826.0.1.3680043.9.3811.3.0.4", "PYNETDICOM_304", "pynetdicom", "3.0.4"),
        ("1.2.826.0.1.3680043.9.3811.0.1.0", "PYNETDICOM3_010", "pynetdicom", "0.1.0"),
        ("1.3.6.1.4.1.30071.8", "fo-dicom 5.1.2", "fo-dicom", "5.1.2"),
        ("1.2.826.0.1.3680043.2.135.1066.101", "1.5.0/WIN32", "ConQuest", "1.5.0"),
        ("1.2.276.0.7238010.5.0.3.5.4", "OSIRIX", "OsiriX/Horos", None),
        ("1.3.6.1.4.1.25403.1.1.1", "Dicom 0.1", "ClearCanvas", None),
        ("1.2.826.0.1.3680043.8.641", "RUBY-DCM_0.9.5", "Ruby DICOM", "0.9.5"),
        ("1.2.826.0.1.3680043.8.641", None, "Orthanc", None),
        ("1.2.826.0.1.3680043.8.641", "ORTHANC_1.12.3", "Orthanc", "1.12.3"),
        ("1.3.12.2.1107.5.2", "MR_VB19A", "Siemens", "VB19A"),
        ("1.3.12.2.1107.5.2", "MR_2004V_VB11A", "Siemens", "VB11A"),
        ("1.2.840.113619.6.95", "MergeCOM3_390", "GE HealthCare", None),
        ("1.2.410.200010.99.3.5", "INFINITT_3.5", "INFINITT", "3.5"),
        ("1.2.276.0.7230010.30.1", "MINE", None, None),  # a root is not a prefix of digits
        ("1.2.3.4", "NOBODY_1", None, None),
    ],
)
def test_products_are_recognised(
    class_uid: str | None, version_name: str | None, product: str | None, version: str | None
) -> None:
    software = recognise(class_uid, version_name)
    assert software is not None
    assert (software.product, software.version) == (product, version)
    assert software.implementation_class_uid == class_uid
    assert software.implementation_version_name == version_name


def test_who_says_nothing_is_nobody() -> None:
    assert recognise(None, None) is None
    assert recognise("\x00", "\x1b\x07") is None


def test_terminal_escapes_and_markup_bytes_do_not_pass() -> None:
    software = recognise("1.2.3\x1b[31m", "A\x1b]0;x\x07B\u202eC\r\n" + "X" * 40)
    assert software is not None
    assert software.implementation_class_uid == "1.2.3[31m"
    assert software.implementation_version_name == "A]0;xBC" + "X" * 9


def test_every_identity_has_a_source_and_something_to_be_known_by() -> None:
    assert len({product.name for product in products()}) == len(products())
    for product in products():
        assert len(product.source) > 15, product.name
        assert product.roots or product.names, product.name
        assert product.names or not product.needs_name, product.name


def test_remedies_follow_the_product() -> None:
    assert remedy_file("DCMTK") == "dcmtk"
    assert remedy_file("dcm4che") == "dcm4chee"
    assert remedy_file("Siemens") is None
    assert remedy_file(None) is None


@given(st.none() | st.text(max_size=90), st.none() | st.text(max_size=40))
def test_any_strings_give_printable_ones(class_uid: str | None, version_name: str | None) -> None:
    software = recognise(class_uid, version_name)
    if software is None:
        return
    for text, longest in ((software.implementation_class_uid, 64), (software.implementation_version_name, 16)):
        if text is not None:
            assert 0 < len(text) <= longest
            assert text.isascii() and text.isprintable() and text == text.strip()
    assert software == recognise(class_uid, version_name)


@given(st.text(max_size=100), st.integers(0, 80))
def test_printable_keeps_what_may_be_shown(text: str, longest: int) -> None:
    kept = printable(text, longest)
    assert kept is None or (kept.isascii() and kept.isprintable() and 0 < len(kept) <= longest)
