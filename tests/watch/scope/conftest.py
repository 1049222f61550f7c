from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from leadapron.watch.scope import Scope, parse_scope


class StillClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def forward(self, days: float) -> None:
        self.moment += timedelta(days=days)


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


MakeScope = Callable[..., Scope]


@pytest.fixture
def scope_of(clock: StillClock) -> MakeScope:
    """A valid scope with these entries."""

    def make(include: Sequence[str], exclude: Sequence[str] = ()) -> Scope:
        return Scope(parse_scope(scope_text(include, exclude)), clock)

    return make


def scope_text(include: Sequence[str], exclude: Sequence[str] = ()) -> str:
    return (
        'authorised_by = "Head of IT"\ncontact = "it@example.org"\nvalid_until = 2026-11-30\n'
        f"include = {list(include)!r}\nexclude = {list(exclude)!r}\n"
    )
