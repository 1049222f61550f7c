"""Every status and every error has its kind; every kind but a dead line ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.guard.gateway.edge import outcome
from leadapron.guard.gateway.edge.outcome import TRIES, Kind, exhausted, of_error, of_status
from leadapron.kernel.errors import AssociationAborted, AssociationRejected, ConnectionLost, NotAccepted, TimedOut
from leadapron.wire.dimse.status import StatusClass, classify


@given(st.integers(0, 0xFFFF), st.booleans())
def test_an_item_is_deleted_only_for_success_or_a_warning(status: int, uncertain: bool) -> None:
    kind = of_status(status, uncertain=uncertain)
    done = classify(status) in (StatusClass.SUCCESS, StatusClass.WARNING) or (status == 0x0111 and uncertain)
    assert (kind is Kind.DELIVERED) == done
    assert kind not in (Kind.LINE, Kind.UNSUPPORTED, Kind.BROKEN)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0x0000, Kind.DELIVERED),
        (0xB000, Kind.DELIVERED),
        (0xB006, Kind.DELIVERED),
        (0xA700, Kind.BUSY),
        (0xA7FF, Kind.BUSY),
        (0x0213, Kind.BUSY),
        (0x0110, Kind.DOUBT),
        (0xFE00, Kind.DOUBT),
        (0xFF00, Kind.DOUBT),
        (0x4711, Kind.DOUBT),
        (0xA900, Kind.REFUSED),
        (0xC001, Kind.REFUSED),
        (0x0111, Kind.REFUSED),
        (0x0122, Kind.REFUSED),
        (0x0124, Kind.REFUSED),
    ],
)
def test_statuses(status: int, kind: Kind) -> None:
    assert of_status(status) is kind


def test_errors() -> None:
    assert of_error(NotAccepted("x"), sending=True) is Kind.UNSUPPORTED
    for error in (AssociationAborted(0, 0), ConnectionLost(), TimedOut("x", 1), AssociationRejected(1, 1, 1, "x")):
        assert of_error(error, sending=False) is Kind.LINE
        assert of_error(error, sending=True) is Kind.BROKEN


def test_a_dead_line_sets_nothing_aside_and_all_else_ends() -> None:
    assert not exhausted(Kind.LINE, 10**9)
    for kind, most in TRIES.items():
        assert kind is Kind.LINE or (most is not None and exhausted(kind, most) and not exhausted(kind, most - 1))


def test_the_table_in_the_text_is_the_one_that_holds() -> None:
    for kind, most in TRIES.items():
        (row,) = [line for line in (outcome.__doc__ or "").splitlines() if line.startswith(f"| {kind.name} |")]
        assert f"| {'for ever' if most is None else most}" in row
