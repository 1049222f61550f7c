"""A question and its answer: what somebody wants to do, and Allowed or Denied with the line that says so."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from leadapron.guard.policy.permission import Permission


class Line(Struct, frozen=True):
    """Where in ``leadapron.toml``. ``text`` is what stands there, cut to a line."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}  {self.text}"


class Request(Struct, frozen=True, kw_only=True):
    """One operation. ``address``: where the peer comes from. ``when``: an aware moment (a naive one is local time).

    ``called_ae``: whom it calls; for the record, no rule is about it. ``destination``: of a C-MOVE (0000,0600), set for
    every C-MOVE, if need be to "". ``modality``: (0008,0060) of what is stored, if it has been read. ``sop_class``: the
    affected SOP class, or the abstract syntax where only that is known yet.
    """

    permission: Permission
    address: str
    when: datetime
    called_ae: str | None = None
    destination: str | None = None
    modality: str | None = None
    sop_class: str | None = None


class Allowed(Struct, frozen=True):
    """``line`` grants it."""

    line: Line


class Denied(Struct, frozen=True):
    """``reason`` is for the audit trail and the owner, never for who asked. ``line`` is None where no line is about it.

    ``change``: what to write instead, if it should be allowed.
    """

    reason: str
    line: Line | None
    change: str = ""
