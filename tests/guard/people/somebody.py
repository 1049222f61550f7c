"""What the tests of people share: a clock that stands still, cheap hashing, somebody with password and app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyotp

from leadapron.guard.identity.people import Event, LoggedIn, LoginRefused, People, TotpCode
from leadapron.guard.identity.people.passkeys import Site
from leadapron.guard.identity.people.passwords import Hashing

CHEAP = Hashing(memory=8, passes=1, lanes=1)
PASSWORD = "grünes Licht im Flur"
HERE = "192.0.2.10"
SITE = Site("guard.example", ("https://guard.example:8443",))
MAY = ("web:query", "web:retrieve")

T = TypeVar("T")


class Held:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
        self.ticks = 1000.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.ticks

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.ticks += seconds


class House:
    """A guard's people with one of them in it: Dr. Röntgen, with password and app."""

    def __init__(self, home: Path, **more: Any) -> None:
        self.clock = Held()
        self.events: list[Event] = []
        self.home = home
        self.people = People(home, self.clock, on_event=self.events.append, **({"hashing": CHEAP, "site": SITE} | more))
        self.name = self.people.manage.add("Röntgen", MAY, "test", password=PASSWORD)
        self.secret, _ = self.people.manage.new_totp(self.name)
        codes = self.people.manage.confirm_totp(self.name, self.secret, self.digits(), "test")
        assert codes is not None
        self.recovery = codes
        self.clock.forward(60)  # the step that confirmed it is used up
        self.events.clear()

    def digits(self, steps: int = 0) -> str:
        return pyotp.TOTP(self.secret).at(self.clock.now(), counter_offset=steps)

    def code(self) -> TotpCode:
        return TotpCode(self.digits())

    def enter(
        self, source: str = HERE, device: str | None = None, password: str = PASSWORD, name: str | None = None
    ) -> Coroutine[Any, Any, LoggedIn | LoginRefused]:
        return self.people.login(self.name if name is None else name, password, self.code(), source, device)

    def inside(self, source: str = HERE) -> LoggedIn:
        """Log in; the next code is another one."""
        return asyncio.run(self.entered(source))

    async def entered(self, source: str = HERE) -> LoggedIn:
        done = await self.enter(source)
        assert isinstance(done, LoggedIn), done
        self.clock.forward(60)
        self.events.clear()
        return done

    def close(self) -> None:
        self.people.close()


def refused(done: LoggedIn | LoginRefused) -> str:
    assert isinstance(done, LoginRefused), "it let somebody in"
    return done.reason


MakeHouse = Callable[..., House]
