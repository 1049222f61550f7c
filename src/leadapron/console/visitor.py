"""Who looks at the console: a person who logged in, or whoever had the first look's link."""

from __future__ import annotations

from msgspec import Struct

from leadapron.guard.policy.permission import Permission

FIRST: str = "first look"
VIEW, WORK = Permission.CONSOLE_VIEW, Permission.CONSOLE_WORK
SEND, SCAN = Permission.CONSOLE_SEND, Permission.CONSOLE_SCAN


class Visitor(Struct, frozen=True, kw_only=True):
    """``name`` stands beside what they change; ``first``: there is no account behind it, and nothing may be changed."""

    name: str
    permissions: frozenset[Permission]
    first: bool = False

    @property
    def by(self) -> str:
        """How it stands beside what they do: nobody passes for a rule, a scan or the mail by being called so."""
        return self.name if self.name.lower() not in ("rule", "scan", "mail") else f"person {self.name}"

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    @property
    def views(self) -> bool:
        return self.may(VIEW)

    @property
    def works(self) -> bool:
        return self.may(WORK)

    @property
    def sends(self) -> bool:
        return self.may(SEND)

    @property
    def scans(self) -> bool:
        return self.may(SCAN)


FIRST_VISITOR = Visitor(name=FIRST, permissions=frozenset({VIEW}), first=True)
