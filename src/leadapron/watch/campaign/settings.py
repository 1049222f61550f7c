"""The section ``[watch]`` of ``leadapron.toml``: campaigns, and when an exposure counts as closed.

A campaign is a question that is asked again and again: these addresses, this scope, this deep, so often. Its rounds can
be compared because they ask the same. Paths in it are relative to the configuration file, so that it does not matter
from where the program is started.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping
from datetime import time, timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from leadapron.kernel.config import Settings, find_file, load
from leadapron.kernel.errors import UsageError
from leadapron.watch.measure.model import Depth
from leadapron.watch.track.exposures.episode import CLOSED_AFTER

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([mhdw])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AT: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


class Campaign(Struct, frozen=True, kw_only=True):
    """One ``[[watch.campaign]]``.

    ``scope``: its file; without one only loopback is scanned. ``targets`` as on the command line, and ``from``, files
    of them; without either all that the scope includes. ``every`` and ``at`` say when (see ``schedule``); without
    them it runs when somebody asks for it. Rates are connections a second, ``timeout`` and ``patience`` seconds.
    """

    name: str
    scope: str | None = None
    targets: tuple[str, ...] = ()
    files: tuple[str, ...] = msgspec.field(name="from", default=())
    ports: tuple[int, ...] = ()
    depth: Depth = "count"
    every: str | None = None
    at: str | None = None
    rate: float | None = None
    network_rate: float | None = None
    timeout: float = 5.0
    patience: float = 300.0
    max_requests: int = 400

    @property
    def span(self) -> timedelta | None:
        """``every`` as a span of time; a day where only ``at`` is given."""
        if self.every is None:
            return timedelta(days=1) if self.at is not None else None
        number, unit = _match(_SPAN, self.every).groups()
        return timedelta(**{_UNITS[unit]: int(number)})

    @property
    def time(self) -> time | None:
        """``at`` as a time of day."""
        if self.at is None:
            return None
        hour, minute = _match(_AT, self.at).groups()
        return time(int(hour), int(minute))


class Watch(Struct, frozen=True, kw_only=True):
    """All of it. ``closed_after``: so many answers in a row that prove it close an exposure."""

    closed_after: int = CLOSED_AFTER
    campaign: tuple[Campaign, ...] = ()

    def named(self, name: str) -> Campaign:
        """The campaign of that name. Raises ``UsageError`` with those that there are."""
        for campaign in self.campaign:
            if campaign.name == name:
                return campaign
        near = difflib.get_close_matches(name, [campaign.name for campaign in self.campaign], 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"the configuration has no campaign {name[:80]!a}; {hint}{known(self)}")


def known(watch: Watch) -> str:
    """Which campaigns there are, or how one is made, for messages."""
    if watch.campaign:
        return "there are " + ", ".join(campaign.name for campaign in watch.campaign)
    return "'leadapron init watch' writes one, a section [[watch.campaign]] of leadapron.toml"


class _File(Settings, frozen=True, kw_only=True):
    watch: Watch = Watch()  # type: ignore[assignment]


def load_watch(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Watch:
    """The section ``[watch]`` of the file at ``path`` (None: the one that ``find_file`` finds); the defaults where
    there is none. Raises ``UsageError`` for what cannot be meant."""
    path = path or find_file(environment)
    watch = load(_File, path=path, environment=environment).watch
    if watch.closed_after < 1:
        raise UsageError(f"[watch] closed_after must be 1 or more, not {watch.closed_after}")
    for name, number in Counter(campaign.name for campaign in watch.campaign).items():
        if number > 1:
            raise UsageError(f"{number} campaigns are called {name!a}; each needs a name of its own")
    home = Path() if path is None else path.absolute().parent
    return msgspec.structs.replace(watch, campaign=tuple(_checked(campaign, home) for campaign in watch.campaign))


def _checked(campaign: Campaign, home: Path) -> Campaign:
    if not _NAME.fullmatch(campaign.name):
        raise UsageError(f"a campaign cannot be called {campaign.name!a}: up to 64 letters, digits, and . _ - within")
    where = f"campaign {campaign.name}"
    if campaign.scope is None and not campaign.targets and not campaign.files:
        raise UsageError(f"{where} has no scope and no targets: say what it is to scan")
    if campaign.every is not None and not _SPAN.fullmatch(campaign.every):
        raise UsageError(f'{where}: every = {campaign.every!a}; write "12h", "7d" or "2w"')
    if campaign.at is not None and not _AT.fullmatch(campaign.at):
        raise UsageError(f'{where}: at = {campaign.at!a}; write a time of day like "02:30"')
    span = campaign.span
    if campaign.at is not None and span is not None and span % timedelta(days=1):
        raise UsageError(f"{where}: with a time of day, every must be in whole days, not {campaign.every}")
    for name in ("rate", "network_rate", "timeout", "patience"):
        value = getattr(campaign, name)
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{where}: {name} must be above 0")
    if campaign.max_requests < 1 or not all(1 <= port <= 65535 for port in campaign.ports):
        raise UsageError(f"{where}: ports are numbers from 1 to 65535, max_requests is 1 or more")
    return msgspec.structs.replace(
        campaign,
        scope=None if campaign.scope is None else str(home / Path(campaign.scope).expanduser()),
        files=tuple(str(home / Path(file).expanduser()) for file in campaign.files),
    )


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!a} cannot be read")
    return match
