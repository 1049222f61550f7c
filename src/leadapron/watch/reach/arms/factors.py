"""What is drawn by lot for a case, so that it can be learnt which kind of notice gets servers closed.

Each factor has two arms (``sender`` as many as there are senders). A draw is a pure function of the seed, the factor
and the number of the draw: permuted blocks, in which every arm stands equally often, in an order that HMAC-SHA-256 of
seed, factor and block decides. So anybody with the seed can check afterwards that nobody picked, and after each block
the arms are equal to the case, which keeps small campaigns comparable. Factors are drawn apart from each other: of two
with two arms a quarter of the cases has each pair, on average.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

ARMS: Final[Mapping[str, tuple[str, ...]]] = {
    "framing": ("technical", "duty"),
    "medium": ("email", "letter"),
    "language": ("local", "english"),
}
"""Arms by factor; those of ``sender`` are the names in ``[[notices.sender]]``."""
FACTORS: Final = ("sender", *ARMS)
REPEATS: Final = 2
"""How often each arm stands in a block: small, to be equal soon, and not one, where the last is always known."""


def arms_of(factors: Sequence[str], senders: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The arms of the factors that are drawn, senders in the order of their names."""
    return {factor: tuple(sorted(set(senders))) if factor == "sender" else ARMS[factor] for factor in factors}


def draw(number: int, factors: Mapping[str, Sequence[str]], seed: int) -> dict[str, str]:
    """The arms of draw ``number`` (from 0): factor → arm."""
    return {factor: _one(number, factor, tuple(arms), seed) for factor, arms in factors.items()}


def _one(number: int, factor: str, arms: tuple[str, ...], seed: int) -> str:
    size = len(arms) * REPEATS
    block, place = divmod(number, size)

    def rank(slot: int) -> bytes:
        return hmac.digest(str(seed).encode(), f"{factor} {block} {slot}".encode(), hashlib.sha256)

    return arms[sorted(range(size), key=rank)[place] % len(arms)]
