"""Drawing for a case: once, when its first notice is written, and kept with it.

The number of a draw is how many cases were drawn before, counted in a transaction that nobody shares. Two processes
that draw at once would else draw the same number, and a block would not be balanced.
"""

from __future__ import annotations

import sqlalchemy as sa

from leadapron.watch.reach.arms.factors import arms_of, draw
from leadapron.watch.reach.cases.model import Case
from leadapron.watch.reach.notices.alone import alone
from leadapron.watch.reach.notices.settings import Notices
from leadapron.watch.track.tables import cases

DRAWING = 1
"""Number of the lock, among ours."""


def drawn(connection: sa.Connection, case: Case, settings: Notices) -> dict[str, str]:
    """What is drawn for the case, or was before; keeping it is the caller's, in the same transaction."""
    if case.arms or not settings.arms:
        return case.arms
    alone(connection, DRAWING)
    before = connection.execute(sa.select(sa.func.count()).where(cases.c.arms != "{}")).scalar_one()
    return draw(int(before), arms_of(settings.arms, [one.name for one in settings.sender]), settings.seed)
