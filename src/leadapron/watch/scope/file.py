"""The scope file: TOML that a person signs with their name, and that says where the watch may go.

Everything is checked when it is read. An unknown key is an error, because a misspelt ``exlude`` would open what it
should keep shut; so is an entry that is neither address, block, range nor host name. The line of each entry is kept,
so that a refusal can point at it.
"""

from __future__ import annotations

import json
import re
import tomllib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal

from msgspec import Struct

from leadapron.kernel.clock import iso
from leadapron.kernel.errors import ScopeError
from leadapron.kernel.errors import UsageError as WrongEntry
from leadapron.watch.scope.addresses import Block, parse_block, parse_name, shown

Kind = Literal["include", "exclude"]

_KEYS: Final = ("authorised_by", "contact", "reason", "valid_until", "include", "exclude", "rate")
_RATES: Final = ("overall", "network")
_MAX_OCTETS: Final = 16 << 20
_TOKEN = re.compile(
    r"""(?P<key>^[ \t]*[A-Za-z_][\w-]*[ \t]*=)|(?P<text>"(?:[^"\\\n]|\\.)*"|'[^'\n]*')|(?P<note>\#.*)""", re.M
)


class Entry(Struct, frozen=True):
    """One include or exclude entry: a block, or a name with the blocks that it resolved to (None: not resolved yet)."""

    kind: Kind
    text: str
    line: int | None = None
    blocks: tuple[Block, ...] | None = None

    @property
    def is_name(self) -> bool:
        return parse_block(self.text) is None

    def __str__(self) -> str:
        return f'{self.kind} "{self.text}"' + (f" (line {self.line})" if self.line is not None else "")


class Rates(Struct, frozen=True):
    """Upper bounds in connections a second: ``overall``, and for each /24 (IPv6: /56) ``network``. None: no bound."""

    overall: float | None = None
    network: float | None = None


class ScopeFile(Struct, frozen=True):
    """What a scope file says. ``valid_until`` is the first moment at which it no longer holds, in UTC."""

    authorised_by: str
    contact: str
    valid_until: datetime
    include: tuple[Entry, ...]
    exclude: tuple[Entry, ...] = ()
    reason: str | None = None
    rates: Rates = Rates()


def parse_scope(text: str, where: str = "scope") -> ScopeFile:
    """Read the text of a scope file. Raises ScopeError, with ``where`` (the file's name) in front."""
    if len(text) > _MAX_OCTETS:
        raise ScopeError(f"{where}: larger than {_MAX_OCTETS >> 20} MiB; write networks as blocks")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScopeError(f"{where}: not TOML: {error}") from None
    for key in table:
        if key not in _KEYS:
            raise ScopeError(f"{where}: unknown key {shown(key)}; known are {', '.join(_KEYS)}")
    include = _entries(table, "include", text, where)
    if not include:
        raise ScopeError(f'{where}: include is empty; name what may be touched, e.g. include = ["10.1.0.0/16"]')
    reason = table.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise ScopeError(f"{where}: reason must be text")
    return ScopeFile(
        authorised_by=_required(table, "authorised_by", "who allows this", where),
        contact=_required(table, "contact", "whom to ask or call when something goes wrong", where),
        valid_until=_moment(table.get("valid_until"), where),
        include=include,
        exclude=_entries(table, "exclude", text, where),
        reason=reason or None,
        rates=_rates(table.get("rate", {}), where),
    )


def parse_until(text: str) -> datetime:
    """``2027-01-31`` (to the end of that day in UTC) or ``2027-01-31T18:00:00Z``. Raises ScopeError."""
    try:
        if "T" in text.upper() or " " in text.strip():
            return _aware(datetime.fromisoformat(text.strip()), text)
        return _end_of(date.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        raise ScopeError(f"{shown(text)} is no date; write 2027-01-31 or 2027-01-31T18:00:00Z") from None


def render(file: ScopeFile) -> str:
    """The text of a scope file that ``parse_scope`` reads back as ``file``."""
    lines = [
        "# Where Lead Apron may go, on whose word, and until when. Exclusions win over inclusions.",
        f"authorised_by = {_quote(file.authorised_by)}",
        f"contact = {_quote(file.contact)}",
        *([f"reason = {_quote(file.reason)}"] if file.reason else []),
        f"valid_until = {iso(file.valid_until)}",
        "",
        *_list("include", file.include),
        *_list("exclude", file.exclude),
    ]
    caps = [(name, getattr(file.rates, name)) for name in _RATES]
    if any(value is not None for _, value in caps):
        lines += ["", "[rate]  # connections a second", *(f"{name} = {value:g}" for name, value in caps if value)]
    return "\n".join(lines) + "\n"


def entry(kind: Kind, text: str, line: int | None = None) -> Entry:
    """An entry from its text. Raises UsageError for what is neither address, block, range nor host name."""
    block = parse_block(text)
    if block is not None:
        return Entry(kind, text.strip(), line, (block,))
    name = parse_name(text)
    if name is None:
        raise WrongEntry(
            f"{shown(text)} is neither an address (10.1.2.3), a block (10.1.0.0/16), a range (10.1.0.1-10.1.0.9) "
            "nor a host name"
        )
    return Entry(kind, name, line)


def _entries(table: dict[str, Any], kind: Kind, text: str, where: str) -> tuple[Entry, ...]:
    values = table.get(kind, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ScopeError(f'{where}: {kind} must be a list of texts, e.g. {kind} = ["10.1.0.0/16"]')
    lines = _lines(text, kind)
    found: list[Entry] = []
    for value, line in zip(values, lines if len(lines) == len(values) else [None] * len(values), strict=True):
        try:
            found.append(entry(kind, value, line))
        except WrongEntry as error:
            place = where if line is None else f"{where}:{line}"
            raise ScopeError(f"{place}: {kind}: {error}") from None
    return tuple(found)


def _lines(text: str, kind: Kind) -> list[int | None]:
    """The line of each string in the list ``kind``; tomllib does not tell."""
    found: list[int | None] = []
    key = ""
    line, upto = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", upto, token.start())
        upto = token.start()
        if token["key"]:
            key = token["key"].strip(" \t=")
        elif token["text"] and key == kind:
            found.append(line)
    return found


def _required(table: dict[str, Any], key: str, meaning: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ScopeError(f'{where}: {key} is missing: {meaning}; write {key} = "…"')
    return value.strip()


def _moment(value: object, where: str) -> datetime:
    try:
        if isinstance(value, datetime):
            return _aware(value, value.isoformat())
        if isinstance(value, date):
            return _end_of(value)
        if isinstance(value, str):
            return parse_until(value)
    except (ScopeError, OverflowError) as error:
        raise ScopeError(f"{where}: valid_until: {error}") from None
    raise ScopeError(f"{where}: valid_until is missing: until when this holds; write valid_until = 2027-01-31")


def _aware(value: datetime, text: str) -> datetime:
    if value.tzinfo is None:
        raise ScopeError(f"{shown(text)} has no time zone; write a Z behind it for UTC, or an offset such as +01:00")
    return value.astimezone(UTC)


def _end_of(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def _rates(value: object, where: str) -> Rates:
    if not isinstance(value, dict):
        raise ScopeError(f"{where}: rate must be a table: [rate] with overall and network, connections a second")
    for key, number in value.items():
        if key not in _RATES:
            raise ScopeError(f"{where}: unknown key {shown('rate.' + key)}; known are rate.overall and rate.network")
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < float("inf"):
            raise ScopeError(f"{where}: rate.{key} must be a number above 0: connections a second")
    return Rates(**{key: float(number) for key, number in value.items()})


def _quote(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(key: str, entries: tuple[Entry, ...]) -> list[str]:
    if not entries:
        return []
    return [f"{key} = [", *(f"  {_quote(item.text)}," for item in entries), "]"]
