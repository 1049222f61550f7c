"""Student's t and the mean of a finite population, without scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

_Z: Final = 1.959963984540054
_FEW: Final = (12.706, 4.303)


def t975(freedom: float) -> float:
    """The 97.5 % quantile of Student's t: Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5), off by 0.2 % at
    three.
    """
    if math.isinf(freedom):
        return _Z
    if freedom < 3:
        return _FEW[0] if freedom < 2 else _FEW[1]
    z, n = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )


def mean_and_variance(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and variance with n - 1; the variance of one value is 0."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)


def mean_interval(values: Sequence[float], population: int) -> tuple[float, float, float]:
    """Total of a population from a simple random sample without replacement: estimate, low and high at 95 %.

    Sizes of studies are skewed to the right, so a symmetric interval would miss high totals too often: it is widened
    upwards and moved by a share of the skewness (Johnson 1978, J. Am. Stat. Assoc. 73:536).
    """
    n = len(values)
    mean, variance = mean_and_variance(values)
    error = math.sqrt(variance / n * max(0.0, 1 - n / population))
    if not error:
        return mean * population, mean * population, mean * population
    third = math.fsum((v - mean) ** 3 for v in values) / n
    shift = third / (6 * variance * n)
    half = t975(n - 1) * error
    low = mean + min(shift, half) - half
    return mean * population, max(0.0, low) * population, (mean + 2 * shift + half) * population


class Total(NamedTuple):
    """An estimated total, its standard error, and the degrees of freedom for its interval."""

    value: float
    error: float
    freedom: float

    def interval(self) -> tuple[float, float]:
        half = t975(self.freedom) * self.error
        return max(0.0, self.value - half), self.value + half


class Sample(NamedTuple):
    """One stratum: how many units it has, the values of those drawn (at least one), and which other strata are of its
    kind.
    """

    units: int
    values: Sequence[float]
    kind: int


def spread_of(strata: Sequence[Sample]) -> list[float]:
    """A variance for each stratum, from few draws.

    Two or three draws from a stratum often lie close together by chance, and would promise too much. Days of one kind
    vary in proportion to their mean, so the squared coefficient of variation is pooled over the strata of a kind, and
    each stratum has its own variance or the pooled one, whichever is larger. Where all draws are zero, so would both
    be, which is not honest for a stratum that may hold something: it counts as if one more draw had brought a quarter
    of the usual.
    """
    drawn = [v for s in strata for v in s.values if v]
    usual = math.fsum(drawn) / len(drawn) if drawn else 0.0
    squares: dict[int, float] = {}
    freedom: dict[int, int] = {}
    for s in strata:
        mean, variance = mean_and_variance(s.values)
        if mean and len(s.values) > 1:
            squares[s.kind] = squares.get(s.kind, 0.0) + (len(s.values) - 1) * variance / mean**2
            freedom[s.kind] = freedom.get(s.kind, 0) + len(s.values) - 1
    spreads = []
    for s in strata:
        mean, variance = mean_and_variance(s.values)
        pooled = squares[s.kind] / freedom[s.kind] if s.kind in freedom else 1.0
        spreads.append(max(variance, pooled * mean**2) if mean else (usual / 4) ** 2 / (len(s.values) + 1))
    return spreads


def stratified(strata: Sequence[Sample]) -> Total:
    """Total from a stratified sample (Cochran §5.4, §5.9), degrees of freedom after Satterthwaite."""
    total = spread = weight = 0.0
    for s, variance in zip(strata, spread_of(strata), strict=True):
        n = len(s.values)
        total += s.units * mean_and_variance(s.values)[0]
        part = s.units**2 * max(0.0, 1 - n / s.units) * variance / n
        spread += part
        weight += part**2 / max(1, n - 1)
    return Total(total, math.sqrt(spread), spread**2 / weight if weight else math.inf)
