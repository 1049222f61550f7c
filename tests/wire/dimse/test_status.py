"""Statuses: classes by PS3.7 §C, texts in our words; names against pynetdicom's tables."""

from __future__ import annotations

import pytest
from pynetdicom.status import code_to_category

from leadapron.wire.dimse.status import StatusClass, classify, describe, is_cancel, is_pending, is_warning


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (0x0000, StatusClass.SUCCESS, "0000H success"),
        (0xFF00, StatusClass.PENDING, "FF00H pending"),
        (0xFF01, StatusClass.PENDING, "FF01H pending: optional keys were not matched on"),
        (0xFE00, StatusClass.CANCEL, "FE00H cancelled"),
        (0x0122, StatusClass.FAILURE, "0122H failure: SOP class not supported"),
        (0x0124, StatusClass.FAILURE, "0124H failure: not authorized"),
        (0xA700, StatusClass.FAILURE, "A700H failure: out of resources"),
        (0xA7FF, StatusClass.FAILURE, "A7FFH failure: out of resources"),
        (0xA801, StatusClass.FAILURE, "A801H failure: move destination unknown"),
        (0xC123, StatusClass.FAILURE, "C123H failure: cannot understand or unable to process"),
        (
            0xB000,
            StatusClass.WARNING,
            "B000H warning: done with warnings: elements were coerced, or sub-operations failed",
        ),
        (0xB123, StatusClass.WARNING, "B123H warning"),
        (0x4711, StatusClass.FAILURE, "4711H failure"),
    ],
)
def test_class_and_text(status: int, kind: StatusClass, text: str) -> None:
    assert classify(status) is kind
    assert describe(status) == text


def test_every_status_has_a_class_and_a_text() -> None:
    for status in range(0x10000):
        kind = classify(status)
        assert is_pending(status) == (kind is StatusClass.PENDING)
        assert is_cancel(status) == (kind is StatusClass.CANCEL)
        assert is_warning(status) == (kind is StatusClass.WARNING)
        assert describe(status).startswith(f"{status:04X}H ")


def test_classes_agree_with_pynetdicom() -> None:
    for status in range(0x10000):
        theirs = code_to_category(status)
        if theirs != "Unknown":
            assert classify(status).value == theirs.lower(), f"{status:04X}"
