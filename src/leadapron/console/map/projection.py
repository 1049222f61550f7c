"""Equal Earth (Šavrič, Patterson, Jenny 2018): areas are true, and the continents look as people know them.

Mercator would show what stands open in Canada eight times as large as the same in India.
"""

from __future__ import annotations

import math
from typing import Final

A1, A2, A3, A4 = 1.340264, -0.081106, 0.000893, 0.003796
_M: Final = math.sqrt(3) / 2
WIDTH: Final = 2 * 2.706629983696622  # of the whole world, in radii: x at 180° on the equator, twice
TOP: Final = 1.3173627591574133  # y at 90°


def project(longitude: float, latitude: float) -> tuple[float, float]:
    """Degrees to x and y in radii of the sphere, y upwards."""
    angle = math.asin(_M * math.sin(math.radians(latitude)))
    square = angle * angle
    sixth = square * square * square
    x = math.radians(longitude) * math.cos(angle) / (_M * (A1 + 3 * A2 * square + sixth * (7 * A3 + 9 * A4 * square)))
    y = angle * (A1 + A2 * square + sixth * (A3 + A4 * square))
    return x, y
