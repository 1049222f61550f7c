"""The product-limit estimate against values that were computed by hand and by definition."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadapron.watch.reach.statistics.survival import Curve, curve


def test_an_example_by_hand() -> None:
    """Ten servers: closed on day 2, 3, 3, 6; left open on 3, 4, 7, 7, 8, 8 (who leaves on day 3 was at risk on it).

    S(2) = 9/10; S(3) = 9/10 · 7/9 = 7/10; at risk on day 6: 10 - 3 - 2 = 5, S(6) = 7/10 · 4/5 = 14/25.
    Greenwood at 6: 1/(10·9) + 2/(9·7) + 1/(5·4) = 0.0928571…
    """
    found = curve(
        [(2, True, 1), (3, True, 2), (6, True, 1), (3, False, 1), (4, False, 1), (7, False, 2), (8, False, 2)]
    )
    assert (found.servers, found.closed, found.median) == (10, 4, None)
    assert [(s.day, s.at_risk, s.closed) for s in found.steps] == [(0, 10, 0), (2, 10, 1), (3, 9, 2), (6, 5, 1)]
    assert [s.share for s in found.steps] == pytest.approx([1, 0.9, 0.7, 0.56])
    variance = 1 / 90 + 2 / 63 + 1 / 20
    assert variance == pytest.approx(0.0928571, abs=1e-6)
    spread = 1.959964 * math.sqrt(variance) / abs(math.log(0.56))
    assert (found.steps[-1].low, found.steps[-1].high) == pytest.approx(
        (0.56 ** math.exp(spread), 0.56 ** math.exp(-spread))
    )
    assert (found.steps[-1].low, found.steps[-1].high) == pytest.approx((0.1971, 0.8130), abs=1e-4)


def test_with_nobody_lost_it_is_the_share_that_is_left() -> None:
    found = curve([(1, True, 30), (5, True, 20), (9, True, 10), (20, False, 40)])
    assert [s.share for s in found.steps] == pytest.approx([1, 0.7, 0.5, 0.4])
    assert found.median == 5
    # Greenwood's variance is then the binomial one, S(1-S)/n: on the log scale (1-S)/(nS).
    step = found.steps[1]
    spread = 1.959964 * math.sqrt(0.3 / 70) / abs(math.log(0.7))
    assert step.low == pytest.approx(0.7 ** math.exp(spread)) and 0.59 < step.low < 0.61 and 0.77 < step.high < 0.79


def test_edges() -> None:
    assert curve([]) == Curve((curve([]).steps[0],), 0, 0)
    assert curve([(4, False, 3)]).steps[-1].share == 1
    assert [s.share for s in curve([(0, True, 2)]).steps] == [1, 0]
    assert curve([(-1, True, 1), (2, False, 1)]).steps[1].day == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(1, 4)), max_size=30))
def test_it_is_the_product_of_its_definition(spans: list[tuple[int, bool, int]]) -> None:
    found = curve(spans)
    share = Fraction(1)
    for day in sorted({days for days, closed, _ in spans if closed}):
        at_risk = sum(n for days, _, n in spans if days >= day)
        share *= 1 - Fraction(sum(n for days, closed, n in spans if closed and days == day), at_risk)
    assert found.steps[-1].share == pytest.approx(float(share), abs=1e-12)
    for before, after in zip(found.steps, found.steps[1:], strict=False):
        assert before.day <= after.day and before.share > after.share
        assert 0 <= after.low <= after.share <= after.high <= 1
