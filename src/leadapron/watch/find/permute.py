"""An order to visit 0 … n−1 in that never dwells on one spot, in O(1) memory and with random access.

Visit number t goes to (offset + t·stride) mod n. With stride and n coprime that is a permutation; where it goes next
is one addition, where it was at position t is one multiplication, so a scan resumes from a single number.

How evenly such a walk spreads is a matter of the continued fraction stride/n = [0; a₁, a₂, …] (three-distance
theorem): if all aᵢ ≤ K, two visits fewer than j apart are more than n/((K+2)·j) places apart. Read both ways: any
stretch of the targets (a /24, a provider) is visited in near-constant time steps, never in a burst, and the ports of
one host, which are neighbours in the list, come n/((K+2)·ports) visits apart. A random permutation gives neither: its
bursts grow with log n / log log n. So the seed does not shuffle; it picks offset and stride, the stride among those
with K ≤ 4 or, where n has none, the best of those tried.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

GOOD: Final = 4  # the largest partial quotient that is taken at once
TRIES: Final = 4000  # about 1 in 600 strides is that good at n = 2^36


class Permutation:
    """A bijection of range(n), keyed by ``seed``. ``stride`` and ``offset`` are what the seed picked."""

    __slots__ = ("n", "offset", "seed", "stride")

    def __init__(self, n: int, seed: int) -> None:
        if n < 0:
            raise ValueError(f"cannot permute {n} items")
        self.n, self.seed = n, seed
        chance = random.Random(seed)
        self.offset = chance.randrange(n) if n else 0
        self.stride = _stride(n, chance)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, position: int) -> int:
        if not 0 <= position < self.n:
            raise IndexError(position)
        return (self.offset + position * self.stride) % self.n

    def walk(self, position: int = 0) -> Iterator[int]:
        """The items from ``position`` to the end."""
        n, stride = self.n, self.stride
        if position >= n:
            return
        item = self[position]
        for _ in range(n - position):
            yield item
            item += stride
            if item >= n:
                item -= n

    __iter__ = walk


def roughness(stride: int, n: int) -> int | None:
    """The largest partial quotient of stride/n; None where the two are not coprime."""
    worst, a, b = 0, n, stride
    while b:
        quotient, rest = divmod(a, b)
        worst = max(worst, quotient)
        a, b = b, rest
    return worst if a == 1 else None


def _stride(n: int, chance: random.Random) -> int:
    if n < 3:
        return 1 % max(n, 1)
    best, least = 1, n
    for _ in range(TRIES):
        stride = chance.randrange(1, n)
        rough = roughness(stride, n)
        if rough is not None and rough < least:
            best, least = stride, rough
            if least <= GOOD:
                break
    return best
