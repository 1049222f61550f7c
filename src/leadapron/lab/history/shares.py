"""Dividing whole numbers by weights, and drawing heavy tails: the arithmetic of a made-up census."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def portions(total: int, weights: Mapping[T, float], most: Mapping[T, int] | None = None) -> dict[T, int]:
    """``total`` divided as the weights say, by the largest remainders; each part at most ``most`` of it."""
    whole = sum(weights.values())
    exact = {key: total * weight / whole for key, weight in weights.items()}
    parts = {key: min(int(share), most[key] if most else total) for key, share in exact.items()}
    by_remainder = sorted(exact, key=lambda key: exact[key] - parts[key], reverse=True)
    while (left := total - sum(parts.values())) > 0:
        room = [key for key in by_remainder if most is None or parts[key] < most[key]]
        for key in room[:left]:
            parts[key] += 1
    return parts


def integers(total: int, values: Sequence[float]) -> list[int]:
    """``values`` scaled to sum to ``total``, each a whole number of at least one."""
    shared = portions(total - len(values), dict(enumerate(values)))
    return [shared[n] + 1 for n in range(len(values))]


def heavy_tail(total: float, count: int, most: float, draw: random.Random, alpha: float = 1.05) -> list[float]:
    """``count`` values that sum to ``total``, Pareto with ``alpha``, none above ``most``; descending."""
    weights = [draw.paretovariate(alpha) for _ in range(count)]
    for _ in range(50):
        factor = total / sum(weights)
        if max(weights) * factor <= most:
            break
        weights = [min(weight, most / factor) for weight in weights]
    factor = total / sum(weights)
    return sorted((weight * factor for weight in weights), reverse=True)


def one_of(weights: Mapping[T, int], draw: random.Random) -> T:
    """A key, drawn by weight."""
    return draw.choices(list(weights), list(weights.values()))[0]
