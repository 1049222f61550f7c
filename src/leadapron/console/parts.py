"""What the console acts through; what it only shows it reads from the tables.

A part that is None is one that this installation does not run: its pages show what there is, and offer nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from leadapron.watch.campaign.rounds import Rounds
from leadapron.watch.reach.cases.store import Cases
from leadapron.watch.reach.notices.store import Notices
from leadapron.watch.track.owner.hints import Hints


class Parts(Struct, frozen=True, kw_only=True):
    """``send`` sends what is approved and due."""

    cases: Cases | None = None
    notices: Notices | None = None
    send: Callable[[], Awaitable[object]] | None = None
    hints: Hints | None = None
    rounds: Rounds | None = None
