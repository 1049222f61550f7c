"""What a display is told of a running scan."""

from __future__ import annotations

import pytest

from leadapron.watch.scan.progress import Progress


def test_rate_and_time_left_are_those_of_the_last_seconds() -> None:
    progress = Progress(endpoints=1000)
    for second in range(20):
        progress.done = 10 * second if second < 10 else 100 + 50 * (second - 10)
        progress.rate(float(second))
        progress.rate(float(second))  # however often it is asked
    assert progress.rate(19.0) == pytest.approx(50, rel=0.2)
    assert progress.left(19.0) == pytest.approx((1000 - progress.done) / 50, rel=0.2)


def test_nothing_is_told_that_is_not_known() -> None:
    progress = Progress(endpoints=10)
    assert progress.left(0.0) is None


def test_studies_in_hand_count_until_they_are_done() -> None:
    progress = Progress(studies=5)
    progress.counted_so_far("127.0.0.1", 104, 7)
    progress.counted_so_far("127.0.0.1", 104, 9)
    assert progress.studies_so_far == 14
