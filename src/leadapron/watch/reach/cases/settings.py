"""When rules do what: section ``[cases]`` of ``leadapron.toml``.

Waiting times are counted from the first notice, as a letter would name them: reminders after 14 and 28 days, the
network's operator after 42, the national CERT after 56. Between two rungs of this ladder lies what the owner gets to
answer; where a notice went out late, because a person had not approved it yet, everything after it moves by as much.
The regulator is no rung unless somebody puts it there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from leadapron.kernel.config import Settings, find_file, load
from leadapron.kernel.errors import UsageError
from leadapron.watch.measure.record import SEVERITIES, VERDICTS
from leadapron.watch.reach.mailbox import Kind, classify
from leadapron.watch.track.exposures.model import OPEN_VERDICTS

NEVER: Final = "never"
MOST_DAYS: Final = 3650
Days = int | str
"""Whole days: ``14`` or ``"14d"``; where a rung may be left out, also ``"never"``."""


class Rung(NamedTuple):
    """What a rule does so many days after the first notice. ``level``: whom it then writes to; ``nth``: reminder."""

    day: int
    due: Literal["reminder", "raise"]
    level: int
    nth: int


class Rules(Struct, frozen=True, kw_only=True):
    """All of it. ``open``: verdicts that open a case by themselves; ``severity``: the least that does, None: any.

    ``reminders``, ``operator``, ``cert``, ``regulator``: days after the first notice. ``answered``: days for an owner
    who answered, before the ladder goes on. ``seen``: nothing is written unless the server was seen open within so many
    days; else a re-test is wanted first, every ``retest`` days. ``close``: days after the proof that it is closed.
    ``thanks``: whether an owner who closed it is thanked. ``do_not_contact``: mailboxes, domains and networks.
    """

    open: tuple[str, ...] = ("exposed",)
    severity: str | None = None
    reminders: tuple[Days, ...] = (14, 28)
    operator: Days = 42
    cert: Days = 56
    regulator: Days = NEVER
    answered: Days = 14
    seen: Days = 3
    retest: Days = 1
    close: Days = 30
    thanks: bool = True
    do_not_contact: tuple[str, ...] = ()

    def ladder(self) -> tuple[Rung, ...]:
        """The rungs there are, in order."""
        rungs = [Rung(_days(day, "reminders"), "reminder", 0, nth) for nth, day in enumerate(self.reminders, start=1)]
        for level, key in enumerate(("operator", "cert", "regulator"), start=1):
            day = getattr(self, key)
            if str(day) != NEVER:
                rungs.append(Rung(_days(day, key), "raise", level, 0))
        return tuple(rungs)

    def next_rung(self, level: int, reminders: int) -> tuple[Rung, timedelta] | None:
        """What comes after a case at this level got so many reminders, and how long after its last notice."""
        before = 0
        for rung in self.ladder():
            if (rung.level, rung.nth) > (level, reminders):
                return rung, timedelta(days=rung.day - before)
            before = rung.day
        return None

    def may_raise(self, level: int) -> bool:
        """Whether a rule may take a case to this level."""
        return any(rung.due == "raise" and rung.level == level for rung in self.ladder())

    def span(self, key: Literal["answered", "seen", "retest", "close"]) -> timedelta:
        return timedelta(days=_days(getattr(self, key), key))

    def untouched(self) -> tuple[tuple[Kind, str], ...]:
        """``do_not_contact`` as refusals are compared."""
        return tuple(classify(text) for text in self.do_not_contact)


class _File(Settings, frozen=True, kw_only=True):
    cases: Rules = Rules()  # type: ignore[assignment]


def load_cases(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Rules:
    """The section ``[cases]`` of the file at ``path`` (None: the one that `find_file` finds); its defaults where there
    is none. Raises `UsageError` for what can't be meant."""
    return checked(load(_File, path=path or find_file(environment), environment=environment).cases)


def checked(settings: Rules) -> Rules:
    """Raises `UsageError` for values that can't be meant."""
    for verdict in settings.open:
        if verdict not in OPEN_VERDICTS:
            known = "is no verdict of an open server" if verdict in VERDICTS else "is no verdict"
            raise UsageError(f"[cases] open: {verdict!a} {known}; there are {', '.join(OPEN_VERDICTS)}")
    if settings.severity is not None and settings.severity not in SEVERITIES:
        raise UsageError(f"[cases] severity: {settings.severity!a} is none; there are {', '.join(SEVERITIES)}")
    days = [rung.day for rung in settings.ladder()]
    if any(later <= earlier for earlier, later in itertools.pairwise(days)):
        raise UsageError(
            "[cases] reminders, operator, cert and regulator are days after the first notice, each later than the one "
            f"before; here they come to {', '.join(map(str, days))}"
        )
    for key in ("answered", "seen", "retest", "close"):
        settings.span(key)
    shortest = min((later - earlier for earlier, later in itertools.pairwise([0, *days])), default=MOST_DAYS)
    if settings.span("seen").days >= shortest:
        raise UsageError(
            f"[cases] seen must be less than the shortest wait, which is {shortest} days: a reminder would go out on "
            "what was seen before the notice that it reminds of"
        )
    try:
        settings.untouched()
    except UsageError as error:
        raise UsageError(f"[cases] do_not_contact: {error}") from None
    return settings


def _days(value: Days, key: str) -> int:
    found = re.fullmatch(r"([0-9]{1,4})d?", str(value).strip())
    if found is None or not 1 <= int(found[1]) <= MOST_DAYS:
        raise UsageError(f'[cases] {key} should be days from 1 to {MOST_DAYS}, as 14 or "14d", not {value!a}')
    return int(found[1])
