"""What the web side needs of others, as it sees it: who asks, how often they may, and where events go."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Protocol

from msgspec import Struct

from leadapron.guard.policy.permission import Permission

How = Literal["session", "token"]


class Who(Struct, frozen=True):
    """Someone who proved who they are. ``key`` names the session or token for bounds and events; it is no secret."""

    name: str
    how: How
    permissions: frozenset[Permission]
    key: str

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions


class Nobody(Struct, frozen=True):
    """Nobody who is known. ``reason`` is for the audit trail only; ``told``: it stands there already."""

    reason: str
    told: bool = False


class Doorkeeper(Protocol):
    """Looks at what a request carries. Neither call waits for long: both look up a hash."""

    def session(self, cookie: str, address: str) -> Who | Nobody: ...

    def token(self, secret: str, address: str) -> Who | Nobody: ...


class Meter(Protocol):
    """Counts what is retrieved. ``limit``: different studies in an hour, for the audit trail."""

    @property
    def limit(self) -> int: ...

    def retrieved(self, who: str, studies: Collection[str]) -> bool:
        """Whether ``who`` may retrieve from these studies now: all of them, or none is counted. One that was counted
        within the hour costs nothing."""
        ...
