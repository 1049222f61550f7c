"""Where a configuration is wrong: the file, the line and the key, or the variable.

TOML's reader in the standard library keeps no positions, and one that does would be one more library for a line's
number. So the line is looked for in the text: plain keys below plain headers, which is how nearly everybody writes
them. Anything else (inline tables, quoted keys) is told without a line; never with a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a section",
    "null": "nothing",
}
_AT = re.compile(r"(.*) - at `(?:key in )?\$\.?(.*)`", re.S)
_PART = re.compile(r"\[(\d+|\.\.\.)\]|([^.\[\]]+)")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\s-]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=")


def misread(said: str, schema: type[Struct], path: Path | None, environment: Mapping[str, str], prefix: str) -> str:
    """What msgspec says of a value, with the file, the line and the key, or the variable, where it stands."""
    found = _AT.fullmatch(said)
    what, place = (said, "") if found is None else (found[1], found[2])
    keys = tuple(int(number) if number.isdigit() else key or number for number, key in _PART.findall(place))
    if lacking := re.fullmatch(r"Object missing required field `(.*)`", what):
        keys, what = (*keys, lacking[1]), "lacks a value"
    elif choices := _choices(schema, keys):
        what = f"is of the wrong type: it should be one of {', '.join(choices)}"
    else:
        said = re.sub(r"`([a-z |]+)`", lambda kind: _in_words(kind[1]), what)
        what = f"is of the wrong type: {said[:1].lower()}{said[1:]}"
    name = prefix + "__".join(str(key) for key in keys).upper()
    if environment.get(name):
        return f"the variable {name} {what}"
    where = "the configuration" if path is None else with_line(path, keys)
    return f"{where}: {dotted(keys)} {what}" if keys else f"{where} {what}"


def _in_words(kinds: str) -> str:
    """``int | null`` as people say it; that a key may also be left out goes without saying."""
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | ") if kind != "null" or kinds == "null")


def _choices(schema: Any, keys: tuple[str | int, ...]) -> list[str]:
    """The words that may stand there, where only some may."""
    for key in keys:
        of = [one for one in (schema, *get_args(schema)) if isinstance(one, type) and issubclass(one, Struct)]
        if isinstance(key, str):
            schema = next((f.type for one in of for f in msgspec.structs.fields(one) if f.encode_name == key), None)
    literals = [one for one in (schema, *get_args(schema)) if get_origin(one) is Literal]
    return [str(word) for one in literals for word in get_args(one)]


def dotted(keys: tuple[str | int, ...]) -> str:
    """``watch.campaign.every``, as people call it: which of several it is says the line."""
    return ".".join(key for key in keys if isinstance(key, str))


def with_line(path: Path, keys: tuple[str | int, ...]) -> str:
    """``FILE, line 7``; the file alone where the key is not found as people mostly write it."""
    try:
        number = _line(path.read_text("utf-8-sig"), keys)
    except (OSError, UnicodeDecodeError):
        number = None
    return str(path) if number is None else f"{path}, line {number}"


def _line(text: str, keys: tuple[str | int, ...]) -> int | None:
    """The line of the key, or of the section that should have it. Only plain keys below plain headers are found."""
    section: tuple[str | int, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    nearest, depth = None, 0
    for number, line in enumerate(text.splitlines(), 1):
        here: tuple[str | int, ...]
        if header := _HEADER.match(line):
            names = tuple(part.strip() for part in header[2].split("."))
            if header[1] == "[[":
                counts[names] = counts.get(names, -1) + 1
            section = here = _numbered(names, counts)
        elif key := _KEY.match(line):
            here = (*section, *key[1].split("."))
        else:
            continue
        if here == keys:
            return number
        if depth < len(here) < len(keys) and keys[: len(here)] == here:
            nearest, depth = number, len(here)
    return nearest


def _numbered(names: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> tuple[str | int, ...]:
    """A header's names with the number of each ``[[list]]`` on the way that it stands in."""
    found: list[str | int] = []
    for at, name in enumerate(names, 1):
        found.append(name)
        if names[:at] in counts:
            found.append(counts[names[:at]])
    return tuple(found)
