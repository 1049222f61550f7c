"""Who asks, by what ``guard.identity.people`` knows of sessions and tokens.

It tells the audit trail itself why one that was shown opens nothing, so that is not told here again. Permissions
that the policy doesn't know count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from leadapron.guard.gateway.web.ports import Nobody, Who
from leadapron.guard.identity.people.people import People
from leadapron.guard.policy.permission import Permission

_NAMES = frozenset(str(permission) for permission in Permission)


class PeopleDoorkeeper:
    """A `Doorkeeper` on the people and tokens of the guard."""

    def __init__(self, people: People) -> None:
        self._people = people

    def session(self, cookie: str, address: str) -> Who | Nobody:
        person = self._people.session(cookie, address)
        if person is None:
            return Nobody("the session opens nothing", told=True)
        return Who(person.name, "session", known(person.permissions), f"session {person.session}")

    def token(self, secret: str, address: str) -> Who | Nobody:
        token = self._people.token(secret, address)
        if token is None:
            return Nobody("the token opens nothing", told=True)
        return Who(token.owner, "token", known(token.permissions), f"token {token.token}")


def known(permissions: Iterable[str]) -> frozenset[Permission]:
    """Those that exist."""
    return frozenset(Permission(name) for name in permissions if name in _NAMES)
